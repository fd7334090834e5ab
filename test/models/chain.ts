/** A model's stages in a row on one engine, split where one likes. */
import { present } from "../../src/base/assert.ts";
import {
  cloneTensor,
  type DenseTensor,
  dense,
  float32,
  type Tensor,
  zeros,
} from "../../src/base/tensor.ts";
import type { Weights } from "../../src/compile/graph.ts";
import {
  type Port,
  type Program,
  type StagePrograms,
  stagePrograms,
  type TrainingSpec,
} from "../../src/compile/program.ts";
import type { TrainingModel } from "../../src/compile/training-model.ts";
import type { Engine } from "../../src/run/host.ts";

/** One batch. */
export interface ChainBatch {
  readonly feature: DenseTensor;
  readonly labels: DenseTensor;
}

/** Stages [0, cuts[0]), [cuts[0], cuts[1]), ..., and every tensor that they have by now. */
export class Chain {
  readonly #engine: Engine;
  readonly #stages: readonly StagePrograms[];
  readonly #values = new Map<string, DenseTensor>();

  constructor(
    engine: Engine,
    { graph, segments }: TrainingModel,
    cuts: readonly number[],
    setup: {
      readonly spec: TrainingSpec;
      readonly weights: Weights;
      readonly learningRate: number;
    },
  ) {
    this.#engine = engine;
    const ends = [...cuts, segments.length];
    this.#stages = ends.map((end, i) =>
      stagePrograms(graph, segments, ends[i - 1] ?? 0, end, setup.spec),
    );
    for (const [name, value] of setup.weights) this.#values.set(`parameter ${name}`, value);
    this.#values.set("learningRate", float32([], [setup.learningRate]));
  }

  /** Forward and backward through all stages; returns the loss. */
  async pass({ feature, labels }: ChainBatch): Promise<number> {
    this.#values.set("labels", labels);
    for (const [i, { forward, step }] of this.#stages.entries()) {
      const program = present(forward ?? step, "a program");
      const entering = program.inputs.find(({ role }) => role === "feature");
      if (i === 0) this.#values.set(keyOf(present(entering, "the model's input")), feature);
      await this.#run(program);
    }
    for (const { backward } of this.#stages.toReversed()) {
      if (backward !== null) await this.#run(backward);
    }
    return Number(present(this.#values.get("loss"), "a loss").data[0]);
  }

  /** A pass that moves the parameters. */
  async train(batch: ChainBatch): Promise<number> {
    const loss = await this.pass(batch);
    for (const { update } of this.#stages) if (update !== null) await this.#run(update);
    return loss;
  }

  /** What there is of a kind by name: values that crossed a border, gradients of parameters. */
  all(role: "feature" | "parameterGradient"): Map<string, DenseTensor> {
    return new Map(
      [...this.#values].flatMap(([key, value]) =>
        key.startsWith(`${role} `) ? [[key.slice(role.length + 1), value]] : [],
      ),
    );
  }

  async #run(program: Program): Promise<void> {
    const feeds = new Map<string, Tensor>();
    for (const port of program.inputs) {
      const isEmpty =
        (port.role === "parameterGradient" && program.kind !== "update") ||
        (port.role === "state" && !this.#values.has(keyOf(port)));
      const value = isEmpty ? zeros(port) : present(this.#values.get(keyOf(port)), keyOf(port));
      feeds.set(port.name, cloneTensor(value));
    }
    await this.#engine.load([program]);
    const fetch = [...new Set(program.outputs.map(({ name }) => name))];
    const run = { program: program.id, feeds, keep: new Map(), fetch };
    const { outputs } = await this.#engine.run(run);
    for (const port of program.outputs) {
      this.#values.set(keyOf(port), dense(present(outputs.get(port.name), port.name)));
    }
  }
}

const single: ReadonlySet<string> = new Set(["labels", "loss", "learningRate"]);

const keyOf = ({ role, of }: Pick<Port, "role" | "of">): string =>
  single.has(role) ? role : `${role} ${of}`;
