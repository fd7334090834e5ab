/**
 * One round as the coordinator keeps it: which chains are in, what they have
 * brought, when to commit, and the merge itself. Nothing here sends anything.
 */
import { present } from "../../base/assert.ts";
import { isAllFinite } from "../../base/finite.ts";
import type { ChainId, CopyId, NodeId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import type { ChainPlan, CopyPlan, Plan } from "../../plan/plan.ts";
import { type Contribution, syncPolicies } from "../../sync/sync.ts";
import type { Participant } from "../metrics/record.ts";
import type { Tensors } from "../wire/frame.ts";
import type { ContributionMessage, ProgressMessage } from "../wire/messages.ts";
import type { TrainingState } from "./training-state.ts";

/** One chain's standing in a round. */
interface ChainState {
  /** As the plan has it, with fewer batches where the round was curtailed. */
  plan: ChainPlan;
  /** Batches that the plan has for it. */
  readonly plannedWork: number;
  /** Why it is out of the round; null while it is in. */
  dropped: string | null;
  readonly contributions: Map<CopyId, { message: ContributionMessage; tensors: Tensors }>;
  /** Copies that have said that all their batches are trained, and may not have brought them yet. */
  readonly trained: Set<CopyId>;
}

/** What to do with a round, and why. */
export interface RoundDecision {
  readonly decision: "wait" | "drop late" | "commit" | "give up";
  readonly reason: string;
}

/** How many chains stand where; all that {@link decideRound} looks at. */
export interface RoundStanding {
  readonly complete: number;
  readonly pending: number;
  readonly dropped: number;
  /** Those of the dropped whose numbers were not finite. */
  readonly diverged: number;
  /** Why the last one was dropped; null where none was. */
  readonly lastDropped: string | null;
  readonly deadlineMs: number;
}

/**
 * Decides a round: commit when nobody who is still in is missing; at the
 * deadline go on without the late, if anybody is complete. Pure.
 */
export function decideRound(nowMs: number, standing: RoundStanding): RoundDecision {
  const { complete, pending, dropped, deadlineMs } = standing;
  const all = complete + pending + dropped;
  if (pending === 0) {
    if (complete === 0) {
      const last = standing.lastDropped === null ? "" : `; the last one: ${standing.lastDropped}`;
      return { decision: "give up", reason: `all ${all} chains were dropped${last}` };
    }
    const rest = dropped === 0 ? "" : `, ${dropped} dropped`;
    return { decision: "commit", reason: `${complete} of ${all} chains complete${rest}` };
  }
  if (nowMs >= deadlineMs && complete > 0) {
    return { decision: "drop late", reason: `${pending} of ${all} chains missed the deadline` };
  }
  return { decision: "wait", reason: `${pending} of ${all} chains are still at work` };
}

/** A round may take so many times the planner's forecast, and at least the second figure. */
const deadlineFactor = 10;
const deadlineMsMin = 30_000;

/** How long a round waits for its last chains, from its start. */
export function roundDeadlineMs(plan: Plan): number {
  const forecastMs = Math.max(...plan.forecasts.map((forecast) => forecast.roundMs));
  return Math.max(deadlineMsMin, deadlineFactor * forecastMs);
}

export class Round {
  readonly number: number;
  readonly startedMs: number;
  readonly deadlineMs: number;
  readonly learningRate: number;
  readonly #plan: Plan;
  readonly #chains: Map<ChainId, ChainState>;
  readonly #copies: ReadonlyMap<CopyId, CopyPlan>;
  /** Chains that are in and complete, chains that are out, and those of them that diverged. */
  #complete = 0;
  #dropped = 0;
  #diverged = 0;
  #lastDropped: string | null = null;

  constructor(
    plan: Plan,
    at: { number: number; startedMs: number; deadlineMs: number; learningRate: number },
  ) {
    this.#plan = plan;
    this.number = at.number;
    this.startedMs = at.startedMs;
    this.deadlineMs = at.deadlineMs;
    this.learningRate = at.learningRate;
    this.#copies = new Map(plan.copies.map((copy) => [copy.id, copy]));
    this.#chains = new Map(
      plan.chains.map((chain) => [
        chain.id,
        {
          plan: chain,
          plannedWork: chain.work,
          dropped: null,
          contributions: new Map(),
          trained: new Set(),
        },
      ]),
    );
  }

  /**
   * Takes a contribution of this round, for a chain that is in, from the node that holds the copy.
   * Any other is void, and so is a second one: taking it twice is taking it once.
   * Numbers that are not finite would spoil everybody's: their chain is dropped.
   * @returns what is wrong with its tensors, in words; null where nothing is
   */
  take(
    from: NodeId,
    message: ContributionMessage,
    tensors: Tensors,
    state: TrainingState,
  ): string | null {
    const chain = this.#chains.get(message.chain as ChainId);
    const id = message.copy as CopyId;
    if (message.term !== this.#plan.term || message.round !== this.number) return null;
    if (chain === undefined || chain.dropped !== null || chain.contributions.has(id)) return null;
    if (!chain.plan.stages.some((stage) => stage.copy === id)) return null;
    const copy = this.#copy(id);
    if (copy.node !== from) return null;
    const { work } = chain.plan;
    if (message.steps !== work) return `${message.steps} batches of the round's ${work}`;
    const problem = state.misfit(copy, tensors);
    if (problem !== null) return problem;
    const diverged = firstNotFinite(tensors);
    if (diverged === null) {
      chain.contributions.set(id, { message, tensors });
      if (isComplete(chain)) this.#complete++;
    } else {
      this.diverge(chain.plan.id, `${diverged} of ${from}`);
    }
    return null;
  }

  /** A copy says how far it is: once it has trained all its batches, it has nothing left to do but to bring them. */
  told(from: NodeId, { chain: id, copy, steps }: ProgressMessage): void {
    const chain = this.#chains.get(id as ChainId);
    if (chain === undefined || steps !== chain.plan.work) return;
    const isOfChain = chain.plan.stages.some((stage) => stage.copy === copy);
    if (isOfChain && this.#copy(copy as CopyId).node === from) chain.trained.add(copy as CopyId);
  }

  /** Batches of the chain that has most. */
  get batches(): number {
    return Math.max(...[...this.#chains.values()].map(({ plan }) => plan.work));
  }

  /** Whether all chains are in, and have trained all their batches, wherever what came of them is. */
  get isTrained(): boolean {
    return [...this.#chains.values()].every(
      ({ plan, dropped, trained }) => dropped === null && trained.size === plan.stages.length,
    );
  }

  /**
   * A chain's source ends the round with the batches that have begun. Nobody who keeps to the protocol
   * has brought anything by then: no stage is done before the source.
   * @returns whether it is so: false where it has no such right, or there is nothing to shorten
   */
  shorten(from: NodeId, id: string, work: number): boolean {
    const chain = this.#chains.get(id as ChainId);
    if (chain === undefined || chain.dropped !== null || chain.plan.source !== from) return false;
    if (work < 1 || work >= chain.plan.work || chain.contributions.size > 0) return false;
    chain.plan = { ...chain.plan, work };
    return true;
  }

  /**
   * Drops a chain in which numbers have come up that are not finite.
   * @param what which numbers, and whose
   */
  diverge(chain: ChainId, what: string): void {
    if (present(this.#chains.get(chain), chain).dropped === null) this.#diverged++;
    this.drop(chain, `it diverged: ${what} is not finite; a lower learning rate may help`);
  }

  /** Chains that are in, incomplete and pass through `node`; all of them where `node` is null. */
  pendingThrough(node: NodeId | null): ChainId[] {
    return [...this.#chains.values()]
      .filter((chain) => chain.dropped === null && !isComplete(chain))
      .filter((chain) => node === null || this.nodesOf(chain.plan.id).includes(node))
      .map((chain) => chain.plan.id);
  }

  /** Those of them that cannot be completed without `node`: it has more to do than it has brought. */
  lostWith(node: NodeId): ChainId[] {
    return this.pendingThrough(node).filter((id) => {
      const { plan, contributions, trained } = present(this.#chains.get(id), id);
      if (trained.size < plan.stages.length) return true;
      return plan.stages.some(({ copy }) => {
        return this.#copy(copy).node === node && !contributions.has(copy);
      });
    });
  }

  drop(chain: ChainId, reason: string): void {
    const state = present(this.#chains.get(chain), chain);
    if (state.dropped === null) {
      this.#dropped++;
      if (isComplete(state)) this.#complete--;
    }
    state.dropped = reason;
    this.#lastDropped = reason;
  }

  /** What has been brought so far, by copy. */
  brought(): Map<CopyId, Tensors> {
    return new Map(
      [...this.#chains.values()].flatMap(({ contributions }) =>
        [...contributions].map(([copy, { tensors }]) => [copy, tensors] as const),
      ),
    );
  }

  #copy(id: CopyId): CopyPlan {
    return present(this.#copies.get(id), id);
  }

  nodesOf(chain: ChainId): NodeId[] {
    return present(this.#chains.get(chain), chain).plan.stages.map(
      (stage) => this.#copy(stage.copy).node,
    );
  }

  /** Whether a message of this chain may go from one node to the one that holds `stage`. */
  passes(chain: string, from: NodeId, stage: number, to: NodeId): boolean {
    if (!this.#chains.has(chain as ChainId)) return false;
    const nodes = this.nodesOf(chain as ChainId);
    return nodes.includes(from) && nodes[stage] === to;
  }

  standing(): RoundStanding {
    return {
      complete: this.#complete,
      pending: this.#chains.size - this.#complete - this.#dropped,
      dropped: this.#dropped,
      diverged: this.#diverged,
      lastDropped: this.#lastDropped,
      deadlineMs: this.deadlineMs,
    };
  }

  /** The chains that made it, in plan order: what the log names and the merge takes. */
  participants(samplesOf: (node: NodeId) => number): Participant[] {
    return this.#completed().map(({ plan, plannedWork, contributions }) => ({
      chain: plan.id,
      node: plan.source,
      copies: plan.stages.map((stage) => stage.copy),
      ...passesOf(plan, contributions),
      ...(plan.work === plannedWork ? {} : { steps: plan.work }),
      samples: samplesOf(plan.source),
      loss:
        [...contributions.values()]
          .map(({ message }) => message.loss)
          .find((loss) => loss !== null) ?? null,
    }));
  }

  dropped(): { chain: ChainId; reason: string }[] {
    return [...this.#chains.values()].flatMap(({ plan, dropped }) =>
      dropped === null ? [] : [{ chain: plan.id, reason: dropped }],
    );
  }

  /** Contributions that reached the merge, with the node that sent each. */
  costs(): { node: NodeId; message: ContributionMessage }[] {
    return this.#completed().flatMap(({ contributions }) =>
      [...contributions].map(([copy, { message }]) => ({ node: this.#copy(copy).node, message })),
    );
  }

  /** Merges every group by its policy: the trained tensors after this round. */
  merge(samplesOf: (node: NodeId) => number): Map<string, Tensor> {
    const brought = new Map<CopyId, Contribution>();
    for (const { plan, contributions } of this.#completed()) {
      const samples = samplesOf(plan.source);
      for (const stage of plan.stages) {
        const { tensors } = present(contributions.get(stage.copy), stage.copy);
        brought.set(stage.copy, { samples, tensors });
      }
    }
    return mergeGroups(this.#plan, brought);
  }

  #completed(): ChainState[] {
    return [...this.#chains.values()].filter(
      (chain) => chain.dropped === null && isComplete(chain),
    );
  }
}

/** The order of each copy's passes, where the schedule leaves it to chance. */
function passesOf(
  { schedule, stages }: ChainPlan,
  contributions: ChainState["contributions"],
): Pick<Participant, "passes"> {
  if (schedule !== "window") return {};
  return {
    passes: stages.map(({ copy }) => present(contributions.get(copy), copy).message.passes),
  };
}

/**
 * Applies each group's policy to the copies that brought something, in the
 * order in which the plan lists them: node order, never order of arrival.
 */
export function mergeGroups(
  plan: Plan,
  brought: ReadonlyMap<CopyId, Contribution>,
): Map<string, Tensor> {
  const merged = new Map<string, Tensor>();
  for (const group of plan.groups) {
    const present = group.members.flatMap((member) => brought.get(member) ?? []);
    for (const [name, value] of syncPolicies[group.policy](present)) merged.set(name, value);
  }
  return merged;
}

/** Name of a tensor with a value that is not finite; null where there is none. */
function firstNotFinite(tensors: Tensors): string | null {
  for (const [name, value] of tensors) if (!isAllFinite(value)) return name;
  return null;
}

const isComplete = (chain: ChainState): boolean =>
  chain.contributions.size === chain.plan.stages.length;

/** Mean loss over chains, weighted as their tensors are; null where nothing was computed. */
export function meanLoss(participants: readonly Participant[]): number | null {
  let sum = 0;
  let samples = 0;
  for (const participant of participants) {
    if (participant.loss === null) return null;
    sum += participant.samples * participant.loss;
    samples += participant.samples;
  }
  return samples === 0 ? null : sum / samples;
}
