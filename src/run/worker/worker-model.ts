/**
 * The model as a worker holds it: structure received, parsed, verified and
 * compiled here. Bytes from the network never reach the engine; only programs
 * that this compiler emitted do.
 */
import type { Graph } from "../../compile/graph.ts";
import type { LossName } from "../../compile/loss.ts";
import { readOnnx } from "../../compile/onnx/read.ts";
import type { OptimizerSpec } from "../../compile/optimizer.ts";
import {
  evaluateProgram,
  type Program,
  type StagePrograms,
  stagePrograms,
} from "../../compile/program.ts";
import { type Segment, segmentModel } from "../../compile/segment.ts";
import { specialize } from "../../compile/specialize.ts";
import type { JobSpec } from "../wire/messages.ts";

export class WorkerModel {
  readonly segments: readonly Segment[];
  readonly #structure: Graph;
  readonly #graph: Graph;
  readonly #loss: LossName;
  readonly #optimizer: OptimizerSpec;
  readonly #stages = new Map<string, StagePrograms>();

  /** @throws ModelError when the structure cannot be read or trained. */
  constructor(structure: Uint8Array, job: JobSpec) {
    this.#structure = readOnnx(structure).graph;
    this.#graph = specialize(this.#structure, { batch: job.batch });
    this.segments = segmentModel(this.#graph);
    this.#loss = job.loss;
    this.#optimizer = job.optimizer;
  }

  /** Programs of the stage [from, to). */
  stage(from: number, to: number): StagePrograms {
    const key = `${from}-${to}`;
    let programs = this.#stages.get(key);
    if (programs === undefined) {
      programs = stagePrograms(this.#graph, this.segments, from, to, {
        loss: this.#loss,
        optimizer: this.#optimizer,
      });
      this.#stages.set(key, programs);
    }
    return programs;
  }

  /** One stage per segment, for the probe. */
  probePrograms(): readonly StagePrograms[] {
    return this.segments.map((_, index) => this.stage(index, index + 1));
  }

  /** The whole model with loss and count of right answers, for batches of `size`. */
  evaluation(size: number): Program {
    return evaluateProgram(specialize(this.#structure, { batch: size }), { loss: this.#loss });
  }
}
