/**
 * One round as the coordinator keeps it: which chains are in, what they have
 * brought, when to commit, and the merge itself. Nothing here sends anything.
 */
import { present } from "../../base/assert.ts";
import { isAllFinite } from "../../base/finite.ts";
import type { ChainId, CopyId, NodeId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import type { ChainPlan, CopyPlan, Plan } from "../../plan/plan.ts";
import { stalePartWeight } from "../../sync/sync.ts";
import type { Job } from "../job.ts";
import type { FoldedPart, Participant } from "../metrics/record.ts";
import type { Tensors } from "../wire/frame.ts";
import type { ContributionMessage, ProgressMessage } from "../wire/messages.ts";
import { type BroughtPart, mergeGroups, partWeights } from "./merge.ts";

/** One chain's standing in a round. */
interface ChainState {
  /** As the plan has it, with fewer batches where the round was curtailed. */
  plan: ChainPlan;
  /** Batches that the plan has for it. */
  readonly plannedWork: number;
  /** Batches that its source had drawn before. */
  readonly firstStep: number;
  /** Why it is out of the round; null while it is in. */
  dropped: string | null;
  /** Why the round went on without it, while it goes on with the round; null where it did not. */
  late: string | null;
  readonly contributions: Map<CopyId, { message: ContributionMessage; tensors: Tensors }>;
  /** Copies that have said that all their batches are trained, and may not have brought them yet. */
  readonly trained: Set<CopyId>;
}

/** What to do with a round, and why. */
export interface RoundDecision {
  readonly decision: "wait" | "leave late" | "drop late" | "commit" | "give up";
  readonly reason: string;
}

/** How many chains stand where; all that {@link decideRound} looks at. */
export interface RoundStanding {
  readonly complete: number;
  readonly pending: number;
  readonly dropped: number;
  /** Left behind, and still at work. */
  readonly late: number;
  /** So many complete chains are enough at the deadline. */
  readonly quorum: number;
  /** Those of the dropped whose numbers were not finite. */
  readonly diverged: number;
  /** Why the last one was dropped; null where none was. */
  readonly lastDropped: string | null;
  /** From the first on a quorum is enough, from the second on anybody. */
  readonly deadlineMs: number;
  readonly lastDeadlineMs: number;
}

/**
 * Decides a round: commit when nobody who is still in is missing; at the
 * deadline leave the late behind, if a quorum is complete; at the last one, if anybody is. Pure.
 */
export function decideRound(nowMs: number, standing: RoundStanding): RoundDecision {
  const { complete, pending, dropped, late, quorum, deadlineMs, lastDeadlineMs } = standing;
  const all = complete + pending + dropped + late;
  if (pending === 0) {
    if (complete === 0) {
      const last = standing.lastDropped === null ? "" : `; the last one: ${standing.lastDropped}`;
      return { decision: "give up", reason: `all ${all} chains were dropped${last}` };
    }
    const rest = dropped === 0 ? "" : `, ${dropped} dropped`;
    const behind = late === 0 ? "" : `, ${late} late`;
    return { decision: "commit", reason: `${complete} of ${all} chains complete${rest}${behind}` };
  }
  if (nowMs >= deadlineMs && complete >= quorum) {
    const reason = `late: ${complete} of ${all} chains were complete at the deadline, ${quorum} are enough`;
    return { decision: "leave late", reason };
  }
  if (nowMs >= lastDeadlineMs && complete > 0) {
    return { decision: "drop late", reason: `${pending} of ${all} chains missed the deadline` };
  }
  return { decision: "wait", reason: `${pending} of ${all} chains are still at work` };
}

/** A round may take so many times the planner's forecast, and at least the second figure. */
const deadlineFactor = 10;
const deadlineMsMin = 30_000;

/** How long a round waits for its last chains, from its start: where a quorum is complete, and where anybody is. */
export function roundDeadlines(
  plan: Plan,
  { deadline }: Pick<Job["round"], "deadline">,
): { readonly quorumMs: number; readonly lastMs: number } {
  const forecastMs = Math.max(...plan.forecasts.map((forecast) => forecast.roundMs));
  const quorumMs = deadline * forecastMs;
  return { quorumMs, lastMs: Math.max(deadlineMsMin, deadlineFactor * forecastMs, quorumMs) };
}

/** What a round is, beside its plan. */
export interface RoundStart {
  readonly number: number;
  readonly startedMs: number;
  /** From the first on a quorum is enough, from the second on anybody. */
  readonly deadlineMs: number;
  readonly lastDeadlineMs: number;
  readonly learningRate: number;
  /** Share of the chains that began it which is a quorum. */
  readonly quorum: number;
  /** Batches that the source of a chain has drawn before. */
  firstStepOf(chain: ChainPlan): number;
}

export class Round {
  readonly number: number;
  readonly startedMs: number;
  readonly learningRate: number;
  readonly #at: RoundStart;
  readonly #plan: Plan;
  readonly #chains: Map<ChainId, ChainState>;
  readonly #copies: ReadonlyMap<CopyId, CopyPlan>;
  /** Chains that are in and complete, chains that are out, and those of them that diverged. */
  #complete = 0;
  #dropped = 0;
  #late = 0;
  /** Those that were out of it from its start. */
  #excluded = 0;
  #diverged = 0;
  #lastDropped: string | null = null;

  constructor(plan: Plan, at: RoundStart) {
    this.#plan = plan;
    this.#at = at;
    this.number = at.number;
    this.startedMs = at.startedMs;
    this.learningRate = at.learningRate;
    this.#copies = new Map(plan.copies.map((copy) => [copy.id, copy]));
    this.#chains = new Map(
      plan.chains.map((chain) => [
        chain.id,
        {
          plan: chain,
          plannedWork: chain.work,
          firstStep: at.firstStepOf(chain),
          dropped: null,
          late: null,
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
   * @param read the tensors that it brings of a copy, or what is wrong with them, in words
   * @returns what is wrong with it, in words; null where nothing is
   */
  take(
    from: NodeId,
    message: ContributionMessage,
    read: (copy: CopyPlan) => Tensors | string,
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
    const tensors = read(copy);
    if (typeof tensors === "string") return tensors;
    const diverged = firstNotFinite(tensors);
    if (diverged === null) {
      chain.contributions.set(id, { message, tensors });
      if (isComplete(chain) && chain.late === null) this.#complete++;
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

  /** Batches that a chain's source had drawn before the round. */
  firstStep(chain: ChainId): number {
    return present(this.#chains.get(chain), chain).firstStep;
  }

  /** Batches that a source will have drawn with the round, where it is in; null where it is not. */
  drawn(source: NodeId): number | null {
    for (const { plan, dropped, firstStep } of this.#chains.values()) {
      if (plan.source === source && dropped === null) return firstStep + plan.work;
    }
    return null;
  }

  /** Batches of the chain that has most. */
  get batches(): number {
    return Math.max(...[...this.#chains.values()].map(({ plan }) => plan.work));
  }

  /** Whether all chains are in, and have trained all their batches, wherever what came of them is. */
  get isTrained(): boolean {
    return [...this.#chains.values()].every(
      (chain) => isIn(chain) && chain.trained.size === chain.plan.stages.length,
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
      .filter((chain) => isIn(chain) && !isComplete(chain))
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
      if (state.late !== null) this.#late--;
      else if (isComplete(state)) this.#complete--;
    }
    state.dropped = reason;
    this.#lastDropped = reason;
  }

  /** A chain has no part in the round from its start. */
  exclude(chain: ChainId, reason: string): void {
    this.drop(chain, reason);
    this.#excluded++;
  }

  /** The round goes on without a chain that is in, and the chain goes on with the round. */
  leave(chain: ChainId, reason: string): void {
    present(this.#chains.get(chain), chain).late = reason;
    this.#late++;
  }

  /** Chains that the round went on without, and that are still at work on it. */
  get late(): ChainId[] {
    return this.#behind()
      .filter((chain) => !isComplete(chain))
      .map(({ plan }) => plan.id);
  }

  /** Whether it has late chains, at work or done, that were not taken or given up. */
  get hasLate(): boolean {
    return this.#behind().length > 0;
  }

  /** What late chains have brought by now, in plan order. */
  foldable(samplesOf: (node: NodeId) => number): LatePart[] {
    return this.#behind()
      .filter(isComplete)
      .map((chain) => ({
        part: { ...participantOf(chain, this.number, samplesOf), round: this.number },
        tensors: tensorsOf(chain),
        costs: this.#costsOf(chain),
      }));
  }

  #behind(): ChainState[] {
    return [...this.#chains.values()].filter((chain) => chain.dropped === null && !isIn(chain));
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
      pending: this.#chains.size - this.#complete - this.#dropped - this.#late,
      dropped: this.#dropped,
      late: this.#late,
      quorum: Math.max(1, Math.ceil(this.#at.quorum * (this.#chains.size - this.#excluded))),
      diverged: this.#diverged,
      lastDropped: this.#lastDropped,
      deadlineMs: this.#at.deadlineMs,
      lastDeadlineMs: this.#at.lastDeadlineMs,
    };
  }

  /** The chains that made it, in plan order: what the log names and the merge takes. */
  participants(samplesOf: (node: NodeId) => number): Participant[] {
    return this.#completed().map((chain) => participantOf(chain, this.number, samplesOf));
  }

  /** The chains that did not, late ones included, with the reason. */
  dropped(): { chain: ChainId; reason: string }[] {
    return [...this.#chains.values()].flatMap(({ plan, dropped, late }) => {
      const reason = dropped ?? late;
      return reason === null ? [] : [{ chain: plan.id, reason }];
    });
  }

  /** Contributions that reached the merge, with the node that sent each. */
  costs(): SentContribution[] {
    return this.#completed().flatMap((chain) => this.#costsOf(chain));
  }

  #costsOf({ contributions }: ChainState): SentContribution[] {
    return [...contributions].map(([copy, { message }]) => ({
      node: this.#copy(copy).node,
      message,
    }));
  }

  /**
   * Merges every group by its policy: the trained tensors after this round.
   * @param folded late parts of earlier rounds under the same plan
   */
  merge(
    samplesOf: (node: NodeId) => number,
    folded: readonly LatePart[] = [],
  ): Map<string, Tensor> {
    const weightOf = partWeights(this.#plan);
    const brought = this.#completed().map((chain): BroughtPart => {
      const { id, source } = chain.plan;
      return { samples: weightOf(id, samplesOf(source)), tensors: tensorsOf(chain) };
    });
    const late = folded.map(({ part, tensors }): BroughtPart => {
      const { chain, samples } = part;
      const staleness = this.number - part.round;
      return { samples: stalePartWeight(weightOf(chain, samples), staleness), tensors };
    });
    return mergeGroups(this.#plan, [...brought, ...late]);
  }

  #completed(): ChainState[] {
    return [...this.#chains.values()].filter((chain) => isIn(chain) && isComplete(chain));
  }
}

/** A contribution, and the node that sent it. */
export interface SentContribution {
  readonly node: NodeId;
  readonly message: ContributionMessage;
}

/** What a chain that was late has brought of its round. */
export interface LatePart {
  readonly part: FoldedPart;
  readonly tensors: ReadonlyMap<CopyId, Tensors>;
  readonly costs: readonly SentContribution[];
}

const participantOf = (
  { plan, plannedWork, firstStep, contributions }: ChainState,
  round: number,
  samplesOf: (node: NodeId) => number,
): Participant => ({
  chain: plan.id,
  node: plan.source,
  copies: plan.stages.map((stage) => stage.copy),
  ...passesOf(plan, contributions),
  ...(firstStep === round * plannedWork ? {} : { firstStep }),
  ...(plan.work === plannedWork ? {} : { steps: plan.work }),
  samples: samplesOf(plan.source),
  loss:
    [...contributions.values()].map(({ message }) => message.loss).find((loss) => loss !== null) ??
    null,
});

/** What a chain's copies have brought. */
const tensorsOf = ({ contributions }: ChainState): Map<CopyId, Tensors> =>
  new Map([...contributions].map(([copy, { tensors }]) => [copy, tensors]));

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

/** Name of a tensor with a value that is not finite; null where there is none. */
function firstNotFinite(tensors: Tensors): string | null {
  for (const [name, value] of tensors) if (!isAllFinite(value)) return name;
  return null;
}

/** Whether the round is waiting for a chain, or has it. */
const isIn = ({ dropped, late }: ChainState): boolean => dropped === null && late === null;

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
