/** What the coordinator derives from job and model once, before anybody joins. */
import { present } from "../../base/assert.ts";
import { InputError } from "../../base/errors.ts";
import { nodeId, type RunId } from "../../base/ids.ts";
import { elementCount, tensor } from "../../base/tensor.ts";
import { segmentCosts } from "../../compile/cost.ts";
import { frozen } from "../../compile/freeze.ts";
import type { Graph, Weights } from "../../compile/graph.ts";
import { writeOnnx } from "../../compile/onnx/write.ts";
import type { OptimizerSpec } from "../../compile/optimizer.ts";
import type { Segment, SegmentCost } from "../../compile/segment.ts";
import { trainingModel } from "../../compile/training-model.ts";
import { batchesBySamples } from "../../plan/batch-shares.ts";
import type { FleetLink, FleetNode, PlanRequest } from "../../plan/plan.ts";
import { frameBytesMaxOf } from "../frame-limits.ts";
import { growthAt } from "../growth.ts";
import type { Frame } from "../host.ts";
import { type Job, jobSpecOf } from "../job.ts";
import { exchangeChoice } from "../job-exchange.ts";
import { joinPolicy } from "../job-join.ts";
import { sharingParties } from "../job-parties.ts";
import type { MemoryRules } from "../link-memory.ts";
import { type RunStarted, recordVersion } from "../metrics/record.ts";
import { type TakenData, takenData } from "../taken-data.ts";
import { UpdateCoding } from "../update-coding.ts";
import { encodeFrame } from "../wire/frame.ts";
import {
  commonVersion,
  type Hello,
  protocolVersions,
  type WelcomeMessage,
} from "../wire/messages.ts";
import { blocksFor } from "./candidates.ts";
import type { RememberedRules } from "./remembered.ts";
import type { RosterRules } from "./roster.ts";

/** Bytes of one int64 label. */
const labelWidth = 8;

const memoryRulesOf = ({ batch, codec: { samples } }: Job): MemoryRules =>
  samples === null ? { batch } : { batch, samples };

export class CompiledJob {
  readonly optimizer: OptimizerSpec;
  readonly segments: readonly Segment[];
  readonly costs: readonly SegmentCost[];
  /** The model without its values, as ONNX bytes. */
  readonly #structure: Uint8Array;
  readonly takes: TakenData;
  /** How what is trained travels home. */
  readonly updates: UpdateCoding;
  /** What the codecs of links may remember. */
  readonly memoryRules: RememberedRules;
  readonly parameterCount: number;
  /** Largest frame, in bytes, that any plan of this job has a worker send: more is refused before it is there. */
  readonly frameBytesMax: number;
  /** Batches after which copies bring what they have come to, as the job says; null where that is to be chosen. */
  readonly interim: number | null;
  readonly #graph: Graph;
  readonly #job: Job;

  /**
   * @throws ModelError when the model cannot be trained as the job says
   * @throws InputError when the job wants devices to keep more segments than the model has
   */
  constructor(job: Job, model: { readonly graph: Graph }) {
    this.#graph = model.graph;
    this.#job = job;
    this.optimizer = job.optimizer;
    this.interim = job.round.interim;
    const structure = frozen(model.graph, job.frozen);
    const { graph, segments } = trainingModel(structure, jobSpecOf(job));
    this.takes = takenData(graph, job);
    refuseFloor(job, segments.length);
    this.segments = segments;
    this.updates = new UpdateCoding(segments, jobSpecOf(job));
    this.costs = segmentCosts(graph, segments, job);
    this.memoryRules = { ...memoryRulesOf(job), costs: this.costs };
    this.#structure = writeOnnx(structure);
    this.frameBytesMax = frameBytesMaxOf(this.costs, graph.parameters.length, {
      devices: job.fleet.devices.length,
      batches: job.localBatches,
      ...{ batch: job.batch, samples: job.codec.samples ?? 0 },
    });
    this.parameterCount = model.graph.parameters.reduce(
      (sum, parameter) => sum + elementCount(parameter.shape),
      0,
    );
  }

  /** Whom the job has a place for, and how they are probed. */
  get places(): Omit<RosterRules, "tickets"> {
    return {
      takes: this.takes,
      parties: sharingParties(this.#job),
      devices: this.#job.fleet.devices.length,
      blocksFor: ({ kind }) => blocksFor(this.#job, kind),
    };
  }

  /** Name of the planner that the job asks for. */
  get planner(): string {
    return this.#job.planner;
  }

  /** The record that opens a run. */
  started(run: RunId): RunStarted {
    const { name, model, planner, seed, rounds, batch, localBatches } = this.#job;
    return {
      type: "run",
      version: recordVersion,
      run,
      name,
      model,
      planner,
      seed,
      rounds,
      batch,
      localBatches,
      parameters: this.parameterCount,
      segments: this.segments.map((segment) => segment.name),
    };
  }

  /**
   * What a worker that has been admitted is told: the job, and the model's structure.
   * @param awaits which rounds the coordinator wants to hear of, where it was away
   */
  welcome(run: RunId, hello: Hello, awaits?: WelcomeMessage["awaits"]): Frame {
    const protocol = present(commonVersion(hello.protocols, protocolVersions), "a version");
    const structure = tensor("uint8", [this.#structure.length], this.#structure);
    return encodeFrame(
      {
        ...{ type: "welcome", protocol, run, node: nodeId(hello.name), job: jobSpecOf(this.#job) },
        ...(awaits !== undefined && { awaits }),
      },
      new Map([["model", structure]]),
    );
  }

  /** What the time of passes depends on beside the node. */
  get passes(): { readonly accumulate: number; readonly recompute: boolean } {
    return { accumulate: this.optimizer.accumulate, recompute: this.#job.recompute };
  }

  /** How many times the job's batches make an update in a round. */
  growthAt(round: number): number {
    return growthAt(this.#job, round);
  }

  /**
   * What a planner is asked for these nodes.
   * @param links ways between them that were measured
   * @param round that the plan is for
   */
  planRequest(
    term: number,
    nodes: readonly FleetNode[],
    links: readonly FleetLink[] = [],
    round = 0,
  ): PlanRequest {
    const { fleet, localBatches, batch, codec, featureReplay } = this.#job;
    const { batches, join } = this.#job.round;
    return {
      term,
      segments: this.costs,
      recompute: this.#job.recompute,
      fleet: {
        nodes: batches === "equal" ? nodes : this.#withBatches(nodes),
        links,
        cellBytesPerMs: fleet.cellBytesPerMs,
      },
      work: localBatches,
      labelBytes: batch * labelWidth,
      codecUp: codec.up,
      codecDown: codec.down,
      codecSamples: codec.samples,
      homeBytes: this.updates.isWhole ? null : this.updates.segmentBytes,
      pipeline: this.#job.pipeline,
      split: this.#job.split,
      featureReplay,
      ...(join === undefined ? {} : { join: joinPolicy(join) }),
      exchange: { ...exchangeChoice(this.#job.exchange), growth: this.growthAt(round) },
      accumulate: this.optimizer.accumulate,
    };
  }

  /** Nodes with data, each with batches in proportion to them. */
  #withBatches(nodes: readonly FleetNode[]): FleetNode[] {
    const samples = nodes.flatMap((node) => (node.samples > 0 ? [node.samples] : []));
    const { accumulate } = this.optimizer;
    const shares = batchesBySamples(samples, { mean: this.#job.localBatches, accumulate });
    const next = shares.values();
    return nodes.map((node) => {
      const work = node.samples > 0 ? next.next().value : undefined;
      return work === undefined ? node : { ...node, work };
    });
  }

  /** A plain inference model: initializers hold the weights, the batch dimension stays open. */
  inferenceModel(weights: Weights): Uint8Array {
    return writeOnnx(this.#graph, { weights });
  }
}

/** Devices cannot keep more than there is; and no plan would be the answer only once they are all there. */
function refuseFloor({ split: { cutMin, mayKeepAll } }: Job, segments: number): void {
  const most = mayKeepAll ? segments : segments - 1;
  if (cutMin <= Math.max(1, most)) return;
  throw new InputError({
    what: "split.cutMin",
    received: String(cutMin),
    allowed:
      `1 to ${most}: the model has ${segments} segments` +
      (mayKeepAll ? "" : ", and without split.mayKeepAll the last one is the server's"),
  });
}
