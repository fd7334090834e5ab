/** Matrix products: Gemm with its flags, and MatMul with batches and broadcasting. */
import { ModelError } from "../../base/errors.ts";
import { type DenseTensor, elementCount, formatType, type TensorType } from "../../base/tensor.ts";
import { flag, float, type NoAttributes, noAttributes, readAttributes } from "./attributes.ts";
import { broadcastIndices, broadcastNumbers, broadcastShape, numbers, pack } from "./elements.ts";
import { reshaped, scalar, summedTo, transposed } from "./gradients.ts";
import { inputType, inputValue, requireFloat, requireRank, requireSameDType } from "./inputs.ts";
import type { GradientContext, InputTypes, OpRule } from "./rule.ts";

export interface GemmAttributes {
  readonly alpha: number;
  readonly beta: number;
  readonly transA: boolean;
  readonly transB: boolean;
}

/** Sizes of a product of an M x K and a K x N matrix. */
interface Product {
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

function gemmSizes(inputs: InputTypes, { transA, transB }: GemmAttributes): Product {
  const a = requireFloat(inputType(inputs, 0));
  const b = inputType(inputs, 1);
  requireRank(a, 2, 2);
  requireRank(b, 2, 2);
  requireSameDType(a, b);
  const [m, k] = (transA ? [...a.shape].reverse() : a.shape) as [number, number];
  const [kOther, n] = (transB ? [...b.shape].reverse() : b.shape) as [number, number];
  if (k !== kOther) {
    throw new ModelError(`${formatType(a)} and ${formatType(b)}: inner sizes ${k} and ${kOther}`);
  }
  return { m, k, n };
}

/** What each Gemm of the gradient multiplies, by the forward node's flags; see {@link Gemm}. */
function gemmGradients(context: GradientContext<GemmAttributes>): (string | null)[] {
  const g = context.gradient(0);
  if (g === null) return [null, null, null];
  const [a, b, c = ""] = context.inputs as [string, string, string?];
  const { alpha, beta, transA, transB } = context.attributes;
  const product = (x: string, y: string, flagX: boolean, flagY: boolean): string =>
    context.emit("Gemm", [x, y], { alpha, transA: flagX ? 1 : 0, transB: flagY ? 1 : 0 });
  const gradientA = () => (transA ? product(b, g, transB, true) : product(g, b, false, !transB));
  const gradientB = () => (transB ? product(g, a, true, transA) : product(a, g, !transA, false));
  const gradientC = () => {
    const sum = summedTo(context, g, context.type(c).shape);
    return beta === 1 ? sum : context.emit("Mul", [sum, scalar(context, g, beta)]);
  };
  return [
    context.wanted(0) ? gradientA() : null,
    context.wanted(1) ? gradientB() : null,
    c !== "" && context.wanted(2) ? gradientC() : null,
  ];
}

/** Y = alpha * A' * B' + beta * C, where a prime transposes if its flag says so. */
const Gemm: OpRule<GemmAttributes> = {
  inputs: [2, 3],
  outputs: [1, 1],
  attributes: (raw) =>
    readAttributes<GemmAttributes>(raw, {
      alpha: float(1),
      beta: float(1),
      transA: flag(false),
      transB: flag(false),
    }),
  types: (inputs, attributes) => {
    const { m, n } = gemmSizes(inputs, attributes);
    const a = inputType(inputs, 0);
    const c = inputs[2];
    if (c !== undefined && c !== null) {
      requireSameDType(a, c);
      const [rows, columns] = broadcastShape(c.shape, [m, n]);
      if (rows !== m || columns !== n || c.shape.length > 2) {
        throw new ModelError(`${formatType(c)} does not broadcast to [${m},${n}]`);
      }
    }
    return [{ dtype: a.dtype, shape: [m, n] }];
  },
  flops: (inputs, _outputs, attributes) => {
    const { m, k, n } = gemmSizes(inputs, attributes);
    return 2 * m * k * n + (inputs[2] === undefined || inputs[2] === null ? 0 : m * n);
  },
  gradient: gemmGradients,
  compute: (inputs, attributes, [type]) => {
    const { m, k, n } = gemmSizes(inputs, attributes);
    const a = numbers(inputValue(inputs, 0));
    const b = numbers(inputValue(inputs, 1));
    const [aRow, aStep] = attributes.transA ? [1, m] : [k, 1];
    const [bStep, bColumn] = attributes.transB ? [1, k] : [n, 1];
    const c = inputs[2] ? broadcastNumbers(inputs[2], [m, n]) : null;
    const y = new Float64Array(m * n);
    for (let row = 0; row < m; row++) {
      for (let column = 0; column < n; column++) {
        let sum = 0;
        for (let i = 0; i < k; i++) {
          const x = a[row * aRow + i * aStep] as number;
          sum += x * (b[i * bStep + column * bColumn] as number);
        }
        const at = row * n + column;
        y[at] = attributes.alpha * sum + (c === null ? 0 : attributes.beta * (c[at] as number));
      }
    }
    return [pack(type as TensorType, y)];
  },
};

/** MatMul's operands as stacks of matrices: a vector counts as one row or one column. */
function matMulShapes(inputs: InputTypes): { a: number[]; b: number[]; batch: number[] } & Product {
  const typeA = requireFloat(inputType(inputs, 0));
  const typeB = inputType(inputs, 1);
  requireSameDType(typeA, typeB);
  if (typeA.shape.length === 0 || typeB.shape.length === 0) {
    throw new ModelError(`${formatType(typeA)} and ${formatType(typeB)}: a scalar has no rows`);
  }
  const a = typeA.shape.length === 1 ? [1, ...typeA.shape] : [...typeA.shape];
  const b = typeB.shape.length === 1 ? [...typeB.shape, 1] : [...typeB.shape];
  const [m, k] = a.slice(-2) as [number, number];
  const [kOther, n] = b.slice(-2) as [number, number];
  if (k !== kOther) {
    throw new ModelError(
      `${formatType(typeA)} and ${formatType(typeB)}: inner sizes ${k} and ${kOther}`,
    );
  }
  return { a, b, m, k, n, batch: broadcastShape(a.slice(0, -2), b.slice(0, -2)) };
}

/** Exchanges the last two axes. */
function swapped(context: GradientContext<NoAttributes>, value: string): string {
  const rank = context.type(value).shape.length;
  const perm = Array.from({ length: rank }, (_, axis) => axis);
  perm.push(...(perm.splice(-2).reverse() as number[]));
  return transposed(context, value, perm);
}

function matMulGradients(context: GradientContext<NoAttributes>): (string | null)[] {
  const gradient = context.gradient(0);
  if (gradient === null) return [null, null];
  const [inputA, inputB] = context.inputs as [string, string];
  const [typeA, typeB] = [context.type(inputA), context.type(inputB)];
  const { a: shapeA, b: shapeB, m, k, n, batch } = matMulShapes([typeA, typeB]);
  const a = reshaped(context, inputA, shapeA);
  const b = reshaped(context, inputB, shapeB);
  const g = reshaped(context, gradient, [...batch, m, n]);
  const rows = elementCount(shapeA) / k;
  const gradientA = () => {
    // One matrix for all batches: Gemm transposes on the way, a Transpose node would copy.
    if (shapeB.length === 2) {
      const flat = reshaped(context, g, [rows, n]);
      return context.emit("Gemm", [flat, b], { transB: 1 });
    }
    return summedTo(context, context.emit("MatMul", [g, swapped(context, b)]), shapeA);
  };
  const gradientB = () => {
    if (shapeB.length === 2) {
      const flat = [reshaped(context, a, [rows, k]), reshaped(context, g, [rows, n])];
      return context.emit("Gemm", flat, { transA: 1 });
    }
    return summedTo(context, context.emit("MatMul", [swapped(context, a), g]), shapeB);
  };
  return [
    context.wanted(0) ? reshaped(context, gradientA(), typeA.shape) : null,
    context.wanted(1) ? reshaped(context, gradientB(), typeB.shape) : null,
  ];
}

const MatMul: OpRule<NoAttributes> = {
  inputs: [2, 2],
  outputs: [1, 1],
  attributes: noAttributes,
  types: (inputs) => {
    const { m, n, batch } = matMulShapes(inputs);
    const rows = inputType(inputs, 0).shape.length === 1 ? [] : [m];
    const columns = inputType(inputs, 1).shape.length === 1 ? [] : [n];
    return [{ dtype: inputType(inputs, 0).dtype, shape: [...batch, ...rows, ...columns] }];
  },
  flops: (inputs) => {
    const { m, k, n, batch } = matMulShapes(inputs);
    return 2 * elementCount(batch) * m * k * n;
  },
  gradient: matMulGradients,
  compute: (inputs, _, [type]) => {
    const [valueA, valueB] = [inputValue(inputs, 0), inputValue(inputs, 1)] as DenseTensor[];
    const shapes = matMulShapes(inputs);
    const { m, k, n, batch } = shapes;
    const a = numbers(valueA as DenseTensor);
    const b = numbers(valueB as DenseTensor);
    const matrixA = broadcastIndices(shapes.a.slice(0, -2), batch);
    const matrixB = broadcastIndices(shapes.b.slice(0, -2), batch);
    const y = new Float64Array(elementCount(batch) * m * n);
    matrixA.forEach((indexA, index) => {
      const [fromA, fromB] = [indexA * m * k, (matrixB[index] as number) * k * n];
      for (let row = 0; row < m; row++) {
        for (let i = 0; i < k; i++) {
          const x = a[fromA + row * k + i] as number;
          const [to, from] = [(index * m + row) * n, fromB + i * n];
          for (let column = 0; column < n; column++) {
            y[to + column] = (y[to + column] as number) + x * (b[from + column] as number);
          }
        }
      }
    });
    return [pack(type as TensorType, y)];
  },
};

/** Operators of this family. */
export const matrixOps = { Gemm, MatMul };
