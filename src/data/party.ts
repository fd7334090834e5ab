/**
 * Samples of which a node holds some columns, while other parties hold the rest of the same samples. What
 * it does not hold is not in memory either: values are copied out of what was read, which is then free to go.
 *
 * Parties know a sample by its key, and put theirs into the order of the keys, each by itself. So the
 * sample at a position is the same one everywhere, and a batch that is drawn as positions is the same batch.
 */
import { InputError } from "../base/errors.ts";
import { Hasher } from "../base/hash.ts";
import { elementCount } from "../base/tensor.ts";
import { type Dataset, datasetOf } from "./dataset.ts";
import { SampleSource } from "./source.ts";

/** What of a data set a party takes. */
export interface PartyShare {
  /** Columns of the model's input that it holds. */
  readonly columns: readonly number[];
  /** Where those are in the data set; where the model has them, if it has all columns, where absent. */
  readonly places?: readonly number[];
  readonly hasLabels: boolean;
}

/** Samples that are copied at once. */
const chunk = 1024;

/**
 * A party's samples, in the order of their keys: features [columns, ...], and labels 0 of one class where it has none.
 * @throws InputError where samples have no keys, two have the same, or a column is not there
 */
export function partySource(
  dataset: Dataset,
  { columns, places = columns, hasLabels }: PartyShare,
): SampleSource {
  const { samples, kind, classNames } = dataset;
  const [width = 0, ...rest] = dataset.inputShape;
  const missing = places.find((place) => place >= width);
  if (missing !== undefined || columns.length === 0 || columns.length !== places.length) {
    throw new InputError({
      what: "columns of a party",
      received: `[${columns}] of data with ${width}`,
      allowed: `columns that are there, each once: 0 to ${width - 1}`,
    });
  }
  const keys = keysOf(dataset);
  const order = Int32Array.from({ length: samples }, (_, i) => i).sort((a, b) =>
    (keys[a] as string) < (keys[b] as string) ? -1 : 1,
  );
  const hasher = new Hasher();
  for (const [i, at] of order.entries()) {
    const key = keys[at] as string;
    if (key === keys[order[i - 1] as number]) {
      throw new InputError({ what: "keys", received: `"${key}" twice`, allowed: "each key once" });
    }
    hasher.text(key);
  }
  const [step, size] = [elementCount(rest), columns.length * elementCount(rest)];
  const values = new Float32Array(samples * size);
  for (let from = 0; from < samples; from += chunk) {
    const own = order.subarray(from, from + chunk);
    const { data } = dataset.gather(own).features;
    for (let i = 0; i < own.length; i++) {
      for (const [k, place] of places.entries()) {
        const at = (i * width + place) * step;
        values.set((data as Float32Array).subarray(at, at + step), (from + i) * size + k * step);
      }
    }
  }
  const own = datasetOf({
    kind,
    inputShape: [columns.length, ...rest],
    ...(hasLabels && classNames !== undefined ? { classNames } : {}),
    classes: hasLabels ? dataset.classes : 1,
    labels: hasLabels
      ? Int32Array.from(order, (at) => dataset.labels[at] as number)
      : new Uint8Array(samples),
    copySample(index, target, offset) {
      target.set(values.subarray(index * size, (index + 1) * size), offset);
    },
  });
  return new SampleSource(own, { columns, hasLabels, keys: hasher.digest() });
}

function keysOf({ keys, kind }: Dataset): readonly string[] {
  if (keys !== undefined) return keys;
  throw new InputError({
    what: "samples of a party",
    received: `${kind} without keys`,
    allowed:
      "samples with a key each, by which all parties know them: ratings, or a CSV with a key column",
  });
}
