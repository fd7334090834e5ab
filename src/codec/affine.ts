/**
 * Affine quantization: 8 or 4 bits for a value, and for each group of values the grid that they are
 * rounded to, `minimum + code * step`.
 *
 * A group is one channel of one sample: its smallest and its largest value are the grid's ends, so
 * that nothing saturates, whatever the sign of the values. Channels differ in their ranges (that is
 * why weights are quantized per channel: Krishnamoorthi, "Quantizing deep convolutional networks
 * for efficient inference", 2018), and so do samples, above all in their gradients. Small channels
 * are joined with their neighbours until a group has 128 values, as blocks of contiguous values are
 * elsewhere (Dettmers et al., "8-bit optimizers via block-wise quantization", 2022), so that the 8
 * bytes of a grid stay a small part of what travels. No group holds values of two samples, so what
 * a sample becomes does not depend on who else is in the batch.
 *
 * Where a group's values lie on both sides of zero, zero is on the grid, as in Jacob et al.,
 * "Quantization and training of neural networks for efficient integer-arithmetic-only inference"
 * (2018): what was zero stays zero. Steps have 16 significant bits, so `code * step` is exact in
 * float32 and every engine decodes the same bits.
 */
import { assert } from "../base/assert.ts";
import { counterHash } from "../base/random.ts";
import { dense, elementCount, hollow, type TensorType, tensor } from "../base/tensor.ts";
import type { Codec } from "./codec-type.ts";

/** Fewest values of a group, where the sample has as many. */
const groupMin = 128;

/** How a tensor's values lie in groups; the last group of a row may be shorter. */
interface Groups {
  readonly rows: number;
  readonly rowLength: number;
  readonly length: number;
  readonly perRow: number;
}

/** The first axis counts samples, the second channels; a tensor of one axis is one sample. */
function groupsOf(shape: readonly number[]): Groups {
  const rows = shape.length > 1 ? (shape[0] as number) : 1;
  const rowLength = elementCount(shape.length > 1 ? shape.slice(1) : shape);
  const channel = Math.max(1, elementCount(shape.slice(2)));
  const length = Math.max(1, Math.min(rowLength, channel * Math.ceil(groupMin / channel)));
  return { rows, rowLength, length, perRow: Math.ceil(rowLength / length) };
}

/** How many bits a code has, and whether codes are drawn. */
export interface AffineOptions {
  readonly bits: 8 | 4;
  /** Rounds to nearest, or up and down at random so that the expected value is the value. */
  readonly rounding: "nearest" | "stochastic";
}

/**
 * The affine codec: parts are the codes as bytes, two to a byte where they have 4 bits, and the
 * grids as pairs of step and minimum. What is off is half a step at most, one where it is drawn.
 * A group with a value that is not finite comes back as NaN.
 */
export function affine({ bits, rounding }: AffineOptions): Codec {
  const isDrawn = rounding === "stochastic";
  const wire = ({ shape }: TensorType): readonly [TensorType, TensorType] => {
    const groups = groupsOf(shape);
    return [
      { dtype: "uint8", shape: [codeBytes(groups, bits)] },
      { dtype: "float32", shape: [groups.rows * groups.perRow, 2] },
    ];
  };
  return {
    wire,
    encode(value, seed = 0) {
      const [codeType, gridType] = wire(value);
      if (value.data === null) return [hollow(codeType), hollow(gridType)];
      assert(value.dtype === "float32", `an affine codec encodes float32, got ${value.dtype}`);
      const codes = new Uint8Array(elementCount(codeType.shape));
      const grids = new Float32Array(elementCount(gridType.shape));
      const values = dense(value).data as Float32Array;
      const rounding = { bits, seed: isDrawn ? seed : null };
      encodeGroups(values, groupsOf(value.shape), { codes, grids }, rounding);
      return [tensor("uint8", codeType.shape, codes), tensor("float32", gridType.shape, grids)];
    },
    decode(parts, type) {
      const [codes, grids] = parts;
      assert(codes && grids && parts.length === 2, `two parts expected, got ${parts.length}`);
      if (codes.data === null || grids.data === null) return hollow(type);
      const values = new Float32Array(elementCount(type.shape));
      const coded = { codes: codes.data as Uint8Array, grids: grids.data as Float32Array };
      decodeGroups(coded, groupsOf(type.shape), values, bits);
      return tensor("float32", type.shape, values);
    },
  };
}

/** Codes of a group begin at a byte of their own. */
const groupBytes = (length: number, bits: 8 | 4): number =>
  bits === 8 ? length : Math.ceil(length / 2);

function codeBytes({ rows, rowLength, length, perRow }: Groups, bits: 8 | 4): number {
  if (perRow === 0) return 0;
  const last = rowLength - (perRow - 1) * length;
  return rows * ((perRow - 1) * groupBytes(length, bits) + groupBytes(last, bits));
}

/** A tensor's codes, and step and minimum of each group. */
interface Coded {
  readonly codes: Uint8Array;
  readonly grids: Float32Array;
}

/** How codes are made; the seed is null where nothing is drawn. */
interface Rounding {
  readonly bits: 8 | 4;
  readonly seed: number | null;
}

/** Where a group is: its values are [from, to), its codes begin at `at`. One object serves all groups in turn. */
interface Group {
  from: number;
  to: number;
  at: number;
  step: number;
  minimum: number;
}

/** Group by group, so that the second look at its values finds them in the processor's cache. */
function encodeGroups(
  values: Float32Array,
  groups: Groups,
  { codes, grids }: Coded,
  { bits, seed }: Rounding,
): void {
  const valueBits = new Int32Array(values.buffer, values.byteOffset, values.length);
  const gridBits = new Int32Array(grids.buffer);
  const levels = 2 ** bits - 1;
  forEachGroup(groups, bits, (group, index) => {
    measure(valueBits, group, gridBits, 2 * index);
    layGrid(grids, gridBits, 2 * index, levels, seed !== null);
    group.step = grids[2 * index] as number;
    group.minimum = grids[2 * index + 1] as number;
    // Where all are equal, or one is not finite, the minimum says it all.
    if (!(group.step > 0)) return;
    if (bits === 8) codes8(values, group, codes, seed);
    else codes4(values, group, codes, seed);
  });
}

function decodeGroups(
  { codes, grids }: Coded,
  groups: Groups,
  values: Float32Array,
  bits: 8 | 4,
): void {
  forEachGroup(groups, bits, (group, index) => {
    group.step = grids[2 * index] as number;
    group.minimum = grids[2 * index + 1] as number;
    if (bits === 8) values8(codes, group, values);
    else values4(codes, group, values);
  });
}

function forEachGroup(
  { rows, rowLength, length, perRow }: Groups,
  bits: 8 | 4,
  visit: (group: Group, index: number) => void,
): void {
  const group: Group = { from: 0, to: 0, at: 0, step: 0, minimum: 0 };
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
const orderKey = (bits: number): number => bits ^ ((bits >> 31) >>> 1);

const plusInfinity = 0x7f80_0000;
const minusInfinity = orderKey(0xff80_0000 | 0);
/** The bits of a NaN. */
const notANumber = 0x7fc0_0000;

/**
 * Writes the bits of a group's largest value, then those of its smallest; of NaN twice where one is
 * not finite. Compares integers: comparisons of floats would pass NaN over.
 */
function measure(values: Int32Array, { from, to }: Group, out: Int32Array, outAt: number): void {
  let low = 0x7fff_ffff;
  let high = -0x8000_0000;
  for (let i = from; i < to; i++) {
    const bits = values[i] as number;
    const key = bits ^ ((bits >> 31) >>> 1);
    if (key < low) low = key;
    if (key > high) high = key;
  }
  const isSound = low > minusInfinity && high < plusInfinity;
  out[outAt] = isSound ? orderKey(high) : notANumber;
  out[outAt + 1] = isSound ? orderKey(low) : notANumber;
}

/** Turns the largest and the smallest value into step and minimum. */
function layGrid(
  grids: Float32Array,
  gridBits: Int32Array,
  at: number,
  levels: number,
  isDrawn: boolean,
): void {
  const high = grids[at] as number;
  const low = grids[at + 1] as number;
  const hasZero = low < 0 && high >= 0;
  // The minimum may move by a step to have zero on the grid. Rounding to nearest is as good half a
  // step beyond the ends of the grid as between them; drawing is not, so it takes a step more.
  const exact = (high - low) / (hasZero && isDrawn ? levels - 1 : levels);
  grids[at] = exact;
  if (!(exact > 0)) return;
  // The next larger number of at most 16 significant bits; positive floats are in the order of their bits.
  let stepBits = gridBits[at] as number;
  if ((grids[at] as number) < exact) stepBits++;
  if (stepBits >= 0x1_0000) stepBits = (stepBits + 0xff) & ~0xff;
  gridBits[at] = stepBits;
  if (!hasZero) return;
  const step = grids[at] as number;
  grids[at + 1] = -step * (isDrawn ? Math.ceil(-low / step) : Math.round(-low / step));
}

/** Fractions of a code are drawn in so many parts of a step: 16 random bits each, two from one hash. */
const parts = 0x1_0000;

/** Cuts off to a whole code. Math.min would compare floats, and take twice as long. */
function cutOff(place: number, last: number): number {
  const code = place | 0;
  if (code > last) return last;
  return code;
}

/** A place in parts of a step, to the code below or above it; as likely above as it is near to it. */
const draw = (place: number, drawn: number, last: number): number =>
  cutOff(((place | 0) + drawn) >> 16, last);

function codes8(
  values: Float32Array,
  { from, to, at, step, minimum }: Group,
  codes: Uint8Array,
  seed: number | null,
): void {
  const perStep = 1 / step;
  const shift = at - from;
  if (seed === null) {
    for (let i = from; i < to; i++) {
      codes[i + shift] = cutOff(((values[i] as number) - minimum) * perStep + 0.5, 255);
    }
    return;
  }
  const perPart = parts / step;
  for (let i = from; i < to; i += 2) {
    const hash = counterHash(seed, i);
    const first = ((values[i] as number) - minimum) * perPart + 0.5;
    codes[i + shift] = draw(first, hash & 0xffff, 255);
    if (i + 1 === to) break;
    const second = ((values[i + 1] as number) - minimum) * perPart + 0.5;
    codes[i + 1 + shift] = draw(second, hash >>> 16, 255);
  }
}

function codes4(
  values: Float32Array,
  { from, to, at, step, minimum }: Group,
  codes: Uint8Array,
  seed: number | null,
): void {
  const perStep = (seed === null ? 1 : parts) / step;
  let byte = at;
  // The half of a byte that no value needs repeats the last value.
  const last = to - 1;
  for (let i = from; i < to; i += 2) {
    const low = ((values[i] as number) - minimum) * perStep + 0.5;
    const high = ((values[i < last ? i + 1 : last] as number) - minimum) * perStep + 0.5;
    if (seed === null) {
      codes[byte++] = cutOff(low, 15) | (cutOff(high, 15) << 4);
    } else {
      const hash = counterHash(seed, i);
      codes[byte++] = draw(low, hash & 0xffff, 15) | (draw(high, hash >>> 16, 15) << 4);
    }
  }
}

function values8(
  codes: Uint8Array,
  { from, to, at, step, minimum }: Group,
  values: Float32Array,
): void {
  const shift = at - from;
  for (let i = from; i < to; i++) values[i] = minimum + (codes[i + shift] as number) * step;
}

function values4(
  codes: Uint8Array,
  { from, to, at, step, minimum }: Group,
  values: Float32Array,
): void {
  let byte = at;
  for (let i = from; i < to; i += 2) {
    const pair = codes[byte++] as number;
    values[i] = minimum + (pair & 15) * step;
    if (i + 1 < to) values[i + 1] = minimum + (pair >> 4) * step;
  }
}
