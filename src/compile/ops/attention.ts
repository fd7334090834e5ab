/**
 * Attention by scaled dot products, written out: two matrix products with a softmax between.
 * Heads of queries that share a head of keys are rows of one product, so nothing is repeated.
 * What may not be attended to has minus infinity added before the softmax; queries that may
 * attend to nothing at all give zeros.
 */
import { ModelError } from "../../base/errors.ts";
import {
  type DenseTensor,
  type DType,
  elementCount,
  formatType,
  int64,
  sameShape,
  type TensorType,
  tensor,
} from "../../base/tensor.ts";
import { flag, float, integer, optional, optionalInteger, readAttributes } from "./attributes.ts";
import { broadcastNumbers, broadcastShape, numbers, pack } from "./elements.ts";
import { castCode, elementType } from "./elementwise.ts";
import { integerList, reshaped, scalar, transposed, typesOf, writtenOut } from "./gradients.ts";
import { inputType, inputValue, requireDType, requireFloat, requireSameDType } from "./inputs.ts";
import type { InputTypes, LowerContext, OpRule } from "./rule.ts";

export interface AttentionAttributes {
  readonly is_causal: boolean;
  readonly q_num_heads: number | null;
  readonly kv_num_heads: number | null;
  readonly scale: number | null;
  readonly softcap: number;
  readonly softmax_precision: DType | null;
  /** What an output that is refused would hold. */
  readonly qk_matmul_output_mode: number;
}

type Context = LowerContext<AttentionAttributes>;

interface Sizes {
  readonly batch: number;
  /** Heads of queries; a multiple of those of keys and values. */
  readonly heads: number;
  readonly keyHeads: number;
  readonly queries: number;
  /** Keys that the mask is about; those beyond are never attended to. */
  readonly keys: number;
  /** Length of a query and of a key. */
  readonly size: number;
  /** Length of a value. */
  readonly width: number;
  readonly scale: number;
  /** Whether heads have an axis of their own, or stand side by side in the last one. */
  readonly isApart: boolean;
}

/** The shape of queries, keys or values as [batch, heads, length, size]. */
function apart(type: TensorType, heads: number | null, what: string): readonly number[] {
  const { shape } = type;
  if (shape.length === 4 && (heads === null || heads === shape[1])) return shape;
  const [batch = 0, length = 0, all = 0] = shape;
  if (shape.length === 3 && heads !== null && heads > 0 && all % heads === 0) {
    return [batch, heads, length, all / heads];
  }
  throw new ModelError(
    `${what} ${formatType(type)}, ${heads ?? "no number of"} heads; ` +
      "allowed: 4 dimensions, or 3 with a number of heads that divides the last one",
  );
}

function sizesOf(inputs: InputTypes, attributes: AttentionAttributes): Sizes {
  const types = [0, 1, 2].map((i) => requireFloat(inputType(inputs, i))) as TensorType[];
  const [q, k, v] = types as [TensorType, TensorType, TensorType];
  for (const type of types) requireSameDType(q, type);
  if (inputs[4] || inputs[5]) throw new ModelError("past keys and values; allowed: none");
  const { q_num_heads, kv_num_heads } = attributes;
  const [batch, heads, queries, size] = apart(q, q_num_heads, "queries") as Four;
  const ofKeys = apart(k, kv_num_heads, "keys") as Four;
  const [, keyHeads, keys] = ofKeys;
  const width = apart(v, kv_num_heads, "values")[3] as number;
  const fits =
    types.every(({ shape }) => shape.length === q.shape.length) &&
    sameShape(ofKeys, [batch, keyHeads, keys, size]) &&
    sameShape(apart(v, kv_num_heads, "values"), [batch, keyHeads, keys, width]);
  if (!fits || heads % keyHeads !== 0) {
    throw new ModelError(
      `queries ${formatType(q)}, keys ${formatType(k)}, values ${formatType(v)}, ` +
        `${heads} heads on ${keyHeads}; allowed: one batch, as many values as keys, ` +
        "queries as long as keys, heads that are a multiple",
    );
  }
  const scale = attributes.scale ?? 1 / Math.sqrt(size);
  const isApart = q.shape.length === 4;
  const sizes = { batch, heads, keyHeads, queries, keys, size, width, scale, isApart };
  const lengths = inputs[6];
  if (lengths) {
    requireDType(lengths, ["int64"], "the numbers of keys");
    if (!sameShape(lengths.shape, [batch])) {
      throw new ModelError(`the numbers of keys are ${formatType(lengths)}; allowed: [${batch}]`);
    }
  }
  return inputs[3] ? { ...sizes, keys: maskedKeys(inputs[3], q.dtype, sizes) } : sizes;
}

type Four = readonly [number, number, number, number];

/** The number of keys that a mask is about. */
function maskedKeys(mask: TensorType, dtype: DType, sizes: Sizes): number {
  requireDType(mask, ["bool", dtype], "the mask");
  const { batch, heads, queries, keys } = sizes;
  const about = mask.shape.at(-1) ?? 0;
  const whole = [batch, heads, queries, about];
  const isPart = about === keys || (about > 1 && about < keys);
  if (isPart && sameShape(broadcastShape(mask.shape, whole), whole)) return about;
  throw new ModelError(
    `mask ${formatType(mask)}; allowed: one that broadcasts to [${[...whole.slice(0, 3), keys]}], ` +
      "or has from 2 keys on in its last axis",
  );
}

/** Input `index` as [batch, heads, length, size], with its axes in another order. */
function headsOf(context: Context, index: number, heads: number, order: Four): string {
  const value = context.inputs[index] as string;
  const shape = apart(context.type(value), heads, "");
  if (context.type(value).shape.length === 4) return transposed(context, value, order);
  const [batch, , length, size] = shape as Four;
  const split = reshaped(context, value, [batch, length, heads, size]);
  const places = [0, 2, 1, 3];
  return transposed(
    context,
    split,
    order.map((axis) => places[axis] as number),
  );
}

/** The first `count` along an axis. */
function first(context: Context, value: string, axis: number, count: number): string {
  if (context.type(value).shape[axis] === count) return value;
  const bounds = [0, count, axis].map((one) => integerList(context, [one]));
  return context.emit("Slice", [value, ...bounds]);
}

/** Truth values of which keys each query may attend to, by everything but a mask of numbers. */
function conditions(context: Context, { batch, queries, keys }: Sizes): string[] {
  const [, , , mask = "", , , lengths = ""] = context.inputs;
  const { is_causal } = context.attributes;
  const result: string[] = [];
  if (mask !== "" && context.type(mask).dtype === "bool") result.push(mask);
  /** By how much each key is later than each query. */
  const later = Array.from({ length: queries * keys }, (_, i) => (i % keys) - Math.floor(i / keys));
  if (lengths !== "") {
    const counts = reshaped(context, lengths, [batch, 1, 1, 1]);
    const places = Array.from({ length: keys }, (_, i) => i);
    result.push(context.emit("Less", [context.constant(int64([keys], places)), counts]));
    if (is_causal) {
      // The last query stands at the last key that counts.
      const most = context.emit("Sub", [counts, context.constant(int64([], [queries]))]);
      const distances = context.constant(int64([queries, keys], later));
      result.push(context.emit("LessOrEqual", [distances, most]));
    }
  } else if (is_causal) {
    const seen = Uint8Array.from(later, (distance) => (distance <= 0 ? 1 : 0));
    result.push(context.constant(tensor("bool", [queries, keys], seen)));
  }
  return result;
}

/** What is added to the scores, or null; `alive` is 1 for queries with something to attend to. */
function biasOf(
  context: Context,
  like: string,
  sizes: Sizes,
): { bias: string | null; alive: string | null } {
  const mask = context.inputs[3] ?? "";
  const allowed = conditions(context, sizes);
  const none = scalar(context, like, -Infinity);
  const zero = scalar(context, like, 0);
  const parts: string[] = [];
  if (allowed.length > 0) {
    const all = allowed.reduce((a, b) => context.emit("And", [a, b]));
    parts.push(context.emit("Where", [all, zero, none]));
  }
  if (mask !== "" && context.type(mask).dtype !== "bool") parts.push(mask);
  if (parts.length === 0) return { bias: null, alive: null };
  const bias = parts.reduce((a, b) => context.emit("Add", [a, b]));
  const best = context.emit("ReduceMax", [bias], { axes: [-1], keepdims: 1 });
  const known = context.known(best);
  if (known !== null && Array.from(numbers(known)).every((value) => value > -Infinity)) {
    return { bias, alive: null };
  }
  // A softmax of nothing but minus infinity is not a number, so those rows go without it.
  const isAlive = context.emit("Greater", [best, none]);
  const alive = context.emit("Cast", [isAlive], { to: castCode(context.type(like).dtype) });
  return { bias: context.emit("Where", [isAlive, bias, zero]), alive };
}

function softmax(context: Context, scores: string): string {
  const { dtype } = context.type(scores);
  const precision = context.attributes.softmax_precision ?? dtype;
  const cast = (value: string, to: DType): string =>
    precision === dtype ? value : context.emit("Cast", [value], { to: castCode(to) });
  return cast(context.emit("Softmax", [cast(scores, precision)], { axis: -1 }), dtype);
}

function written(context: Context): string {
  const sizes = sizesOf(typesOf(context), context.attributes);
  const { batch, heads, keyHeads, queries, keys, size, width } = sizes;
  const { softcap } = context.attributes;
  const rows = (heads / keyHeads) * queries;
  const q = headsOf(context, 0, heads, [0, 1, 2, 3]);
  const k = first(context, headsOf(context, 1, keyHeads, [0, 1, 3, 2]), 3, keys);
  const v = first(context, headsOf(context, 2, keyHeads, [0, 1, 2, 3]), 2, keys);
  const scale = softcap > 0 ? sizes.scale / softcap : sizes.scale;
  const scaled = context.emit("Mul", [q, scalar(context, q, scale)]);
  const grouped = reshaped(context, scaled, [batch, keyHeads, rows, size]);
  const product = context.emit("MatMul", [grouped, k]);
  let scores = reshaped(context, product, [batch, heads, queries, keys]);
  if (softcap > 0) {
    scores = context.emit("Mul", [context.emit("Tanh", [scores]), scalar(context, q, softcap)]);
  }
  const { bias, alive } = biasOf(context, q, sizes);
  const shares = softmax(context, bias === null ? scores : context.emit("Add", [scores, bias]));
  const sums = context.emit("MatMul", [
    reshaped(context, shares, [batch, keyHeads, rows, keys]),
    v,
  ]);
  const all = reshaped(context, sums, [batch, heads, queries, width]);
  const result = alive === null ? all : context.emit("Mul", [all, alive]);
  if (sizes.isApart) return result;
  return reshaped(context, transposed(context, result, [0, 2, 1, 3]), [
    batch,
    queries,
    heads * width,
  ]);
}

/** Element [batch, head, place, i] of queries, keys, values or the result. */
function reader(shape: readonly number[], heads: number) {
  const [, a = 0, b = 0, c = 0] = shape;
  if (shape.length === 4) {
    return (n: number, h: number, at: number, i: number) => ((n * a + h) * b + at) * c + i;
  }
  return (n: number, h: number, at: number, i: number) => (n * a + at) * b + (h * b) / heads + i;
}

/** What is added to the scores, for every query of every head. */
function biasValues(
  values: readonly (DenseTensor | null)[],
  { is_causal }: AttentionAttributes,
  { batch, heads, queries, keys }: Sizes,
): Float64Array {
  const shape = [batch, heads, queries, keys];
  const mask = values[3] ? broadcastNumbers(values[3], shape) : null;
  const lengths = values[6] ? numbers(values[6]) : null;
  return Float64Array.from({ length: elementCount(shape) }, (_, at) => {
    const key = at % keys;
    const query = Math.floor(at / keys) % queries;
    const count = lengths?.[Math.floor(at / (keys * queries * heads))] ?? queries;
    const isLate = is_causal && key > query + count - queries;
    if (isLate || (lengths !== null && key >= count)) return -Infinity;
    const own = mask?.[at] ?? 0;
    if (values[3]?.dtype !== "bool") return own;
    return own !== 0 ? 0 : -Infinity;
  });
}

const Attention: OpRule<AttentionAttributes> = {
  inputs: [3, 7],
  outputs: [1, 4],
  attributes: (raw) =>
    readAttributes<AttentionAttributes>(raw, {
      is_causal: flag(false),
      q_num_heads: optionalInteger,
      kv_num_heads: optionalInteger,
      scale: optional(float(1)),
      softcap: float(0),
      softmax_precision: optional(elementType),
      qk_matmul_output_mode: integer(0, 0, 3),
    }),
  types: (inputs, attributes, _, outputs) => {
    if (outputs > 1) {
      throw new ModelError("outputs of keys, values or scores; allowed: the first output alone");
    }
    const { batch, heads, queries, width, isApart } = sizesOf(inputs, attributes);
    const shape = isApart ? [batch, heads, queries, width] : [batch, queries, heads * width];
    return [{ dtype: inputType(inputs, 0).dtype, shape }];
  },
  flops: (inputs, _, attributes) => {
    const { batch, heads, queries, keys, size, width } = sizesOf(inputs, attributes);
    return 2 * batch * heads * queries * keys * (size + width);
  },
  gradient: writtenOut,
  lower: (context) => [written(context)],
  compute: (values, attributes, [type]) => {
    const sizes = sizesOf(values, attributes);
    const { batch, heads, keyHeads, queries, keys, size, width, scale } = sizes;
    const { softcap } = attributes;
    const inputs = [0, 1, 2].map((i) => inputValue(values, i)) as DenseTensor[];
    const [q = [], k = [], v = []] = inputs.map(numbers);
    const [atQ, atK, atV] = inputs.map(({ shape }, i) => reader(shape, i === 0 ? heads : keyHeads));
    const { shape } = type as TensorType;
    const place = reader(shape, heads);
    const bias = biasValues(values, attributes, sizes);
    const result = new Float64Array(elementCount(shape));
    for (let row = 0; row < batch * heads * queries; row++) {
      const [n, h] = [Math.floor(row / (heads * queries)), Math.floor(row / queries) % heads];
      const [query, own] = [row % queries, Math.floor(h / (heads / keyHeads))];
      const scores = Array.from({ length: keys }, (_, key) => {
        let score = 0;
        for (let i = 0; i < size; i++) {
          const x = q[atQ?.(n, h, query, i) ?? 0] as number;
          score += x * (k[atK?.(n, own, key, i) ?? 0] as number) * scale;
        }
        if (softcap > 0) score = softcap * Math.tanh(score / softcap);
        return score + (bias[row * keys + key] as number);
      });
      const best = Math.max(...scores);
      if (best === -Infinity) continue;
      const shares = scores.map((score) => Math.exp(score - best));
      const total = shares.reduce((a, b) => a + b, 0);
      for (let i = 0; i < width; i++) {
        result[place(n, h, query, i)] = shares.reduce(
          (sum, share, key) => sum + (share / total) * (v[atV?.(n, own, key, i) ?? 0] as number),
          0,
        );
      }
    }
    return [pack(type as TensorType, result)];
  },
};

/** Operators of this family. */
export const attentionOps = { Attention };
