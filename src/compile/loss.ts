/**
 * Losses: from a model's output and labels to a mean loss, its gradient and a count of right
 * answers. Formulas and means are PyTorch's.
 */
import { ModelError } from "../base/errors.ts";
import {
  type DType,
  elementCount,
  formatType,
  int64,
  type TensorType,
  tensor,
} from "../base/tensor.ts";
import type { GraphBuilder } from "./builder.ts";
import type { Graph } from "./graph.ts";
import { castCode } from "./ops/elementwise.ts";
import { integerList, scalar } from "./ops/gradients.ts";
import type { OpName } from "./ops/table.ts";

/** Losses by the names that jobs have for them. */
export type LossName =
  | "softmax-cross-entropy"
  | "binary-cross-entropy"
  | "mean-squared-error"
  | "mean-absolute-error"
  | "huber"
  | "cosine"
  | "kl-divergence"
  | "info-nce"
  | "mean-output";

/** A loss with its settings; those that it does not know are left alone. */
export interface LossSpec {
  readonly kind: LossName;
  /** Weight of each class, in the order of their numbers; null where all count alike. */
  readonly classWeights: readonly number[] | null;
  /** Share of the target that is spread evenly over all classes (Szegedy et al. 2016). */
  readonly labelSmoothing: number;
  /** Label of samples that do not count; null where all do. */
  readonly ignoreLabel: number | null;
  /** Where Huber's loss turns from a square to a line. */
  readonly delta: number;
  /** Divides the similarities of the contrastive loss. */
  readonly temperature: number;
  /**
   * What one step of a whole-number label is worth to a loss between numbers (half a star: 0.5), for
   * models that answer with one number; null where labels are of the output's own type.
   */
  readonly labelUnit: number | null;
}

/** Every setting's default. */
const lossDefaults = {
  classWeights: null,
  labelSmoothing: 0,
  ignoreLabel: null,
  delta: 1,
  temperature: 0.1,
  labelUnit: null,
} as const satisfies Omit<LossSpec, "kind">;

/** One loss with its settings. */
export interface LossRule {
  /** Operators that a model must not end in, because the loss does their work itself. */
  readonly includes: readonly OpName[];
  /** Type of the labels for an output of this type. @throws ModelError when the output does not fit */
  labels(output: TensorType): TensorType;
  /** How many classes labels for such an output may be of; null where they are no classes. */
  classes(output: TensorType): number | null;
  /**
   * Emits the loss, a scalar, mean over the batch, and its gradient in the output where that is
   * shorter in closed form than by differentiating; else null.
   */
  loss(
    builder: GraphBuilder,
    output: string,
    labels: string,
  ): { loss: string; gradient: string | null };
  /** Emits how many samples are answered right, a float32 scalar; null where there is no right and wrong. */
  correct(builder: GraphBuilder, output: string, labels: string): string | null;
}

const total = (builder: GraphBuilder, x: string): string =>
  builder.emit("ReduceSum", [x], { keepdims: 0 });

/** Mean over all elements. */
const mean = (builder: GraphBuilder, x: string): string =>
  builder.emit("ReduceMean", [x], { keepdims: 0 });

const times = (builder: GraphBuilder, x: string, factor: number): string =>
  builder.emit("Mul", [x, scalar(builder, x, factor)]);

const cast = (builder: GraphBuilder, x: string, dtype: DType): string =>
  builder.emit("Cast", [x], { to: castCode(dtype) });

const last = (shape: readonly number[]): number => shape.at(-1) ?? 1;

/**
 * Cross-entropy of softmax(logits [..., C]) against class numbers int64 [...]: the mean of
 * -sum_c t_c log softmax(x)_c over targets t, weighted by the label's class weight. Its gradient
 * is (softmax(x) sum(t) - t) / sum of weights.
 */
function softmaxCrossEntropy(spec: LossSpec): LossRule {
  return {
    includes: ["Softmax", "LogSoftmax"],
    labels(output) {
      const classes = last(output.shape);
      if (output.shape.length < 2) {
        throw new ModelError(
          `softmax-cross-entropy takes logits [batch, classes], got ${formatType(output)}`,
        );
      }
      const { classWeights } = spec;
      if (classWeights !== null && classWeights.length !== classes) {
        throw new ModelError(`${classWeights.length} class weights for ${classes} classes`);
      }
      return { dtype: "int64", shape: output.shape.slice(0, -1) };
    },
    classes: ({ shape }) => last(shape),
    loss(builder, output, labels) {
      const target = classTargets(builder, spec, output, labels);
      const logSoftmax = builder.emit("LogSoftmax", [output], { axis: -1 });
      const sum = total(builder, builder.emit("Mul", [logSoftmax, target.rows]));
      const softmax = builder.emit("Exp", [logSoftmax]);
      const expected = target.sums === null ? softmax : builder.emit("Mul", [softmax, target.sums]);
      const difference = builder.emit("Sub", [expected, target.rows]);
      return {
        loss: builder.emit("Div", [builder.emit("Neg", [sum]), target.count]),
        gradient: builder.emit("Div", [difference, target.count]),
      };
    },
    correct(builder, output, labels) {
      const answers = builder.emit("ArgMax", [output], { axis: -1, keepdims: 0 });
      const right = cast(builder, builder.emit("Equal", [answers, labels]), "float32");
      // Where a sample has many labels (a text's next words), each counts as a share of it.
      const perSample = elementCount(builder.type(labels).shape.slice(1));
      const count = total(builder, right);
      return perSample === 1 ? count : times(builder, count, 1 / perSample);
    },
  };
}

/**
 * Targets of a cross-entropy: rows [..., C], the sum of each row [..., 1] (null where all are 1),
 * and the sum of the labels' weights.
 */
function classTargets(
  builder: GraphBuilder,
  { classWeights, labelSmoothing, ignoreLabel }: LossSpec,
  output: string,
  labels: string,
): { rows: string; sums: string | null; count: string } {
  const { dtype, shape } = builder.type(output);
  const classes = last(shape);
  const numbers = Array.from({ length: classes }, (_, i) => i);
  const column = builder.emit("Unsqueeze", [labels, integerList(builder, [-1])]);
  const matches = builder.emit("Equal", [column, builder.constant(int64([classes], numbers))]);
  const oneHot = cast(builder, matches, dtype);
  const samples = elementCount(shape) / classes;
  const plain = scalar(builder, output, samples);
  if (classWeights === null && labelSmoothing === 0 && ignoreLabel === null) {
    return { rows: oneHot, sums: null, count: plain };
  }
  const weights = tensor("float32", [classes], Float32Array.from(classWeights ?? numbers.fill(1)));
  const weight = builder.constant(weights);
  const weighted = builder.emit("Mul", [oneHot, weight]);
  let rows = weighted;
  let own = builder.emit("ReduceSum", [weighted, integerList(builder, [-1])], { keepdims: 1 });
  if (labelSmoothing !== 0) {
    const spread = times(builder, weight, labelSmoothing / classes);
    rows = builder.emit("Add", [times(builder, weighted, 1 - labelSmoothing), spread]);
  }
  if (ignoreLabel !== null) {
    const ignored = builder.constant(int64([], [ignoreLabel]));
    const isIgnored = builder.emit("Equal", [column, ignored]);
    const counts = cast(builder, builder.emit("Not", [isIgnored]), dtype);
    rows = builder.emit("Mul", [rows, counts]);
    own = builder.emit("Mul", [own, counts]);
  }
  const sums = builder.emit("ReduceSum", [rows, integerList(builder, [-1])], { keepdims: 1 });
  return { rows, sums, count: total(builder, own) };
}

/** Losses between an output and a target of its own type, element by element, mean over all. */
const elementwise = (
  includes: readonly OpName[],
  perElement: (builder: GraphBuilder, output: string, labels: string) => string,
  correct: LossRule["correct"] = () => null,
): LossRule => ({
  includes,
  labels: ({ dtype, shape }) => ({ dtype, shape }),
  classes: () => null,
  loss: (builder, output, labels) => ({
    loss: mean(builder, perElement(builder, output, labels)),
    gradient: null,
  }),
  correct,
});

/**
 * Binary cross-entropy of sigmoid(x) against t in 0..1: softplus(x) - t x, written so that
 * no exponential overflows: max(x, 0) + log(1 + exp(-|x|)) - t x.
 */
const manyBinary = elementwise(
  ["Sigmoid"],
  (builder, x, t) => {
    const away = builder.emit("Neg", [builder.emit("Abs", [x])]);
    const small = builder.emit("Log", [
      builder.emit("Add", [builder.emit("Exp", [away]), scalar(builder, x, 1)]),
    ]);
    const soft = builder.emit("Add", [builder.emit("Relu", [x]), small]);
    return builder.emit("Sub", [soft, builder.emit("Mul", [x, t])]);
  },
  (builder, x, t) => {
    const says = builder.emit("Greater", [x, scalar(builder, x, 0)]);
    const is = builder.emit("Greater", [t, scalar(builder, t, 0.5)]);
    const right = cast(builder, builder.emit("Equal", [says, is]), "float32");
    const perSample = elementCount(builder.type(x).shape.slice(1));
    return times(builder, total(builder, right), 1 / perSample);
  },
);

/** With one number for each sample, so have labels: a class, 0 or 1, or a count of units. */
const isOneNumber = (shape: readonly number[]): boolean =>
  shape.length === 1 || (shape.length === 2 && shape[1] === 1);

/** Whole-number labels as targets of the output's type. */
function numberTargets(builder: GraphBuilder, output: string, labels: string): string {
  const { dtype, shape } = builder.type(output);
  return builder.emit("Reshape", [cast(builder, labels, dtype), integerList(builder, shape)]);
}

/** Class numbers as targets where there is one logit; else the labels are targets themselves. */
const binaryTargets = (builder: GraphBuilder, output: string, labels: string): string =>
  isOneNumber(builder.type(output).shape) ? numberTargets(builder, output, labels) : labels;

const binaryCrossEntropy: LossRule = {
  includes: manyBinary.includes,
  labels: ({ dtype, shape }) =>
    isOneNumber(shape) ? { dtype: "int64", shape: shape.slice(0, 1) } : { dtype, shape },
  classes: ({ shape }) => (isOneNumber(shape) ? 2 : null),
  loss: (builder, output, labels) =>
    manyBinary.loss(builder, output, binaryTargets(builder, output, labels)),
  correct: (builder, output, labels) =>
    manyBinary.correct(builder, output, binaryTargets(builder, output, labels)),
};

/** A loss between numbers, of which labels may be whole multiples of a unit. */
const betweenNumbers =
  (perElement: (spec: LossSpec) => Parameters<typeof elementwise>[1]) =>
  (spec: LossSpec): LossRule => {
    const rule = elementwise([], perElement(spec));
    const { kind, labelUnit } = spec;
    if (labelUnit === null) return rule;
    return {
      ...rule,
      labels(output) {
        if (isOneNumber(output.shape)) return { dtype: "int64", shape: output.shape.slice(0, 1) };
        throw new ModelError(
          `${kind} with labelUnit takes one number for each sample, got ${formatType(output)}`,
        );
      },
      loss(builder, output, labels) {
        const targets = times(builder, numberTargets(builder, output, labels), labelUnit);
        return rule.loss(builder, output, targets);
      },
    };
  };

const meanSquaredError = betweenNumbers(() => (builder, x, t) => {
  const difference = builder.emit("Sub", [x, t]);
  return builder.emit("Mul", [difference, difference]);
});

const meanAbsoluteError = betweenNumbers(
  () => (builder, x, t) => builder.emit("Abs", [builder.emit("Sub", [x, t])]),
);

/** Huber 1964: d²/2 up to `delta`, then delta (|d| - delta/2): with m = min(|d|, delta), m (|d| - m/2). */
const huber = betweenNumbers(({ delta }) => (builder, x, t) => {
  const distance = builder.emit("Abs", [builder.emit("Sub", [x, t])]);
  const near = builder.emit("Min", [distance, scalar(builder, distance, delta)]);
  const rest = builder.emit("Sub", [distance, times(builder, near, 0.5)]);
  return builder.emit("Mul", [near, rest]);
});

const requireRows = (loss: string, output: TensorType): TensorType => {
  if (output.shape.length === 2) return output;
  throw new ModelError(`${loss} takes rows [batch, size], got ${formatType(output)}`);
};

/** Rows of Euclidean norm 1; the floor is PyTorch's for cosine similarity. */
function unitRows(builder: GraphBuilder, x: string): string {
  const norm = builder.emit("ReduceL2", [x], { axes: [1], keepdims: 1 });
  return builder.emit("Div", [x, builder.emit("Max", [norm, scalar(builder, norm, 1e-8)])]);
}

/** Mean over the batch of 1 - cos of the angle between the row and the target row. */
const cosine: LossRule = {
  includes: [],
  labels: (output) => requireRows("cosine", output),
  classes: () => null,
  loss(builder, output, labels) {
    const product = builder.emit("Mul", [unitRows(builder, output), unitRows(builder, labels)]);
    const batch = builder.type(output).shape[0] ?? 1;
    const similarity = times(builder, total(builder, product), 1 / batch);
    return {
      loss: builder.emit("Sub", [scalar(builder, similarity, 1), similarity]),
      gradient: null,
    };
  },
  correct: () => null,
};

/** Below this a probability counts as zero in p log p. */
const probabilityMin = 1e-30;

/**
 * Kullback-Leibler divergence of softmax(logits [N, C]) from probabilities [N, C], mean over N:
 * sum t (log t - log softmax(x)).
 */
const klDivergence: LossRule = {
  includes: ["Softmax", "LogSoftmax"],
  labels: (output) => requireRows("kl-divergence", output),
  classes: () => null,
  loss(builder, output, labels) {
    const logSoftmax = builder.emit("LogSoftmax", [output], { axis: 1 });
    const floor = scalar(builder, labels, probabilityMin);
    const logTarget = builder.emit("Log", [builder.emit("Max", [labels, floor])]);
    const difference = builder.emit("Sub", [logTarget, logSoftmax]);
    const sum = total(builder, builder.emit("Mul", [labels, difference]));
    const batch = builder.type(output).shape[0] ?? 1;
    return { loss: times(builder, sum, 1 / batch), gradient: null };
  },
  correct: () => null,
};

/**
 * InfoNCE (van den Oord et al. 2018) between rows [N, D] and the rows of the other view: each
 * row is to be nearer, by cosine over the temperature, to its own partner than to those of
 * the rest of the batch.
 */
const infoNce = ({ temperature }: LossSpec): LossRule => {
  const similarities = (builder: GraphBuilder, output: string, labels: string): string => {
    const partners = builder.emit("Transpose", [unitRows(builder, labels)], { perm: [1, 0] });
    const cosines = builder.emit("MatMul", [unitRows(builder, output), partners]);
    return times(builder, cosines, 1 / temperature);
  };
  const ownNumbers = (builder: GraphBuilder, output: string): string => {
    const batch = builder.type(output).shape[0] ?? 1;
    return builder.constant(
      int64(
        [batch],
        Array.from({ length: batch }, (_, i) => i),
      ),
    );
  };
  const entropy = softmaxCrossEntropy(lossSpec("softmax-cross-entropy"));
  return {
    includes: [],
    labels: (output) => requireRows("info-nce", output),
    classes: () => null,
    loss(builder, output, labels) {
      const logits = similarities(builder, output, labels);
      const { loss } = entropy.loss(builder, logits, ownNumbers(builder, output));
      return { loss, gradient: null };
    },
    correct(builder, output, labels) {
      const logits = similarities(builder, output, labels);
      return entropy.correct(builder, logits, ownNumbers(builder, output));
    },
  };
};

/**
 * The mean of what the model gives, for models that compute a loss of each sample themselves. The
 * labels are not looked at; there is one for each sample, as data have them.
 */
const meanOutput: LossRule = {
  includes: [],
  labels: ({ shape }) => ({ dtype: "int64", shape: shape.slice(0, 1) }),
  classes: () => null,
  loss: (builder, output) => ({ loss: mean(builder, output), gradient: null }),
  correct: () => null,
};

/** Every loss by its name in a job. */
const losses: { readonly [Name in LossName]: (spec: LossSpec) => LossRule } = {
  "softmax-cross-entropy": softmaxCrossEntropy,
  "binary-cross-entropy": () => binaryCrossEntropy,
  "mean-squared-error": meanSquaredError,
  "mean-absolute-error": meanAbsoluteError,
  huber,
  cosine: () => cosine,
  "kl-divergence": () => klDivergence,
  "info-nce": infoNce,
  "mean-output": () => meanOutput,
};

/** Names of all losses. */
export const lossNames = Object.keys(losses) as LossName[];

/** A loss with these settings, the rest by default. */
export const lossSpec = (kind: LossName, settings: Partial<LossSpec> = {}): LossSpec => ({
  ...lossDefaults,
  ...settings,
  kind,
});

/** A loss by its settings. */
export const lossRule = (spec: LossSpec): LossRule => losses[spec.kind](spec);

/**
 * Emits a loss.
 * @returns the loss and what to start differentiation with: a value and its known gradient
 */
export function emitLoss(
  builder: GraphBuilder,
  spec: LossSpec,
  { output, labels }: { readonly output: string; readonly labels: string },
): { loss: string; seeds: ReadonlyMap<string, string> } {
  const { loss, gradient } = lossRule(spec).loss(builder, output, labels);
  const seeds = new Map(
    gradient === null ? [[loss, scalar(builder, loss, 1)]] : [[output, gradient]],
  );
  return { loss, seeds };
}

/**
 * Checks that a model ends where the loss begins.
 * @throws ModelError when the model's last operator is part of the loss already
 */
export function requireEnding(graph: Graph, loss: LossSpec): void {
  const last = graph.nodes.find((node) => node.outputs.includes(graph.outputs[0] ?? ""));
  if (last === undefined || !lossRule(loss).includes.includes(last.op)) return;
  throw new ModelError(
    `the model ends in ${last.op}, which ${loss.kind} does itself: export it without its last operator`,
    { node: last.name, operator: last.op },
  );
}
