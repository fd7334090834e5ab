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
import { dense, elementCount, hollow, type TensorType, tensor } from "../base/tensor.ts";
import { codeBytes, forEachGroup, Grids, type Groups, groupsOf, measure } from "./affine-grid.ts";
import { decodeInLanes, encodeInLanes } from "./affine-lanes.ts";
import { codes4, codes8, values4, values8 } from "./affine-loops.ts";
import type { Codec } from "./codec-type.ts";
import { lanesHere, windowLength } from "./lanes.ts";

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

/** Group by group, so that the second look at its values finds them in the processor's cache. */
function encodeGroups(
  values: Float32Array,
  groups: Groups,
  { codes, grids: gridValues }: Coded,
  { bits, seed }: Rounding,
): void {
  const grids = new Grids(gridValues, 2 ** bits - 1, seed !== null);
  const lanes = lanesHere();
  if (lanes !== null && groups.length <= windowLength) {
    return encodeInLanes(lanes, { values, groups, codes, grids, bits, seed });
  }
  const valueBits = new Int32Array(values.buffer, values.byteOffset, values.length);
  forEachGroup(groups, bits, (group, index) => {
    measure(valueBits, group);
    grids.lay(group, index);
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
  const lanes = lanesHere();
  if (bits === 8 && lanes !== null && groups.length <= windowLength) {
    return decodeInLanes(lanes, { values, groups, codes, grids });
  }
  forEachGroup(groups, bits, (group, index) => {
    group.step = grids[2 * index] as number;
    group.minimum = grids[2 * index + 1] as number;
    if (bits === 8) values8(codes, group, values);
    else values4(codes, group, values);
  });
}
