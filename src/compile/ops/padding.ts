/**
 * Padding by zeros or another value, by the border, by reflection, or around the ends.
 * The gradient of what was put around falls back on the elements that it repeats.
 */
import { ModelError } from "../../base/errors.ts";
import { type DenseTensor, formatType, type TensorType, zeros } from "../../base/tensor.ts";
import { readAttributes, word } from "./attributes.ts";
import { axisOf, type Elements, numbers, strides } from "./elements.ts";
import { integerList, knownOf, summed, typesOf } from "./gradients.ts";
import { inputType, inputValue, knownIntegers } from "./inputs.ts";
import type { GradientContext, InputTypes, LowerContext, OpRule } from "./rule.ts";

export interface PadAttributes {
  readonly mode: "constant" | "reflect" | "edge" | "wrap";
}

/** Padding per axis, at the beginning and at the end; negative padding crops. */
interface PadSizes {
  readonly begin: readonly number[];
  readonly end: readonly number[];
}

function padSizes(inputs: InputTypes, known: readonly (DenseTensor | null)[]): PadSizes {
  const rank = inputType(inputs, 0).shape.length;
  const pads = knownIntegers(inputs, known, 1, "pads") ?? [];
  const chosen = knownIntegers(inputs, known, 3, "axes");
  const axes = (chosen ?? Array.from({ length: rank }, (_, i) => i)).map((a) => axisOf(a, rank));
  if (pads.length !== 2 * axes.length) {
    throw new ModelError(`pads [${pads.join(",")}]; allowed: ${2 * axes.length} integers`);
  }
  const begin = new Array<number>(rank).fill(0);
  const end = new Array<number>(rank).fill(0);
  axes.forEach((axis, i) => {
    begin[axis] = pads[i] as number;
    end[axis] = pads[i + axes.length] as number;
  });
  return { begin, end };
}

/** Cropping is for zeros only, and an element is repeated once at each end. */
function checkRepeats({ shape }: TensorType, { begin, end }: PadSizes, mode: string): void {
  shape.forEach((size, axis) => {
    const pads = [begin[axis], end[axis]] as [number, number];
    const most = mode === "edge" ? Infinity : mode === "reflect" ? size - 1 : size;
    if (pads.every((pad) => pad === 0 || (size > 0 && pad > 0 && pad <= most))) return;
    throw new ModelError(
      `pads [${pads}] of ${size} elements along axis ${axis} by mode ${mode}; ` +
        `allowed: 0 to ${size > 0 ? most : 0}`,
    );
  });
}

/** The element that stands at place `i` of a padded line of `size` elements; -1 for none. */
function sourceAt(mode: PadAttributes["mode"], i: number, size: number): number {
  if (i >= 0 && i < size) return i;
  if (mode === "reflect") return i < 0 ? -i : 2 * (size - 1) - i;
  if (mode === "edge") return i < 0 ? 0 : size - 1;
  return mode === "wrap" ? (i + size) % size : -1;
}

/** A part of a value along one axis; `step` -1 goes from `end - 1` down to `start`. */
function cut(
  context: GradientContext<unknown> | LowerContext<unknown>,
  value: string,
  axis: number,
  [start, end, step = 1]: readonly [start: number, end: number, step?: number],
): string {
  const size = context.type(value).shape[axis] as number;
  const bounds = step === 1 ? [start, end] : [end - 1, start - 1 - size];
  const lists = [...bounds, axis, step].map((one) => integerList(context, [one]));
  return context.emit("Slice", [value, ...lists]);
}

/** The gradient of one axis: its own part, and at both ends what falls back on it. */
function foldedAxis(
  context: GradientContext<PadAttributes>,
  g: string,
  axis: number,
  [begin, size, end]: readonly [begin: number, size: number, end: number],
): string {
  const isEdge = context.attributes.mode === "edge";
  const total = begin + size + end;
  const rank = context.type(g).shape.length;
  let result = cut(context, g, axis, [begin, begin + size]);
  /** Adds the part from `start` to `stop`, turned round or summed up, from place `at` on. */
  const fold = (start: number, stop: number, at: number): void => {
    if (start === stop) return;
    const part = cut(context, g, axis, [start, stop, isEdge ? 1 : -1]);
    const back = isEdge ? summed(context, part, [axis], true) : part;
    const count = isEdge ? 1 : stop - start;
    const pads = new Array<number>(2 * rank).fill(0);
    pads[axis] = at;
    pads[rank + axis] = size - at - count;
    const placed = context.emit("Pad", [back, integerList(context, pads)]);
    result = context.emit("Add", [result, placed]);
  };
  fold(0, begin, isEdge ? 0 : 1);
  fold(total - end, total, isEdge ? size - 1 : size - 1 - end);
  return result;
}

const Pad: OpRule<PadAttributes> = {
  inputs: [2, 4],
  outputs: [1, 1],
  attributes: (raw) =>
    readAttributes<PadAttributes>(raw, { mode: word("constant", "reflect", "edge", "wrap") }),
  types: (inputs, { mode }, known) => {
    const { dtype, shape } = inputType(inputs, 0);
    const pads = padSizes(inputs, known);
    if (mode !== "constant") checkRepeats({ dtype, shape }, pads, mode);
    const padded = shape.map(
      (size, i) => size + (pads.begin[i] as number) + (pads.end[i] as number),
    );
    if (padded.some((size) => size < 0)) {
      throw new ModelError(`${formatType({ dtype, shape })} cannot be cropped that far`);
    }
    return [{ dtype, shape: padded }];
  },
  flops: () => 0,
  gradient: (context) => {
    const g = context.gradient(0);
    if (g === null) return [null];
    const { begin, end } = padSizes(typesOf(context), knownOf(context));
    if (context.attributes.mode === "constant") {
      const back = [...begin, ...end].map((pad) => 0 - pad);
      return [context.emit("Pad", [g, integerList(context, back)])];
    }
    const { shape } = context.type(context.inputs[0] as string);
    const folded = shape.reduce((result, size, axis) => {
      const parts = [begin[axis] as number, size, end[axis] as number] as const;
      return parts[0] + parts[2] === 0 ? result : foldedAxis(context, result, axis, parts);
    }, g);
    return [folded];
  },
  lower: (context) => {
    // Operator set 17 has neither a choice of axes nor padding around the ends.
    const [x = "", , value = "", axes = ""] = context.inputs;
    const { mode } = context.attributes;
    if (mode !== "wrap" && axes === "") return null;
    const { begin, end } = padSizes(typesOf(context), knownOf(context));
    if (mode !== "wrap") {
      const pads = integerList(context, [...begin, ...end]);
      return [context.emit("Pad", value === "" ? [x, pads] : [x, pads, value], { mode })];
    }
    const wrapped = context.type(x).shape.reduce((result, size, axis) => {
      const [before, after] = [begin[axis] as number, end[axis] as number];
      if (before + after === 0) return result;
      const parts = [
        before > 0 ? [cut(context, result, axis, [size - before, size])] : [],
        [result],
        after > 0 ? [cut(context, result, axis, [0, after])] : [],
      ];
      return context.emit("Concat", parts.flat(), { axis });
    }, x);
    return [wrapped];
  },
  compute: (values, { mode }, [type]) => {
    const x = inputValue(values, 0);
    const { begin } = padSizes(values, values);
    const result = zeros(type as TensorType);
    const to: Elements = result.data;
    const fill = values[2] ? (numbers(values[2])[0] as number) : 0;
    const outside = to[0] === 0n ? BigInt(fill) : fill;
    const [own, outer] = [strides(x.shape), strides(result.shape)];
    for (let i = 0; i < to.length; i++) {
      let from = 0;
      for (let axis = 0; axis < outer.length && from >= 0; axis++) {
        const place = Math.floor(i / (outer[axis] as number)) % (result.shape[axis] as number);
        const size = x.shape[axis] as number;
        const source = sourceAt(mode, place - (begin[axis] as number), size);
        from = source < 0 ? -1 : from + source * (own[axis] as number);
      }
      to[i] = from < 0 ? outside : (x.data[from] as number | bigint);
    }
    return [result];
  },
};

/** Operators of this family. */
export const paddingOps = { Pad };
