/**
 * Sums of products by labelled axes. One operand is a sum and a transpose, two are sums, one
 * matrix product (or an element-wise one, where nothing is summed over both), and a transpose.
 */
import { ModelError } from "../../base/errors.ts";
import { elementCount, formatType, type TensorType } from "../../base/tensor.ts";
import { readAttributes, required } from "./attributes.ts";
import { numbers, pack, strides, walk } from "./elements.ts";
import { reshaped, summed, transposed, typesOf, writtenOut } from "./gradients.ts";
import { inputType, inputValue, requireFloat, requireSameDType } from "./inputs.ts";
import type { InputTypes, LowerContext, OpRule } from "./rule.ts";

export interface EinsumAttributes {
  readonly equation: string;
}

/** An equation with its labels spelled out: those that an ellipsis stands for are numbers. */
interface Sum {
  readonly operands: readonly (readonly string[])[];
  readonly output: readonly string[];
  readonly sizes: ReadonlyMap<string, number>;
}

/** Labels of one term, `rank` of them stand for the ellipsis, which counts from its last axis. */
function labelsOf(term: string, rank: number, most: number): string[] {
  const [before = "", after = ""] = term.split("...");
  const open = Array.from({ length: rank }, (_, i) => `${most - rank + i}`);
  const middle = term.includes("...") ? open : [];
  return [...before, ...middle, ...after];
}

function parse(equation: string, inputs: InputTypes): Sum {
  const shapes = inputs.map((_, i) => inputType(inputs, i).shape);
  const [left = "", right, ...more] = equation.replaceAll(" ", "").split("->");
  const terms = left.split(",");
  const refuse = (allowed: string): never => {
    const types = inputs.map((_, i) => formatType(inputType(inputs, i))).join(", ");
    throw new ModelError(`equation "${equation}" of ${types}; allowed: ${allowed}`);
  };
  const isTerm = (term: string): boolean => /^[A-Za-z]*(\.{3})?[A-Za-z]*$/.test(term);
  if (more.length > 0 || ![...terms, right ?? ""].every(isTerm)) {
    refuse('letters, ",", "..." and one "->"');
  }
  if (terms.length !== shapes.length) refuse("one term for each operand");
  const open = terms.map((term, i) => {
    const own = shapes[i] as readonly number[];
    return own.length - term.replace("...", "").length;
  });
  if (open.some((rank, i) => rank < 0 || (rank > 0 && !terms[i]?.includes("...")))) {
    refuse("one letter for each axis, or an ellipsis");
  }
  const most = Math.max(...open);
  const operands = terms.map((term, i) => labelsOf(term, open[i] as number, most));
  const all = operands.flat();
  const once = [...new Set(all)].filter((one) => all.indexOf(one) === all.lastIndexOf(one));
  const letters = once.filter((label) => /\D/.test(label)).sort();
  const numbered = Array.from({ length: most }, (_, i) => `${i}`);
  const output = right === undefined ? [...numbered, ...letters] : labelsOf(right, most, most);
  const isPlain = (labels: readonly string[]): boolean => new Set(labels).size === labels.length;
  if (![...operands, output].every(isPlain)) refuse("no letter twice in one term");
  if (!output.every((label) => all.includes(label))) refuse("letters of the operands behind ->");
  const sizes = new Map<string, number>();
  operands.forEach((labels, i) => {
    labels.forEach((label, axis) => {
      const [size, known] = [shapes[i]?.[axis] as number, sizes.get(label) ?? 1];
      if (size !== known && size !== 1 && known !== 1) refuse(`one size for each letter`);
      sizes.set(label, known === 1 ? size : known);
    });
  });
  return { operands, output, sizes };
}

/** An operand on its way: a value and the labels of its axes. */
interface Operand {
  readonly value: string;
  readonly labels: readonly string[];
}

/** An operand without the axes of size 1 that the other one stretches. */
function unstretched(
  context: LowerContext<unknown>,
  value: string,
  labels: readonly string[],
  { sizes }: Sum,
): Operand {
  const { shape } = context.type(value);
  const own = labels.filter((label, axis) => shape[axis] === sizes.get(label));
  const kept = own.map((label) => sizes.get(label) as number);
  return { value: reshaped(context, value, kept), labels: own };
}

/** An operand summed over the axes that nothing else has. */
function summedAlone(
  context: LowerContext<unknown>,
  { value, labels }: Operand,
  elsewhere: readonly string[],
): Operand {
  const alone = labels.flatMap((label, axis) => (elsewhere.includes(label) ? [] : [axis]));
  return {
    value: summed(context, value, alone),
    labels: labels.filter((label) => elsewhere.includes(label)),
  };
}

/** The value with its axes in the order of `labels`, which are its own. */
const ordered = (
  context: LowerContext<unknown>,
  { value, labels: own }: Operand,
  labels: readonly string[],
): string =>
  transposed(
    context,
    value,
    labels.map((label) => own.indexOf(label)),
  );

/** The product of two operands that have at least one label to be summed over in common. */
function contracted(context: LowerContext<unknown>, a: Operand, b: Operand, sum: Sum): Operand {
  const sizesOf = (labels: readonly string[]): number[] =>
    labels.map((label) => sum.sizes.get(label) as number);
  const isIn = (operand: Operand) => (label: string) => operand.labels.includes(label);
  const common = a.labels.filter(isIn(b));
  const inner = common.filter((label) => !sum.output.includes(label));
  const batch = sum.output.filter((label) => common.includes(label));
  const rows = sum.output.filter((label) => isIn(a)(label) && !isIn(b)(label));
  const columns = sum.output.filter((label) => isIn(b)(label) && !isIn(a)(label));
  const stack = batch.length === 0 ? [] : [elementCount(sizesOf(batch))];
  const [m, k, n] = [rows, inner, columns].map((labels) => elementCount(sizesOf(labels)));
  const left = ordered(context, a, [...batch, ...rows, ...inner]);
  const right = ordered(context, b, [...batch, ...inner, ...columns]);
  const product = context.emit("MatMul", [
    reshaped(context, left, [...stack, m as number, k as number]),
    reshaped(context, right, [...stack, k as number, n as number]),
  ]);
  const labels = [...batch, ...rows, ...columns];
  return { value: reshaped(context, product, sizesOf(labels)), labels };
}

/** The product of two operands with nothing to be summed over. */
function multiplied(context: LowerContext<unknown>, pair: readonly Operand[], sum: Sum): string {
  const aligned = pair.map((operand) => {
    const { labels } = operand;
    const own = sum.output.filter((label) => labels.includes(label));
    const shape = sum.output.map((label) => (labels.includes(label) ? sum.sizes.get(label) : 1));
    return reshaped(context, ordered(context, operand, own), shape as number[]);
  });
  return context.emit("Mul", aligned);
}

/** Two operands in one, with its axes in the order of the output. */
function product(context: LowerContext<unknown>, a: Operand, b: Operand, sum: Sum): string {
  const isInner = (label: string): boolean =>
    b.labels.includes(label) && !sum.output.includes(label);
  if (!a.labels.some(isInner)) return multiplied(context, [a, b], sum);
  return ordered(context, contracted(context, a, b, sum), sum.output);
}

const Einsum: OpRule<EinsumAttributes> = {
  inputs: [1, 2],
  outputs: [1, 1],
  attributes: (raw) =>
    readAttributes<EinsumAttributes>(raw, {
      equation: required((_, value) => {
        if (typeof value === "string") return value;
        throw new ModelError("attribute equation: allowed: a text");
      }),
    }),
  types: (inputs, { equation }) => {
    const { dtype } = requireFloat(inputType(inputs, 0));
    inputs.forEach((_, i) => {
      requireSameDType(inputType(inputs, 0), inputType(inputs, i));
    });
    const { output, sizes } = parse(equation, inputs);
    return [{ dtype, shape: output.map((label) => sizes.get(label) as number) }];
  },
  flops: (inputs, _, { equation }) =>
    inputs.length * elementCount([...parse(equation, inputs).sizes.values()]),
  gradient: writtenOut,
  lower: (context) => {
    const sum = parse(context.attributes.equation, typesOf(context));
    const { operands, output } = sum;
    const kept = context.inputs.map((value, i) =>
      unstretched(context, value, operands[i] as readonly string[], sum),
    );
    const [a, b = null] = kept.map((operand, i) => {
      const others = kept.flatMap(({ labels }, other) => (other === i ? [] : labels));
      return summedAlone(context, operand, [...output, ...others]);
    }) as [Operand, Operand?];
    if (b === null) return [ordered(context, a, output)];
    return [product(context, a, b, sum)];
  },
  compute: (values, { equation }, [type]) => {
    const { operands, output, sizes } = parse(equation, values);
    const labels = [...output, ...[...sizes.keys()].filter((label) => !output.includes(label))];
    const shape = labels.map((label) => sizes.get(label) as number);
    const sources = operands.map((own, i) => {
      const value = inputValue(values, i);
      const steps = strides(value.shape);
      const step = (label: string): number => {
        const axis = own.indexOf(label);
        return axis < 0 || value.shape[axis] === 1 ? 0 : (steps[axis] as number);
      };
      return { data: numbers(value), places: walk(shape, labels.map(step)) };
    });
    const result = new Float64Array(elementCount((type as TensorType).shape));
    const inner = elementCount(shape.slice(output.length));
    for (let i = 0; i < result.length * inner; i++) {
      const at = Math.floor(i / inner);
      const term = sources.reduce((x, { data, places }) => x * (data[places[i] ?? 0] ?? 0), 1);
      result[at] = (result[at] as number) + term;
    }
    return [pack(type as TensorType, result)];
  },
};

/** Operators of this family. */
export const einsumOps = { Einsum };
