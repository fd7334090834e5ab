/**
 * How fast nodes compute now. A probe measures a node once, at rest; afterwards the time that its
 * copies held the processor in each round tells how much slower, or faster, it has become: other
 * work on a shared server, a phone that grows warm.
 */
import { present } from "../../base/assert.ts";
import type { CopyId, NodeId } from "../../base/ids.ts";
import type { CopyPlan, Plan, Profile } from "../../plan/plan.ts";
import { computeMs, heldMs, type TimedProgram } from "../../plan/program-time.ts";
import type { ContributionMessage } from "../wire/messages.ts";

/** Share of a round in the estimate: half, so that a lasting change is known after two rounds and a hiccup forgotten. */
const roundWeight = 1 / 2;

/** What a member's probe measured, and the duty that it keeps to. */
export interface Probed {
  readonly profile: Profile;
  readonly duty: number;
}

export class Speeds {
  /** Time that work takes over the time that it took when the node was probed, by node. */
  readonly #slowdown = new Map<NodeId, number>();

  /** A probe has measured the node anew: what was observed before is in it. */
  probed(node: NodeId): void {
    this.#slowdown.delete(node);
  }

  /** Takes in what a committed round cost. Nodes that have left meanwhile tell nothing any more. */
  observe(
    plan: Plan,
    costs: readonly { readonly node: NodeId; readonly message: ContributionMessage }[],
    probedOf: (node: NodeId) => Probed | undefined,
    accumulate: number,
  ): void {
    const copies = new Map<CopyId, CopyPlan>(plan.copies.map((copy) => [copy.id, copy]));
    const last = Math.max(...plan.copies.map(({ to }) => to));
    const sums = new Map<NodeId, { measured: number; expected: number }>();
    for (const { node, message } of costs) {
      const probed = probedOf(node);
      if (probed === undefined) continue;
      const copy = present(copies.get(message.copy as CopyId), message.copy);
      const { forward, backward, update, step } = message.held;
      const sum = sums.get(node) ?? { measured: 0, expected: 0 };
      sum.measured += forward + backward + update + step;
      sum.expected +=
        message.steps * batchMs(probed, copy, { hasLoss: copy.to === last, accumulate });
      sums.set(node, sum);
    }
    for (const [node, { measured, expected }] of sums) {
      if (!(measured > 0 && expected > 0)) continue;
      const now = measured / expected;
      const before = this.#slowdown.get(node) ?? 1;
      this.#slowdown.set(node, before + roundWeight * (now - before));
    }
  }

  /** The profile as it is now: as probed, stretched by what was observed. */
  now(node: NodeId, { segments, runMs, callMs }: Profile): Profile {
    const factor = this.#slowdown.get(node) ?? 1;
    return {
      segments: segments.map(({ forwardMs, backwardMs, updateMs }) => ({
        forwardMs: factor * forwardMs,
        backwardMs: factor * backwardMs,
        updateMs: factor * updateMs,
      })),
      runMs: factor * runMs,
      callMs,
    };
  }
}

/** Milliseconds that a copy holds the processor for a batch, by the node's probe. */
function batchMs(
  { profile, duty }: Probed,
  { from, to }: CopyPlan,
  { hasLoss, accumulate }: { hasLoss: boolean; accumulate: number },
): number {
  // At full duty nothing is held back, and what is reported is the computing alone.
  const ms = (kind: TimedProgram["kind"]): number =>
    duty === 1 ? computeMs(profile, { kind, from, to }) : heldMs(profile, { kind, from, to }, duty);
  if (hasLoss) return ms("step");
  return ms("forward") + ms("backward") + ms("update") / accumulate;
}
