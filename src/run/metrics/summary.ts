/** What a run came to: a fold over its records, for terminal, page and report alike. */
import type { NodeId } from "../../base/ids.ts";
import type { Party } from "../../base/party.ts";
import { median } from "../../base/statistics.ts";
import { formatPercent } from "../../base/units.ts";
import { phasesOf } from "../../plan/phases.ts";
import type { EnergyLimit, Plan } from "../../plan/plan.ts";
import { type NodeProfiled, type RoundCommitted, type RunRecord, shareTrained } from "./record.ts";

/** One node over the whole run. */
export interface NodeSummary {
  readonly node: NodeId;
  readonly name: string;
  readonly kind: "device" | "edge" | "cloud";
  readonly samples: number;
  /** Which columns of them it has, where another party has the rest. */
  readonly party?: Party;
  readonly dutyAsked: number;
  readonly memoryBytes: number | null;
  readonly ceilingBytesPerMs: number | null;
  /** What it may spend, where that is limited. */
  readonly energy?: EnergyLimit;
  /** Computing time over time at the processor, all rounds together; null before the first. */
  readonly dutyAchieved: number | null;
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** Bytes of both that went straight to or from other workers, past the coordinator. */
  readonly bytesStraight: number;
  readonly peakRssBytes: number | null;
  /** Why it left before the end; null if it did not. */
  readonly left: string | null;
}

/** What a run came to so far. */
export interface RunSummary {
  readonly rounds: number;
  /** Committed rounds asked for by the job. */
  /** Rounds that the job asks for, and those that make up for rounds that ended early. */
  readonly roundsAsked: number;
  /** Mean training loss of the last committed round. */
  readonly loss: number | null;
  /** Newest accuracy on held-out data. */
  readonly accuracy: number | null;
  /** Newest loss on held-out data; it stands alone where the loss knows no right and wrong. */
  readonly heldOutLoss: number | null;
  /** Round after which both were measured. */
  readonly accuracyRound: number | null;
  /** True when they are the final ones, over all held-out samples. */
  readonly isFinal: boolean;
  readonly medianRoundMs: number | null;
  /** Bytes that devices sent and received. */
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** Bytes of both that went straight to or from other workers. */
  readonly bytesStraight: number;
  readonly nodes: readonly NodeSummary[];
  readonly plan: Plan | null;
  /** Name of the segment that each stage ends with is looked up here. */
  readonly segments: readonly string[];
  readonly profiles: readonly NodeProfiled[];
  readonly end: {
    readonly reason: "finished" | "interrupted" | "failed";
    readonly text: string;
  } | null;
}

type Open<T> = { -readonly [K in keyof T]: T[K] };
type OpenNode = Open<NodeSummary> & { computeMs: number; busyMs: number };

/** A node's counters when it joins for the first time. */
const nothingDone = {
  dutyAchieved: null,
  bytesUp: 0,
  bytesDown: 0,
  bytesStraight: 0,
  peakRssBytes: null,
  computeMs: 0,
  busyMs: 0,
};

/** Folds records in their order. Asking again after each record is cheap enough for a terminal. */
export class RunFold {
  readonly #nodes = new Map<NodeId, OpenNode>();
  readonly #roundMs: number[] = [];
  /** What each round has trained of the batches of a round of all chains. */
  readonly #trained: number[] = [];
  #localBatches = 1;
  readonly #profiles: NodeProfiled[] = [];
  #roundsAsked = 0;
  #segments: readonly string[] = [];
  #loss: number | null = null;
  #accuracy: number | null = null;
  #heldOutLoss: number | null = null;
  #accuracyRound: number | null = null;
  #isFinal = false;
  #plan: Plan | null = null;
  #end: RunSummary["end"] = null;

  /** Takes the next record. */
  add(record: RunRecord): void {
    switch (record.type) {
      case "run":
        this.#roundsAsked = record.rounds;
        this.#localBatches = record.localBatches;
        this.#segments = record.segments;
        return;
      case "joined": {
        const { node, name, kind, samples, party, duty, memoryBytes, ceilingBytesPerMs, energy } =
          record;
        this.#nodes.set(node, {
          ...nothingDone,
          // Who comes back goes on counting.
          ...this.#nodes.get(node),
          node,
          name,
          kind,
          samples,
          dutyAsked: duty,
          memoryBytes,
          ceilingBytesPerMs,
          ...(energy === undefined ? {} : { energy }),
          ...(party === undefined ? {} : { party }),
          left: null,
        });
        return;
      }
      case "left": {
        const node = this.#nodes.get(record.node);
        if (node !== undefined) node.left = record.reason;
        return;
      }
      case "profiled":
        this.#profiles.push(record);
        return;
      case "planned":
        this.#plan = record.plan;
        return;
      case "round":
        return this.#addRound(record);
      case "resumed":
        this.#roundMs.length = Math.min(this.#roundMs.length, record.round);
        this.#trained.length = this.#roundMs.length;
        this.#end = null;
        for (const node of this.#nodes.values()) node.left ??= "the coordinator was started again";
        return;
      case "evaluation":
        this.#accuracy = record.accuracy;
        this.#heldOutLoss = record.loss;
        this.#accuracyRound = record.round;
        this.#isFinal = record.final;
        return;
      case "ended":
        this.#end = { reason: record.reason, text: record.text };
        return;
      case "environment":
      case "links":
      case "waiting":
      case "activity":
        return;
    }
  }

  #addRound(record: RoundCommitted): void {
    this.#roundMs.push(record.ms);
    this.#trained.push(shareTrained(record, this.#localBatches));
    this.#loss = record.loss;
    for (const cost of record.nodes) {
      const node = this.#nodes.get(cost.node);
      if (node === undefined) continue;
      node.computeMs += cost.computeMs;
      node.busyMs += cost.busyMs;
      if (node.busyMs > 0) node.dutyAchieved = node.computeMs / node.busyMs;
      node.bytesUp += cost.bytesUp;
      node.bytesDown += cost.bytesDown;
      node.bytesStraight += cost.bytesStraight;
      node.peakRssBytes = cost.peakRssBytes ?? node.peakRssBytes;
    }
  }

  get summary(): RunSummary {
    const nodes = [...this.#nodes.values()].map(({ computeMs: _c, busyMs: _b, ...node }) => node);
    const devices = nodes.filter((node) => node.kind === "device");
    const left = this.#trained.reduce((rest, share) => rest - share, this.#roundsAsked);
    const phases = this.#plan === null ? 1 : phasesOf(this.#plan);
    return {
      rounds: this.#roundMs.length,
      roundsAsked: this.#trained.length + Math.ceil(left * phases - 1e-9),
      loss: this.#loss,
      accuracy: this.#accuracy,
      heldOutLoss: this.#heldOutLoss,
      accuracyRound: this.#accuracyRound,
      isFinal: this.#isFinal,
      medianRoundMs: this.#roundMs.length === 0 ? null : median(this.#roundMs),
      bytesUp: devices.reduce((sum, node) => sum + node.bytesUp, 0),
      bytesDown: devices.reduce((sum, node) => sum + node.bytesDown, 0),
      bytesStraight: devices.reduce((sum, node) => sum + node.bytesStraight, 0),
      nodes,
      plan: this.#plan,
      segments: this.#segments,
      profiles: this.#profiles,
      end: this.#end,
    };
  }
}

/**
 * What was measured on held-out data, in words: ["accuracy", "93.10 %"], or ["loss", "0.2134"] where
 * the loss knows no right and wrong; null where nothing was measured.
 */
export function measuredWords({
  accuracy,
  heldOutLoss = null,
}: {
  readonly accuracy: number | null;
  readonly heldOutLoss?: number | null;
}): readonly [what: string, value: string] | null {
  if (accuracy !== null) return ["accuracy", formatPercent(accuracy)];
  return heldOutLoss === null ? null : ["loss", heldOutLoss.toFixed(4)];
}
