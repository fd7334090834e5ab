/**
 * How fast nodes compute now. A probe measures a node once, at rest; afterwards the time that its
 * copies hold the processor for their batches tells how much slower, or faster, it has become: other
 * work on a shared server, a phone that grows warm.
 */
import { present } from "../../base/assert.ts";
import type { NodeId } from "../../base/ids.ts";
import type { ChainPlan, CopyPlan, Plan, Profile } from "../../plan/plan.ts";
import {
  computeMs,
  heldMs,
  scaledProfile,
  segmentsMs,
  type TimedProgram,
} from "../../plan/program-time.ts";
import type { ContributionMessage, ProgressMessage } from "../wire/messages.ts";

/** Share of a new measurement in the estimate: half, so that a lasting change is soon known and a hiccup forgotten. */
const newWeight = 1 / 2;

/** What a member's probe measured, and the duty that it keeps to. */
export interface Probed {
  readonly id: NodeId;
  readonly profile: Profile;
  readonly duty: number;
}

/** What a copy says of its round so far. */
export type Told = Pick<
  ContributionMessage | ProgressMessage,
  "term" | "round" | "copy" | "steps" | "held"
> &
  Partial<Pick<ProgressMessage, "ahead">>;

/** Time that work of some segments takes over the time that it took when the node was probed. */
interface Slowdown {
  readonly factor: number;
  readonly of: Pick<CopyPlan, "from" | "to">;
}

/**
 * Segments with so much of a node's work tell half of what the others have become: what takes little time of a few tells
 * more of itself, and of what its profile had wrong, than of the node.
 */
const halfTold = 0.1;

export class Speeds {
  readonly #accumulate: number;
  readonly #recompute: boolean;
  readonly #slowdown = new Map<NodeId, Slowdown>();
  /** What each copy has told last. */
  readonly #told = new Map<string, { round: number; ms: number; expectedMs: number }>();
  /** The plan in force, as it was last heard of, by copy. */
  #plan: Plan | null = null;
  #copies: ReadonlyMap<string, CopyPlan> = new Map();
  #chains: ReadonlyMap<string, ChainPlan> = new Map();

  /**
   * @param accumulate batches to an update
   * @param recompute whether every backward pass computes forward once more, as its profile knows
   */
  constructor({ accumulate, recompute }: { accumulate: number; recompute: boolean }) {
    this.#accumulate = accumulate;
    this.#recompute = recompute;
  }

  /** A probe has measured the node anew: what was observed before is in it. */
  probed(node: NodeId): void {
    this.#slowdown.delete(node);
  }

  /** Takes in what one of a node's copies says of a round under the plan in force; anything else is void. */
  observe(plan: Plan, { id, profile, duty }: Probed, told: Told): void {
    if (this.#plan !== plan) this.#begin(plan);
    const copy = this.#copies.get(told.copy);
    if (plan.term !== told.term || copy?.node !== id) return;
    const before = this.#told.get(told.copy);
    const since = before?.round === told.round ? before : { ms: 0, expectedMs: 0 };
    const { forward, backward, update, step } = told.held;
    const ms = forward + backward + update + step;
    const expectedMs = this.#expectedMs({ profile, duty }, copy, told);
    this.#told.set(told.copy, { round: told.round, ms, expectedMs });
    // A null engine computes nothing, and a copy that has not gone on says nothing.
    if (!(ms > since.ms && expectedMs > since.expectedMs)) return;
    const known = this.#slowdown.get(id)?.factor ?? 1;
    const seen = (ms - since.ms) / (expectedMs - since.expectedMs);
    this.#slowdown.set(id, { factor: known + newWeight * (seen - known), of: copy });
  }

  #begin(plan: Plan): void {
    this.#plan = plan;
    this.#told.clear();
    this.#copies = new Map(plan.copies.map((copy) => [copy.id, copy]));
    this.#chains = new Map(
      plan.chains.flatMap((chain) => chain.stages.map(({ copy }) => [copy, chain] as const)),
    );
  }

  /** The profile as it is now: as probed, stretched by what was observed. */
  now(node: NodeId, profile: Profile): Profile {
    const slowdown = this.#slowdown.get(node);
    if (slowdown === undefined) return profile;
    const { factor, of } = slowdown;
    const { segments } = profile;
    const allMs = segmentsMs(segments);
    const share = allMs === 0 ? 1 : segmentsMs(segments.slice(of.from, of.to)) / allMs;
    const told = factor ** (share / (share + halfTold));
    const others = scaledProfile(profile, (ms) => told * ms);
    const own = scaledProfile(profile, (ms) => factor * ms);
    const isOwn = (i: number): boolean => of.from <= i && i < of.to;
    return {
      ...others,
      segments: others.segments.map((time, i) => (isOwn(i) ? (own.segments[i] ?? time) : time)),
    };
  }

  /** Milliseconds that a copy has to hold the processor for its passes, by the node's probe. */
  #expectedMs(
    { profile, duty }: Pick<Probed, "profile" | "duty">,
    { id, from, to }: CopyPlan,
    { steps, ahead = 0 }: Pick<Told, "steps" | "ahead">,
  ): number {
    // At full duty nothing is held back, and what is reported is the computing alone.
    const ms = (kind: TimedProgram["kind"], replays = false): number => {
      const program = { kind, from, to, replays };
      return duty === 1 ? computeMs(profile, program) : heldMs(profile, program, duty);
    };
    const { stages } = present(this.#chains.get(id), id);
    const { backward, merge = 1 } = present(
      stages.find(({ copy }) => copy === id),
      id,
    );
    const perUpdate = merge * this.#accumulate;
    if (backward === "none") {
      // As plans reckon with it: a step of one batch has its update inside.
      return steps * (ms("step") + (perUpdate === 1 ? 0 : ms("update") / perUpdate));
    }
    const isReplayed = backward === "replay";
    const batchMs = ms("backward", isReplayed && !this.#recompute) + ms("update") / perUpdate;
    return (steps + ahead) * ms("forward") + steps * batchMs;
  }
}
