/**
 * Operators that read and write at indices. Their gradients are each other: what a
 * Gather reads, a Scatter adds up; where a Scatter writes, a Gather reads the gradient.
 */
import { ModelError } from "../../base/errors.ts";
import {
  type DenseTensor,
  elementCount,
  formatType,
  int64,
  sameShape,
  type TensorType,
} from "../../base/tensor.ts";
import { type AxisAttributes, integer, readAttributes, word } from "./attributes.ts";
import { axisOf, gathered, loopsAlong, numbers, pack, strides, walk } from "./elements.ts";
import { expanded, integerList, reshaped, writtenOut, zerosLike } from "./gradients.ts";
import { inputType, inputValue, requireDType, requireSameDType } from "./inputs.ts";
import type { GradientContext, InputTypes, LowerContext, OpRule } from "./rule.ts";

/** An index counted from 0, where negative ones count from the end. */
function indexOf(index: number, size: number): number {
  const result = index < 0 ? index + size : index;
  if (result >= 0 && result < size) return result;
  throw new ModelError(`index ${index}: allowed: ${-size} to ${size - 1}`);
}

/** Every index adds its slice of the gradient to the row it had read. */
function gatherGradient(context: GradientContext<AxisAttributes>): (string | null)[] {
  const g = context.gradient(0);
  if (g === null || !context.wanted(0)) return [null, null];
  const [data, indices] = context.inputs as [string, string];
  const { shape } = context.type(data);
  const axis = axisOf(context.attributes.axis, shape.length);
  const count = elementCount(context.type(indices).shape);
  const rows = shape.map((size, i) => (i === axis ? count : size));
  const column = reshaped(
    context,
    indices,
    shape.map((_, i) => (i === axis ? count : 1)),
  );
  const inputs = [
    zerosLike(context, g, shape),
    expanded(context, column, rows),
    reshaped(context, g, rows),
  ];
  return [context.emit("ScatterElements", inputs, { axis, reduction: "add" }), null];
}

/** The range that indices name one by one, at most in one dimension; null where they name none. */
function rangeOf(indices: DenseTensor, size: number): { from: number; to: number } | null {
  const values = Array.from(numbers(indices), (index) => indexOf(index, size));
  const [from] = values;
  if (from === undefined || indices.shape.length > 1) return null;
  return values.every((value, i) => value === from + i) ? { from, to: from + values.length } : null;
}

const Gather: OpRule<AxisAttributes> = {
  inputs: [2, 2],
  outputs: [1, 1],
  attributes: (raw) => readAttributes(raw, { axis: integer(0) }),
  types: (inputs, attributes) => {
    const { dtype, shape } = inputType(inputs, 0);
    const indices = inputType(inputs, 1);
    requireDType(indices, ["int64", "int32"], "the indices");
    const axis = axisOf(attributes.axis, shape.length);
    return [
      { dtype, shape: [...shape.slice(0, axis), ...indices.shape, ...shape.slice(axis + 1)] },
    ];
  },
  flops: () => 0,
  gradient: gatherGradient,
  lower: (context) => {
    // One index that is known, or some in a row, are a slice, whose gradient is only padding.
    const [data = "", indices = ""] = context.inputs;
    const known = context.known(indices);
    const { shape } = context.type(data);
    const axis = axisOf(context.attributes.axis, shape.length);
    const range = known === null ? null : rangeOf(known, shape[axis] as number);
    if (range === null) return null;
    const bounds = [[range.from], [range.to], [axis]].map((list) => integerList(context, list));
    const part = context.emit("Slice", [data, ...bounds]);
    return known?.shape.length === 1
      ? [part]
      : [reshaped(context, part, [...shape.slice(0, axis), ...shape.slice(axis + 1)])];
  },
  compute: (values, attributes, [type]) => {
    const x = inputValue(values, 0);
    const indices = numbers(inputValue(values, 1));
    const { size, inner } = loopsAlong(x.shape, axisOf(attributes.axis, x.shape.length));
    const source = (i: number): number => {
      const row = Math.floor(i / inner);
      const index = indexOf(indices[row % indices.length] as number, size);
      return (Math.floor(row / indices.length) * size + index) * inner + (i % inner);
    };
    return [gathered(type as TensorType, x, source)];
  },
};

/** The axis, after checking that every index has its place in a line of the data. */
function lineAxis(data: TensorType, indices: TensorType, axis: number): number {
  requireDType(indices, ["int64", "int32"], "the indices");
  const along = axisOf(axis, data.shape.length);
  const fits = data.shape.every((size, i) => i === along || (indices.shape[i] as number) <= size);
  if (fits && indices.shape.length === data.shape.length) return along;
  throw new ModelError(
    `data ${formatType(data)}, indices ${formatType(indices)}: ` +
      `allowed: one rank, indices no larger than data but along axis ${along}`,
  );
}

/** For every index along an axis, where in the data its element stands. */
function linePlaces(data: TensorType, indices: DenseTensor, given: number): number[] {
  const axis = axisOf(given, data.shape.length);
  const own = strides(data.shape);
  const elsewhere = walk(
    indices.shape,
    own.map((step, i) => (i === axis ? 0 : step)),
  );
  const size = data.shape[axis] as number;
  return Array.from(
    numbers(indices),
    (index, i) => (elsewhere[i] as number) + indexOf(index, size) * (own[axis] as number),
  );
}

/** Reads one element per index, each in its own line along the axis. */
const GatherElements: OpRule<AxisAttributes> = {
  inputs: [2, 2],
  outputs: [1, 1],
  attributes: (raw) => readAttributes(raw, { axis: integer(0) }),
  types: (inputs, { axis }) => {
    const [data, indices] = [inputType(inputs, 0), inputType(inputs, 1)];
    lineAxis(data, indices, axis);
    return [{ dtype: data.dtype, shape: indices.shape }];
  },
  flops: () => 0,
  gradient: (context) => {
    const g = context.gradient(0);
    const [data = "", indices = ""] = context.inputs;
    if (g === null || !context.wanted(0)) return [null, null];
    const zeros = zerosLike(context, g, context.type(data).shape);
    const attributes = { ...context.attributes, reduction: "add" };
    return [context.emit("ScatterElements", [zeros, indices, g], attributes), null];
  },
  compute: (values, { axis }, [type]) => {
    const x = inputValue(values, 0);
    const places = linePlaces(x, inputValue(values, 1), axis);
    return [gathered(type as TensorType, x, (i) => places[i] as number)];
  },
};

/**
 * The gradients of a scatter: written elements have none left, added ones keep theirs; updates
 * have what stands where they went.
 */
function scatterGradients(
  context: GradientContext<ScatterAttributes | ScatterSlicesAttributes>,
  scatter: "ScatterElements" | "ScatterND",
  read: (g: string, indices: string) => string,
): (string | null)[] {
  const g = context.gradient(0);
  if (g === null) return [null, null, null];
  const [, indices = "", updates = ""] = context.inputs;
  const { reduction, ...attributes } = context.attributes;
  const cleared = (): string => {
    const zeros = zerosLike(context, g, context.type(updates).shape);
    return context.emit(scatter, [g, indices, zeros], attributes);
  };
  const ofData = (): string => (reduction === "add" ? g : cleared());
  return [context.wanted(0) ? ofData() : null, null, context.wanted(2) ? read(g, indices) : null];
}

/** The data with updates written or added, `run` elements at each start. */
function scattered(
  values: readonly (DenseTensor | null)[],
  type: TensorType,
  { starts, run }: Places,
  reduction: "none" | "add",
): DenseTensor {
  const result = Float64Array.from(numbers(inputValue(values, 0)));
  const updates = numbers(inputValue(values, 2));
  starts.forEach((start, i) => {
    for (let k = 0; k < run; k++) {
      const update = updates[i * run + k] as number;
      result[start + k] = reduction === "add" ? (result[start + k] as number) + update : update;
    }
  });
  return pack(type, result);
}

export interface ScatterAttributes extends AxisAttributes {
  readonly reduction: "none" | "add";
}

/** Copies input 0 and writes (or adds) updates at indices along one axis. */
const ScatterElements: OpRule<ScatterAttributes> = {
  inputs: [3, 3],
  outputs: [1, 1],
  attributes: (raw) =>
    readAttributes<ScatterAttributes>(raw, {
      axis: integer(0),
      reduction: word("none", "add"),
    }),
  types: (inputs, { axis }) => {
    const [data, indices, updates] = scatterTypes(inputs);
    lineAxis(data, indices, axis);
    if (sameShape(indices.shape, updates.shape)) return [data];
    throw new ModelError(
      `indices ${formatType(indices)}, updates ${formatType(updates)}: allowed: one shape`,
    );
  },
  flops: (inputs) => elementCount(inputType(inputs, 2).shape),
  gradient: (context) =>
    scatterGradients(context, "ScatterElements", (g, indices) =>
      context.emit("GatherElements", [g, indices], { axis: context.attributes.axis }),
    ),
  compute: (values, { axis, reduction }, [type]) => {
    const data = type as TensorType;
    const starts = linePlaces(data, inputValue(values, 1), axis);
    return [scattered(values, data, { starts, run: 1 }, reduction)];
  },
};

function scatterTypes(inputs: InputTypes): [TensorType, TensorType, TensorType] {
  const data = inputType(inputs, 0);
  const updates = inputType(inputs, 2);
  requireSameDType(data, updates);
  return [data, inputType(inputs, 1), updates];
}

export interface GatherSlicesAttributes {
  /** Leading axes along which data and indices go together. */
  readonly batch_dims: number;
}

/** The shape of what tuples of indices pick: one slice each. */
function slicesShape(data: TensorType, indices: TensorType, batch: number): number[] {
  requireDType(indices, ["int64"], "the indices");
  const rank = data.shape.length;
  const tuple = indices.shape.at(-1) ?? 0;
  const together = sameShape(data.shape.slice(0, batch), indices.shape.slice(0, batch));
  if (together && batch < indices.shape.length && tuple >= 1 && tuple <= rank - batch) {
    return [...indices.shape.slice(0, -1), ...data.shape.slice(batch + tuple)];
  }
  throw new ModelError(
    `data ${formatType(data)}, indices ${formatType(indices)}; allowed: tuples of 1 to ` +
      `${rank - batch} indices along the last axis, ${batch} leading axes in common`,
  );
}

/** Where in the data slices begin, and how many elements each has. */
interface Places {
  readonly starts: readonly number[];
  readonly run: number;
}

function slicePlaces(data: TensorType, indices: DenseTensor, batch: number): Places {
  const { shape } = data;
  const tuple = indices.shape.at(-1) as number;
  const own = strides(shape);
  const count = elementCount(indices.shape.slice(0, -1));
  const perBatch = count / elementCount(shape.slice(0, batch));
  const values = numbers(indices);
  const starts = Array.from({ length: count }, (_, t) => {
    let start = Math.floor(t / perBatch) * elementCount(shape.slice(batch));
    for (let i = 0; i < tuple; i++) {
      const index = indexOf(values[t * tuple + i] as number, shape[batch + i] as number);
      start += index * (own[batch + i] as number);
    }
    return start;
  });
  return { starts, run: elementCount(shape.slice(batch + tuple)) };
}

/** The indices of leading axes, which go along with the place of a tuple, before those of the tuples. */
function withLeadingIndices(
  context: LowerContext<unknown>,
  indices: string,
  batch: number,
): string {
  const { shape } = context.type(indices);
  const leading = [...shape.slice(0, -1), batch];
  const steps = strides(leading);
  const own = Array.from({ length: elementCount(leading) }, (_, i) => {
    const axis = i % batch;
    return Math.floor(i / (steps[axis] as number)) % (shape[axis] as number);
  });
  const parts = [context.constant(int64(leading, own)), indices];
  return context.emit("Concat", parts, { axis: -1 });
}

/** Tuples of indices into axes of these sizes as one number each, counted in row-major order. */
function rowNumbers(
  context: LowerContext<unknown>,
  indices: string,
  sizes: readonly number[],
): string {
  const { emit } = context;
  const each = integerList(context, sizes);
  // Negative indices count from the end.
  const counted = emit("Mod", [emit("Add", [indices, each]), each]);
  const steps = emit("Mul", [counted, integerList(context, strides(sizes))]);
  return emit("ReduceSum", [steps, integerList(context, [-1])], { keepdims: 0 });
}

/** Reads one slice per tuple of indices. */
const GatherND: OpRule<GatherSlicesAttributes> = {
  inputs: [2, 2],
  outputs: [1, 1],
  attributes: (raw) => readAttributes(raw, { batch_dims: integer(0, 0) }),
  types: (inputs, { batch_dims }) => {
    const [data, indices] = [inputType(inputs, 0), inputType(inputs, 1)];
    return [{ dtype: data.dtype, shape: slicesShape(data, indices, batch_dims) }];
  },
  flops: () => 0,
  gradient: writtenOut,
  lower: (context) => {
    const { batch_dims: batch } = context.attributes;
    const [data = "", given = ""] = context.inputs;
    const indices = batch === 0 ? given : withLeadingIndices(context, given, batch);
    const { shape } = context.type(data);
    const tuple = context.type(indices).shape.at(-1) as number;
    const rows = reshaped(context, data, [
      elementCount(shape.slice(0, tuple)),
      ...shape.slice(tuple),
    ]);
    const numbers = rowNumbers(context, indices, shape.slice(0, tuple));
    return [context.emit("Gather", [rows, numbers], { axis: 0 })];
  },
  compute: (values, { batch_dims }, [type]) => {
    const x = inputValue(values, 0);
    const { starts, run } = slicePlaces(x, inputValue(values, 1), batch_dims);
    const place = (i: number): number => (starts[Math.floor(i / run)] as number) + (i % run);
    return [gathered(type as TensorType, x, place)];
  },
};

export interface ScatterSlicesAttributes {
  readonly reduction: "none" | "add";
}

/** Copies input 0 and writes (or adds) one slice per tuple of indices. */
const ScatterND: OpRule<ScatterSlicesAttributes> = {
  inputs: [3, 3],
  outputs: [1, 1],
  attributes: (raw) =>
    readAttributes<ScatterSlicesAttributes>(raw, { reduction: word("none", "add") }),
  types: (inputs) => {
    const [data, indices, updates] = scatterTypes(inputs);
    const shape = slicesShape(data, indices, 0);
    if (sameShape(updates.shape, shape)) return [data];
    throw new ModelError(`updates ${formatType(updates)}; allowed: shape [${shape}]`);
  },
  flops: (inputs) => elementCount(inputType(inputs, 2).shape),
  gradient: (context) =>
    scatterGradients(context, "ScatterND", (g, indices) => context.emit("GatherND", [g, indices])),
  lower: (context) => {
    // Where two slices go to one place, onnxruntime's threads get in each other's way.
    if (context.attributes.reduction === "none") return null;
    const [data = "", indices = "", updates = ""] = context.inputs;
    const { shape } = context.type(data);
    const tuple = context.type(indices).shape.at(-1) as number;
    const run = elementCount(shape.slice(tuple));
    const rows = reshaped(context, data, [elementCount(shape.slice(0, tuple)), run]);
    const numbers = rowNumbers(context, indices, shape.slice(0, tuple));
    const count = elementCount(context.type(numbers).shape);
    const column = expanded(context, reshaped(context, numbers, [count, 1]), [count, run]);
    const inputs = [rows, column, reshaped(context, updates, [count, run])];
    const sums = context.emit("ScatterElements", inputs, { axis: 0, reduction: "add" });
    return [reshaped(context, sums, shape)];
  },
  compute: (values, { reduction }, [type]) => {
    const data = type as TensorType;
    return [scattered(values, data, slicePlaces(data, inputValue(values, 1), 0), reduction)];
  },
};

/** Operators of this family. */
export const indexingOps = { Gather, GatherElements, GatherND, ScatterElements, ScatterND };
