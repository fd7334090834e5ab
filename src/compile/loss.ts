/** Losses: from a model's output and labels to a mean loss, its gradient and a count of right answers. */
import { ModelError } from "../base/errors.ts";
import { formatType, int64, type TensorType } from "../base/tensor.ts";
import type { GraphBuilder } from "./builder.ts";
import type { Graph } from "./graph.ts";
import { castCode } from "./ops/elementwise.ts";
import { integerList, scalar } from "./ops/gradients.ts";
import type { OpName } from "./ops/table.ts";

/** One loss. Gradients are written in closed form where that is shorter than differentiating. */
export interface LossRule {
  /** Operators that a model must not end in, because the loss does their work itself. */
  readonly includes: readonly OpName[];
  /** Type of the labels for an output of this type. @throws ModelError when the output does not fit */
  labels(output: TensorType): TensorType;
  /** Emits the loss, float32 scalar, mean over the batch, and its gradient in the output. */
  loss(builder: GraphBuilder, output: string, labels: string): { loss: string; gradient: string };
  /** Emits how many samples are answered right, a float32 scalar. */
  correct(builder: GraphBuilder, output: string, labels: string): string;
}

/**
 * Cross-entropy of softmax(logits [N, C]) against class numbers int64 [N], mean
 * over N: -log softmax(x)[label]; its gradient is (softmax(x) - onehot(label)) / N.
 */
const softmaxCrossEntropy: LossRule = {
  includes: ["Softmax", "LogSoftmax"],
  labels(output) {
    const [batch] = output.shape;
    if (output.shape.length !== 2 || batch === undefined) {
      throw new ModelError(
        `softmax-cross-entropy takes logits [batch, classes], got ${formatType(output)}`,
      );
    }
    return { dtype: "int64", shape: [batch] };
  },
  loss(builder, output, labels) {
    const [batch = 1, classes = 1] = builder.type(output).shape;
    const numbers = builder.constant(
      int64(
        [1, classes],
        Array.from({ length: classes }, (_, i) => i),
      ),
    );
    const column = builder.emit("Reshape", [labels, integerList(builder, [batch, 1])]);
    const matches = builder.emit("Equal", [column, numbers]);
    const oneHot = builder.emit("Cast", [matches], { to: castCode(builder.type(output).dtype) });
    const logSoftmax = builder.emit("LogSoftmax", [output], { axis: 1 });
    const picked = builder.emit("Mul", [logSoftmax, oneHot]);
    const sum = builder.emit("ReduceSum", [picked, integerList(builder, [0, 1])], { keepdims: 0 });
    const loss = builder.emit("Mul", [sum, scalar(builder, output, -1 / batch)]);
    const softmax = builder.emit("Exp", [logSoftmax]);
    const difference = builder.emit("Sub", [softmax, oneHot]);
    const gradient = builder.emit("Mul", [difference, scalar(builder, output, 1 / batch)]);
    return { loss, gradient };
  },
  correct(builder, output, labels) {
    const answers = builder.emit("ArgMax", [output], { axis: 1, keepdims: 0 });
    const right = builder.emit("Equal", [answers, labels]);
    const counted = builder.emit("Cast", [right], { to: castCode("float32") });
    return builder.emit("ReduceSum", [counted, integerList(builder, [0])], { keepdims: 0 });
  },
};

/** Every loss by its name in a job. */
export const losses = {
  "softmax-cross-entropy": softmaxCrossEntropy,
} as const satisfies Record<string, LossRule>;

export type LossName = keyof typeof losses;
export const lossNames = Object.keys(losses) as LossName[];

/**
 * Checks that a model ends where the loss begins.
 * @throws ModelError when the model's last operator is part of the loss already
 */
export function requireEnding(graph: Graph, loss: LossName): void {
  const last = graph.nodes.find((node) => node.outputs.includes(graph.outputs[0] ?? ""));
  if (last === undefined || !losses[loss].includes.includes(last.op)) return;
  throw new ModelError(
    `the model ends in ${last.op}, which ${loss} does itself: export it without its last operator`,
    { node: last.name, operator: last.op },
  );
}
