/** A choice between a few words, as a row of radio buttons. */
import type { Signal } from "@preact/signals";
import { useId } from "preact/hooks";

interface Props<T extends string> {
  /** What is chosen, for those who do not see where it stands. */
  readonly label: string;
  readonly options: readonly { readonly value: T; readonly label: string }[];
  readonly value: Signal<T>;
}

export function Choice<T extends string>({ label, options, value }: Props<T>) {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend class="unseen">{label}</legend>
      {options.map((option) => (
        <label key={option.value}>
          <input
            type="radio"
            name={name}
            checked={value.value === option.value}
            onChange={() => {
              value.value = option.value;
            }}
          />
          <span>{option.label}</span>
        </label>
      ))}
    </fieldset>
  );
}
