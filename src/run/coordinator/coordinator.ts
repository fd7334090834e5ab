/**
 * The coordinator: gathers workers, has them probed, plans, and runs rounds
 * until the job is done. It trains nothing itself; the edge server is a worker
 * like any other.
 *
 * Handlers record what happened and call `#decide()`, the one place that acts.
 * Invariants:
 * 1. Trained tensors change only by committing a round, and a round commits once.
 * 2. A round merges exactly the chains that its record names, in plan order.
 * 3. Control messages are sent under the current term only; terms only grow.
 * 4. A node counts as a member from its accepted `hello` until its channel
 *    closes, and never afterwards.
 * 5. What is in the store is always a committed state.
 */
import { present } from "../../base/assert.ts";
import { messageOf, PlanError } from "../../base/errors.ts";
import { type ChainId, type NodeId, nodeId, type RunId } from "../../base/ids.ts";
import type { Model } from "../../compile/graph.ts";
import { linkRate } from "../../plan/link-rate.ts";
import type { Plan, Profile } from "../../plan/plan.ts";
import { planners } from "../../plan/planners.ts";
import type { Cancel, Frame, Host, Link } from "../host.ts";
import type { Job } from "../job.ts";
import type { RunRecord } from "../metrics/record.ts";
import { learningRateAt } from "../schedule.ts";
import { Channel } from "../wire/channel.ts";
import { type Decoded, decodeWorkerFrame, frameBytesMax, type Tensors } from "../wire/frame.ts";
import type {
  ContributionMessage,
  FeatureMessage,
  GradientMessage,
  Hello,
  RefusalReason,
  RejectMessage,
  WorkerMessage,
} from "../wire/messages.ts";
import { admit, consumesWithinMs, helloBytesMax, type Ticket } from "./admission.ts";
import { CompiledJob } from "./compiled-job.ts";
import { Examiner } from "./examiner.ts";
import { Keeper } from "./keeper.ts";
import {
  activityOf,
  fleetNode,
  hasGathered,
  inNodeOrder,
  joined,
  latencyOf,
  type Member,
  newMember,
  nextToProbe,
  roundCosts,
  watchMember,
} from "./members.ts";
import { decideRound, meanLoss, Round, roundDeadlineMs } from "./round.ts";
import { TrainingState } from "./training-state.ts";

export interface CoordinatorOptions {
  readonly run: RunId;
  readonly job: Job;
  readonly model: Model;
  /** Join tokens and what each allows. */
  readonly tickets: ReadonlyMap<string, Ticket>;
  /** Edge servers that the run waits for, beside the job's devices. */
  readonly edges: number;
}

/** How a run ended, for its owner. */
export interface CoordinatorEnd {
  readonly reason: "finished" | "interrupted" | "failed";
  readonly text: string;
}

type Phase =
  | { readonly kind: "gathering" }
  | { readonly kind: "probing" }
  | { readonly kind: "planned" }
  | { readonly kind: "round"; readonly round: Round; readonly timer: Cancel }
  | { readonly kind: "evaluating"; readonly isFinal: boolean }
  | { readonly kind: "saving" }
  | { readonly kind: "ended" };

const probeRepeats = 5;
/** Time for the last messages to leave before links are cut. */
const farewellMs = 3_000;

export class Coordinator {
  readonly #host: Host;
  readonly #options: CoordinatorOptions;
  readonly #compiled: CompiledJob;
  readonly #state: TrainingState;
  readonly #keeper: Keeper;
  readonly #examiner: Examiner;
  readonly #onEnd: (end: CoordinatorEnd) => void;
  readonly #members = new Map<NodeId, Member>();
  /** Training samples of every node that ever joined. */
  readonly #samples = new Map<NodeId, number>();
  readonly #visitors = new Set<Channel<WorkerMessage>>();
  #phase: Phase = { kind: "gathering" };
  #plan: Plan | null = null;
  #planIsStale: string | null = null;
  /** Rounds committed so far; also the number of the next one. */
  #committed = 0;
  #end: CoordinatorEnd | null = null;
  #isReported = false;
  #isWatched = false;
  #report: () => void = () => {};

  /** @throws ModelError when the model cannot be trained as the job says. */
  constructor(host: Host, options: CoordinatorOptions, onEnd: (end: CoordinatorEnd) => void) {
    this.#host = host;
    this.#options = options;
    this.#onEnd = onEnd;
    this.#compiled = new CompiledJob(options.job, options.model);
    const { segments, optimizer } = this.#compiled;
    this.#state = new TrainingState(options.model, segments, optimizer);
    this.#record(this.#compiled.started(options.run));
    this.#examiner = new Examiner(options.job);
    this.#keeper = new Keeper(host.store, this.#compiled, this.#state, () => this.#decide());
    this.#keeper.saveModel();
  }

  /** Takes a new connection; the worker on it says hello first. */
  accept(link: Link): void {
    let member: Member | null = null;
    const channel: Channel<WorkerMessage> = new Channel<WorkerMessage>(this.#host, link, {
      decode: decodeWorkerFrame,
      onMessage: (decoded, frame) => {
        if (member !== null) this.#receive(member, decoded, frame);
        else if (decoded.message.type === "hello") member = this.#hello(channel, decoded.message);
        else this.#refuse(channel, "protocol", "the first message must be hello");
      },
      onClose: (reason) => {
        this.#visitors.delete(channel);
        if (member !== null) this.#left(member, reason);
      },
      onPaced: (fromMs, ms) => member?.receiving.add("receiving", fromMs, ms),
      onBroken: ({ reason, message: text }) => ({ type: "refuse", reason, text }),
      consumesWithinMs,
    });
    channel.limitFrames(helloBytesMax);
    this.#visitors.add(channel);
  }

  /** Ends the run after what is committed; weights are saved. */
  interrupt(text: string): void {
    // Whoever is told a record may ask for it, while the coordinator is in the middle of something.
    this.#host.after(0, () => this.#finish({ reason: "interrupted", text }));
  }

  /** Somebody looks on, or nobody does any more: nodes tell what they do while they are watched. */
  watch(isWatched: boolean): void {
    this.#isWatched = isWatched;
    for (const member of this.#members.values()) watchMember(member, isWatched);
  }

  // -- What happened: each handler notes it and decides.

  #hello(channel: Channel<WorkerMessage>, hello: Hello): Member | null {
    const refusal = admit(hello, {
      tickets: this.#options.tickets,
      present: [...this.#members.values()].map((member) => member.hello),
      isGathering: this.#phase.kind === "gathering",
      takes: this.#compiled.takes,
      devices: this.#options.job.fleet.devices.length,
    });
    if (refusal !== null) {
      this.#refuse(channel, refusal.reason, refusal.text);
      return null;
    }
    this.#visitors.delete(channel);
    channel.limitFrames(frameBytesMax);
    const member = newMember(hello, channel);
    this.#members.set(member.id, member);
    this.#samples.set(member.id, hello.samples);
    this.#record(joined(member));
    channel.forward(this.#compiled.welcome(this.#options.run, hello));
    if (this.#isWatched) watchMember(member, true);
    this.#decide();
    return member;
  }

  #refuse(channel: Channel<WorkerMessage>, reason: RefusalReason, text: string): void {
    channel.send({ type: "refuse", reason, text });
    channel.close(text);
  }

  #receive(member: Member, { message, tensors }: Decoded<WorkerMessage>, frame: Frame): void {
    switch (message.type) {
      case "profile":
        return this.#profiled(member, message.profile);
      case "ready":
        member.readyTerm = message.term;
        return this.#decide();
      case "feature":
      case "gradient":
        return this.#relay(member, message, frame);
      case "contribution":
        return this.#contributed(member, message, tensors);
      case "evaluation":
        this.#examiner.take(member.id, message);
        return this.#decide();
      case "reject":
        return this.#rejected(member, message);
      case "activity":
        return this.#record(activityOf(member, message.spans, this.#host.now()));
      case "failed":
        return member.channel.close(`it failed: ${message.text}`);
      case "leave":
        return member.channel.close(message.text);
      case "hello":
        return member.channel.close("said hello twice");
      case "ping":
      case "pong":
      case "ack":
        return;
    }
  }

  #contributed(member: Member, message: ContributionMessage, tensors: Tensors): void {
    if (this.#phase.kind !== "round") return;
    const problem = this.#phase.round.take(member.id, message, tensors, this.#state);
    if (problem !== null) member.channel.close(`sent a contribution with ${problem}`);
    this.#decide();
  }

  /** A chain whose messages do not fit is at an end, and with it its source, which began it. */
  #rejected(member: Member, { term, round: number, chain, text }: RejectMessage): void {
    const plan = this.#plan?.term === term ? this.#plan : null;
    const source = plan?.chains.find(({ id }) => id === chain)?.source;
    if (this.#phase.kind !== "round" || this.#phase.round.number !== number) return;
    if (source === undefined || !this.#phase.round.nodesOf(chain as ChainId).includes(member.id))
      return;
    this.#members.get(source)?.channel.close(text);
  }

  #profiled(member: Member, profile: Profile): void {
    if (!member.isProbing) return;
    if (profile.segments.length !== this.#compiled.segments.length) {
      return member.channel.close("sent a profile of another model");
    }
    member.profile = profile;
    member.isProbing = false;
    this.#record({
      type: "profiled",
      node: member.id,
      name: member.hello.name,
      profile,
      latencyMs: latencyOf(member),
      probeMs: this.#host.now() - member.probeStartedMs,
    });
    this.#decide();
  }

  /** Passes a data message on between two nodes of one chain; anything else is void. */
  #relay(from: Member, message: FeatureMessage | GradientMessage, frame: Frame): void {
    if (this.#phase.kind !== "round" || message.term !== this.#plan?.term) return;
    const target = nodeId(message.to);
    if (!this.#phase.round.passes(message.chain, from.id, message.stage, target)) return;
    // Its sender waits until it has left here, so what is relayed never piles up.
    this.#members.get(target)?.channel.forward(frame, from.channel.hold(frame));
  }

  #left(member: Member, reason: string): void {
    this.#members.delete(member.id);
    const phase = this.#phase;
    // After the end everybody leaves, as told.
    if (this.#end !== null) return this.#decide();
    const round = phase.kind === "round" ? phase.round : null;
    const { name } = member.hello;
    this.#record({
      type: "left",
      node: member.id,
      name,
      reason,
      round: round?.number ?? (this.#committed > 0 ? this.#committed : null),
    });
    for (const chain of round?.pendingThrough(member.id) ?? []) {
      this.#dropChain(present(round, "a round"), chain, `${name} left: ${reason}`);
    }
    if (this.#plan !== null) this.#planIsStale = `${name} left`;
    this.#decide();
  }

  // -- What to do about it.

  /** Moves from phase to phase until the next one needs something that is not there yet. */
  #decide(): void {
    while (this.#advance()) {}
  }

  #advance(): boolean {
    const phase = this.#phase;
    switch (phase.kind) {
      case "gathering":
        return this.#startProbing();
      case "probing":
        return this.#probeNext();
      case "planned":
        return this.#beginWhenReady();
      case "round":
        return this.#driveRound(phase.round, phase.timer);
      case "evaluating":
        return this.#takeEvaluation(phase.isFinal);
      case "saving":
        return this.#reportEnd();
      case "ended":
        if (this.#members.size === 0) this.#report();
        return false;
    }
  }

  #startProbing(): boolean {
    const { job, edges } = this.#options;
    if (!hasGathered(this.#members.values(), job.fleet.devices.length, edges)) return false;
    this.#phase = { kind: "probing" };
    return true;
  }

  /** Probes members that share a machine one after the other, so that they do not slow each other. */
  #probeNext(): boolean {
    const members = [...this.#members.values()];
    if (members.every((member) => member.profile !== null)) return this.#makePlan();
    for (const member of nextToProbe(members)) {
      member.isProbing = true;
      member.probeStartedMs = this.#host.now();
      member.channel.send({ type: "probe", repeats: probeRepeats });
    }
    return false;
  }

  #makePlan(): boolean {
    const term = (this.#plan?.term ?? 0) + 1;
    const nodes = inNodeOrder(this.#members.values()).map(fleetNode);
    let plan: Plan;
    try {
      plan = planners[this.#options.job.planner](this.#compiled.planRequest(term, nodes));
    } catch (error) {
      if (!(error instanceof PlanError)) throw error;
      this.#finish({ reason: "failed", text: `no plan: ${messageOf(error)}` });
      return false;
    }
    this.#plan = plan;
    const reason = this.#planIsStale ?? "first plan";
    this.#planIsStale = null;
    this.#phase = { kind: "planned" };
    this.#record({ type: "planned", plan, round: this.#committed, reason });
    this.#keeper.savePlan(plan);
    for (const member of this.#members.values()) {
      member.channel.setRate(linkRate(plan, member.id));
      member.channel.send({ type: "plan", plan });
    }
    return true;
  }

  #beginWhenReady(): boolean {
    const plan = present(this.#plan, "a plan");
    if (this.#planIsStale !== null) return this.#makePlan();
    for (const member of this.#members.values()) {
      if (member.readyTerm !== plan.term) return false;
    }
    if (this.#examiner.isDue(this.#committed)) return this.#startEvaluation();
    return this.#beginRound(plan);
  }

  #beginRound(plan: Plan): boolean {
    const { job } = this.#options;
    const now = this.#host.now();
    const deadlineMs = roundDeadlineMs(plan);
    const learningRate = learningRateAt(job, this.#committed);
    const round = new Round(plan, {
      number: this.#committed,
      startedMs: now,
      deadlineMs: now + deadlineMs,
      learningRate,
    });
    for (const member of this.#members.values()) {
      member.mark = { up: member.channel.bytesReceived, down: member.channel.bytesSent };
      const tensors = this.#state.forNode(plan, member.id);
      const { term } = plan;
      member.channel.send({ type: "begin", term, round: round.number, learningRate }, tensors);
    }
    const timer = this.#host.after(deadlineMs, () => this.#decide());
    this.#phase = { kind: "round", round, timer };
    return true;
  }

  #driveRound(round: Round, timer: Cancel): boolean {
    const { decision, reason } = decideRound(this.#host.now(), round.standing());
    switch (decision) {
      case "wait":
        return false;
      case "drop late":
        for (const chain of round.pendingThrough(null)) this.#dropChain(round, chain, reason);
        return true;
      case "give up":
        timer();
        this.#finish({ reason: "failed", text: `round ${round.number + 1}: ${reason}` });
        return false;
      case "commit":
        timer();
        this.#commit(round);
        return true;
    }
  }

  #dropChain(round: Round, chain: ChainId, reason: string): void {
    round.drop(chain, reason);
    const term = present(this.#plan, "a plan").term;
    for (const node of round.nodesOf(chain)) {
      this.#members.get(node)?.channel.send({ type: "abandon", term, round: round.number, chain });
    }
  }

  #commit(round: Round): void {
    const samplesOf = (node: NodeId): number => present(this.#samples.get(node), node);
    this.#state.update(round.merge(samplesOf));
    const participants = round.participants(samplesOf);
    this.#committed++;
    this.#record({
      type: "round",
      round: round.number,
      term: present(this.#plan, "a plan").term,
      learningRate: round.learningRate,
      ms: this.#host.now() - round.startedMs,
      loss: meanLoss(participants),
      participants,
      dropped: round.dropped(),
      nodes: roundCosts(this.#members.values(), round.costs()),
    });
    this.#keeper.saveWeights(this.#committed, false);
    this.#phase = { kind: "planned" };
  }

  // -- Evaluation and the end.

  #startEvaluation(): boolean {
    const isFinal = this.#committed === this.#options.job.rounds;
    if (this.#examiner.ask(this.#members.values(), this.#committed, this.#state.parameters())) {
      this.#phase = { kind: "evaluating", isFinal };
    } else if (isFinal) {
      this.#finish({ reason: "finished", text: `${this.#committed} rounds` });
    } else return true;
    return false;
  }

  #takeEvaluation(isFinal: boolean): boolean {
    if (this.#examiner.isAwaited(this.#members)) return false;
    const record = this.#examiner.result(isFinal);
    if (record !== null) this.#record(record);
    this.#phase = { kind: "planned" };
    if (!isFinal) return true;
    this.#finish({ reason: "finished", text: `${this.#committed} rounds` });
    return false;
  }

  /** Saves what is committed and tells everybody; the end is reported when both are done. */
  #finish(end: CoordinatorEnd): void {
    if (this.#end !== null) return;
    this.#end = end;
    if (this.#phase.kind === "round") this.#phase.timer();
    this.#phase = { kind: "saving" };
    this.#keeper.saveModel();
    this.#keeper.saveWeights(this.#committed, true);
    for (const { channel } of this.#members.values()) {
      channel.setRate(null);
      channel.send({ type: "stop", reason: end.reason, text: end.text });
      channel.close(end.text);
    }
    for (const channel of this.#visitors) channel.close(end.text);
    this.#decide();
  }

  #reportEnd(): boolean {
    if (this.#keeper.isBusy) return false;
    const { failure } = this.#keeper;
    let end = present(this.#end, "an end");
    if (failure !== null) end = { reason: "failed", text: `${end.text}; cannot save ${failure}` };
    this.#record({ type: "ended", ...end, rounds: this.#committed });
    this.#phase = { kind: "ended" };
    // Peers close when they have read the farewell; who does not is cut off.
    const report = (): void => {
      cancel();
      if (this.#isReported) return;
      this.#isReported = true;
      this.#onEnd(end);
    };
    const cancel = this.#host.after(farewellMs, report);
    this.#report = report;
    return true;
  }

  #record(record: RunRecord): void {
    this.#host.record(record);
  }
}
