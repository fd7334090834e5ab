/**
 * The model as a worker holds it: structure received, parsed, verified and
 * compiled here. Bytes from the network never reach the engine; only programs
 * that this compiler emitted do.
 */
import { segmentCosts } from "../../compile/cost.ts";
import { evaluateProgram } from "../../compile/evaluate-program.ts";
import { type Graph, isTrained } from "../../compile/graph.ts";
import { readOnnx } from "../../compile/onnx/read.ts";
import { type Program, type StagePrograms, stagePrograms } from "../../compile/program.ts";
import type { Segment, SegmentCost } from "../../compile/segment.ts";
import { specialize } from "../../compile/specialize.ts";
import { type TrainingModel, trainingModel } from "../../compile/training-model.ts";
import { dataFrameBytesMax } from "../frame-limits.ts";
import { UpdateCoding } from "../update-coding.ts";
import type { JobSpec } from "../wire/messages.ts";

/** How a stage is run, where that is not as the job says. */
interface StageManner {
  readonly isReplayed?: boolean;
  readonly isMerged?: boolean;
  readonly microBatches?: number;
  readonly isJoined?: boolean;
}

export class WorkerModel {
  readonly #structure: Graph;
  readonly #model: TrainingModel;
  readonly #job: JobSpec;
  readonly #stages = new Map<string, StagePrograms>();
  readonly #evaluations = new Map<number, Program>();
  /** Names of the parameters that updates move. */
  readonly trained: ReadonlySet<string>;
  /** How what is trained travels home. */
  readonly updates: UpdateCoding;
  #costs: readonly SegmentCost[] | null = null;

  /** @throws ModelError when the structure cannot be read or trained. */
  constructor(structure: Uint8Array, job: JobSpec) {
    this.#structure = readOnnx(structure).graph;
    this.#model = trainingModel(this.#structure, job);
    this.#job = job;
    const parameters = this.segments.flatMap((segment) => segment.parameters);
    this.trained = new Set(parameters.filter(isTrained).map(({ name }) => name));
    this.updates = new UpdateCoding(this.segments, job);
  }

  get segments(): readonly Segment[] {
    return this.#model.segments;
  }

  /** Columns of the samples that each segment takes, where parties hold different ones; else none. */
  get takenColumns(): readonly (readonly number[])[] {
    return this.segments.map(({ taken }) => taken?.columns ?? []);
  }

  /** Largest frame, in bytes, that comes from a neighbour: over a border, or of an exchange. */
  get dataFrameBytesMax(): number {
    return dataFrameBytesMax(this.costs, this.trained.size);
  }

  /**
   * Programs of the stage [from, to).
   * @param isReplayed whether backward computes forward once more, whatever the job says of memory
   * @param isMerged whether several chains' batches make an update
   * @param microBatches batches to an update; the job's number where absent
   * @param isJoined whether others join in it
   */
  stage(
    from: number,
    to: number,
    {
      isReplayed = false,
      isMerged = false,
      isJoined = false,
      microBatches: accumulate = this.#job.optimizer.accumulate,
    }: StageManner = {},
  ): StagePrograms {
    const recompute = isReplayed || this.#job.recompute;
    // How many batches an update takes is nothing to programs that are told their mean.
    const perUpdate = isJoined ? 1 : accumulate;
    const key = [from, to, recompute, isMerged, isJoined, perUpdate].join(" ");
    let programs = this.#stages.get(key);
    if (programs === undefined) {
      programs = stagePrograms(this.#model.graph, this.segments, from, to, {
        ...this.#job,
        ...{ recompute, isMerged, isJoined },
        optimizer: { ...this.#job.optimizer, accumulate: perUpdate },
      });
      const { backward } = programs;
      if (backward !== null && recompute && !this.#job.recompute) {
        programs = { ...programs, backward: { ...backward, replays: true } };
      }
      this.#stages.set(key, programs);
    }
    return programs;
  }

  /** What the segments cost. */
  get costs(): readonly SegmentCost[] {
    this.#costs ??= segmentCosts(this.#model.graph, this.segments, this.#job);
    return this.#costs;
  }

  /** One stage per segment, for the probe. */
  probePrograms(): readonly StagePrograms[] {
    return this.segments.map((_, index) => this.stage(index, index + 1));
  }

  /** The whole model with loss and count of right answers, for batches of `size`. */
  evaluation(size: number): Program {
    const known = this.#evaluations.get(size);
    if (known !== undefined) return known;
    const program = evaluateProgram(specialize(this.#structure, { batch: size }), this.#job);
    this.#evaluations.set(size, program);
    return program;
  }
}
