/**
 * Gradients against central finite differences, in float64 through the
 * interpreter. Values are spread so that no case comes within the difference's
 * reach of a kink. Families of operators list their cases in `gradient-cases/`.
 */
import { expect } from "vitest";
import { random } from "../../src/base/random.ts";
import { type DenseTensor, elementCount, int64, tensor } from "../../src/base/tensor.ts";
import { differentiate } from "../../src/compile/autodiff.ts";
import { GraphBuilder } from "../../src/compile/builder.ts";
import type { Attributes, Graph } from "../../src/compile/graph.ts";
import { interpret } from "../../src/compile/interpret.ts";
import { isFloat } from "../../src/compile/ops/inputs.ts";
import type { OpName } from "../../src/compile/ops/table.ts";
import { specialize } from "../../src/compile/specialize.ts";

const float64 = (shape: readonly number[], values: ArrayLike<number>): DenseTensor =>
  tensor("float64", shape, Float64Array.from(values));

/** Distinct values between -1 and 1 in a random order, none of them 0, plus a shift. */
export function spread(shape: readonly number[], seed: number, shift = 0): DenseTensor {
  const count = elementCount(shape);
  const ranks = random(seed).shuffle(Array.from({ length: count }, (_, i) => i));
  return float64(
    shape,
    ranks.map((rank) => (2 * rank + 0.7 - count) / count + shift),
  );
}

export const truths = (shape: readonly number[], values: readonly number[]): DenseTensor =>
  tensor("bool", shape, Uint8Array.from(values));

export interface GradientCase {
  readonly name: string;
  readonly op: OpName;
  /** Absent inputs are null; inputs that are not float are constants of the graph. */
  readonly inputs: readonly (DenseTensor | null)[];
  readonly attributes?: Attributes;
  /** Outputs of the operator that are used; 1 where absent. */
  readonly outputs?: number;
}

/** Lists one case. Shapes stand for spread values of that shape. */
export type Check = (
  op: OpName,
  form: string,
  inputs: readonly (readonly number[] | DenseTensor | null)[],
  attributes?: Attributes,
  outputs?: number,
) => void;

/** The cases of families of operators. */
export function casesOf(families: readonly ((check: Check) => void)[]): GradientCase[] {
  const cases: GradientCase[] = [];
  for (const family of families) {
    family((op, form, inputs, attributes = {}, outputs = 1) => {
      const values = inputs.map((input, i) =>
        Array.isArray(input) ? spread(input, i + 1) : (input as DenseTensor | null),
      );
      cases.push({ name: `${op}: ${form}`, op, inputs: values, attributes, outputs });
    });
  }
  return cases;
}

export const list = (...values: number[]): DenseTensor => int64([values.length], values);
export const positive = (shape: readonly number[], seed = 1): DenseTensor => spread(shape, seed, 2);

const reach = 1e-5;

/** The derivative of a scalar function in every element of one of its arguments. */
function differences(f: (value: DenseTensor) => number, at: DenseTensor): number[] {
  const values = Float64Array.from(at.data as Float64Array);
  return Array.from(values, (value, i) => {
    const moved = (by: number): number => f(float64(at.shape, values.with(i, value + by)));
    return (moved(reach) - moved(-reach)) / (2 * reach);
  });
}

const numbersOf = (value: DenseTensor): number[] => Array.from(value.data as Float64Array);

function expectClose(actual: readonly number[], expected: readonly number[], what: string): void {
  expect(actual.length, what).toBe(expected.length);
  const scale = Math.max(1, ...expected.map(Math.abs));
  actual.forEach((value, i) => {
    expect(Math.abs(value - (expected[i] as number)), `${what} at ${i}`).toBeLessThan(1e-7 * scale);
  });
}

/** A graph whose only output is a scalar, with values for its inputs. */
export interface Scalar {
  readonly graph: Graph;
  readonly output: string;
  readonly gradients: ReadonlyMap<string, string>;
  readonly feeds: ReadonlyMap<string, DenseTensor>;
}

/** Compares every gradient of a scalar with finite differences. */
export function expectGradients({ graph, output, gradients, feeds }: Scalar): void {
  const forward = { ...graph, outputs: [output] };
  const results = interpret(graph, feeds);
  for (const [name, gradient] of gradients) {
    const f = (value: DenseTensor): number =>
      numbersOf(
        interpret(forward, new Map(feeds).set(name, value)).get(output) as DenseTensor,
      )[0] ?? Number.NaN;
    const expected = differences(f, feeds.get(name) as DenseTensor);
    expectClose(numbersOf(results.get(gradient) as DenseTensor), expected, name);
  }
}

/** The sum of an operator's outputs, each element with a weight of its own. */
export function weightedSum({ op, inputs, attributes = {}, outputs = 1 }: GradientCase): Scalar {
  const written = new GraphBuilder("case");
  const feeds = new Map<string, DenseTensor>();
  const names = inputs.map((value, i) => {
    if (value === null) return "";
    if (!isFloat(value.dtype) || value.dtype !== "float64") return written.constant(value);
    feeds.set(`input${i}`, value);
    return written.input(`input${i}`, value);
  });
  const results = written.emitAll(op, names, attributes, outputs);
  const builder = specialized(written, results);
  const seeds = new Map<string, string>();
  let sum: string | null = null;
  for (const [i, y] of results.entries()) {
    const weights = builder.constant(spread(builder.type(y).shape, 99 + i));
    seeds.set(y, weights);
    const products = builder.emit("Mul", [y, weights]);
    const part = builder.emit("ReduceSum", [products], { keepdims: 0 });
    sum = sum === null ? part : builder.emit("Add", [sum, part]);
  }
  const output = sum ?? "";
  const gradients = differentiate(builder, seeds, new Set(feeds.keys()));
  const graph = builder.graph([output, ...gradients.values()]);
  return { graph, output, gradients, feeds };
}

/** The same graph as training sees it: operators that are written out in others are. */
export function specialized(builder: GraphBuilder, outputs: readonly string[]): GraphBuilder {
  const graph = specialize(builder.graph(outputs), {});
  const result = new GraphBuilder("case");
  for (const { name, dtype, shape } of graph.inputs) {
    result.input(name, { dtype, shape: shape as readonly number[] });
  }
  for (const [name, value] of graph.constants) result.constant(value, name);
  for (const node of graph.nodes) result.add(node);
  return result;
}
