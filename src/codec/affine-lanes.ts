/**
 * Affine quantization in lanes: what `affine-loops.ts` computes, four and sixteen values at a time. Values
 * pass through a window by the block, and so do codes of 8 bits, which lie as their values do. Codes of 4
 * bits are made in JavaScript; of them lanes only find the extremes.
 */
import { forEachGroup, type Grids, type Group, type Groups, orderKey } from "./affine-grid.ts";
import { codes4, codes8, parts, values8 } from "./affine-loops.ts";
import type { Lanes } from "./lanes.ts";

/** Values that are copied at once, unless a group has more: a fast cache holds them. */
const blockLength = 8192;

/** Steps of grids that lanes decode. */
const stepMax = 2 ** 119;

/** A tensor's values and groups, and where its codes and grids go; the seed is null where nothing is drawn. */
export interface Encoding {
  readonly values: Float32Array;
  readonly groups: Groups;
  readonly codes: Uint8Array;
  readonly grids: Grids;
  readonly bits: 8 | 4;
  readonly seed: number | null;
}

/** Codes, how they are grouped, pairs of step and minimum, and where the values go. */
export interface Decoding {
  readonly values: Float32Array;
  readonly groups: Groups;
  readonly codes: Uint8Array;
  readonly grids: Float32Array;
}

/** Encodes a tensor whose groups fit the window. */
export function encodeInLanes(lanes: Lanes, encoding: Encoding): void {
  const { values, groups, codes, grids, bits, seed } = encoding;
  const valueBits = new Int32Array(
    lanes.values.buffer,
    lanes.values.byteOffset,
    lanes.values.length,
  );
  // The window holds the values [start, end).
  let [start, end] = [0, 0];
  const flush = (): void => {
    if (bits === 8) codes.set(lanes.codes.subarray(0, end - start), start);
  };
  forEachGroup(groups, bits, (group, index) => {
    const { from, to } = group;
    if (to > end) {
      flush();
      start = from;
      end = Math.min(from + Math.max(blockLength, to - from), values.length);
      lanes.values.set(values.subarray(start, end));
    }
    measureInLanes(lanes, valueBits, group, start);
    grids.lay(group, index);
    // Where all are equal, or one is not finite, the minimum says it all.
    if (!(group.step > 0)) lanes.codes.fill(0, from - start, to - start);
    else if (bits === 8) codesInLanes(lanes, values, group, start, seed);
    else codes4(values, group, codes, seed);
  });
  flush();
}

/** Finds a group's extremes: by fours in lanes, and of the rest one by one. */
function measureInLanes(lanes: Lanes, bits: Int32Array, group: Group, start: number): void {
  const [from, to] = [group.from - start, group.to - start];
  const rest = from + ((to - from) & ~3);
  lanes.measure(from, rest);
  const { extremes } = lanes;
  let low = 0x7fff_ffff;
  let high = -0x8000_0000;
  for (let i = 0; i < 4; i++) {
    high = Math.max(high, extremes[i] as number);
    low = Math.min(low, extremes[4 + i] as number);
  }
  for (let i = rest; i < to; i++) {
    const key = orderKey(bits[i] as number);
    high = Math.max(high, key);
    low = Math.min(low, key);
  }
  group.low = low;
  group.high = high;
}

/** Makes a group's codes in the window: by sixteens in lanes, and of the rest one by one. */
function codesInLanes(
  lanes: Lanes,
  values: Float32Array,
  group: Group,
  start: number,
  seed: number | null,
): void {
  const { from, to, minimum, step } = group;
  const rest = from + ((to - from) & ~15);
  if (seed === null) lanes.nearest(from - start, rest - start, minimum, 1 / step);
  else lanes.draw(from - start, rest - start, minimum, parts / step, seed, from);
  if (rest < to) codes8(values, { ...group, from: rest, at: rest - start }, lanes.codes, seed);
}

/** Decodes codes of 8 bits whose groups fit the window. */
export function decodeInLanes(lanes: Lanes, { values, groups, codes, grids }: Decoding): void {
  // The window holds the codes [start, end).
  let [start, end] = [0, 0];
  const flush = (): void => values.set(lanes.values.subarray(0, end - start), start);
  forEachGroup(groups, 8, (group, index) => {
    const { from, to } = group;
    if (to > end) {
      flush();
      start = from;
      end = Math.min(from + Math.max(blockLength, to - from), values.length);
      lanes.codes.set(codes.subarray(start, end));
    }
    group.step = grids[2 * index] as number;
    group.minimum = grids[2 * index + 1] as number;
    // Lanes multiply in float32, which has no room for 255 of larger steps.
    const rest = group.step < stepMax ? from + ((to - from) & ~15) : from;
    lanes.decode(from - start, rest - start, group.step, group.minimum);
    if (rest === to) return;
    values8(codes, { ...group, from: rest - start, to: to - start, at: rest }, lanes.values);
  });
  flush();
}
