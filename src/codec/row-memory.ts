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

/** What a memory saves: `keys`, `slots`, `counts` and `rows`. */
export type SavedRows = Map<string, DenseTensor>;

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
  /** Keys that were used since {@link RowMemory.takeUsed} was called last. */
  readonly #used = new Set<number>();

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
    this.#used.add(key);
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
    this.#used.add(slot);
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
    this.#used.delete(key);
    this.#freeSlots.push(known.slot);
  }

  /** Forgets everything. */
  clear(): void {
    this.#rows.clear();
    this.#used.clear();
    this.#freeSlots.length = 0;
  }

  /** Everything that is remembered, copied: `keys`, `slots`, `counts` and `rows`, least recent first. */
  save(): SavedRows {
    return this.#saved([...this.#rows]);
  }

  /**
   * The same of what was used since this was called last: with it, who has what there was before has all.
   * @param hasRows whether values come as well; otherwise rows are empty
   */
  takeUsed(hasRows = true): SavedRows {
    const used = [...this.#rows].filter(([key]) => this.#used.has(key));
    this.#used.clear();
    return this.#saved(used, hasRows);
  }

  #saved(all: readonly (readonly [number, Remembered])[], hasRows = true): SavedRows {
    const rowLength = hasRows ? this.rowLength : 0;
    const rows = new Float32Array(all.length * rowLength);
    if (hasRows) for (const [i, [, { row }]] of all.entries()) rows.set(row, i * rowLength);
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
      ["rows", tensor("float32", [all.length, rowLength], rows)],
    ]);
  }

  /**
   * Takes the place of what is remembered.
   * @throws InputError for what no memory of this size has saved; then nothing has changed
   */
  restore(saved: ReadonlyMap<string, Tensor>): void {
    const rows = this.#read(saved);
    this.clear();
    for (const [key, remembered] of rows) this.#rows.set(key, remembered);
    this.#findFree();
  }

  /**
   * Takes in what another memory of the same past has used since ({@link RowMemory.takeUsed}), and so comes to
   * remember what that one does.
   * @throws InputError as `restore` does
   */
  renew(saved: ReadonlyMap<string, Tensor>): void {
    const newer = this.#read(saved);
    const slots = new Set([...newer].map(([, { slot }]) => slot));
    for (const [key, { slot }] of [...this.#rows]) {
      if (newer.has(key) || slots.has(slot)) this.#rows.delete(key);
    }
    for (const [key, remembered] of newer) this.#rows.set(key, remembered);
    for (const key of [...this.#rows.keys()].slice(0, -this.capacity)) this.#rows.delete(key);
    this.#findFree();
  }

  #findFree(): void {
    this.#freeSlots.length = 0;
    const taken = new Set([...this.#rows.values()].map(({ slot }) => slot));
    let slotsUsed = 0;
    for (const slot of taken) slotsUsed = Math.max(slotsUsed, slot + 1);
    for (let slot = 0; slot < slotsUsed; slot++) if (!taken.has(slot)) this.#freeSlots.push(slot);
  }

  #read(saved: ReadonlyMap<string, Tensor>): Map<number, Remembered> {
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
    return new Map(
      Array.from({ length: count }, (_, i) => {
        const row = rows.slice(i * this.rowLength, (i + 1) * this.rowLength);
        const [slot, count] = [slots[i] as number, counts[i] as number];
        return [Number(keys[i]), { slot, count, row }];
      }),
    );
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
