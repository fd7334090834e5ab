/** Groups of values that are quantized together, and the grid of each: how affine codecs see a tensor. */
import { elementCount } from "../base/tensor.ts";

/** Fewest values of a group, where the sample has as many. */
export const groupMin = 128;

/** How a tensor's values lie in groups; the last group of a row may be shorter. */
export interface Groups {
  readonly rows: number;
  readonly rowLength: number;
  readonly length: number;
  readonly perRow: number;
}

/** The first axis counts samples, the second channels; a tensor of one axis is one sample. */
export function groupsOf(shape: readonly number[]): Groups {
  const rows = shape.length > 1 ? (shape[0] as number) : 1;
  const rowLength = elementCount(shape.length > 1 ? shape.slice(1) : shape);
  const channel = Math.max(1, elementCount(shape.slice(2)));
  const length = Math.max(1, Math.min(rowLength, channel * Math.ceil(groupMin / channel)));
  return { rows, rowLength, length, perRow: Math.ceil(rowLength / length) };
}

/** Codes of a group begin at a byte of their own. */
const groupBytes = (length: number, bits: 8 | 4): number =>
  bits === 8 ? length : Math.ceil(length / 2);

export function codeBytes({ rows, rowLength, length, perRow }: Groups, bits: 8 | 4): number {
  if (perRow === 0) return 0;
  const last = rowLength - (perRow - 1) * length;
  return rows * ((perRow - 1) * groupBytes(length, bits) + groupBytes(last, bits));
}

/**
 * A group: its values are [from, to), its codes begin at `at`; keys of its extremes, and its grid, once
 * they are known. One object serves all groups in turn.
 */
export interface Group {
  from: number;
  to: number;
  at: number;
  low: number;
  high: number;
  step: number;
  minimum: number;
}

export function forEachGroup(
  { rows, rowLength, length, perRow }: Groups,
  bits: 8 | 4,
  visit: (group: Group, index: number) => void,
): void {
  const group: Group = { from: 0, to: 0, at: 0, low: 0, high: 0, step: 0, minimum: 0 };
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < perRow; i++) {
      group.from = row * rowLength + i * length;
      group.to = Math.min(group.from + length, (row + 1) * rowLength);
      visit(group, row * perRow + i);
      group.at += groupBytes(group.to - group.from, bits);
    }
  }
}

/** Order of floats as order of integers: NaN lies beyond the infinities, on either side. Its own inverse. */
export const orderKey = (bits: number): number => bits ^ ((bits >> 31) >>> 1);

const plusInfinity = 0x7f80_0000;
const minusInfinity = orderKey(0xff80_0000 | 0);
/** The bits of a NaN. */
const notANumber = 0x7fc0_0000;

/** Finds a group's extremes by the bits of its values. Comparisons of floats would pass NaN over. */
export function measure(values: Int32Array, group: Group): void {
  const { from, to } = group;
  let low = 0x7fff_ffff;
  let high = -0x8000_0000;
  for (let i = from; i < to; i++) {
    const key = orderKey(values[i] as number);
    if (key < low) low = key;
    if (key > high) high = key;
  }
  group.low = low;
  group.high = high;
}

/** The grids of a tensor's groups: pairs of step and minimum. */
export class Grids {
  readonly #values: Float32Array;
  readonly #bits: Int32Array;
  readonly #levels: number;
  readonly #isDrawn: boolean;

  /** @param levels steps of a grid */
  constructor(values: Float32Array, levels: number, isDrawn: boolean) {
    this.#values = values;
    this.#bits = new Int32Array(values.buffer, values.byteOffset, values.length);
    this.#levels = levels;
    this.#isDrawn = isDrawn;
  }

  /**
   * Lays the grid between a group's extremes. Where all values are equal its step is 0; where one is
   * not finite, step and minimum are NaN.
   */
  lay(group: Group, index: number): void {
    const at = 2 * index;
    const isSound = group.low > minusInfinity && group.high < plusInfinity;
    this.#bits[at] = isSound ? orderKey(group.high) : notANumber;
    this.#bits[at + 1] = isSound ? orderKey(group.low) : notANumber;
    const high = this.#values[at] as number;
    const low = this.#values[at + 1] as number;
    const hasZero = low < 0 && high >= 0;
    // The minimum may move by a step to have zero on the grid. Rounding to nearest is as good half a
    // step beyond the ends of the grid as between them; drawing is not, so it takes a step more.
    const exact = (high - low) / (hasZero && this.#isDrawn ? this.#levels - 1 : this.#levels);
    this.#values[at] = exact;
    if (exact > 0) this.#round(at, exact, hasZero ? low : null);
    group.step = this.#values[at] as number;
    group.minimum = this.#values[at + 1] as number;
  }

  /** Rounds the step up to 16 significant bits, and moves the minimum of a grid with zero to a multiple of it. */
  #round(at: number, exact: number, low: number | null): void {
    // Positive floats are in the order of their bits. Below the normal range fewer bits are significant:
    // there, this adds 2^-141 at most.
    let bits = this.#bits[at] as number;
    if ((this.#values[at] as number) < exact) bits++;
    if (bits >= 0x1_0000) bits = (bits + 0xff) & ~0xff;
    this.#bits[at] = bits;
    if (low === null) return;
    const step = this.#values[at] as number;
    const steps = this.#isDrawn ? Math.ceil(-low / step) : Math.round(-low / step);
    this.#values[at + 1] = -step * steps;
  }
}
