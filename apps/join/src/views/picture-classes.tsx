/** Pictures class by class: for phones, whose browsers choose pictures and no folders. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";

export interface ClassPictures {
  readonly className: string;
  readonly files: readonly File[];
}

interface Props {
  /** Classes that the run knows; null where any name will do. */
  readonly names: readonly string[] | null;
  readonly classes: { value: readonly ClassPictures[] };
}

export function PictureClasses({ names, classes }: Props) {
  const name = useSignal(names?.[0] ?? "");
  const input = useRef<HTMLInputElement>(null);
  const add = () => {
    const files = [...(input.current?.files ?? [])];
    const className = name.value.trim();
    if (files.length === 0 || className === "") return;
    const others = classes.value.filter((each) => each.className !== className);
    classes.value = [...others, { className, files }];
    if (input.current !== null) input.current.value = "";
    if (names === null) name.value = "";
  };
  const remove = (className: string) => {
    classes.value = classes.value.filter((each) => each.className !== className);
  };
  return (
    <div class="more">
      <div class="item">
        <label for="class">Class</label>
        {names === null ? (
          <input
            id="class"
            type="text"
            autocomplete="off"
            value={name.value}
            onInput={({ currentTarget }) => (name.value = currentTarget.value)}
          />
        ) : (
          <select
            id="class"
            value={name.value}
            onChange={({ currentTarget }) => (name.value = currentTarget.value)}
          >
            {names.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        )}
      </div>
      <div class="item">
        <label for="pictures">Its pictures</label>
        <input id="pictures" ref={input} type="file" accept="image/*" multiple />
      </div>
      <button type="button" class="small" onClick={add}>
        Add this class
      </button>
      <ul class="classes" aria-label="Classes added">
        {classes.value.map(({ className, files }) => (
          <li key={className}>
            <span>
              {className}: {files.length === 1 ? "1 picture" : `${files.length} pictures`}
            </span>
            <button type="button" class="small" onClick={() => remove(className)}>
              Remove<span class="unseen"> {className}</span>
            </button>
          </li>
        ))}
      </ul>
      <p class="hint">The pictures stay on this device.</p>
    </div>
  );
}
