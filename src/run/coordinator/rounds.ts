/**
 * Conducts rounds: sends out their start, passes on what goes along chains, takes contributions, drops
 * chains that are late or have lost a node. Whether a round is committed is the coordinator's
 * decision.
 *
 * Where no two copies share tensors, a round ends in what each copy has by then, and the next one can
 * begin with that while it is on its way here, under another plan as soon as what moves is here. So two rounds
 * may be open at once, of which the older one is trained already. They are committed in their order;
 * without the older one the newer is nothing.
 */
import { present } from "../../base/assert.ts";
import { type ChainId, type NodeId, nodeId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import { broughtKinds } from "../../plan/exchange.ts";
import { exchangeOf, goesOnAlone, mayExchange } from "../../plan/exchange-members.ts";
import { partsOf } from "../../plan/part.ts";
import { inRound, phasesOf } from "../../plan/phases.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Frame, Host } from "../host.ts";
import type { Job } from "../job.ts";
import { splitMemory } from "../link-memory.ts";
import type { RoundCommitted } from "../metrics/record.ts";
import type { Tensors } from "../wire/frame.ts";
import type {
  ContributionMessage,
  CurtailedMessage,
  DataMessage,
  ProgressMessage,
  RejectMessage,
  WorkerMessage,
} from "../wire/messages.ts";
import { Relay } from "../wire/relay.ts";
import type { Draws } from "./draws.ts";
import { Givers } from "./givers.ts";
import {
  heldBy,
  heldUnder,
  type KeptCopy,
  keepers,
  keptUnder,
  lackingOf,
  renewed,
  type Segments,
  sinceBegin,
} from "./kept.ts";
import { type LateRound, LateRounds, mayFold } from "./late-rounds.ts";
import type { Member } from "./members.ts";
import { meanLoss } from "./merge.ts";
import { newest, Precopy } from "./precopy.ts";
import { memoriesOf, openMemories, Remembered, rememberedIn } from "./remembered.ts";
import type { Roster } from "./roster.ts";
import { Round } from "./round.ts";
import { markTraffic, roundCosts } from "./round-costs.ts";
import { decideRound, heldUpMs, roundDeadlines } from "./round-decision.ts";
import { tellOfCurtailed, tellToAbandon, tellToCurtail } from "./round-notices.ts";
import type {
  BeginningRound,
  NodeStart,
  OpenRound,
  RoundOutcome,
  RoundsAround,
  UnderPlan,
} from "./rounds-around.ts";
import type { TrainingState } from "./training-state.ts";

/** A member that misses so many deadlines in a row is asked to go. */
const lateRoundsMax = 2;

export class Rounds {
  readonly #host: Host;
  readonly #members: Roster;
  readonly #state: TrainingState;
  readonly #onDeadline: () => void;
  readonly #relay = new Relay<WorkerMessage>();
  readonly #policy: Job["round"];
  readonly #draws: Draws;
  /** Oldest first; all but the newest are trained. */
  #open: OpenRound[] = [];
  readonly #late = new LateRounds();
  readonly givers: Givers;
  #committedMs = 0;
  /** What the newest complete round gave, which may not be written down yet. */
  #merged: Tensors = new Map();
  /** Copies whose nodes have the tensors that the round before gave. */
  #kept: readonly KeptCopy[] = [];
  readonly #remembered: Remembered;
  /** What is sent ahead of the plan to come; null for nothing. */
  #precopy: Precopy | null = null;

  /** @param onDeadline called when time alone may have changed a round's outcome */
  constructor(host: Host, members: Roster, around: RoundsAround, onDeadline: () => void) {
    this.#host = host;
    this.#members = members;
    this.#state = around.state;
    this.#policy = around.policy;
    this.#draws = around.draws;
    this.givers = new Givers(host, around.state);
    this.#remembered = new Remembered(around.state, around.state.memoryRules);
    this.#onDeadline = onDeadline;
  }

  /** A plan comes into force: nodes drop what it gives them no use for, so that is kept no more. */
  adopt(plan: Plan): void {
    this.#late.clear();
    this.#kept = [...keptUnder(plan, this.#kept).values()];
  }

  /**
   * Batches of the round under way, where the next one may begin although that is not committed, as all
   * copies go on with what they have; null where it may not.
   */
  get trainedBatches(): number | null {
    const [first, second] = this.#open;
    if (first === undefined || second !== undefined || !first.round.isTrained) return null;
    const isAlone = first.plan.groups.every(({ members }) => members.length === 1);
    return isAlone ? first.round.batches : null;
  }

  /** Batches of the oldest round that has begun and is not committed; 0 where there is none. */
  get batches(): number {
    return this.#open[0]?.round.batches ?? 0;
  }

  /** Whether a round has begun that is not committed. */
  get isOpen(): boolean {
    return this.#open.length > 0;
  }

  /** Whether what nodes lack for a plan is here, though the round before it may not be whole yet. */
  canBegin({ plan, partOf }: UnderPlan): boolean {
    const [before] = this.#open;
    if (before === undefined || before.plan === plan) return true;
    const brought = before.round.brought();
    const awaited = before.plan.copies.filter(({ id }) => !brought.has(id));
    return this.#starts({ plan, partOf }).every(({ lacking, memory }) => {
      const isHere = ({ from, to }: Segments): boolean =>
        awaited.every((copy) => copy.to <= from || to <= copy.from);
      return !memory.isAwaited && lacking.every(isHere);
    });
  }

  /**
   * Sends what nodes will lack for a plan ahead, while the round under way goes on. Where what is trained travels home
   * as it is, all of it changes by then, and where nothing is under way, nothing waits: then it is ready at once.
   */
  prepare(plan: Plan, onReady: () => void): void {
    const [open] = this.#open;
    const last = this.#open.at(-1);
    this.#precopy = null;
    if (open === undefined || last === undefined || this.#state.isWhole) return onReady();
    const kept = keptUnder(plan, heldUnder(last, this.#members));
    const lacks = [...this.#members].map((member) => {
      const own = plan.copies.filter(({ node }) => node === member.id);
      return { member, lacking: own.flatMap((copy) => lackingOf(copy, member, kept)) };
    });
    const { number } = open.round;
    const now = newest(number, this.#broughtTo(open), this.#baseOf(open));
    const { term } = last.plan;
    const precopy: Precopy = new Precopy({ plan, term, lacks }, this.#state, now, () => {
      if (this.#precopy === precopy) onReady();
    });
    if (precopy.isEmpty) return onReady();
    this.#precopy = precopy;
  }

  /** What each node has for a plan, and what it lacks. */
  #starts({ plan, partOf }: Pick<UnderPlan, "plan" | "partOf">): NodeStart[] {
    const before = this.#open[0];
    const held = before === undefined ? this.#kept : heldUnder(before, this.#members);
    const open = before === undefined ? null : openMemories(before);
    const kept = keptUnder(plan, held);
    return [...this.#members].flatMap((member): NodeStart[] => {
      if (member.plannedTerm !== plan.term) return [];
      const mine = partOf(member.id);
      const going = this.#late.goingIn(mine);
      const own = mine.copies.filter(({ id, node }) => node === member.id && !going.copies.has(id));
      const keep = own.filter(({ id }) => kept.get(id)?.member === member).map(({ id }) => id);
      const lacking = own.flatMap((copy) => lackingOf(copy, member, kept));
      const chains = mine.chains.filter(({ id }) => !going.chains.includes(id));
      const memory = this.#remembered.start(
        member,
        { ...mine, chains },
        { open, late: this.#late.memories() },
      );
      return own.length === 0 && going.chains.length > 0
        ? []
        : [{ member, keep, lacking, memory, going: going.chains }];
    });
  }

  /** Starts a round under a plan that everybody has ready who is there. */
  begin(under: UnderPlan, { number, learningRate, later, interim }: BeginningRound): void {
    const startedMs = this.#host.now();
    const { plan } = under;
    const own = inRound(plan, number);
    const partOf = own === plan ? under.partOf : partsOf(own);
    const { quorumMs, lastMs } = roundDeadlines(own, this.#policy);
    const round = new Round(own, {
      ...{ number, startedMs, learningRate, interim, quorum: this.#policy.quorum },
      ...{ deadlineMs: startedMs + quorumMs, lastDeadlineMs: startedMs + lastMs },
      firstStepOf: ({ source }) => this.#nextStep(source),
    });
    for (const { late, chain } of this.#late.expire(number)) this.#abandon(late, chain);
    const { term } = plan;
    const before = this.#open[0];
    if (before === undefined) for (const member of this.#members) markTraffic(member);
    const newer = before === undefined ? this.#merged : this.#broughtTo(before);
    // A plan is given its term when it is made, and is the same otherwise.
    const precopy = this.#precopy?.plan.copies === plan.copies ? this.#precopy : null;
    const starts = this.#starts({ plan: own, partOf });
    this.givers.begin(own, number, starts);
    for (const { member, keep, lacking, going, memory } of starts) {
      const needed = this.#state.forSegments(lacking, newer);
      const said = this.givers.say(own, member, needed);
      for (const { copy, kinds } of renewed(partOf(member.id), keep)) {
        for (const own of this.#state.forSegments([copy], newer, kinds)) needed.set(...own);
      }
      const tensors = precopy?.without(member, number, needed) ?? needed;
      const first = partOf(member.id)
        .chains.filter(({ id }) => !going.includes(id))
        .map(({ id: chain }) => ({ chain, step: round.firstStep(chain) }));
      const rates = goesOnAlone(own) ? { later } : {};
      const often = interim === null ? {} : { interim };
      const more = { ...rates, ...often, ...said, ...rememberedIn(memory) };
      const at = { term, round: number, learningRate, ...more };
      const all = memory.tensors.size === 0 ? tensors : new Map([...tensors, ...memory.tensors]);
      member.channel.send({ type: "begin", ...at, keep, first, going }, all);
    }
    this.#kept = [];
    this.#remembered.begun(plan, own.chains);
    // Nodes drop what came ahead with the first round of another plan.
    if (this.#precopy?.term !== term) this.#precopy = null;
    const timers = [quorumMs, lastMs].map((ms) => this.#host.after(ms, this.#onDeadline));
    const timer = () => timers.forEach((cancel) => void cancel());
    const began = new Map([...this.#members].map((one) => [one.id, one]));
    const open = { round, plan, timer, began };
    this.#open.push(open);
    for (const [chain, late] of this.#late.busy) {
      round.exclude(chain, `it is still at work on round ${late + 1}`);
    }
    const ids = new Set(own.chains.map(({ id }) => id));
    for (const { id } of under.broken.filter((chain) => ids.has(chain.id))) {
      round.exclude(id, "a node of it left before the round");
      this.#abandon(open, id);
    }
  }

  /** The number of a source's next batch, those of rounds counted that are not committed. */
  #nextStep(source: NodeId): number {
    const open = this.#open.flatMap(({ round }) => round.drawn(source) ?? []);
    return Math.max(this.#draws.next(source), this.#late.drawn(source) ?? 0, ...open);
  }

  /** Ends all rounds under way, whatever has become of them. */
  stop(): void {
    for (const { timer } of this.#open) timer();
    this.#open = [];
    this.#late.clear();
    this.#precopy = null;
  }

  /** Drops who is late, and says how the oldest round under way stands. */
  advance(): RoundOutcome {
    for (;;) {
      const open = present(this.#open[0], "a round under way");
      const { round } = open;
      const standing = round.standing();
      const { decision, reason } = decideRound(this.#host.now(), standing);
      switch (decision) {
        case "wait":
          return { kind: "under way" };
        case "leave late":
          for (const chain of round.missing()) this.#leave(open, chain, reason);
          if (round.standing().pending > 0) this.#extend(open);
          break;
        case "drop late":
          for (const chain of round.missing()) this.#dropLate(open, chain, reason);
          if (round.standing().pending > 0) this.#extend(open);
          break;
        case "give up": {
          this.stop();
          const problem = `round ${round.number + 1}: ${reason}`;
          return { kind: "empty", problem, isHopeless: standing.diverged > 0 };
        }
        case "commit":
          open.timer();
          this.#open.shift();
          return this.#complete(open);
      }
    }
  }

  /** Those who were held up have time to bring what they share, now that they are not any more. */
  #extend(open: OpenRound): void {
    open.round.extend(this.#host.now() + heldUpMs);
    open.timer();
    open.timer = this.#host.after(heldUpMs, this.#onDeadline);
  }

  #complete(open: OpenRound): RoundOutcome {
    const { round, plan } = open;
    const { samplesOf } = this.#members;
    const participants = round.participants(samplesOf);
    const late = this.#late.take(samplesOf);
    const folded = late.map(({ part }) => part);
    const needsBase = round.hasLate && !this.#state.isWhole;
    this.#late.add({ round, plan, ...(needsBase ? { base: this.#state.snapshot() } : {}) });
    for (const { node } of [...participants, ...folded]) {
      const member = this.#members.get(node);
      if (member !== undefined) member.lateRounds = 0;
    }
    // With the next round under way, copies have gone on from there.
    if (!this.isOpen && !round.hasEndedEarly)
      this.#kept = heldBy(keepers(plan, participants, this.#state.isWhole), open, this.#members);
    const now = this.#host.now();
    const fromMs = Math.max(round.startedMs, this.#committedMs);
    this.#committedMs = now;
    const turns = round.turns();
    const phases = phasesOf(plan);
    const record: RoundCommitted = {
      type: "round",
      round: round.number,
      term: plan.term,
      learningRate: round.learningRate,
      ms: now - fromMs,
      loss: meanLoss(participants),
      participants,
      ...(phases === 1 ? {} : { phases }),
      ...(folded.length === 0 ? {} : { folded }),
      ...(turns.length === 0 ? {} : { turns }),
      dropped: round.dropped(),
      nodes: roundCosts(this.#members, [...round.costs(), ...late.flatMap(({ costs }) => costs)]),
    };
    this.#draws.committed(plan, record);
    const merged = round.merge(samplesOf, (name) => present(this.#startOf(name), name), late);
    // With the next round under way, nobody has what this one gave any more.
    const memberOf = this.isOpen ? null : sinceBegin(open, this.#members);
    const made = { plan, memories: memoriesOf(round, participants, late) };
    this.#merged = new Map([...merged, ...this.#remembered.made(made, memberOf)]);
    return { kind: "complete", record, merged: this.#merged };
  }

  /** Takes what a copy brings; who brings what does not fit is sent away. */
  contributed(member: Member, message: ContributionMessage, tensors: Tensors): void {
    const open = this.#roundOf(message);
    if (open === undefined) return;
    const outBefore = new Set(open.round.dropped().map(({ chain }) => chain));
    const problem = open.round.take(member.id, message, (copy) => {
      const kinds = broughtKinds(exchangeOf(open.plan, copy.id), message.isRest === true);
      const { memory, others } = splitMemory(tensors);
      const values = this.#state.read(copy, others, this.#baseOf(open), kinds);
      if (typeof values === "string") return values;
      const problem = this.#remembered.problem(open.plan, message, memory);
      if (problem !== null) return problem;
      if (message.isInterim !== true) this.#precopy?.follow(copy, message.round, others);
      return { tensors: values, memory };
    });
    // Its numbers were not finite: another member may have to bring now what all of them have.
    for (const { chain } of open.round.dropped()) {
      if (!outBefore.has(chain)) this.#abandon(open, chain);
    }
    if (problem !== null) member.channel.close(`sent a contribution with ${problem}`);
  }

  /** What tensors were when a round began; of one that followed early, what the round before has brought so far. */
  #baseOf({ round, base }: LateRound): (name: string) => Tensor | null {
    const at = this.#open.findIndex((open) => open.round === round);
    if (at === 0) return (name) => this.#startOf(name);
    const before = this.#open[at - 1];
    const known = before === undefined ? base : this.#broughtTo(before);
    return (name) => known?.get(name) ?? null;
  }

  /** What a tensor was when the oldest round under way began. */
  #startOf(name: string): Tensor | null {
    return this.#merged.get(name) ?? this.#state.committed(name);
  }

  /** What has come of an open round so far, of all copies together. */
  #broughtTo({ round }: OpenRound): Map<string, Tensor> {
    return new Map([...round.brought().values()].flatMap((tensors) => [...tensors]));
  }

  /** A copy says how far it is in a round. */
  told(member: Member, message: ProgressMessage): void {
    this.#roundOf(message)?.round.told(member.id, message);
  }

  /** The round that a message is about, whether it is open or late. */
  #roundOf(message: { term: number; round: number }): LateRound | undefined {
    return this.#openOf(message) ?? this.#late.find(message);
  }

  #openOf({ term, round }: { term: number; round: number }): OpenRound | undefined {
    return this.#open.find((open) => open.plan.term === term && open.round.number === round);
  }

  /** Asks the chains through a node, or all of them, to end the round with the batches that have begun. */
  curtail(node: NodeId | null): void {
    const newest = this.#open.at(-1);
    if (newest !== undefined) tellToCurtail(newest, node, this.#members);
  }

  /** A source has ended its chain's round early: the other stages are told. */
  curtailed(member: Member, message: CurtailedMessage): void {
    const round = this.#openOf(message)?.round;
    if (!round?.shorten(member.id, message.chain, message.work)) return;
    tellOfCurtailed(round, message, this.#members);
  }

  /**
   * A chain whose messages do not fit is at an end, and with it its source, which began it. Numbers
   * that are not finite need nobody's ill will: the chain is out of the round, and says whose they were.
   */
  rejected(member: Member, message: RejectMessage): void {
    const open = this.#roundOf(message);
    if (open === undefined) return;
    const { chain, reason, text } = message;
    const { round, plan } = open;
    const source = plan.chains.find(({ id }) => id === chain)?.source;
    if (source === undefined) return;
    if (!round.nodesOf(chain as ChainId).includes(member.id)) return;
    if (reason === "misfit") this.#members.get(source)?.channel.close(text);
    else {
      round.diverge(chain as ChainId, text);
      this.#abandon(open, chain as ChainId);
    }
  }

  /** Passes a data message on between two nodes of one chain or exchange; anything else is void. */
  relay(from: Member, message: DataMessage, frame: Frame): void {
    const target = nodeId(message.to);
    const { round, plan } = this.#roundOf(message) ?? {};
    const { type, chain, stage } = message;
    const isOfBorder = type === "feature" || type === "gradient";
    const isOnItsWay =
      isOfBorder || plan === undefined
        ? round?.passes(chain, from.id, stage, target)
        : mayExchange(plan, { chain, from: from.id, to: target }, type === "pull");
    if (!isOnItsWay) return;
    const to = this.#members.get(target);
    if (to !== undefined) this.#relay.pass(frame, from.channel, to.channel);
  }

  /** Drops the chains through a member that is gone. @returns the round that it is missing from */
  left(member: Member, reason: string): number | null {
    for (const { late, chain } of this.#late.left(member.id)) this.#abandon(late, chain);
    for (const open of this.#open) {
      for (const chain of open.round.lostWith(member.id)) {
        this.#drop(open, chain, `${member.hello.name} left: ${reason}`, true);
      }
    }
    return this.#open.at(-1)?.round.number ?? null;
  }

  /** Goes on without a chain, which brings its part later where the job wants that and it can; else it is dropped. */
  #leave(open: OpenRound, chain: ChainId, reason: string): void {
    const isFolded = this.#policy.late === "fold" && mayFold(open.plan, chain);
    if (isFolded) open.round.leave(chain, reason);
    else this.#drop(open, chain, reason);
  }

  /** Drops a chain that missed the last deadline; a source that misses it again and again is sent away. */
  #dropLate(open: OpenRound, chain: ChainId, reason: string): void {
    this.#drop(open, chain, reason);
    const source = this.#members.get(present(open.round.nodesOf(chain)[0], "a source"));
    if (source === undefined || ++source.lateRounds < lateRoundsMax) return;
    source.channel.close(`it missed the deadline of ${source.lateRounds} rounds in a row`);
  }

  /**
   * A chain is out of a round, and of those after it, which went on from there.
   * @param mayEnd whether the first of them may end with what the chain has brought on its way
   */
  #drop(from: OpenRound, chain: ChainId, reason: string, mayEnd = false): void {
    this.#precopy = null;
    for (const open of this.#open.slice(this.#open.indexOf(from))) {
      const isEnded = mayEnd && open === from && open.round.endEarly(chain);
      if (!isEnded) open.round.drop(chain, reason);
      this.#abandon(open, chain);
    }
  }

  #abandon(late: LateRound, chain: ChainId): void {
    tellToAbandon(late, chain, this.#members);
  }
}
