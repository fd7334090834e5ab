/**
 * Operators that make tensors out of sizes and indices. Most are known before anything is
 * trained, and disappear.
 */
import { ModelError } from "../../base/errors.ts";
import {
  type DenseTensor,
  type DType,
  elementCount,
  float32,
  formatType,
  int64,
  type TensorType,
} from "../../base/tensor.ts";
import type { Attribute } from "../graph.ts";
import {
  type AxisAttributes,
  integer,
  type NoAttributes,
  noAttributes,
  optional,
  readAttributes,
} from "./attributes.ts";
import { axisOf, loopsAlong, numbers, pack, strides } from "./elements.ts";
import { elementType } from "./elementwise.ts";
import { integerList, knownOf, reshaped, typesOf, writtenOut } from "./gradients.ts";
import { inputType, inputValue, knownIntegers, requireDType, requireRank } from "./inputs.ts";
import type { InputTypes, OpRule } from "./rule.ts";

const noGradient = "it is known before anything is trained";

/** The result's shape with the new axis in it, and where that is. */
function oneHotShape(
  inputs: InputTypes,
  { axis }: AxisAttributes,
  known: readonly (DenseTensor | null)[],
): { shape: number[]; axis: number; depth: number } {
  const indices = inputType(inputs, 0);
  requireDType(indices, ["int64", "int32"], "the indices");
  const [depth = 0] = knownIntegers(inputs, known, 1, "the depth") ?? [];
  const values = inputType(inputs, 2);
  if (depth < 1 || elementCount(values.shape) !== 2) {
    throw new ModelError(
      `depth ${depth}, values ${formatType(values)}; allowed: a depth from 1, two values`,
    );
  }
  const at = axisOf(axis, indices.shape.length + 1);
  return { shape: indices.shape.toSpliced(at, 0, depth), axis: at, depth };
}

/** Input 2 holds what stands elsewhere and what stands at each index; others hold neither. */
const OneHot: OpRule<AxisAttributes> = {
  inputs: [3, 3],
  outputs: [1, 1],
  attributes: (raw) => readAttributes(raw, { axis: integer(-1) }),
  types: (inputs, attributes, known) => [
    { dtype: inputType(inputs, 2).dtype, shape: oneHotShape(inputs, attributes, known).shape },
  ],
  flops: () => 0,
  gradient: writtenOut,
  lower: (context) => {
    const [indices = "", , values = ""] = context.inputs;
    const { shape, axis, depth } = oneHotShape(
      typesOf(context),
      context.attributes,
      knownOf(context),
    );
    const { dtype } = context.type(indices);
    const column = reshaped(
      context,
      indices,
      shape.map((size, i) => (i === axis ? 1 : size)),
    );
    const along = shape.slice(axis).map((_, i) => (i === 0 ? depth : 1));
    // An index is met by its place, or by that counted from the end.
    const places = [0, -depth].map((first) =>
      context.constant(
        pack(
          { dtype, shape: along },
          Float64Array.from({ length: depth }, (_, i) => first + i),
        ),
      ),
    );
    const met = places.map((place) => context.emit("Equal", [column, place]));
    const [off = "", on = ""] = [0, 1].map((i) => {
      const bounds = [i, i + 1].map((bound) => integerList(context, [bound]));
      return reshaped(context, context.emit("Slice", [values, ...bounds]), []);
    });
    return [context.emit("Where", [context.emit("Or", met), on, off])];
  },
  compute: (inputs, attributes, [type]) => {
    const indices = numbers(inputValue(inputs, 0));
    const { shape, axis, depth } = oneHotShape(inputs, attributes, inputs);
    const [off = 0, on = 0] = Array.from(numbers(inputValue(inputs, 2)));
    const { inner } = loopsAlong(shape, axis);
    const result = Float64Array.from({ length: elementCount(shape) }, (_, i) => {
      const place = Math.floor(i / inner) % depth;
      const index = indices[Math.floor(i / (inner * depth)) * inner + (i % inner)] as number;
      return index === place || index + depth === place ? on : off;
    });
    return [pack(type as TensorType, result)];
  },
};

export interface EyeAttributes {
  readonly dtype: DType | null;
  readonly k: number;
}

function eye(inputs: InputTypes, { dtype, k }: EyeAttributes): DenseTensor {
  const type = inputType(inputs, 0);
  requireRank(type, 2, 2);
  const [rows, columns] = type.shape as [number, number];
  const ones = Float64Array.from({ length: rows * columns }, (_, i) =>
    (i % columns) - Math.floor(i / columns) === k ? 1 : 0,
  );
  return pack({ dtype: dtype ?? type.dtype, shape: type.shape }, ones);
}

/** Ones on a diagonal of a matrix of the input's size. */
const EyeLike: OpRule<EyeAttributes> = {
  inputs: [1, 1],
  outputs: [1, 1],
  attributes: (raw) =>
    readAttributes<EyeAttributes>(raw, { dtype: optional(elementType), k: integer(0) }),
  types: (inputs, { dtype }) => {
    const type = inputType(inputs, 0);
    requireRank(type, 2, 2);
    return [{ dtype: dtype ?? type.dtype, shape: type.shape }];
  },
  flops: () => 0,
  gradient: noGradient,
  compute: (inputs, attributes) => [eye(inputs as InputTypes, attributes)],
  fold: (inputs, attributes) => [eye(inputs, attributes)],
};

/** Coordinates of the elements that are not zero, a column each; of constants only. */
function nonZeros(value: DenseTensor): DenseTensor {
  const places = Array.from(numbers(value), (x, i) => (x === 0 ? -1 : i)).filter((i) => i >= 0);
  const rows = strides(value.shape).map((step, axis) =>
    places.map((i) => Math.floor(i / step) % (value.shape[axis] as number)),
  );
  return int64([rows.length, places.length], rows.flat());
}

const NonZero: OpRule<NoAttributes> = {
  inputs: [1, 1],
  outputs: [1, 1],
  attributes: noAttributes,
  types: (_, __, [value = null]) => {
    if (value !== null) return [{ dtype: "int64", shape: nonZeros(value).shape }];
    throw new ModelError("input 0 must be a constant: it decides the size of the result");
  },
  flops: () => 0,
  gradient: noGradient,
  compute: (inputs) => [nonZeros(inputValue(inputs, 0))],
};

/** Reads a tensor of one element. */
function element(name: string, value: Attribute | undefined): DenseTensor {
  if (value === undefined) return float32([1], [0]);
  const isTensor = typeof value === "object" && !Array.isArray(value);
  if (isTensor && (value as DenseTensor).data.length === 1) return value as DenseTensor;
  throw new ModelError(`attribute ${name}: allowed: a tensor of one element`);
}

/** One value everywhere. */
const ConstantOfShape: OpRule<{ readonly value: DenseTensor }> = {
  inputs: [1, 1],
  outputs: [1, 1],
  attributes: (raw) => readAttributes(raw, { value: element }),
  types: (inputs, { value }, known) => [
    { dtype: value.dtype, shape: knownIntegers(inputs, known, 0, "the shape") ?? [] },
  ],
  flops: () => 0,
  gradient: noGradient,
  compute: (_, { value }, [type]) => {
    const count = elementCount((type as TensorType).shape);
    return [pack(type as TensorType, new Float64Array(count).fill(numbers(value)[0] as number))];
  },
};

/** Operators of this family. */
export const creationOps = { OneHot, EyeLike, NonZero, ConstantOfShape };
