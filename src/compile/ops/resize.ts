/**
 * Resizing by nearest neighbours or linear interpolation, one axis after the other. Engines
 * repeat elements by whole factors well, so that stays a Resize, with a gradient; all else
 * is written out: nearest neighbours are gathered, interpolation is a product with a matrix.
 */
import { ModelError } from "../../base/errors.ts";
import {
  type DenseTensor,
  elementCount,
  float32,
  int64,
  type TensorType,
} from "../../base/tensor.ts";
import { integers, readAttributes, word } from "./attributes.ts";
import { axesOf, axisOf, loopsAlong, numbers, pack } from "./elements.ts";
import { expanded, knownOf, reshaped, scalar, typesOf, writtenOut } from "./gradients.ts";
import { inputType, inputValue, knownIntegers, requireFloat } from "./inputs.ts";
import type { InputTypes, LowerContext, OpRule } from "./rule.ts";

export interface ResizeAttributes {
  readonly mode: "nearest" | "linear";
  readonly coordinate_transformation_mode:
    | "half_pixel"
    | "asymmetric"
    | "align_corners"
    | "pytorch_half_pixel";
  readonly nearest_mode: "round_prefer_floor" | "round_prefer_ceil" | "floor" | "ceil";
  readonly axes: readonly number[] | null;
}

/** How a line of elements along an axis becomes one of another length. */
interface Line {
  readonly axis: number;
  readonly from: number;
  readonly to: number;
  /** For each new element the old one that it begins with. */
  readonly first: readonly number[];
  /** For each new element how much of the next old one is in it, from 0 to 1. */
  readonly blend: readonly number[];
}

/** Old length over new length, as a fraction whose terms need no rounding. */
interface Ratio {
  readonly over: number;
  readonly under: number;
}

/** Where a new element lies among the old ones, which are at 0, 1, 2... */
function coordinate(
  i: number,
  [from, to]: readonly [from: number, to: number],
  { over, under }: Ratio,
  { mode, coordinate_transformation_mode: places }: ResizeAttributes,
): number {
  // Engines find the nearest one in float32: what is a whole number there is one.
  const round = mode === "nearest" ? Math.fround : (x: number) => x;
  if (places === "asymmetric") return round((i * over) / under);
  if (places === "align_corners") return to === 1 ? 0 : round((i * (from - 1)) / (to - 1));
  if (places === "pytorch_half_pixel" && to === 1) return 0;
  return round(((i + 0.5) * over) / under) - 0.5;
}

const roundings: Record<ResizeAttributes["nearest_mode"], (x: number) => number> = {
  round_prefer_floor: (x) => Math.ceil(x - 0.5),
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

/** New sizes of the axes that are named, and the ratio of each. */
function lengths(
  inputs: InputTypes,
  known: readonly (DenseTensor | null)[],
  { axes }: ResizeAttributes,
): { axis: number; to: number; ratio: Ratio }[] {
  const { shape } = inputType(inputs, 0);
  const chosen = axes ?? shape.map((_, axis) => axis);
  axesOf(chosen, shape.length);
  const scales = knownIntegers(inputs, known, 2, "the scales");
  const sizes = knownIntegers(inputs, known, 3, "the sizes");
  const given = scales ?? sizes ?? [];
  const isOne = (scales === null) !== (sizes === null);
  if (!isOne || given.length !== chosen.length || given.some((value) => !(value > 0))) {
    throw new ModelError(
      `scales [${scales ?? ""}], sizes [${sizes ?? ""}]; ` +
        `allowed: one of them, ${chosen.length} numbers greater than 0`,
    );
  }
  return chosen.map((one, i) => {
    const axis = axisOf(one, shape.length);
    const size = shape[axis] as number;
    const value = given[i] as number;
    // Scales are float32, and so is their product with a size.
    return scales === null
      ? { axis, to: value, ratio: { over: size, under: value } }
      : {
          axis,
          to: Math.floor(Math.fround(size * value)),
          ratio: { over: 1, under: value },
        };
  });
}

/** The lines of all axes that change. */
function linesOf(
  inputs: InputTypes,
  known: readonly (DenseTensor | null)[],
  attributes: ResizeAttributes,
): Line[] {
  const { shape } = inputType(inputs, 0);
  const { mode, nearest_mode } = attributes;
  const lines = lengths(inputs, known, attributes).map(({ axis, to, ratio }): Line => {
    const from = shape[axis] as number;
    const inside = (x: number): number => Math.min(Math.max(x, 0), from - 1);
    const at = Array.from({ length: to }, (_, i) => {
      const x = coordinate(i, [from, to], ratio, attributes);
      return inside(mode === "linear" ? x : roundings[nearest_mode](x));
    });
    const first = at.map((x) => Math.floor(x));
    return { axis, from, to, first, blend: at.map((x, i) => x - (first[i] as number)) };
  });
  return lines.filter(({ from, to, first, blend }) => {
    const isSame = first.every((index, i) => index === i && blend[i] === 0);
    return from !== to || !isSame;
  });
}

const isGathered = ({ blend }: Line): boolean => blend.every((share) => share === 0);

/** Whether each element is repeated so many times, and how many; else null. */
function repetition(line: Line): number | null {
  const times = line.to / line.from;
  const isRepeated =
    Number.isInteger(times) &&
    isGathered(line) &&
    line.first.every((index, i) => index === Math.floor(i / times));
  return isRepeated ? times : null;
}

/** The form that stays: spatial axes of sequences or images, repeated by whole factors. */
const repeating = {
  mode: "nearest",
  coordinate_transformation_mode: "asymmetric",
  nearest_mode: "floor",
} as const;

/** The factor of each axis if the node can take that form, else null. */
function wholeFactors(shape: readonly number[], lines: readonly Line[]): number[] | null {
  const factors = shape.map(() => 1);
  for (const line of lines) {
    const times = repetition(line);
    if (times === null || line.axis < 2) return null;
    factors[line.axis] = times;
  }
  return shape.length === 3 || shape.length === 4 ? factors : null;
}

/** One axis, written out. */
function resized(context: LowerContext<unknown>, x: string, line: Line): string {
  const { dtype, shape } = context.type(x);
  const { axis, from, to, first, blend } = line;
  const result = shape.map((size, i) => (i === axis ? to : size));
  const { outer, inner } = loopsAlong(shape, axis);
  const times = repetition(line);
  if (times !== null) {
    const apart = reshaped(context, x, [outer * from, 1, inner]);
    return reshaped(context, expanded(context, apart, [outer * from, times, inner]), result);
  }
  if (isGathered(line)) {
    return context.emit("Gather", [x, context.constant(int64([to], first))], { axis });
  }
  const matrix = new Float64Array(from * to);
  // Along the last axis the matrix stands on the right, and has the new elements in columns.
  const [rowStep, columnStep] = inner === 1 ? [1, to] : [from, 1];
  first.forEach((index, i) => {
    const share = blend[i] as number;
    matrix[i * rowStep + index * columnStep] = 1 - share;
    if (share > 0) matrix[i * rowStep + (index + 1) * columnStep] = share;
  });
  const weights = (sizes: number[]): string =>
    context.constant(pack({ dtype, shape: sizes }, matrix));
  const product =
    inner === 1
      ? [reshaped(context, x, [outer, from]), weights([from, to])]
      : [weights([to, from]), reshaped(context, x, [outer, from, inner])];
  return reshaped(context, context.emit("MatMul", product), result);
}

const Resize: OpRule<ResizeAttributes> = {
  inputs: [3, 4],
  outputs: [1, 1],
  attributes: (raw) =>
    readAttributes<ResizeAttributes>(raw, {
      mode: word("nearest", "linear"),
      coordinate_transformation_mode: word(
        "half_pixel",
        "asymmetric",
        "align_corners",
        "pytorch_half_pixel",
      ),
      nearest_mode: word("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
      axes: integers,
    }),
  types: (inputs, attributes, known) => {
    const { dtype, shape } = inputType(inputs, 0);
    if (attributes.mode === "linear") requireFloat({ dtype, shape });
    const result = [...shape];
    for (const { axis, to } of lengths(inputs, known, attributes)) result[axis] = to;
    return [{ dtype, shape: result }];
  },
  flops: (_, [type], { mode }) =>
    mode === "linear" ? 2 * elementCount((type as TensorType).shape) : 0,
  gradient: (context) => {
    const g = context.gradient(0);
    if (g === null) return [null];
    const types = typesOf(context);
    const lines = linesOf(types, knownOf(context), context.attributes);
    const factors = wholeFactors(inputType(types, 0).shape, lines);
    if (factors === null) throw new ModelError(`no gradient: ${writtenOut}`);
    const kernel = factors.slice(2);
    const mean = context.emit("AveragePool", [g], { kernel_shape: kernel, strides: kernel });
    return [context.emit("Mul", [mean, scalar(context, g, elementCount(kernel))])];
  },
  lower: (context) => {
    const [x = "", , scales = ""] = context.inputs;
    const { attributes } = context;
    const lines = linesOf(typesOf(context), knownOf(context), attributes);
    const factors = wholeFactors(context.type(x).shape, lines);
    if (lines.length === 0) return [x];
    if (factors === null) {
      // What shrinks goes first, so that the others have less to do.
      const order = lines.toSorted((a, b) => a.to / a.from - b.to / b.from);
      return [order.reduce((value, line) => resized(context, value, line), x)];
    }
    const { axes, ...form } = attributes;
    const isThatForm = Object.entries(repeating).every(
      ([name, value]) => form[name as keyof typeof form] === value,
    );
    if (isThatForm && axes === null && scales !== "") return null;
    const whole = context.constant(float32([factors.length], factors));
    return [context.emit("Resize", [x, "", whole], repeating)];
  },
  compute: (inputs, attributes, [type]) => {
    const x = inputValue(inputs, 0);
    let shape = x.shape;
    let values = Float64Array.from(numbers(x));
    for (const { axis, from, to, first, blend } of linesOf(inputs, inputs, attributes)) {
      const { outer, inner } = loopsAlong(shape, axis);
      const old = values;
      values = Float64Array.from({ length: outer * to * inner }, (_, at) => {
        const i = Math.floor(at / inner) % to;
        const line = Math.floor(at / (inner * to)) * from * inner + (at % inner);
        const [index, share] = [first[i], blend[i]] as [number, number];
        const one = old[line + index * inner] as number;
        if (share === 0) return one;
        return one * (1 - share) + (old[line + (index + 1) * inner] as number) * share;
      });
      shape = shape.map((size, i) => (i === axis ? to : size));
    }
    return [pack(type as TensorType, values)];
  },
};

/** Operators of this family. */
export const resizeOps = { Resize };
