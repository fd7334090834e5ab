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
 * 4. A decision (plan, round, measurement, end) is acted upon when the journal has it, so a
 *    coordinator that is started again on the journal goes on where this one was.
 * 5. What is in the store is always a committed state.
 */
import { present } from "../../base/assert.ts";
import type { NodeId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import type { Plan, Profile } from "../../plan/plan.ts";
import type { Frame, Host, Link } from "../host.ts";
import type { RoundCommitted, RunRecord } from "../metrics/record.ts";
import { Channel } from "../wire/channel.ts";
import { type Decoded, decodeWorkerFrame } from "../wire/frame.ts";
import { type Hello, isDataMessage, type WorkerMessage } from "../wire/messages.ts";
import { consumesWithinMs, helloBytesMax, refuse } from "./admission.ts";
import { CompiledJob } from "./compiled-job.ts";
import type { CoordinatorOptions, Legacy } from "./coordinator-options.ts";
import { Draws } from "./draws.ts";
import { Examiner } from "./examiner.ts";
import { type CoordinatorEnd, Farewell } from "./farewell.ts";
import { Gathering } from "./gathering.ts";
import { Homecoming } from "./homecoming.ts";
import { type Decision, noJournal } from "./journal.ts";
import { Keeper } from "./keeper.ts";
import { activityOf, joined, type Member, profiled, release, watchMember } from "./members.ts";
import type { Phase } from "./phase.ts";
import { Planning } from "./planning.ts";
import { Progress } from "./progress.ts";
import { Roster } from "./roster.ts";
import { Rounds } from "./rounds.ts";
import { TrainingState } from "./training-state.ts";

export class Coordinator {
  readonly #host: Host;
  readonly #options: CoordinatorOptions;
  readonly #compiled: CompiledJob;
  readonly #state: TrainingState;
  readonly #keeper: Keeper;
  readonly #examiner: Examiner;
  readonly #onEnd: (end: CoordinatorEnd) => void;
  readonly #members: Roster;
  readonly #visitors = new Set<Channel<WorkerMessage>>();
  readonly #gathering: Gathering;
  readonly #planning: Planning;
  readonly #rounds: Rounds;
  readonly #homecoming: Homecoming;
  #phase: Phase = { kind: "gathering" };
  readonly #progress: Progress;
  /** The end that has been decided on, once what is being written is written. */
  #wanted: CoordinatorEnd | null = null;
  #isWatched = false;
  readonly #record = (record: RunRecord): void => this.#host.record(record);

  /** @throws ModelError when the model cannot be trained as the job says. */
  constructor(host: Host, options: CoordinatorOptions, onEnd: (end: CoordinatorEnd) => void) {
    this.#host = host;
    this.#options = options;
    this.#onEnd = onEnd;
    const { job, model, legacy } = options;
    this.#compiled = new CompiledJob(job, model);
    this.#state = new TrainingState(model, this.#compiled);
    this.#progress = new Progress(job, legacy?.past);
    this.#keeper = new Keeper({
      store: host.store,
      journal: options.journal ?? noJournal(host),
      compiled: this.#compiled,
      state: this.#state,
      checkpoint: legacy?.past.checkpoint ?? null,
      onDone: () => this.#decide(),
    });
    const { tickets, patienceMs = 0 } = options;
    this.#gathering = new Gathering(host, patienceMs, () => {
      this.#gathering.changed();
      this.#decide();
    });
    this.#members = new Roster(host, { tickets, ...this.#compiled.places });
    this.#examiner = new Examiner(job, this.#members, legacy?.past.examinedAt ?? -1);
    const around = { host, members: this.#members, onSurveyed: () => this.#decide() };
    this.#planning = new Planning(this.#compiled, options, around);
    const drawn = { state: this.#state, policy: job.round, draws: new Draws(legacy?.past) };
    this.#rounds = new Rounds(host, this.#members, drawn, () => this.#decide());
    this.#homecoming = new Homecoming(host, this.#members, drawn, () => this.#decide());
    if (legacy === undefined) {
      this.#record(this.#compiled.started(options.run));
      this.#keeper.saveModel();
    } else this.#resume(legacy);
  }

  #resume({ past, tensors }: Legacy): void {
    this.#state.update(tensors);
    if (past.end?.reason === "finished") return this.#part(past.end);
    this.#planning.resume(past.term, past.plan);
    const reason = past.loss ?? "the coordinator was started again";
    const { committed: round, term } = past;
    this.#write({ type: "resumed", round, term, reason }, () => {
      if (this.#isDone) return this.#finishDone();
      this.#gathering.beginAgain();
      this.#phase = { kind: "gathering" };
    });
  }

  /** Takes a new connection; the worker on it says hello first. */
  accept(link: Link): void {
    let member: Member | null = null;
    const channel: Channel<WorkerMessage> = new Channel<WorkerMessage>(this.#host, link, {
      decode: decodeWorkerFrame,
      onMessage: (decoded, frame) => {
        if (member !== null) this.#receive(member, decoded, frame);
        else if (decoded.message.type === "hello") member = this.#hello(channel, decoded.message);
        else refuse(channel, { reason: "protocol", text: "the first message must be hello" });
      },
      onClose: (reason) => {
        this.#visitors.delete(channel);
        if (member !== null) this.#left(member, reason);
        else this.#decide();
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
    for (const member of this.#members) watchMember(member, isWatched);
  }

  // -- What happened: each handler notes it and decides.

  #hello(channel: Channel<WorkerMessage>, hello: Hello): Member | null {
    if (this.#phase.kind === "ending") {
      this.#phase.farewell.tell(channel);
      return null;
    }
    const member = this.#members.admit(channel, hello);
    if ("reason" in member) {
      refuse(channel, member);
      return null;
    }
    this.#visitors.delete(channel);
    channel.limitFrames(this.#compiled.frameBytesMax);
    this.#record(joined(member));
    const plan = this.#phase.kind === "gathering" ? this.#planning.plan : null;
    const awaits = this.#homecoming.ask(member, plan, this.#progress.committed);
    channel.forward(this.#compiled.welcome(this.#options.run, hello, awaits));
    if (this.#isWatched) watchMember(member, true);
    this.#gathering.joined(hello);
    if (member.profile !== null) this.#planning.arrived(member.id, `${hello.name} is back`);
    this.#decide();
    return member;
  }

  #receive(member: Member, { message, tensors }: Decoded<WorkerMessage>, frame: Frame): void {
    if (isDataMessage(message)) return this.#rounds.relay(member, message, frame);
    switch (message.type) {
      case "profile":
        return this.#profiled(member, message.profile);
      case "ready":
        this.#members.ready(member, message.term);
        return this.#decide();
      case "contribution":
        this.#planning.told(member, message, this.#host.now());
        if (message.alone === undefined) this.#rounds.contributed(member, message, tensors);
        else this.#homecoming.take(member, message, tensors);
        return this.#decide();
      case "progress":
        this.#planning.told(member, message, this.#host.now());
        this.#rounds.told(member, message);
        this.#reconsider();
        return this.#decide();
      case "payload":
      case "measured":
        return this.#planning.measured(member, message, tensors);
      case "alone":
        this.#homecoming.told(member, message);
        return this.#decide();
      case "curtailed":
        return this.#rounds.curtailed(member, message);
      case "lacks":
        return this.#rounds.givers.lacks(member, message);
      case "evaluation":
        this.#examiner.take(member, message);
        return this.#decide();
      case "reject":
        this.#rounds.rejected(member, message);
        return this.#decide();
      case "activity":
        return this.#record(activityOf(member, message.spans, this.#host.now()));
      case "failed":
        return member.channel.close(`it failed: ${message.text}`);
      case "leaving":
        return this.#leaving(member, message.text);
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

  #profiled(member: Member, profile: Profile): void {
    if (!member.isProbing) return;
    if (profile.segments.length !== this.#compiled.segments.length) {
      return member.channel.close("sent a profile of another model");
    }
    const isFirst = this.#members.profiled(member, profile);
    this.#planning.probed(member, this.#host.now());
    if (!isFirst) return;
    this.#record(profiled(member, profile, this.#host.now()));
    this.#planning.arrived(member.id, `${member.hello.name} has joined`);
    this.#decide();
  }

  /** What rounds show may make another plan the better one: once it can be moved to, the round under way ends early. */
  #reconsider(): void {
    const at = { progress: this.#progress, isInRound: this.#rounds.isOpen };
    const plan = this.#planning.reconsider(this.#host.now(), at);
    if (plan === null) return;
    this.#rounds.prepare(plan, () => {
      if (this.#planning.moveTo(plan)) this.#rounds.curtail(null);
      this.#decide();
    });
  }

  /** A notice of departure: the member finishes its round and is in no further plan. */
  #leaving(member: Member, text: string): void {
    member.isLeaving = true;
    this.#planning.changed(member.id, `${member.hello.name} is leaving: ${text}`);
    if (this.#rounds.isOpen) this.#rounds.curtail(member.id);
    else release(member);
    this.#decide();
  }

  #left(member: Member, reason: string): void {
    this.#members.remove(member);
    this.#planning.left(member);
    // After the end everybody leaves, as told.
    if (this.#phase.kind === "ending") return this.#decide();
    const { name } = member.hello;
    const round = this.#rounds.left(member, reason) ?? (this.#progress.committed || null);
    this.#record({ type: "left", node: member.id, name, reason, round });
    // A run that has not begun waits for who is in no plan yet.
    const awaited = this.#planning.plan === null ? this.#gathering.left(member.hello) : null;
    if (awaited !== null && this.#phase.kind === "gathering") {
      this.#record({ type: "waiting", reason: awaited });
    }
    this.#planning.changed(member.id, `${name} left`);
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
        return this.#gather();
      case "probing":
        return this.#probeNext();
      case "planned":
      case "round":
        if (this.#noteEvaluation()) return false;
        this.#members.probeNewcomers();
        if (this.#rounds.isOpen) this.#takeRound();
        if (this.#phase !== phase) return false;
        return phase.kind === "planned" ? this.#beginWhenReady() : this.#beginEarly();
      case "evaluating":
        if (this.#examiner.isAwaited) return false;
        this.#phase = { kind: "planned" };
        return true;
      case "writing":
        return false;
      case "ending":
        phase.farewell.advance();
        return false;
    }
  }

  /**
   * Writes a decision down, and acts on it when the journal has it. What happens meanwhile is
   * noted and decided on afterwards.
   */
  #write(decision: Decision, act: () => void, merged?: ReadonlyMap<string, Tensor>): void {
    this.#phase = { kind: "writing" };
    const done = (outcome: { readonly ok: boolean; readonly error?: string }): void => {
      const text = `cannot write down what was decided: ${outcome.error}`;
      if (!outcome.ok) return this.#finish({ reason: "failed", text });
      this.#record(decision);
      act();
      if (this.#wanted !== null) return this.#finish(this.#wanted);
      this.#decide();
    };
    if (merged === undefined) this.#keeper.decide(decision, done);
    else this.#keeper.commit(decision as RoundCommitted, merged, done);
  }

  #gather(): boolean {
    const { job, edges } = this.#options;
    const { decision, reason } = this.#gathering.decide({
      ...this.#members.kinds,
      devicesAsked: job.fleet.devices.length,
      serversAsked: edges,
      missing: this.#planning.missing,
    });
    if (decision === "wait") return false;
    if (decision === "give up") {
      this.#finish({ reason: "failed", text: reason });
      return false;
    }
    const home = this.#homecoming.gather();
    if (home !== null) {
      if (home !== "wait") this.#commit(home.record, home.merged);
      return false;
    }
    if (decision === "go without") this.#planning.goWithout(reason);
    this.#phase = { kind: "probing" };
    return true;
  }

  #probeNext(): boolean {
    this.#members.probeNewcomers();
    if (!this.#members.isProbed) return false;
    return this.#makePlan();
  }

  #makePlan(round = this.#progress.committed): boolean {
    for (const member of this.#members) if (member.isLeaving) release(member);
    const decision = this.#planning.make(round);
    if (typeof decision === "string") this.#cannotGoOn(`no plan: ${decision}`);
    else this.#write(decision, () => this.#adopt(decision.plan));
    return false;
  }

  #adopt(plan: Plan): void {
    this.#gathering.over();
    for (const record of this.#planning.knownBy(plan)) this.#record(record);
    this.#keeper.savePlan(plan);
    this.#planning.adopt(plan, this.#host.now());
    this.#rounds.adopt(plan);
    this.#phase = { kind: "planned" };
  }

  /** Waits for nodes to come back, where the run has the patience. */
  #cannotGoOn(problem: string): void {
    if (!this.#gathering.failed(problem)) return this.#finish({ reason: "failed", text: problem });
    this.#record({ type: "waiting", reason: problem });
    this.#phase = { kind: "gathering" };
  }

  #beginWhenReady(): boolean {
    const { isOpen, batches } = this.#rounds;
    if (this.#planning.isDue) return !isOpen && this.#makePlan();
    if (!this.#members.isReady) return false;
    if (isOpen) return this.#beginRound(this.#progress.after(batches));
    if (!this.#planning.isSurveyed()) return this.#planning.isDue;
    if (this.#examiner.isInTheWay(this.#progress)) return false;
    if (this.#examiner.isDue(this.#progress)) return this.#startEvaluation();
    if (this.#isDone) {
      this.#finishDone();
      return false;
    }
    return this.#beginRound(this.#progress);
  }

  /** Goes on while what the last round gave is on its way, where nothing is to be done in between. */
  #beginEarly(): boolean {
    const { trainedBatches } = this.#rounds;
    if (trainedBatches === null) return false;
    const next = this.#progress.after(trainedBatches);
    if (next.isOver || this.#examiner.isInTheWay(next)) return false;
    if (this.#planning.isMove) return this.#makePlan(next.committed);
    if (!this.#planning.isDue) this.#beginRound(next);
    return false;
  }

  /** @returns false where what nodes lack for it is not here yet */
  #beginRound(progress: Progress): boolean {
    const { committed: number, learningRate } = progress;
    const plan = present(this.#planning.plan, "a plan");
    const broken = plan.chains.filter((chain) => !this.#planning.isWhole(chain));
    const under = { plan, broken, partOf: (node: NodeId) => this.#planning.partOf(node) };
    if (!this.#rounds.canBegin(under)) return false;
    const interim = this.#planning.interim(plan);
    this.#rounds.begin(under, { number, learningRate, later: progress.later, interim });
    this.#planning.begun(number, this.#host.now());
    this.#phase = { kind: "round" };
    return true;
  }

  #takeRound(): void {
    const outcome = this.#rounds.advance();
    if (outcome.kind === "under way") return;
    if (outcome.kind === "complete") return this.#commit(outcome.record, outcome.merged);
    if (outcome.isHopeless) this.#finish({ reason: "failed", text: outcome.problem });
    else if (this.#planning.canDoWithout) this.#makePlan();
    else this.#cannotGoOn(outcome.problem);
  }

  #commit(record: RoundCommitted, merged: ReadonlyMap<string, Tensor>): void {
    const before = this.#phase;
    const isHome = before.kind === "gathering";
    const act = (): void => {
      this.#state.update(merged);
      this.#progress.add(record);
      this.#keeper.saveWeights(this.#progress.committed, false);
      this.#phase = isHome ? before : { kind: this.#rounds.isOpen ? "round" : "planned" };
      // Where the next round is under way already, it is measured beside it.
      if (this.#rounds.isOpen && this.#examiner.isDue(this.#progress)) {
        this.#examiner.ask(this.#progress, this.#state.parameters());
      }
      this.#reconsider();
    };
    this.#write(record, act, merged);
  }

  // -- Evaluation and the end.

  /** @returns whether there is nobody to ask */
  #startEvaluation(): boolean {
    if (!this.#examiner.ask(this.#progress, this.#state.parameters())) return true;
    this.#phase = { kind: "evaluating" };
    return false;
  }

  /** Whether everything is trained, and measured where it can be. */
  get #isDone(): boolean {
    return this.#progress.isOver && !this.#examiner.isDue(this.#progress);
  }

  #finishDone(): void {
    this.#finish({ reason: "finished", text: `${this.#progress.committed} rounds` });
  }

  /** Writes down what was measured, while rounds go on. @returns whether there was anything */
  #noteEvaluation(): boolean {
    const phase = this.#phase;
    const record = this.#examiner.result();
    if (record === null) return false;
    this.#write(record, () => {
      this.#phase = phase;
    });
    return true;
  }

  /** Saves what is committed and tells everybody; the end is reported when both are done. */
  #finish(end: CoordinatorEnd): void {
    const phase = this.#phase;
    if (phase.kind === "ending") return;
    this.#wanted = end;
    // What is being written down comes to be, whatever is wanted meanwhile.
    if (phase.kind === "writing" && end.reason === "interrupted") return;
    this.#rounds.stop();
    for (const record of this.#planning.stop()) this.#record(record);
    this.#gathering.over();
    this.#part(end);
  }

  #part(end: CoordinatorEnd): void {
    const past = this.#options.legacy?.past;
    const parts = {
      isWritten: past?.end?.reason === "finished",
      // Nobody has come back yet, and nobody knows of the end.
      lingers: past !== undefined && this.#members.size === 0,
      host: this.#host,
      keeper: this.#keeper,
      rounds: this.#progress.committed,
      channels: () => [...[...this.#members].map(({ channel }) => channel), ...this.#visitors],
      areGone: () => this.#members.size + this.#visitors.size === 0,
      onEnd: this.#onEnd,
    };
    this.#phase = { kind: "ending", farewell: new Farewell(parts, end) };
    this.#decide();
  }
}
