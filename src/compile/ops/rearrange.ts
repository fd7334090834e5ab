/**
 * Operators that rearrange or repeat elements and can be said with reshapes,
 * transposes and broadcasts: they are written out in these, and so are their gradients.
 */
import { ModelError } from "../../base/errors.ts";
import {
  elementCount,
  formatType,
  int64,
  sameShape,
  type TensorType,
  tensor,
} from "../../base/tensor.ts";
import { flag, integer, readAttributes, required, word } from "./attributes.ts";
import { axisOf, gathered, loopsAlong, numbers, pack, strides } from "./elements.ts";
import {
  expanded,
  knownOf,
  reshaped,
  scalar,
  transposed,
  typesOf,
  writtenOut,
} from "./gradients.ts";
import {
  inputType,
  inputValue,
  knownIntegers,
  requireDType,
  requireFloat,
  requireRank,
} from "./inputs.ts";
import type { InputTypes, LowerContext, OpRule } from "./rule.ts";

/** The integers of one of a node's inputs. */
const listAt = (context: LowerContext<unknown>, index: number, what: string): number[] =>
  knownIntegers(typesOf(context), knownOf(context), index, what) ?? [];

/** Repeats a tensor along each axis. */
const Tile: OpRule<Record<never, never>> = {
  inputs: [2, 2],
  outputs: [1, 1],
  attributes: (raw) => readAttributes(raw, {}),
  types: (inputs, _, known) => {
    const { dtype, shape } = inputType(inputs, 0);
    const repeats = knownIntegers(inputs, known, 1, "the repeats") ?? [];
    if (repeats.length !== shape.length || repeats.some((count) => count < 0)) {
      throw new ModelError(`repeats [${repeats}]; allowed: ${shape.length} whole numbers`);
    }
    return [{ dtype, shape: shape.map((size, axis) => size * (repeats[axis] as number)) }];
  },
  flops: () => 0,
  gradient: writtenOut,
  lower: (context) => {
    const [x = ""] = context.inputs;
    const { shape } = context.type(x);
    const repeats = listAt(context, 1, "the repeats");
    const apart = reshaped(
      context,
      x,
      shape.flatMap((size) => [1, size]),
    );
    const wide = shape.flatMap((size, axis) => [repeats[axis] as number, size]);
    const result = shape.map((size, axis) => size * (repeats[axis] as number));
    return [reshaped(context, expanded(context, apart, wide), result)];
  },
  compute: (values, _, [type]) => {
    const x = inputValue(values, 0);
    const { shape } = type as TensorType;
    const [own, outer] = [strides(x.shape), strides(shape)];
    return [
      gathered(type as TensorType, x, (i) =>
        shape.reduce((at, size, axis) => {
          const place = Math.floor(i / (outer[axis] as number)) % size;
          return at + (place % (x.shape[axis] as number)) * (own[axis] as number);
        }, 0),
      ),
    ];
  },
};

export interface BlockAttributes {
  readonly blocksize: number;
  readonly mode: "DCR" | "CRD";
}

/** How an image's channels and places are split, moved and joined: each shape and order in turn. */
interface Move {
  readonly apart: readonly number[];
  readonly order: readonly number[];
  readonly result: readonly number[];
}

function moved(
  inputs: readonly [number, number],
  readers: Parameters<typeof readAttributes<BlockAttributes>>[1],
  move: (shape: readonly number[], attributes: BlockAttributes) => Move,
): OpRule<BlockAttributes> {
  const of = (types: InputTypes, attributes: BlockAttributes): Move => {
    const type = inputType(types, 0);
    requireRank(type, 4, 4);
    const result = move(type.shape, attributes);
    if (result.apart.every((size) => Number.isInteger(size))) return result;
    throw new ModelError(
      `attribute blocksize: got ${attributes.blocksize}; allowed: one that divides ${formatType(type)}`,
    );
  };
  return {
    inputs,
    outputs: [1, 1],
    attributes: (raw) => readAttributes<BlockAttributes>(raw, readers),
    types: (types, attributes) => [
      { dtype: inputType(types, 0).dtype, shape: of(types, attributes).result },
    ],
    flops: () => 0,
    gradient: writtenOut,
    lower: (context) => {
      const [x = ""] = context.inputs;
      const { apart, order, result } = of(typesOf(context), context.attributes);
      return [reshaped(context, transposed(context, reshaped(context, x, apart), order), result)];
    },
    compute: (values, attributes, [type]) => {
      const x = inputValue(values, 0);
      const { apart, order } = of([x], attributes);
      const own = strides(apart);
      const shape = order.map((axis) => apart[axis] as number);
      const outer = strides(shape);
      return [
        gathered(type as TensorType, x, (i) =>
          order.reduce((at, axis, k) => {
            const place = Math.floor(i / (outer[k] as number)) % (shape[k] as number);
            return at + place * (own[axis] as number);
          }, 0),
        ),
      ];
    },
  };
}

/** Channels become places: pixel shuffle (Shi et al. 2016) is the mode CRD. */
const DepthToSpace = moved(
  [1, 1],
  { blocksize: required(integer(1, 1)), mode: word("DCR", "CRD") },
  ([n = 0, c = 0, h = 0, w = 0], { blocksize: b, mode }) => {
    const rest = c / (b * b);
    return {
      apart: mode === "DCR" ? [n, b, b, rest, h, w] : [n, rest, b, b, h, w],
      order: mode === "DCR" ? [0, 3, 4, 1, 5, 2] : [0, 1, 4, 2, 5, 3],
      result: [n, rest, h * b, w * b],
    };
  },
);

/** Places become channels. */
const SpaceToDepth = moved(
  [1, 1],
  { blocksize: required(integer(1, 1)), mode: word("DCR") },
  ([n = 0, c = 0, h = 0, w = 0], { blocksize: b }) => ({
    apart: [n, c, h / b, b, w / b, b],
    order: [0, 3, 5, 1, 2, 4],
    result: [n, c * b * b, h / b, w / b],
  }),
);

export interface TriluAttributes {
  readonly upper: boolean;
}

/** Whether an element of a matrix is on the side of the diagonal that is kept. */
const isKept = (row: number, column: number, diagonal: number, upper: boolean): boolean =>
  upper ? column - row >= diagonal : column - row <= diagonal;

/** The upper or lower triangle of matrices; the rest is zero. */
const Trilu: OpRule<TriluAttributes> = {
  inputs: [1, 2],
  outputs: [1, 1],
  attributes: (raw) => readAttributes(raw, { upper: flag(true) }),
  types: (inputs, _, known) => {
    const { dtype, shape } = inputType(inputs, 0);
    knownIntegers(inputs, known, 1, "the diagonal");
    if (shape.length >= 2) return [{ dtype, shape }];
    throw new ModelError(`a tensor of ${shape.length} dimensions; allowed: matrices`);
  },
  flops: () => 0,
  gradient: writtenOut,
  lower: (context) => {
    const [x = ""] = context.inputs;
    const [diagonal = 0] = listAt(context, 1, "the diagonal");
    const [rows, columns] = context.type(x).shape.slice(-2) as [number, number];
    const { upper } = context.attributes;
    const kept = Array.from({ length: rows * columns }, (_, i) =>
      isKept(Math.floor(i / columns), i % columns, diagonal, upper),
    );
    const mask = context.constant(tensor("bool", [rows, columns], Uint8Array.from(kept, Number)));
    return [context.emit("Where", [mask, x, scalar(context, x, 0)])];
  },
  compute: (values, { upper }, [type]) => {
    const x = inputValue(values, 0);
    const diagonal = values[1] ? Number(values[1].data[0]) : 0;
    const [rows, columns] = x.shape.slice(-2) as [number, number];
    const source = numbers(x);
    const result = Float64Array.from({ length: source.length }, (_, i) => {
      const row = Math.floor(i / columns) % rows;
      return isKept(row, i % columns, diagonal, upper) ? (source[i] as number) : 0;
    });
    return [pack(type as TensorType, result)];
  },
};

export interface CumSumAttributes {
  readonly exclusive: boolean;
  readonly reverse: boolean;
}

/** Running sums along an axis: a product with a triangle of ones. */
const CumSum: OpRule<CumSumAttributes> = {
  inputs: [2, 2],
  outputs: [1, 1],
  attributes: (raw) => readAttributes(raw, { exclusive: flag(false), reverse: flag(false) }),
  types: (inputs, _, known) => {
    const { dtype, shape } = requireFloat(inputType(inputs, 0));
    const [axis = 0] = knownIntegers(inputs, known, 1, "the axis") ?? [];
    axisOf(axis, shape.length);
    return [{ dtype, shape }];
  },
  flops: (inputs) => elementCount(inputType(inputs, 0).shape),
  gradient: writtenOut,
  lower: (context) => {
    const [x = ""] = context.inputs;
    const { dtype, shape } = context.type(x);
    const [given = 0] = listAt(context, 1, "the axis");
    const axis = axisOf(given, shape.length);
    const size = shape[axis] as number;
    const { exclusive, reverse } = context.attributes;
    // Element [from, to] is 1 where `from` counts for the sum at `to`.
    const ones = Float64Array.from({ length: size * size }, (_, i) => {
      const [from, to] = [Math.floor(i / size), i % size];
      const ahead = reverse ? from - to : to - from;
      return ahead > 0 || (ahead === 0 && !exclusive) ? 1 : 0;
    });
    const triangle = context.constant(pack({ dtype, shape: [size, size] }, ones));
    const last = shape.length - 1;
    const swap = shape.map((_, i) => (i === axis ? last : i === last ? axis : i));
    const product = context.emit("MatMul", [transposed(context, x, swap), triangle]);
    return [transposed(context, product, swap)];
  },
  compute: (values, { exclusive, reverse }, [type]) => {
    const x = inputValue(values, 0);
    const axis = axisOf(Number(inputValue(values, 1).data[0]), x.shape.length);
    const { outer, size, inner } = loopsAlong(x.shape, axis);
    const source = numbers(x);
    const result = new Float64Array(source.length);
    for (let start = 0; start < outer * inner; start++) {
      const first = Math.floor(start / inner) * size * inner + (start % inner);
      let sum = 0;
      for (let k = 0; k < size; k++) {
        const at = first + (reverse ? size - 1 - k : k) * inner;
        if (exclusive) result[at] = sum;
        sum += source[at] as number;
        if (!exclusive) result[at] = sum;
      }
    }
    return [pack(type as TensorType, result)];
  },
};

export interface SequenceAttributes {
  readonly batch_axis: number;
  readonly time_axis: number;
}

/** Turns the first steps of each sequence round; doing so twice changes nothing. */
const ReverseSequence: OpRule<SequenceAttributes> = {
  inputs: [2, 2],
  outputs: [1, 1],
  attributes: (raw) => {
    const attributes = readAttributes<SequenceAttributes>(raw, {
      batch_axis: integer(1, 0, 1),
      time_axis: integer(0, 0, 1),
    });
    if (attributes.batch_axis !== attributes.time_axis) return attributes;
    throw new ModelError(`axis ${attributes.time_axis} for both time and batch; allowed: 0 and 1`);
  },
  types: (inputs, { batch_axis }) => {
    const { dtype, shape } = inputType(inputs, 0);
    const lengths = inputType(inputs, 1);
    requireDType(lengths, ["int64"], "the lengths");
    const batch = shape[batch_axis] ?? 0;
    if (shape.length >= 2 && sameShape(lengths.shape, [batch])) return [{ dtype, shape }];
    throw new ModelError(
      `${formatType({ dtype, shape })}, lengths ${formatType(lengths)}; ` +
        "allowed: at least 2 dimensions, a length for each sequence",
    );
  },
  flops: () => 0,
  gradient: (context) => {
    const g = context.gradient(0);
    if (g === null) return [null, null];
    const attributes = { ...context.attributes };
    return [context.emit("ReverseSequence", [g, context.inputs[1] ?? ""], attributes), null];
  },
  compute: (values, { batch_axis, time_axis }, [type]) => {
    const x = inputValue(values, 0);
    const lengths = numbers(inputValue(values, 1));
    const own = strides(x.shape);
    const at = (i: number, axis: number): number =>
      Math.floor(i / (own[axis] as number)) % (x.shape[axis] as number);
    return [
      gathered(type as TensorType, x, (i) => {
        const time = at(i, time_axis);
        const length = lengths[at(i, batch_axis)] as number;
        const from = time < length ? length - 1 - time : time;
        return i + (from - time) * (own[time_axis] as number);
      }),
    ];
  },
};

/** The largest element of each channel: a pooling whose window is the whole image. */
const GlobalMaxPool: OpRule<Record<never, never>> = {
  inputs: [1, 1],
  outputs: [1, 1],
  attributes: (raw) => readAttributes(raw, {}),
  types: (inputs) => {
    const type = requireFloat(inputType(inputs, 0));
    requireRank(type, 3, 4);
    const shape = type.shape.map((size, axis) => (axis < 2 ? size : 1));
    return [{ dtype: type.dtype, shape }];
  },
  flops: (inputs) => elementCount(inputType(inputs, 0).shape),
  gradient: writtenOut,
  lower: (context) => {
    const [x = ""] = context.inputs;
    return [context.emit("MaxPool", [x], { kernel_shape: context.type(x).shape.slice(2) })];
  },
  compute: (values, _, [type]) => {
    const x = inputValue(values, 0);
    const plane = elementCount(x.shape.slice(2));
    const source = Float64Array.from(numbers(x));
    const best = Float64Array.from({ length: source.length / plane }, (_, i) =>
      source.subarray(i * plane, (i + 1) * plane).reduce((a, b) => Math.max(a, b)),
    );
    return [pack(type as TensorType, best)];
  },
};

const noGradient = "it is known before anything is trained";

/** Number of elements; known without running anything. */
const Size: OpRule<Record<never, never>> = {
  inputs: [1, 1],
  outputs: [1, 1],
  attributes: (raw) => readAttributes(raw, {}),
  types: () => [{ dtype: "int64", shape: [] }],
  flops: () => 0,
  gradient: noGradient,
  compute: (values) => [int64([], [elementCount(inputValue(values, 0).shape)])],
  fold: (inputs) => [int64([], [elementCount(inputType(inputs, 0).shape)])],
};

/** Numbers from a start up to a limit in even steps; the three must be constants. */
const Range: OpRule<Record<never, never>> = {
  inputs: [3, 3],
  outputs: [1, 1],
  attributes: (raw) => readAttributes(raw, {}),
  types: (inputs, _, known) => {
    const bounds = [0, 1, 2].map((i) => {
      const value = known[i];
      if (value) return Number(value.data[0]);
      throw new ModelError(`input ${i} must be a constant`);
    }) as [number, number, number];
    const [start, limit, step] = bounds;
    const count = step === 0 ? Number.NaN : Math.max(0, Math.ceil((limit - start) / step));
    if (Number.isFinite(count)) return [{ dtype: inputType(inputs, 0).dtype, shape: [count] }];
    throw new ModelError(`from ${start} to ${limit} by ${step}; allowed: a finite number of steps`);
  },
  flops: () => 0,
  gradient: noGradient,
  compute: (values, _, [type]) => {
    const [start, , step] = [0, 1, 2].map((i) => Number(inputValue(values, i).data[0])) as [
      number,
      number,
      number,
    ];
    const [count = 0] = (type as TensorType).shape;
    return [
      pack(
        type as TensorType,
        Float64Array.from({ length: count }, (_, i) => start + i * step),
      ),
    ];
  },
};

/** Operators of this family. */
export const rearrangeOps = {
  Tile,
  DepthToSpace,
  SpaceToDepth,
  Trilu,
  CumSum,
  ReverseSequence,
  GlobalMaxPool,
  Size,
  Range,
};
