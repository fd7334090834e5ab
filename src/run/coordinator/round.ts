/**
 * One round as the coordinator keeps it: which chains are in, what they have
 * brought, when to commit, and the merge itself. Nothing here sends anything.
 */
import { present } from "../../base/assert.ts";
import type { ChainId, CopyId, NodeId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import { alikeWith, exchangeOf } from "../../plan/exchange-members.ts";
import type { ChainPlan, CopyPlan, Plan, StagePlan } from "../../plan/plan.ts";
import { stalePartWeight } from "../../sync/sync.ts";
import type { Memories } from "../link-memory.ts";
import type { FoldedPart, Participant, Turns } from "../metrics/record.ts";
import type { Tensors } from "../wire/frame.ts";
import type { ContributionMessage, ProgressMessage } from "../wire/messages.ts";
import { firstNotFinite, interimProblem, stepsProblem } from "./contribution-checks.ts";
import { Interims } from "./interims.ts";
import { joinedOf, tookOf } from "./joined.ts";
import { type BroughtPart, broughtParts, mergeGroups, partWeights } from "./merge.ts";
import {
  type Brought,
  type BroughtTensors,
  type ChainState,
  chainsByCopy,
  isIn,
} from "./round-chains.ts";
import type { RoundStanding } from "./round-decision.ts";

/** "Finished" chains wait only for copies that they share with others. */
type ChainStanding = "pending" | "finished" | "complete" | "late" | "dropped";

/** What a round is, beside its plan. */
export interface RoundStart {
  readonly number: number;
  readonly startedMs: number;
  /** From the first on a quorum is enough, from the second on anybody. */
  readonly deadlineMs: number;
  readonly lastDeadlineMs: number;
  readonly learningRate: number;
  /** Batches after which copies bring what they have come to, again and again; null for none before the end. */
  readonly interim: number | null;
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
  #deadlineMs: number;
  #lastDeadlineMs: number;
  readonly #plan: Plan;
  readonly #chains: Map<ChainId, ChainState>;
  readonly #copies: ReadonlyMap<CopyId, CopyPlan>;
  /** The chains of each copy, in the plan's order: one, unless it merges. */
  readonly #chainsOf: ReadonlyMap<CopyId, readonly ChainState[]>;
  readonly #contributions = new Map<CopyId, Brought>();
  /** How many chains stand where. */
  readonly #counts: Record<ChainStanding, number>;
  /** Those that were out of it from its start. */
  #excluded = 0;
  /** Those of the dropped whose numbers were not finite. */
  #diverged = 0;
  #lastDropped: string | null = null;
  #hasEndedEarly = false;

  constructor(plan: Plan, at: RoundStart) {
    this.#plan = plan;
    this.#at = at;
    this.#deadlineMs = at.deadlineMs;
    this.#lastDeadlineMs = at.lastDeadlineMs;
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
          trained: new Set(),
          interims: new Interims(chain.stages.map(({ copy }) => copy)),
        },
      ]),
    );
    this.#chainsOf = chainsByCopy([...this.#chains.values()]);
    this.#counts = { pending: this.#chains.size, finished: 0, complete: 0, late: 0, dropped: 0 };
  }

  /**
   * Takes a contribution of this round, of a copy with a chain that is in, from the node that holds it.
   * Any other is void, and so is a second one: taking it twice is taking it once.
   * Numbers that are not finite would spoil everybody's: their chains are dropped.
   * @param read the tensors that it brings of a copy, or what is wrong with them, in words
   * @returns what is wrong with it, in words; null where nothing is
   */
  take(
    from: NodeId,
    message: ContributionMessage,
    read: (copy: CopyPlan) => BroughtTensors | string,
  ): string | null {
    const id = message.copy as CopyId;
    if (message.term !== this.#plan.term || message.round !== this.number) return null;
    const chains = this.#chainsOf.get(id) ?? [];
    if (!chains.some(({ plan }) => plan.id === message.chain)) return null;
    if (chains.every(({ dropped }) => dropped !== null) || this.#isHere(id)) return null;
    const copy = this.#copy(id);
    if (copy.node !== from) return null;
    const isInterim = message.isInterim === true;
    const problem = isInterim
      ? interimProblem(this.#at.interim, chains, message)
      : stepsProblem(id, chains, message, exchangeOf(this.#plan, id));
    if (problem !== null) return problem;
    const brought = read(copy);
    if (typeof brought === "string") return brought;
    const diverged = firstNotFinite(brought.tensors);
    if (diverged !== null) {
      for (const { plan } of chains) this.diverge(plan.id, `${diverged} of ${from}`);
    } else if (isInterim) {
      for (const { interims } of chains) interims.add(id, message.steps, { message, ...brought });
    } else this.#change(chains, () => this.#contributions.set(id, { message, ...brought }));
    return null;
  }

  /**
   * A chain cannot go on: its round ends with the last batch that all its copies have brought on the way.
   * @returns whether there is one
   */
  endEarly(id: ChainId): boolean {
    const chain = present(this.#chains.get(id), id);
    const { steps, brought } = chain.interims.whole;
    if (steps === 0) return false;
    this.#change([chain], () => {
      chain.plan = { ...chain.plan, work: steps };
      for (const [copy, own] of brought) this.#contributions.set(copy, own);
    });
    this.#hasEndedEarly = true;
    return true;
  }

  /** Whether it ended with what was brought on the way, so that nobody has what came of it. */
  get hasEndedEarly(): boolean {
    return this.#hasEndedEarly;
  }

  /** A copy says how far it is: once it has trained all its batches, it has nothing left to do but to bring them. */
  told(from: NodeId, { chain: id, copy, steps }: ProgressMessage): void {
    const chain = this.#chains.get(id as ChainId);
    if (chain === undefined || steps !== chain.plan.work) return;
    // Of a copy that chains share, no one of them can tell how far it is.
    const isOwn = chain.plan.stages.some(
      ({ copy: id, merge }) => id === copy && merge === undefined,
    );
    if (isOwn && this.#copy(copy as CopyId).node === from) chain.trained.add(copy as CopyId);
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
    const hasBrought = chain.plan.stages.some(({ copy }) => this.#contributions.has(copy));
    if (work < 1 || work >= chain.plan.work || hasBrought) return false;
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
      .filter((chain) => isIn(chain) && !this.#isComplete(chain))
      .filter((chain) => node === null || this.nodesOf(chain.plan.id).includes(node))
      .map((chain) => chain.plan.id);
  }

  /** Those of them that cannot be completed without `node`: it has more to do than it has brought. */
  lostWith(node: NodeId): ChainId[] {
    return this.pendingThrough(node).filter((id) => {
      const { plan, trained } = present(this.#chains.get(id), id);
      const source = present(plan.stages[0], "a source").copy;
      // The last gradient is the source's: once it is done, so is everybody of its chain.
      if (trained.size < plan.stages.length && !this.#contributions.has(source)) return true;
      return plan.stages.some(({ copy }) => this.#copy(copy).node === node && !this.#isHere(copy));
    });
  }

  /** Chains that a deadline is for: those that are in and incomplete, but for those that others hold up. */
  missing(): ChainId[] {
    const { pending } = this.#counts;
    return this.pendingThrough(null).filter((id) => {
      return pending === 0 || this.#standingOf(present(this.#chains.get(id), id)) === "pending";
    });
  }

  /** Gives those more time who were held up by others. */
  extend(deadlineMs: number): void {
    this.#deadlineMs = deadlineMs;
    this.#lastDeadlineMs = deadlineMs;
  }

  drop(chain: ChainId, reason: string): void {
    const state = present(this.#chains.get(chain), chain);
    // Another one may have to bring now what all of them have.
    const [{ copy: first }] = state.plan.stages as [StagePlan];
    const alike = alikeWith(this.#plan, first).flatMap((copy) => this.#chainsOf.get(copy) ?? []);
    this.#change(alike, () => {
      state.dropped = reason;
    });
    this.#lastDropped = reason;
  }

  /** Changes how chains stand, and keeps count of it. */
  #change(chains: readonly ChainState[], change: () => void): void {
    for (const chain of chains) this.#counts[this.#standingOf(chain)]--;
    change();
    for (const chain of chains) this.#counts[this.#standingOf(chain)]++;
  }

  #standingOf(chain: ChainState): ChainStanding {
    if (chain.dropped !== null) return "dropped";
    if (chain.late !== null) return "late";
    const missing = chain.plan.stages.filter(({ copy }) => !this.#isHere(copy));
    if (missing.length === 0) return "complete";
    return missing.every(({ merge }) => merge !== undefined) ? "finished" : "pending";
  }

  #isComplete({ plan }: ChainState): boolean {
    return plan.stages.every(({ copy }) => this.#isHere(copy));
  }

  /** Whether all that is awaited of a copy has come. Of members that end alike the first that is in brings what all have. */
  #isHere(copy: CopyId): boolean {
    const brought = this.#contributions.get(copy);
    if (brought?.message.isRest !== true) return brought !== undefined;
    const first = alikeWith(this.#plan, copy).find((other) =>
      this.#chainsOf.get(other)?.every(({ dropped }) => dropped === null),
    );
    return first !== copy;
  }

  /** A chain has no part in the round from its start. */
  exclude(chain: ChainId, reason: string): void {
    this.drop(chain, reason);
    this.#excluded++;
  }

  /** The round goes on without a chain that is in, and the chain goes on with the round. */
  leave(chain: ChainId, reason: string): void {
    const state = present(this.#chains.get(chain), chain);
    this.#change([state], () => {
      state.late = reason;
    });
  }

  /** Chains that the round went on without, and that are still at work on it. */
  get late(): ChainId[] {
    return this.#behind()
      .filter((chain) => !this.#isComplete(chain))
      .map(({ plan }) => plan.id);
  }

  /** Whether it has late chains, at work or done, that were not taken or given up. */
  get hasLate(): boolean {
    return this.#behind().length > 0;
  }

  /** What late chains have brought by now, in plan order. */
  foldable(samplesOf: (node: NodeId) => number): LatePart[] {
    return this.#behind()
      .filter((chain) => this.#isComplete(chain))
      .map((chain) => ({
        part: { ...this.#participantOf(chain, samplesOf), round: this.number },
        tensors: new Map(chain.plan.stages.map(({ copy }) => [copy, this.#brought(copy).tensors])),
        memories: this.memories(chain.plan.id),
        costs: this.#costsOf(chain.plan.stages.map(({ copy }) => copy)),
      }));
  }

  /** What codecs of such chains have come to remember. */
  lateMemories(): Memories {
    const own = this.#behind().filter((chain) => this.#isComplete(chain));
    return new Map(own.flatMap(({ plan }) => [...this.memories(plan.id)]));
  }

  #behind(): ChainState[] {
    return [...this.#chains.values()].filter((chain) => chain.dropped === null && !isIn(chain));
  }

  /** What has been brought so far, by copy. */
  brought(): Map<CopyId, Tensors> {
    return new Map([...this.#contributions].map(([copy, { tensors }]) => [copy, tensors]));
  }

  /** What codecs of a chain, or of all of them, have come to remember, as far as it has been brought. */
  memories(chain: ChainId | null = null): Memories {
    const stages = chain === null ? null : present(this.#chains.get(chain), chain).plan.stages;
    const copies = stages?.map(({ copy }) => copy) ?? [...this.#contributions.keys()];
    return new Map(copies.flatMap((copy) => [...(this.#contributions.get(copy)?.memory ?? [])]));
  }

  #brought(copy: CopyId): Brought {
    return present(this.#contributions.get(copy), copy);
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
    const { complete, pending, finished, dropped, late } = this.#counts;
    return {
      ...{ complete, pending: pending + finished, finished, dropped, late },
      quorum: Math.max(1, Math.ceil(this.#at.quorum * (this.#chains.size - this.#excluded))),
      diverged: this.#diverged,
      lastDropped: this.#lastDropped,
      deadlineMs: this.#deadlineMs,
      lastDeadlineMs: this.#lastDeadlineMs,
    };
  }

  /** The chains that made it, in plan order: what the log names and the merge takes. */
  participants(samplesOf: (node: NodeId) => number): Participant[] {
    return this.#completed().map((chain) => this.#participantOf(chain, samplesOf));
  }

  #participantOf(
    { plan, plannedWork, firstStep }: ChainState,
    samplesOf: (node: NodeId) => number,
  ): Participant {
    const messages = plan.stages.map(({ copy }) => this.#brought(copy).message);
    return {
      chain: plan.id,
      node: plan.source,
      copies: plan.stages.map((stage) => stage.copy),
      ...(plan.schedule === "window" ? { passes: messages.map(({ passes }) => passes) } : {}),
      ...joinedOf(messages),
      ...tookOf({ chain: plan.id, took: messages[0]?.took }, (other) => this.#isDropped(other)),
      ...(firstStep === this.number * plannedWork ? {} : { firstStep }),
      ...(plan.work === plannedWork ? {} : { steps: plan.work }),
      samples: samplesOf(plan.source),
      loss: messages.map(({ loss }) => loss).find((loss) => loss !== null) ?? null,
    };
  }

  #isDropped(chain: string): boolean {
    return (this.#chains.get(chain as ChainId)?.dropped ?? null) !== null;
  }

  /** Whose batches the copies trained that merge, dropped chains' included. */
  turns(): Turns[] {
    return this.#reaching().flatMap((copy) => {
      const { turns } = this.#brought(copy).message;
      const first = (this.#chainsOf.get(copy) ?? []).map(({ firstStep }) => firstStep);
      return turns.length === 0 ? [] : [{ copy, chains: turns, first }];
    });
  }

  /** Copies whose contributions reach the merge: a chain of theirs has made it. */
  #reaching(): CopyId[] {
    return [
      ...new Set(this.#completed().flatMap(({ plan }) => plan.stages.map(({ copy }) => copy))),
    ];
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
    return this.#costsOf(this.#reaching());
  }

  #costsOf(copies: readonly CopyId[]): SentContribution[] {
    return copies.map((copy) => ({
      node: this.#copy(copy).node,
      message: this.#brought(copy).message,
    }));
  }

  /**
   * Merges every group by its policy: the trained tensors after this round.
   * @param base what a tensor was when the round began
   * @param folded late parts of earlier rounds under the same plan
   */
  merge(
    samplesOf: (node: NodeId) => number,
    base: (name: string) => Tensor,
    folded: readonly LatePart[] = [],
  ): Map<string, Tensor> {
    const weightOf = partWeights(this.#plan);
    const made = this.#completed().map(({ plan }) => ({
      chain: plan,
      weight: weightOf(plan.id, samplesOf(plan.source)),
    }));
    const brought = broughtParts(made, (copy) => this.#brought(copy).tensors);
    const late = folded.map(({ part, tensors }): BroughtPart => {
      const { chain, samples } = part;
      const staleness = this.number - part.round;
      return { samples: stalePartWeight(weightOf(chain, samples), staleness), tensors };
    });
    return mergeGroups(this.#plan, [...brought, ...late], base);
  }

  #completed(): ChainState[] {
    return [...this.#chains.values()].filter((chain) => this.#standingOf(chain) === "complete");
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
  readonly memories: Memories;
  readonly costs: readonly SentContribution[];
}
