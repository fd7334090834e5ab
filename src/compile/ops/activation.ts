/**
 * Activation functions. Gradients read the output rather than the input where both tell the
 * same, because the layer behind an activation keeps its output anyway. At kinks the
 * slopes are PyTorch's. Gelu, Mish and Swish are newer than the operator set that graphs are
 * written in; they, and Celu, are written out in other operators.
 */
import { ModelError } from "../../base/errors.ts";
import type { Attributes } from "../graph.ts";
import { float, type NoAttributes, noAttributes, readAttributes, word } from "./attributes.ts";
import { broadcastShape } from "./elements.ts";
import { castCode, erf, masked } from "./elementwise.ts";
import { type Emitter, scalar, summedTo } from "./gradients.ts";
import { requireFloat, requireSameDType } from "./inputs.ts";
import {
  binary,
  type Context,
  type Gradient,
  input,
  inputShape,
  output,
  through,
  unary,
  unaryWith,
} from "./pointwise.ts";
import type { OpRule } from "./rule.ts";

/** Operations that one evaluation of an exponential function is counted as. */
const flops = 4;

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

const plus = (context: Emitter, value: string, addend: number): string =>
  context.emit("Add", [value, scalar(context, value, addend)]);

const times = (context: Emitter, value: string, factor: number): string =>
  factor === 1 ? value : context.emit("Mul", [value, scalar(context, value, factor)]);

const isAbove = (context: Emitter, value: string, bound: number): string =>
  context.emit("Greater", [value, scalar(context, value, bound)]);

/**
 * The output is 0 or positive, so the mask is its truth value; at 0 the gradient is 0. Two
 * casts take half the time of Sign in onnxruntime.
 */
const Relu = unary(
  1,
  (x) => Math.max(x, 0),
  through((c, g) => masked(c, g, c.emit("Cast", [output(c)], { to: castCode("bool") }))),
);

const Sigmoid = unary(
  flops,
  sigmoid,
  through((c, g) => {
    const rest = c.emit("Sub", [scalar(c, g, 1), output(c)]);
    return c.emit("Mul", [g, c.emit("Mul", [output(c), rest])]);
  }),
);

const Tanh = unary(
  flops,
  Math.tanh,
  through((c, g) => {
    const square = c.emit("Mul", [output(c), output(c)]);
    return c.emit("Mul", [g, c.emit("Sub", [scalar(c, g, 1), square])]);
  }),
);

const Softplus = unary(
  2 * flops,
  softplus,
  through((c, g) => c.emit("Mul", [g, c.emit("Sigmoid", [input(c)])])),
);

/** The slope is (1 - |y|)². */
const Softsign = unary(
  3,
  (x) => x / (1 + Math.abs(x)),
  through((c, g) => {
    const root = c.emit("Sub", [scalar(c, g, 1), c.emit("Abs", [output(c)])]);
    return c.emit("Mul", [g, c.emit("Mul", [root, root])]);
  }),
);

/** `g` times one slope where `signed` is positive and another one where it is not. */
const bySign = (c: Emitter, g: string, signed: string, above: number, below: string): string =>
  c.emit("Mul", [g, c.emit("Where", [isAbove(c, signed, 0), scalar(c, g, above), below])]);

export interface AlphaAttributes {
  readonly alpha: number;
}

const alphaOf =
  (fallback: number) =>
  (raw: Attributes): AlphaAttributes =>
    readAttributes(raw, { alpha: float(fallback) });

/** Input or output, whichever can be kept, for operators whose output has the input's sign. */
const signOf = (context: Context<AlphaAttributes>): string =>
  context.attributes.alpha >= 0 ? output(context) : input(context);

const LeakyRelu: OpRule<AlphaAttributes> = unaryWith(
  alphaOf(0.01),
  1,
  (x, { alpha }) => (x < 0 ? alpha * x : x),
  through((c, g) => bySign(c, g, signOf(c), 1, scalar(c, g, c.attributes.alpha))),
);

/** The slope broadcasts to the input, never the other way. */
const PRelu: OpRule<NoAttributes> = binary(
  (x, slope) => (x < 0 ? slope * x : x),
  (c) => {
    const g = c.gradient(0);
    if (g === null) return [null, null];
    const slope = (): string => {
      const negative = c.emit("Min", [input(c), scalar(c, g, 0)]);
      return summedTo(c, c.emit("Mul", [g, negative]), inputShape(c, 1));
    };
    return [
      c.wanted(0) ? bySign(c, g, input(c), 1, input(c, 1)) : null,
      c.wanted(1) ? slope() : null,
    ];
  },
  (x, slope) => {
    requireSameDType(requireFloat(x), slope);
    if (broadcastShape(x.shape, slope.shape).join() === x.shape.join()) return x.dtype;
    throw new ModelError(
      `the slope's shape [${slope.shape}] does not broadcast to the input's [${x.shape}]`,
    );
  },
);

const Elu: OpRule<AlphaAttributes> = unaryWith(
  alphaOf(1),
  flops,
  (x, { alpha }) => (x > 0 ? x : alpha * Math.expm1(x)),
  through((c, g) => {
    const { alpha } = c.attributes;
    const below = plus(c, output(c), alpha);
    // Without a kink the slope is 1 at most.
    if (alpha === 1) return c.emit("Mul", [g, c.emit("Min", [below, scalar(c, g, 1)])]);
    return bySign(c, g, signOf(c), 1, below);
  }),
);

export interface SeluAttributes extends AlphaAttributes {
  readonly gamma: number;
}

const Selu: OpRule<SeluAttributes> = unaryWith(
  (raw) =>
    readAttributes(raw, {
      alpha: float(1.6732631921768188),
      gamma: float(1.0507010221481323),
    }),
  flops,
  (x, { alpha, gamma }) => gamma * (x > 0 ? x : alpha * Math.expm1(x)),
  through((c, g) => {
    const { alpha, gamma } = c.attributes;
    return bySign(c, g, input(c), gamma, plus(c, output(c), alpha * gamma));
  }),
);

export interface LineAttributes extends AlphaAttributes {
  readonly beta: number;
}

const hardSigmoid = (x: number, { alpha, beta }: LineAttributes): number =>
  Math.max(0, Math.min(1, alpha * x + beta));

const HardSigmoid: OpRule<LineAttributes> = unaryWith(
  (raw) => readAttributes(raw, { alpha: float(0.2), beta: float(0.5) }),
  4,
  hardSigmoid,
  through((c, g) => {
    const isBelow = c.emit("Less", [output(c), scalar(c, g, 1)]);
    const isInside = c.emit("And", [isAbove(c, output(c), 0), isBelow]);
    return masked(c, times(c, g, c.attributes.alpha), isInside);
  }),
);

/** HardSwish is its input times this HardSigmoid of it. */
const swishLine: LineAttributes = { alpha: 1 / 6, beta: 0.5 };

const HardSwish = unary(
  5,
  (x) => x * hardSigmoid(x, swishLine),
  through((c, g) => {
    const x = input(c);
    const isInside = c.emit("Less", [c.emit("Abs", [x]), scalar(c, g, 3)]);
    const line = times(c, masked(c, x, isInside), swishLine.alpha);
    const factor = c.emit("HardSigmoid", [x], { ...swishLine });
    return c.emit("Mul", [g, c.emit("Add", [factor, line])]);
  }),
);

const ThresholdedRelu: OpRule<AlphaAttributes> = unaryWith(
  alphaOf(1),
  1,
  (x, { alpha }) => (x > alpha ? x : 0),
  through((c, g) => masked(c, g, isAbove(c, input(c), c.attributes.alpha))),
);

export interface ShrinkAttributes {
  readonly lambd: number;
  readonly bias: number;
}

const Shrink: OpRule<ShrinkAttributes> = unaryWith(
  (raw) => readAttributes(raw, { lambd: float(0.5), bias: float(0) }),
  2,
  (x, { lambd, bias }) => (x < -lambd ? x + bias : x > lambd ? x - bias : 0),
  through((c, g) => masked(c, g, isAbove(c, c.emit("Abs", [input(c)]), c.attributes.lambd))),
);

const writtenOut = "it is written out in other operators before";

/** An operator of one input that is written out in others. */
const lowered = <A>(
  attributes: (raw: Attributes) => A,
  flopsPerElement: number,
  f: (x: number, attributes: A) => number,
  write: (context: Emitter, x: string, attributes: A) => string,
): OpRule<A> => ({
  ...unaryWith<A>(attributes, flopsPerElement, f, writtenOut as Gradient<A>),
  lower: (context) => [write(context, context.inputs[0] as string, context.attributes)],
});

export interface GeluAttributes {
  readonly approximate: "none" | "tanh";
}

/** √(2/π) and the weight of x³ in the approximation by tanh. */
const [geluScale, geluCube] = [Math.sqrt(2 / Math.PI), 0.044715];

const Gelu: OpRule<GeluAttributes> = lowered(
  (raw) => readAttributes(raw, { approximate: word("none", "tanh") }),
  12,
  (x, { approximate }) =>
    approximate === "none"
      ? 0.5 * x * (1 + erf(x / Math.SQRT2))
      : 0.5 * x * (1 + Math.tanh(geluScale * (x + geluCube * x ** 3))),
  (c, x, { approximate }) => {
    const half = times(c, x, 0.5);
    if (approximate === "none") {
      const share = plus(c, c.emit("Erf", [times(c, x, Math.SQRT1_2)]), 1);
      return c.emit("Mul", [half, share]);
    }
    // The polynomial as x (a + b x²).
    const square = times(c, c.emit("Mul", [x, x]), geluScale * geluCube);
    const inner = c.emit("Mul", [x, plus(c, square, geluScale)]);
    return c.emit("Mul", [half, plus(c, c.emit("Tanh", [inner]), 1)]);
  },
);

/**
 * With s the sigmoid of x and u = s (2 - s), the tanh of softplus is u / (2 - u): no exponent
 * overflows, nothing cancels, and onnxruntime's Softplus alone would take longer.
 */
const Mish: OpRule<NoAttributes> = lowered(
  noAttributes,
  12,
  (x) => x * Math.tanh(softplus(x)),
  (c, x) => {
    const restOf = (value: string): string => c.emit("Sub", [scalar(c, value, 2), value]);
    const s = c.emit("Sigmoid", [x]);
    const u = c.emit("Mul", [s, restOf(s)]);
    return c.emit("Mul", [x, c.emit("Div", [u, restOf(u)])]);
  },
);

/** As ONNX defines it, by Elu: runtimes have a kernel of its own for float32 alone. */
const Celu: OpRule<AlphaAttributes> = lowered(
  (raw) => {
    const attributes = alphaOf(1)(raw);
    if (attributes.alpha !== 0) return attributes;
    throw new ModelError("attribute alpha: got 0; allowed: any other number");
  },
  flops + 2,
  (x, { alpha }) => Math.max(0, x) + Math.min(0, alpha * Math.expm1(x / alpha)),
  (c, x, { alpha }) => times(c, c.emit("Elu", [times(c, x, 1 / alpha)]), alpha),
);

const Swish: OpRule<AlphaAttributes> = lowered(
  alphaOf(1),
  flops + 2,
  (x, { alpha }) => x * sigmoid(alpha * x),
  (c, x, { alpha }) => c.emit("Mul", [x, c.emit("Sigmoid", [times(c, x, alpha)])]),
);

/** Operators of this family. */
export const activationOps = {
  Relu,
  Sigmoid,
  Tanh,
  Softplus,
  Softsign,
  LeakyRelu,
  PRelu,
  Elu,
  Selu,
  HardSigmoid,
  HardSwish,
  ThresholdedRelu,
  Shrink,
  Celu,
  Gelu,
  Mish,
  Swish,
};
