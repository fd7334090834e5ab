/**
 * What element-wise operators are made of: builders for those of one input, of two and
 * of any number that broadcast, and shorthands for their gradients.
 */
import { elementCount, type TensorType } from "../../base/tensor.ts";
import type { Attributes } from "../graph.ts";
import { type NoAttributes, noAttributes } from "./attributes.ts";
import { broadcastNumbers, broadcastShape, made, numbers, pack } from "./elements.ts";
import { summedTo } from "./gradients.ts";
import { inputType, inputValue, requireFloat, requireSameDType } from "./inputs.ts";
import type { GradientContext, Gradients, OpRule } from "./rule.ts";

export type Context<A = NoAttributes> = GradientContext<A>;
export type Gradient<A = NoAttributes> = OpRule<A>["gradient"];

/** Elements of the first output: what costs of element-wise operators are counted in. */
export const elements = (outputs: readonly TensorType[]): number =>
  elementCount(outputs[0]?.shape ?? []);

/** An operator of one input, with attributes, whose output has the input's type. */
export function unaryWith<A>(
  attributes: (raw: Attributes) => A,
  flopsPerElement: number,
  f: (x: number, attributes: A) => number,
  gradient: Gradient<A>,
  result: (type: TensorType) => TensorType = requireFloat,
): OpRule<A> {
  return {
    inputs: [1, 1],
    outputs: [1, 1],
    attributes,
    types: (inputs) => [result(inputType(inputs, 0))],
    flops: (_, outputs) => flopsPerElement * elements(outputs),
    gradient,
    compute: (inputs, own, [type]) => {
      const x = numbers(inputValue(inputs, 0));
      const values = made(x.length, (i) => f(x[i] as number, own));
      return [pack(type as TensorType, values)];
    },
  };
}

/** An operator of one input without attributes whose output has the input's type. */
export const unary = (
  flopsPerElement: number,
  f: (x: number) => number,
  gradient: Gradient,
  result?: (type: TensorType) => TensorType,
): OpRule<NoAttributes> => unaryWith(noAttributes, flopsPerElement, f, gradient, result);

/** For operators that take every element type and give the same one. */
export const anyType = (type: TensorType): TensorType => type;

/** The common element type of two inputs. @throws ModelError when they differ */
export function commonType(a: TensorType, b: TensorType): TensorType["dtype"] {
  requireSameDType(a, b);
  return a.dtype;
}

/** An operator of two inputs that broadcast, with attributes. */
export function binaryWith<A>(
  attributes: (raw: Attributes) => A,
  f: (a: number, b: number, attributes: A) => number,
  gradient: Gradient<A>,
  result: (a: TensorType, b: TensorType, attributes: A) => TensorType["dtype"] = commonType,
): OpRule<A> {
  return {
    inputs: [2, 2],
    outputs: [1, 1],
    attributes,
    types: (inputs, own) => {
      const a = inputType(inputs, 0);
      const b = inputType(inputs, 1);
      return [{ dtype: result(a, b, own), shape: broadcastShape(a.shape, b.shape) }];
    },
    flops: (_, outputs) => elements(outputs),
    gradient,
    compute: (inputs, own, [type]) => {
      const { dtype, shape } = type as TensorType;
      const a = broadcastNumbers(inputValue(inputs, 0), shape);
      const b = broadcastNumbers(inputValue(inputs, 1), shape);
      const values = made(a.length, (i) => f(a[i] as number, b[i] as number, own));
      return [pack({ dtype, shape }, values)];
    },
  };
}

/** An operator of two inputs that broadcast, without attributes. */
export const binary = (
  f: (a: number, b: number) => number,
  gradient: Gradient,
  result?: (a: TensorType, b: TensorType) => TensorType["dtype"],
): OpRule<NoAttributes> => binaryWith(noAttributes, f, gradient, result);

/** An operator of one or more inputs that broadcast, folded from the first to the last. */
export function variadic(
  fold: (sum: number, x: number) => number,
  finish: (sum: number, count: number) => number,
  gradient: Gradient,
  result: (type: TensorType) => TensorType = anyType,
): OpRule<NoAttributes> {
  return {
    inputs: [1, Infinity],
    outputs: [1, 1],
    attributes: noAttributes,
    types: (inputs) => {
      const all = inputs.map((_, index) => inputType(inputs, index));
      const first = result(inputType(inputs, 0));
      for (const type of all) requireSameDType(first, type);
      return [{ dtype: first.dtype, shape: broadcastShape(...all.map(({ shape }) => shape)) }];
    },
    flops: (inputs, outputs) => (inputs.length - 1) * elements(outputs),
    gradient,
    compute: (inputs, _, [type]) => {
      const { shape } = type as TensorType;
      const all = inputs.map((_, i) => broadcastNumbers(inputValue(inputs, i), shape));
      const values = made(elementCount(shape), (at) => {
        const column = all.map((values) => values[at] as number);
        return finish(column.reduce(fold), column.length);
      });
      return [pack(type as TensorType, values)];
    },
  };
}

/** The gradient of a unary operator, given only what to make of the output's gradient. */
export const through =
  <A = NoAttributes>(
    emit: (context: Context<A>, gradient: string) => string | null,
  ): ((context: Context<A>) => Gradients) =>
  (context) => {
    const gradient = context.gradient(0);
    return [gradient === null ? null : emit(context, gradient)];
  };

/** Flat almost everywhere: no gradient flows. */
export const vanishes = (): Gradients => [null];

/** Gradients of both inputs before the broadcast is undone; each is emitted only where wanted. */
export const throughBoth =
  <A = NoAttributes>(
    first: (context: Context<A>, gradient: string) => string | null,
    second: (context: Context<A>, gradient: string) => string | null,
  ): ((context: Context<A>) => Gradients) =>
  (context) => {
    const gradient = context.gradient(0);
    return [first, second].map((emit, index) => {
      if (gradient === null || !context.wanted(index)) return null;
      const own = emit(context, gradient);
      return own === null ? null : summedTo(context, own, inputShape(context, index));
    });
  };

/** Gradients of all inputs are one and the same before the broadcast is undone. */
export const throughAll =
  (emit: (context: Context, gradient: string) => string): ((context: Context) => Gradients) =>
  (context) => {
    const gradient = context.gradient(0);
    if (gradient === null) return context.inputs.map(() => null);
    const shared = emit(context, gradient);
    return context.inputs.map((_, index) =>
      context.wanted(index) ? summedTo(context, shared, inputShape(context, index)) : null,
    );
  };

/** What input and output shorthands need of a context, whatever its attributes. */
type Named = Pick<GradientContext<never>, "inputs" | "type" | "output">;

/** Input of the forward node, by name. */
export const input = (context: Named, index = 0): string => context.inputs[index] as string;

/** Output of the forward node, by name. */
export const output = (context: Named): string => context.output(0);

export const inputShape = (context: Named, index: number): readonly number[] =>
  context.type(input(context, index)).shape;
