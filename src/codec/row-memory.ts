/**
 * What an end of a link remembers: a row of values for each of so many keys, and no more. A key is a
 * row's number in its batch where memory belongs to the link, the sample's id where it belongs to the
 * sample. When there is no place for another key, the one used least recently gives way.
 *
 * It is tensors in and tensors out, so that it can be kept in a checkpoint and move with a stage.
 */
import { assert, present } from "../base/assert.ts";
import { InputError } from "../base/errors.ts";
import {
  type DenseTensor,
  type DType,
  formatType,
  int64,
  type Tensor,
  tensor,
} from "../base/tensor.ts";

/** What is remembered for a key. */
export interface Remembered {
  /** Its place among all, below the capacity. */
  readonly slot: number;
  /** How often the row was replaced since the key came in. */
  count: number;
  readonly row: Float32Array;
}

/** Rows by key, in the order of their use. */
export class RowMemory {
  readonly rowLength: number;
  readonly capacity: number;
  /** The one used least recently first. */
  readonly #rows = new Map<number, Remembered>();
  readonly #freeSlots: number[] = [];

  constructor(rowLength: number, capacity: number) {
    this.rowLength = rowLength;
    this.capacity = capacity;
  }

  /** Keys that have a row. */
  get size(): number {
    return this.#rows.size;
  }

  /** What is remembered for a key, without using it. */
  get(key: number): Remembered | undefined {
    return this.#rows.get(key);
  }

  /** The row of a key that is used now: a row of zeros, replaced 0 times, where there was none. */
  use(key: number): Remembered {
    const known = this.#rows.get(key);
    if (known !== undefined) {
      this.#rows.delete(key);
      this.#rows.set(key, known);
      return known;
    }
    if (this.#rows.size === this.capacity) {
      const [oldest] = this.#rows.keys();
      this.drop(present(oldest, "a key in a full memory"));
    }
    return this.#add(key, this.#freeSlots.pop() ?? this.#rows.size);
  }

  /** The row at a slot that the other end has chosen: there, keys are slots. */
  useSlot(slot: number): Remembered {
    assert(slot >= 0 && slot < this.capacity, `slot ${slot} of ${this.capacity}`);
    return this.#rows.get(slot) ?? this.#add(slot, slot);
  }

  #add(key: number, slot: number): Remembered {
    const row = new Float32Array(this.rowLength);
    const remembered = { slot, count: 0, row };
    this.#rows.set(key, remembered);
    return remembered;
  }

  /** Forgets a key. */
  drop(key: number): void {
    const known = this.#rows.get(key);
    if (known === undefined) return;
    this.#rows.delete(key);
    this.#freeSlots.push(known.slot);
  }

  /** Forgets everything. */
  clear(): void {
    this.#rows.clear();
    this.#freeSlots.length = 0;
  }

  /** Everything that is remembered, copied: `keys`, `slots`, `counts` and `rows`, least recent first. */
  save(): Map<string, DenseTensor> {
    const all = [...this.#rows];
    const rows = new Float32Array(all.length * this.rowLength);
    for (const [i, [, { row }]] of all.entries()) rows.set(row, i * this.rowLength);
    const count = [all.length];
    return new Map([
      [
        "keys",
        int64(
          count,
          all.map(([key]) => key),
        ),
      ],
      [
        "slots",
        tensor(
          "int32",
          count,
          Int32Array.from(all, ([, { slot }]) => slot),
        ),
      ],
      [
        "counts",
        tensor(
          "int32",
          count,
          Int32Array.from(all, ([, each]) => each.count),
        ),
      ],
      ["rows", tensor("float32", [all.length, this.rowLength], rows)],
    ]);
  }

  /**
   * Takes the place of what is remembered.
   * @throws InputError for what no memory of this size has saved; then nothing has changed
   */
  restore(saved: ReadonlyMap<string, Tensor>): void {
    const count = saved.get("keys")?.shape[0] ?? 0;
    const keys = this.#part(saved, "keys", "int64", [count]) as BigInt64Array;
    const slots = this.#part(saved, "slots", "int32", [count]) as Int32Array;
    const counts = this.#part(saved, "counts", "int32", [count]) as Int32Array;
    const shape = [count, this.rowLength];
    const rows = this.#part(saved, "rows", "float32", shape) as Float32Array;
    const isSound =
      count <= this.capacity &&
      new Set(keys).size === count &&
      new Set(slots).size === count &&
      slots.every((slot) => slot >= 0 && slot < this.capacity) &&
      counts.every((each) => each >= 0);
    if (!isSound) throw unsound(`${count} rows`, `distinct rows, at most ${this.capacity}`);
    this.clear();
    for (let i = 0; i < count; i++) {
      const row = rows.slice(i * this.rowLength, (i + 1) * this.rowLength);
      const remembered = { slot: slots[i] as number, count: counts[i] as number, row };
      this.#rows.set(Number(keys[i]), remembered);
    }
    const taken = new Set(slots);
    const slotsUsed = slots.reduce((most, slot) => Math.max(most, slot + 1), 0);
    for (let slot = 0; slot < slotsUsed; slot++) if (!taken.has(slot)) this.#freeSlots.push(slot);
  }

  #part(saved: ReadonlyMap<string, Tensor>, name: string, dtype: DType, shape: number[]) {
    const allowed = formatType({ dtype, shape });
    const part = saved.get(name);
    if (!part?.data) throw unsound(`no values of ${name}`, allowed);
    if (formatType(part) !== allowed) throw unsound(`${name} of ${formatType(part)}`, allowed);
    return part.data;
  }
}

const unsound = (received: string, allowed: string): InputError =>
  new InputError({ what: "the memory of a codec", received, allowed });
