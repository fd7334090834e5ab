/** Before joining: the device's name, its data, how it computes, and what will leave it. */
import { useSignal } from "@preact/signals";
import { formatBytes, type JoinOffer, namePattern, picturesByFolder } from "edgeloom/browser";
import type { DataChoice } from "../messages.ts";
import type { Settings } from "../settings.ts";
import { forget, hasGpu, lacks, start } from "../state.ts";
import { type ClassPictures, PictureClasses } from "./picture-classes.tsx";
import { Commitment } from "./what-leaves.tsx";

interface Props {
  readonly offer: JoinOffer;
  readonly settings: Settings | null;
}

type Kind = "kept" | "folder" | "classes" | "table" | "shard";

export function Choose({ offer, settings }: Props) {
  const missing = lacks();
  return (
    <>
      <section class="panel">
        <h1>Train {offer.model} on this device</h1>
        <p class="lead">
          You join the run {offer.run}: {offer.rounds} rounds together with other devices. Each
          learns from data of its own; only what the model makes of them is sent.
        </p>
      </section>
      <section class="panel" aria-labelledby="device">
        <h2 id="device" class="unseen">
          This device
        </h2>
        <DeviceForm offer={offer} settings={settings} />
      </section>
      {missing.length > 0 && <Missing missing={missing} />}
      <Commitment />
    </>
  );
}

function DeviceForm({ offer, settings }: Props) {
  const kinds = kindsOf(offer, settings);
  const kind = useSignal<Kind>(kinds[0] ?? "table");
  const classes = useSignal<readonly ClassPictures[]>([]);
  const problem = useSignal<string | null>(null);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const name = String(form.get("name")).trim();
    const data = chosenData(kind.value, form, classes.value);
    if (!namePattern.test(name)) {
      problem.value = "A name has letters, digits and _ . - and begins with a letter or a digit.";
    } else if (typeof data === "string") problem.value = data;
    else {
      const backend = form.get("gpu") === "on" ? "webgpu" : "wasm";
      start({ name, backend, instance: null, data });
    }
  };
  return (
    <form onSubmit={submit}>
      <NameField name={settings?.name ?? offer.name} />
      <fieldset>
        <legend>Data to learn from</legend>
        {kinds.map((each) => (
          <Option key={each} kind={each} chosen={kind.value} onChoose={() => (kind.value = each)}>
            <More kind={each} offer={offer} settings={settings} classes={classes} />
          </Option>
        ))}
      </fieldset>
      {hasGpu() && (
        <label class="option">
          <input type="checkbox" name="gpu" checked={settings?.backend === "webgpu"} />
          <span>Compute on the graphics processor</span>
          <span class="hint">WebGPU. Faster for large models, rarely for small ones.</span>
        </label>
      )}
      {problem.value !== null && (
        <p class="bad-text" role="alert">
          {problem}
        </p>
      )}
      <button type="submit" class="primary">
        Join
      </button>
    </form>
  );
}

const NameField = ({ name }: { name: string }) => (
  <div class="item">
    <label for="name">Name of this device</label>
    <input
      id="name"
      name="name"
      type="text"
      autocomplete="off"
      autocapitalize="off"
      spellcheck={false}
      required
      value={name}
    />
    <p class="hint">Everybody who watches the run sees it.</p>
  </div>
);

/** Kept samples first, then what fits the model. */
function kindsOf({ inputShape, shard }: JoinOffer, settings: Settings | null): Kind[] {
  const isOfPictures = inputShape?.length === 3;
  return [
    ...(settings?.data != null ? (["kept"] as const) : []),
    ...(shard === null ? [] : (["shard"] as const)),
    ...(isOfPictures ? (["folder", "classes"] as const) : (["table"] as const)),
  ];
}

const titles: Readonly<Record<Kind, string>> = {
  kept: "The same as last time",
  shard: "Sample data from the server",
  folder: "A folder of pictures",
  classes: "Pictures, class by class",
  table: "A table (CSV)",
};

interface OptionProps {
  readonly kind: Kind;
  readonly chosen: Kind;
  readonly onChoose: () => void;
  readonly children: preact.ComponentChildren;
}

function Option({ kind, chosen, onChoose, children }: OptionProps) {
  const id = `data-${kind}`;
  return (
    <div class="option">
      <input
        type="radio"
        id={id}
        name="data"
        value={kind}
        checked={kind === chosen}
        onChange={onChoose}
      />
      <label for={id}>{titles[kind]}</label>
      {kind === chosen && children}
    </div>
  );
}

interface MoreProps {
  readonly kind: Kind;
  readonly offer: JoinOffer;
  readonly settings: Settings | null;
  readonly classes: { value: readonly ClassPictures[] };
}

function More({ kind, offer, settings, classes }: MoreProps) {
  switch (kind) {
    case "kept":
      return (
        <div class="more">
          <p class="hint">{settings?.data}. This browser has kept them.</p>
          <button type="button" class="small" onClick={() => void forget()}>
            Forget them
          </button>
        </div>
      );
    case "shard":
      return (
        <p class="hint">
          {offer.shard?.samples.toLocaleString("en")} pictures of {offer.shard?.what},{" "}
          {formatBytes(offer.shard?.bytes ?? 0)}. With this choice the data come{" "}
          <strong>from the server</strong>: it is for trying things out, and nothing private is
          learned from.
        </p>
      );
    case "folder":
      return (
        <div class="more">
          <label for="folder" class="unseen">
            Folder of pictures
          </label>
          <input id="folder" name="folder" type="file" multiple {...{ webkitdirectory: true }} />
          <p class="hint">
            It holds one folder of pictures for each class
            {offer.classNames === null ? "" : `: ${offer.classNames.join(", ")}`}. The pictures stay
            on this device.
          </p>
        </div>
      );
    case "classes":
      return <PictureClasses names={offer.classNames} classes={classes} />;
    case "table":
      return (
        <div class="more">
          <label for="table" class="unseen">
            Table
          </label>
          <input id="table" name="table" type="file" accept=".csv,text/csv" />
          <div class="item">
            <label for="label">Column of the label</label>
            <input id="label" name="label" type="text" autocomplete="off" spellcheck={false} />
            <p class="hint">
              Leave it empty for the last one. All other columns are numbers
              {offer.inputShape?.length === 1 ? `, ${offer.inputShape[0]} of them` : ""}. The table
              stays on this device.
            </p>
          </div>
        </div>
      );
  }
}

/** What the person has chosen, or in words what is missing. */
function chosenData(
  kind: Kind,
  form: FormData,
  classes: readonly ClassPictures[],
): DataChoice | string {
  switch (kind) {
    case "kept":
    case "shard":
      return { kind };
    case "folder": {
      const files = form.getAll("folder").filter((entry) => entry instanceof File);
      const pictures = picturesByFolder(files);
      if (pictures.length > 0) return { kind: "pictures", pictures };
      return "Choose a folder that holds one folder of pictures for each class.";
    }
    case "classes": {
      const pictures = classes.flatMap(({ className, files }) =>
        files.map((file) => ({ file, className })),
      );
      return pictures.length > 0 ? { kind: "pictures", pictures } : "Add pictures of a class.";
    }
    case "table": {
      const file = form.get("table");
      const label = String(form.get("label") ?? "").trim();
      if (!(file instanceof File) || file.size === 0) return "Choose a table.";
      return { kind: "table", file, label: label === "" ? null : label };
    }
  }
}

function Missing({ missing }: { missing: readonly string[] }) {
  return (
    <section class="notes" aria-labelledby="missing">
      <h2 id="missing">What does not work here</h2>
      <ul>
        {missing.map((text) => (
          <li key={text}>{text}</li>
        ))}
      </ul>
    </section>
  );
}
