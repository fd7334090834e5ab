/**
 * A run as it went, for those who draw it: curves, plans, events, where each
 * node's time went. A fold over timed records beside {@link RunFold}, which
 * keeps what the run came to.
 */
import type { NodeId } from "../../base/ids.ts";
import type { Plan } from "../../plan/plan.ts";
import { eventsOf, type RunEvent } from "./events.ts";
import type {
  Activity,
  Environment,
  NodeRound,
  RunStarted,
  SpanKind,
  TimedRecord,
} from "./record.ts";
import { RunFold, type RunSummary } from "./summary.ts";

/** A committed round on the curves. */
export interface RoundPoint {
  readonly atMs: number;
  /** 0-based. */
  readonly round: number;
  readonly term: number;
  readonly ms: number;
  readonly learningRate: number;
  /** Mean training loss; null where nothing was computed. */
  readonly loss: number | null;
  readonly nodes: readonly NodeRound[];
}

/** A measurement on held-out samples. */
export interface EvaluationPoint {
  readonly atMs: number;
  /** Rounds committed before it. */
  readonly round: number;
  readonly samples: number;
  readonly accuracy: number | null;
  readonly loss: number | null;
  readonly final: boolean;
}

/** A plan and when it came into force. */
export interface PlanPoint {
  readonly atMs: number;
  /** First round under it. */
  readonly round: number;
  readonly plan: Plan;
  readonly reason: string;
}

/** An event and when it happened. */
export interface TimedEvent extends RunEvent {
  readonly atMs: number;
}

/** A stretch of a node's work on the run's own time. */
export interface TimedSpan {
  readonly kind: SpanKind;
  readonly fromMs: number;
  readonly toMs: number;
}

/** How much of the nodes' work is kept, in milliseconds before the newest. */
export const activityKeptMs = 30_000;

/** Folds timed records in their order. What it hands out grows in place: read it anew after each. */
export class RunHistory {
  readonly rounds: RoundPoint[] = [];
  readonly evaluations: EvaluationPoint[] = [];
  readonly plans: PlanPoint[] = [];
  readonly events: TimedEvent[] = [];
  /** What each node did in the last {@link activityKeptMs}; empty for a run that nobody watched. */
  readonly activity = new Map<NodeId, TimedSpan[]>();
  environment: Environment | null = null;
  started: RunStarted | null = null;
  /** Time of the newest record. */
  atMs = 0;
  readonly #fold = new RunFold();

  /** What the run came to so far. */
  get summary(): RunSummary {
    return this.#fold.summary;
  }

  /** Takes the next record. */
  add({ atMs, record }: TimedRecord): void {
    this.atMs = Math.max(this.atMs, atMs);
    if (record.type === "activity") return this.#addActivity(atMs, record);
    this.#fold.add(record);
    for (const event of eventsOf(record)) this.events.push({ atMs, ...event });
    switch (record.type) {
      case "environment":
        this.environment = record;
        return;
      case "run":
        this.started = record;
        return;
      case "planned": {
        const { round, plan, reason } = record;
        this.plans.push({ atMs, round, plan, reason });
        return;
      }
      case "round": {
        const { round, term, ms, learningRate, loss, nodes } = record;
        this.rounds.push({ atMs, round, term, ms, learningRate, loss, nodes });
        return;
      }
      case "resumed": {
        cutTo(
          this.rounds,
          this.rounds.findIndex(({ round }) => round >= record.round),
        );
        cutTo(
          this.evaluations,
          this.evaluations.findIndex(({ round }) => round > record.round),
        );
        return;
      }
      case "evaluation": {
        const { round, samples, accuracy, loss, final } = record;
        this.evaluations.push({ atMs, round, samples, accuracy, loss, final });
        return;
      }
    }
  }

  #addActivity(atMs: number, { node, spans }: Activity): void {
    const kept = this.activity.get(node) ?? [];
    this.activity.set(node, kept);
    for (const [kind, agoMs, ms] of spans) {
      kept.push({ kind, fromMs: atMs - agoMs, toMs: atMs - agoMs + ms });
    }
    const oldest = kept.findIndex((span) => span.toMs > atMs - activityKeptMs);
    // In steps, so that the front is not moved up with every record.
    if (oldest > 500 || oldest < 0) kept.splice(0, oldest < 0 ? kept.length : oldest);
  }
}

/** Drops elements from an index on; none where it is negative. */
function cutTo(list: unknown[], index: number): void {
  if (index >= 0) list.length = index;
}
