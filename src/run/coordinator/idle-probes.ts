/**
 * When to measure nodes again that train nothing. Those in the plan tell with every round how fast they have become; of
 * the others only a probe does, and whoever was slow when it was measured last would never be chosen again.
 *
 * As for ways: often while a node is not as it was, seldom while it is, and never for more than 2 % of its time.
 */
import type { NodeId } from "../../base/ids.ts";
import type { Profile } from "../../plan/plan.ts";
import {
  firstProbeState,
  nextProbePeriod,
  type ProbeState,
  payloadPauseMs,
} from "../../plan/probe-period.ts";
import { segmentsMs } from "../../plan/program-time.ts";

/** What is known of the probes of one node. */
interface Known {
  readonly state: ProbeState;
  /** A whole step by the newest probe. */
  readonly stepMs: number;
  readonly dueMs: number;
}

export class IdleProbes {
  readonly #known = new Map<NodeId, Known>();

  /** A probe has measured a node, from one moment to another. */
  measured(
    node: NodeId,
    profile: Profile,
    { fromMs, toMs }: { fromMs: number; toMs: number },
  ): void {
    const before = this.#known.get(node);
    const stepMs = segmentsMs(profile.segments);
    const state =
      before === undefined
        ? firstProbeState
        : nextProbePeriod(before.state, { measuredMs: stepMs, predictedMs: before.stepMs }).state;
    this.#known.set(node, { state, stepMs, dueMs: fromMs + payloadPauseMs(state, toMs - fromMs) });
  }

  /** Whether a node may be measured again; not before it has been once. */
  isDue(node: NodeId, nowMs: number): boolean {
    return nowMs >= (this.#known.get(node)?.dueMs ?? Number.POSITIVE_INFINITY);
  }
}
