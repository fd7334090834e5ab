/** Programs and values for the suite of engines: from an addition to the training of a small network. */
import { expect } from "vitest";
import { random } from "../../src/base/random.ts";
import {
  cloneTensor,
  type DenseTensor,
  elementCount,
  float32,
  int64,
  type Tensor,
  type TensorType,
  zeros,
} from "../../src/base/tensor.ts";
import { GraphBuilder } from "../../src/compile/builder.ts";
import type { Weights } from "../../src/compile/graph.ts";
import { interpret } from "../../src/compile/interpret.ts";
import { lossSpec } from "../../src/compile/loss.ts";
import { optimizerSpec } from "../../src/compile/optimizer.ts";
import type { Port, Program } from "../../src/compile/program.ts";
import { segmentModel } from "../../src/compile/segment.ts";
import { specialize } from "../../src/compile/specialize.ts";
import { Sequential } from "../../src/models/layers.ts";
import type { EngineRun, Slot } from "../../src/run/host.ts";

const batch = 4;
export const spec = {
  loss: lossSpec("softmax-cross-entropy"),
  optimizer: optimizerSpec("sgd", { momentum: 0.9, weightDecay: 5e-4 }),
} as const;

/** Every operator family that training emits, small enough for the interpreter. */
const model = new Sequential("tiny", [1, 10, 10], 7)
  .conv("conv1", 3, { kernel: 3, pad: 1 })
  .maxPool("pool1")
  .relu("relu1")
  .conv("conv2", 10, { kernel: 3 })
  .relu("relu2")
  .conv("conv3", 4, { kernel: 1 })
  .flatten("flatten")
  .linear("fc", 5)
  .model();
export const graph = specialize(model.graph, { batch });
export const segments = segmentModel(graph);

function normal(shape: readonly number[], seed: number): DenseTensor {
  const draw = random(seed);
  return float32(
    shape,
    Array.from({ length: elementCount(shape) }, () => draw.normal()),
  );
}

/** One of five classes for each sample. */
const labelsFor = (shape: readonly number[]): DenseTensor =>
  int64(
    shape,
    Array.from({ length: elementCount(shape) }, (_, i) => (3 * i) % 5),
  );

const scalar = (value: number): DenseTensor => float32([], [value]);

/** A program of the test's own: named inputs, and outputs as `emit` gives them. */
export function program(
  name: string,
  inputs: Readonly<Record<string, TensorType>>,
  emit: (builder: GraphBuilder) => readonly string[],
): Program {
  const builder = new GraphBuilder(name);
  for (const [input, type] of Object.entries(inputs)) builder.input(input, type);
  return programOf(name, builder, { inputs: Object.keys(inputs), outputs: emit(builder) });
}

/** What a builder holds as a program, from the inputs named to the outputs named. */
export function programOf(
  name: string,
  builder: GraphBuilder,
  { inputs, outputs }: { readonly inputs: readonly string[]; readonly outputs: readonly string[] },
): Program {
  const port = (value: string): Port => ({
    name: value,
    role: "feature",
    of: value,
    ...plain(builder.type(value)),
  });
  return {
    id: name,
    kind: "forward",
    from: 0,
    to: 1,
    graph: builder.graph(outputs),
    inputs: inputs.map(port),
    outputs: outputs.map(port),
  };
}

const plain = ({ dtype, shape }: TensorType): TensorType => ({ dtype, shape });

export const three = { dtype: "float32", shape: [3] } as const;
/** sum = a + b, and difference = a - b. */
export const arithmetic = program("arithmetic", { a: three, b: three }, (builder) => [
  builder.emit("Add", ["a", "b"], {}, "sum"),
  builder.emit("Sub", ["a", "b"], {}, "difference"),
]);
export const [sum, difference] = arithmetic.graph.outputs as [string, string];

/** sum of slot "total" and `b`, kept in "total": a counter. */
export const addTo = (total: Slot, b: Tensor): EngineRun => ({
  program: arithmetic.id,
  feeds: new Map<string, Slot | Tensor>([
    ["a", total],
    ["b", b],
  ]),
  keep: new Map([[sum, total]]),
  fetch: [],
});

/** One value per port: a slot's content by the port's outside name, as a worker binds them. */
export class Reference {
  readonly values = new Map<string, DenseTensor>();

  run(stage: Program): void {
    const feeds = new Map<string, DenseTensor>();
    for (const port of stage.inputs) {
      const value = this.values.get(slotOf(port));
      expect(value, `a value for ${port.name}`).toBeDefined();
      feeds.set(port.name, value as DenseTensor);
    }
    const results = interpret(stage.graph, feeds);
    for (const port of stage.outputs) {
      this.values.set(slotOf(port), results.get(port.name) as DenseTensor);
    }
  }
}

export const slotOf = (port: Port): Slot => `stage|${port.role}|${port.of}`;

/** A run with everything in slots: fed, kept, nothing handed back. */
export const inSlots = (stage: Program): EngineRun => ({
  program: stage.id,
  feeds: new Map(stage.inputs.map((port) => [port.name, slotOf(port)])),
  keep: new Map(stage.outputs.map((port) => [port.name, slotOf(port)])),
  fetch: [],
});

/** Initial weights, zero state and a batch for the inputs of some programs of a model. */
export function startValues(
  programs: readonly Program[],
  weights: Weights = model.weights,
): Map<Slot, DenseTensor> {
  const values = new Map<Slot, DenseTensor>();
  for (const port of programs.flatMap(({ inputs }) => inputs)) {
    const weight = weights.get(port.of);
    if (port.role === "parameter") values.set(slotOf(port), cloneTensor(weight as DenseTensor));
    if (port.role === "state") values.set(slotOf(port), zeros(plain(port)));
    if (port.role === "feature" || port.role === "gradient") {
      values.set(slotOf(port), normal(port.shape, values.size));
    }
    if (port.role === "labels") values.set(slotOf(port), labelsFor(port.shape));
    if (port.role === "learningRate") values.set(slotOf(port), scalar(0.1));
  }
  return values;
}

export const copies = (values: ReadonlyMap<Slot, DenseTensor>): Map<Slot, DenseTensor> =>
  new Map([...values].map(([slot, value]) => [slot, cloneTensor(value)]));
