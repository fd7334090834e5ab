/** Operators that look for the largest or smallest elements along an axis. */
import { ModelError } from "../../base/errors.ts";
import { type DenseTensor, elementCount, type TensorType } from "../../base/tensor.ts";
import { flag, integer, readAttributes } from "./attributes.ts";
import { axisOf, loopsAlong, numbers, pack } from "./elements.ts";
import { zerosLike } from "./gradients.ts";
import { inputType, inputValue, knownIntegers } from "./inputs.ts";
import type { InputTypes, OpRule } from "./rule.ts";

export interface ArgAttributes {
  readonly axis: number;
  readonly keepdims: boolean;
  /** Among equal elements the last one counts, not the first. */
  readonly select_last_index: boolean;
}

/** The index of an extreme along an axis. */
const position = (isBetter: (x: number, best: number) => boolean): OpRule<ArgAttributes> => ({
  inputs: [1, 1],
  outputs: [1, 1],
  attributes: (raw) =>
    readAttributes<ArgAttributes>(raw, {
      axis: integer(0),
      keepdims: flag(true),
      select_last_index: flag(false),
    }),
  types: (inputs, { axis, keepdims }) => {
    const { shape } = inputType(inputs, 0);
    const at = axisOf(axis, shape.length);
    const kept = shape.map((size, i) => (i === at ? 1 : size));
    return [{ dtype: "int64", shape: keepdims ? kept : kept.filter((_, i) => i !== at) }];
  },
  flops: (inputs) => elementCount(inputType(inputs, 0).shape),
  gradient: "its output is a list of indices and has no gradient",
  compute: (inputs, { axis, select_last_index }, [type]) => {
    const value = inputValue(inputs, 0);
    const x = numbers(value);
    const { outer, size, inner } = loopsAlong(value.shape, axisOf(axis, value.shape.length));
    const result = new Float64Array(outer * inner);
    for (let i = 0; i < result.length; i++) {
      const first = Math.floor(i / inner) * size * inner + (i % inner);
      const at = (j: number): number => x[first + j * inner] as number;
      let best = 0;
      for (let j = 1; j < size; j++) {
        if (isBetter(at(j), at(best)) || (select_last_index && at(j) === at(best))) best = j;
      }
      result[i] = best;
    }
    return [pack(type as TensorType, result)];
  },
});

const ArgMax = position((x, best) => x > best);
const ArgMin = position((x, best) => x < best);

export interface TopKAttributes {
  readonly axis: number;
  readonly largest: boolean;
  /** Whether elements are in order; where they need not be, they are. */
  readonly sorted: boolean;
}

/** How many elements are taken along the axis, and which axis it is. */
function taken(
  inputs: InputTypes,
  known: readonly (DenseTensor | null)[],
  attributes: TopKAttributes,
): { axis: number; count: number } {
  const { shape } = inputType(inputs, 0);
  const axis = axisOf(attributes.axis, shape.length);
  const count = knownIntegers(inputs, known, 1, "the number of elements")?.[0] ?? 0;
  const size = shape[axis] as number;
  if (count >= 0 && count <= size) return { axis, count };
  throw new ModelError(`${count} elements along axis ${axis}; allowed: 0 to ${size}`);
}

/** Equal elements keep their order. Gradients go to where the values were taken from. */
const TopK: OpRule<TopKAttributes> = {
  inputs: [2, 2],
  outputs: [1, 2],
  attributes: (raw) =>
    readAttributes<TopKAttributes>(raw, {
      axis: integer(-1),
      largest: flag(true),
      sorted: flag(true),
    }),
  types: (inputs, attributes, known) => {
    const { dtype, shape } = inputType(inputs, 0);
    const { axis, count } = taken(inputs, known, attributes);
    const sizes = shape.map((size, i) => (i === axis ? count : size));
    return [
      { dtype, shape: sizes },
      { dtype: "int64", shape: sizes },
    ];
  },
  flops: (inputs) => elementCount(inputType(inputs, 0).shape),
  gradient: (context) => {
    const g = context.gradient(0);
    if (g === null) return [null, null];
    const { shape } = context.type(context.inputs[0] as string);
    const axis = axisOf(context.attributes.axis, shape.length);
    const zeros = zerosLike(context, g, shape);
    return [context.emit("ScatterElements", [zeros, context.output(1), g], { axis }), null];
  },
  lower: (context) => {
    // Both outputs stand in every file, and one order makes all engines agree.
    const { axis, largest, sorted } = context.attributes;
    if (sorted && context.outputs === 2) return null;
    const results = context.emitAll("TopK", context.inputs, { axis, largest: largest ? 1 : 0 }, 2);
    return results.slice(0, context.outputs);
  },
  compute: (inputs, attributes, [values, indices]) => {
    const value = inputValue(inputs, 0);
    const x = numbers(value);
    const { axis, count } = taken(inputs, inputs, attributes);
    const { outer, size, inner } = loopsAlong(value.shape, axis);
    const found = new Float64Array(outer * count * inner);
    const places = new Float64Array(found.length);
    const sign = attributes.largest ? 1 : -1;
    for (let line = 0; line < outer * inner; line++) {
      const [row, column] = [Math.floor(line / inner), line % inner];
      const at = (j: number): number => x[(row * size + j) * inner + column] as number;
      const order = Array.from({ length: size }, (_, j) => j).sort(
        (a, b) => sign * (at(b) - at(a)),
      );
      for (let j = 0; j < count; j++) {
        found[(row * count + j) * inner + column] = at(order[j] as number);
        places[(row * count + j) * inner + column] = order[j] as number;
      }
    }
    return [pack(values as TensorType, found), pack(indices as TensorType, places)];
  },
};

/** Operators of this family. */
export const rankingOps = { ArgMax, ArgMin, TopK };
