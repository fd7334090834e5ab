/**
 * The worker: a node that holds copies of segments and trains them. It does
 * what the plan says and knows no scheme: a stage is a stage, whether its
 * neighbours are a device, an edge server or nobody.
 *
 * Life: hello -> welcome -> (probe) -> plan -> ready -> begin, round after
 * round -> stop. Invariants:
 * 1. Nothing but `hello` and heartbeats is sent before `welcome`.
 * 2. Messages of another term are void; a plan replaces all stages of the one before.
 * 3. Trained tensors come with `begin` and leave with `contribution`. Between rounds a worker keeps
 *    those that the coordinator has, too: `begin` says which copies go on with them.
 * 4. The end is reported to the owner exactly once.
 */
import { present } from "../../base/assert.ts";
import { ModelError, PlanError } from "../../base/errors.ts";
import { type NodeId, nodeId } from "../../base/ids.ts";
import { checkPlan } from "../../plan/check.ts";
import { linkRate } from "../../plan/link-rate.ts";
import type { Plan, Profile } from "../../plan/plan.ts";
import type { Cancel, Done, Host, Link } from "../host.ts";
import { Timeline } from "../metrics/timeline.ts";
import { Channel } from "../wire/channel.ts";
import { type Decoded, decodeCoordinatorFrame, type Tensors } from "../wire/frame.ts";
import {
  type BeginMessage,
  type CoordinatorMessage,
  commonVersion,
  type DataMessage,
  type Introduction,
  isDataMessage,
  type JobSpec,
  type MeasureMessage,
  type Message,
  type ProbeMessage,
  protocolVersions,
  type StopReason,
  type UpdateMessage,
  type WelcomeMessage,
  type WorkerMessage,
} from "../wire/messages.ts";
import { Pace } from "../wire/pace.ts";
import { isPayload, type MeasuredLink, sendPayload } from "../wire/payload.ts";
import type { FrameFate } from "../wire/sender.ts";
import { Alone, type Bring } from "./alone.ts";
import { probeBlocks } from "./coarse-probe.ts";
import { Evaluator } from "./evaluator.ts";
import { GivenState } from "./given-state.ts";
import { Neighbours } from "./neighbours.ts";
import { Precopied } from "./precopied.ts";
import { probe } from "./prober.ts";
import { Processor } from "./processor.ts";
import { Stages } from "./stages.ts";
import { WorkerModel } from "./worker-model.ts";
import type { WorkerEnd, WorkerOptions, WorkerOwner } from "./worker-owner.ts";

export class Worker {
  readonly #host: Host;
  readonly #options: WorkerOptions;
  readonly #owner: WorkerOwner;
  readonly #channel: Channel<CoordinatorMessage>;
  readonly #processor: Processor;
  readonly #stages: Stages;
  readonly #neighbours: Neighbours;
  readonly #timeline = new Timeline();
  readonly #precopied = new Precopied();
  readonly #given: GivenState;
  /** Whether the last report of activity has not left. */
  #isReportWaiting = false;
  /** Cancels the next report of activity; null while nobody watches. */
  #reporting: Cancel | null = null;
  #node: NodeId | null = null;
  #job: JobSpec | null = null;
  #model: WorkerModel | null = null;
  #evaluator: Evaluator | null = null;
  #plan: Plan | null = null;
  /** Whether a payload is under way to the coordinator. */
  #isMeasuring = false;
  /** Why it leaves, once it has given notice. */
  #notice: string | null = null;
  #parting: Cancel | null = null;
  /** Gives the probe up; null before the first. */
  #probing: Cancel | null = null;
  #end: WorkerEnd | null = null;
  /** How the newest round began. */
  #begun: BeginMessage | null = null;
  /** It goes on without the coordinator, whose link has ended; null where it does not. */
  #alone: Alone | null = null;

  constructor(host: Host, link: Link, options: WorkerOptions, owner: WorkerOwner) {
    this.#host = host;
    this.#options = options;
    this.#owner = owner;
    this.#processor = new Processor(host, (kind, fromMs, ms) => {
      this.#timeline.add(kind, fromMs, ms);
      owner.onWork?.(kind, ms);
    });
    this.#stages = new Stages({
      host,
      send: (...sent) => this.#send(...sent),
      compute: (program, run, done) => {
        this.#processor.run(program, run, done);
      },
      paced: () => this.#channel.paced,
      achieved: () => this.#channel.achievedBytesPerMs,
      straightWith: (other) => this.#neighbours.trafficWith(other),
      fail: (text) => this.#fail(text),
    });
    this.#given = new GivenState({
      host,
      lacks: (at) => this.#send({ type: "lacks", ...at }),
      start: (round, tensors) => this.#startGiven(round, tensors),
    });
    const pace = new Pace();
    const onPaced = (fromMs: number, ms: number): void => this.#timeline.add("sending", fromMs, ms);
    this.#neighbours = new Neighbours({
      host,
      pace,
      onPaced,
      relay: (frame) => this.#channel.forward(frame),
      deliver: (message, tensors) => this.#deliver(message, tensors),
      onWay: (other, way, text) => {
        if (way === "relayed") this.#alone?.lost(other);
        owner.onEvent({ type: "way", node: other, way, text });
      },
    });
    this.#channel = new Channel<CoordinatorMessage>(host, link, {
      decode: decodeCoordinatorFrame,
      onMessage: (decoded) => this.#receive(decoded),
      onClose: (reason) => this.#closed(reason),
      onPaced,
      pace,
    });
    this.#send(this.#hello());
  }

  /**
   * Gives notice: the worker finishes the round that is under way and ends when the coordinator
   * needs it no more, at the latest after `withinMs`.
   */
  giveNotice(text: string, withinMs: number): void {
    if (this.#end !== null || this.#notice !== null) return;
    this.#notice = text;
    if (this.#plan === null) return this.leave(text);
    this.#send({ type: "leaving", text });
    this.#parting = this.#host.after(withinMs, () => this.leave(text));
  }

  /** Says goodbye and ends at once; the coordinator goes on without this node. */
  leave(text: string): void {
    if (this.#end !== null) return;
    this.#end = { reason: "interrupted", text };
    this.#send({ type: "leave", text });
    this.#channel.close(text);
  }

  /** Takes a link that another worker has dialled. */
  accept(link: Link): void {
    this.#neighbours.accept(link);
  }

  #hello(): WorkerMessage {
    const { train, test, engine } = this.#host;
    const { name, kind, token, instance, machine, duty, memoryBytes, ceilingBytesPerMs, energy } =
      this.#options;
    const data = train ?? test;
    return {
      type: "hello",
      protocols: protocolVersions,
      token,
      instance,
      name,
      kind,
      machine,
      duty,
      memoryBytes,
      ceilingBytesPerMs,
      ...(energy === undefined ? {} : { energy }),
      samples: train?.samples ?? 0,
      inputShape: data === null ? null : [...data.inputShape],
      classes: data?.classes ?? null,
      classNames: data?.classNames ?? null,
      ...(train?.party == null
        ? {}
        : { party: { ...train.party, columns: [...train.party.columns] } }),
      testSamples: test?.samples ?? 0,
      engine: engine.description,
      address: this.#options.address ?? null,
      dials: this.#host.dial !== undefined,
    };
  }

  #send(message: Message, tensors?: Tensors, fate: FrameFate = {}): void {
    if (isDataMessage(message)) this.#neighbours.send(message, tensors);
    else if (this.#alone !== null && message.type === "contribution") {
      this.#alone.contributed(message, tensors ?? new Map());
    } else this.#channel.send(message, tensors, fate);
    if (tensors !== undefined) this.#owner.onTensors?.({ way: "sent", message, tensors });
  }

  #receive({ message, tensors }: Decoded<CoordinatorMessage>): void {
    if (this.#end !== null) return;
    if (tensors.size > 0 && !isDataMessage(message)) {
      this.#owner.onTensors?.({ way: "received", message, tensors });
    }
    if (this.#model === null && !beforeWelcome.has(message.type)) {
      return this.#fail(`the coordinator sent "${message.type}" before "welcome"`);
    }
    switch (message.type) {
      case "welcome":
        if (!isSpoken(message.protocol)) {
          return this.#fail(`the coordinator speaks protocol version ${message.protocol}`);
        }
        return this.#welcome(message, tensors);
      case "refuse":
        this.#end = { reason: "refused", text: message.text, refusal: message.reason };
        return this.#channel.close(message.text);
      case "probe":
        return this.#probe(message);
      case "plan":
        return this.#adopt(message.plan as Plan, message.introductions);
      case "measure":
        return this.#measure(message);
      case "precopy":
        // What was sent under another plan may be of another past.
        if (message.term === this.#plan?.term) this.#precopied.take(message, tensors);
        return;
      case "update":
        return this.#update(message, tensors);
      case "begin":
        return this.#begin(message, tensors);
      case "digest":
        return this.#given.told(message);
      case "abandon":
        this.#given.lost(message);
        return this.#stages.lose(message);
      case "curtail":
        return this.#curtail(message);
      case "shorten":
        for (const round of this.#stages.roundsOf(message)) round.shorten(message.work);
        return;
      case "feature":
      case "gradient":
      case "exchange":
      case "pull":
      case "weights":
        return this.#neighbours.take({ message, tensors });
      case "state":
        // Of who is a member of the exchange itself it comes from the coordinator.
        if (this.#stages.setups.some(({ chain }) => chain.id === message.chain)) {
          return this.#given.sent(message, tensors);
        }
        return this.#neighbours.take({ message, tensors });
      case "evaluate":
        return this.#evaluate(message.round, message.samples, tensors);
      case "watch":
        return this.#watch(message.isWatched);
      case "stop":
        return this.#stop(message.reason, message.text);
      case "payload":
        if (!isPayload(tensors)) this.#fail("the coordinator sent a payload that is none");
        return;
      case "ping":
      case "pong":
      case "ack":
        return;
    }
  }

  /** Sends a payload, one at a time to each receiver: what is asked for meanwhile is void. */
  #measure({ to, bytes }: MeasureMessage): void {
    const size = { bytes, isHollow: this.#host.engine.isHollow === true };
    const done = (measured: MeasuredLink): void => {
      if (to === null) this.#isMeasuring = false;
      if (this.#end === null) this.#send({ type: "measured", to, ...measured });
    };
    if (to !== null) return this.#neighbours.measure(nodeId(to), size, done);
    if (this.#isMeasuring) return;
    this.#isMeasuring = true;
    sendPayload(this.#channel, size, done);
  }

  /** A data message of the round under way, whichever way it came. */
  #deliver(message: DataMessage, tensors: Tensors): void {
    if (this.#end !== null && this.#alone === null) return;
    if (tensors.size > 0) this.#owner.onTensors?.({ way: "received", message, tensors });
    if (message.type === "state") this.#given.take(message, tensors);
    this.#stages.deliver(message, tensors);
  }

  #stop(reason: StopReason, text: string): void {
    this.#end =
      reason === "released"
        ? { reason: "interrupted", text: this.#notice ?? text }
        : { reason, text };
    this.#channel.close(text);
  }

  #welcome({ node, run, job, awaits }: WelcomeMessage, tensors: Tensors): void {
    this.#node = nodeId(node);
    this.#job = job;
    try {
      const structure = tensors.get("model")?.data;
      if (!(structure instanceof Uint8Array)) throw new ModelError("no structure came with it");
      const compile = this.#options.compile ?? ((bytes, spec) => new WorkerModel(bytes, spec));
      this.#model = compile(structure, job);
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      return this.#fail(`cannot use the model: ${error.message}`);
    }
    this.#evaluator = new Evaluator(this.#host, this.#model);
    this.#owner.onEvent({ type: "welcomed", run });
    this.#comeHome(awaits);
  }

  /** Brings what the worker before it has done while the coordinator was away. */
  #comeHome(awaits: WelcomeMessage["awaits"]): void {
    const { before } = this.#options;
    if (awaits === undefined) return before?.end();
    const bring: Bring = (message, tensors) => this.#send(message, tensors);
    const round = before?.comeHome(awaits, bring) ?? null;
    this.#send({ type: "alone", term: awaits.term, round });
  }

  #probe({ repeats, blocks }: ProbeMessage): void {
    const model = present(this.#model, "a model to probe");
    this.#probing?.();
    const done: Done<Profile> = (outcome) => {
      if (this.#end !== null) return;
      if (!outcome.ok) return this.#fail(`the probe failed: ${outcome.error}`);
      this.#processor.setProfile(outcome.value);
      const segments = outcome.value.segments.map((time) => ({ ...time }));
      this.#send({ type: "profile", profile: { ...outcome.value, segments } });
    };
    this.#probing =
      blocks === null
        ? probe(this.#host, model.probePrograms(), repeats, done)
        : probeBlocks(this.#host, model, { count: blocks, repeats }, done);
  }

  /** Takes over a plan: drops every stage of the old one, loads the new one's programs. */
  #adopt(plan: Plan, introductions: readonly Introduction[]): void {
    const model = present(this.#model, "a model to plan for");
    const node = present(this.#node, "a node id");
    try {
      // Who has no part in it is sent a plan without chains.
      if (plan.chains.length > 0) {
        const { samples = 0, party } = this.#host.train ?? {};
        const own = { id: node, samples, ...(party == null ? {} : { party }) };
        const columns = { taken: model.takenColumns, nodes: [own] };
        checkPlan(plan, model.segments.length, undefined, columns);
        // Who trains cannot be measured meanwhile.
        this.#probing?.();
      }
      const job = present(this.#job, "a job");
      this.#stages.adopt(plan, { node, model, job });
    } catch (error) {
      if (!(error instanceof PlanError || error instanceof ModelError)) throw error;
      return this.#fail(`cannot follow the plan: ${error.message}`);
    }
    this.#options.before?.end();
    this.#given.end();
    this.#plan = plan;
    this.#processor.setDuty(plan.limits.find((limit) => limit.node === node)?.duty ?? 1);
    this.#channel.setRate(linkRate(plan, node, "up"));
    this.#neighbours.adopt({
      plan,
      node,
      stages: this.#stages.setups,
      introductions,
      frameBytesMax: model.dataFrameBytesMax,
    });
    this.#host.engine.load(this.#stages.programs, (outcome) => {
      if (this.#end !== null || this.#plan !== plan) return;
      if (!outcome.ok) return this.#fail(`the engine refused a program: ${outcome.error}`);
      this.#neighbours.whenSettled(() => this.#send({ type: "ready", term: plan.term }));
    });
    this.#owner.onEvent({ type: "planned", plan, node });
  }

  /** A round has changed some of what came ahead. */
  #update(message: UpdateMessage, tensors: Tensors): void {
    const { updates } = present(this.#model, "a model");
    const misfit = this.#precopied.update(message, tensors, updates);
    if (misfit !== null) this.#fail(`an update of ${misfit} fits nothing that came before`);
  }

  #begin(message: BeginMessage, tensors: Tensors): void {
    if (this.#plan?.term !== message.term) return;
    const slots = this.#stages.begin(message, tensors, this.#precopied.takeFor(message));
    if (typeof slots === "string") return this.#fail(`the round came without ${slots}`);
    this.#host.engine.write(slots, (outcome) => {
      if (!outcome.ok) this.#fail(outcome.error);
    });
    this.#begun = message;
    this.#given.await(message, this.#plan);
    this.#neighbours.begin(message.round, new Set(message.going));
    const { lost } = this.#neighbours;
    this.#stages.give(message.gives ?? [], message, (node) => !lost.includes(node));
    if (!this.#given.isAwaited) this.#stages.start(message.round);
    this.#owner.onEvent({ type: "round", round: message.round });
  }

  /** A neighbour, or else the coordinator, has given what was lacking. */
  #startGiven(round: number, tensors: Tensors): void {
    const slots = this.#stages.fill(tensors);
    if (typeof slots === "string") return this.#fail(`the round came with another ${slots}`);
    this.#host.engine.write(slots, (outcome) => {
      if (!outcome.ok) this.#fail(outcome.error);
    });
    this.#stages.start(round);
  }

  #evaluate(round: number, samples: number | null, tensors: Tensors): void {
    const startedMs = this.#host.now();
    present(this.#evaluator, "an evaluator").evaluate(tensors, samples, (outcome) => {
      if (this.#end !== null) return;
      if (!outcome.ok) return this.#fail(`the evaluation failed: ${outcome.error}`);
      const ms = this.#host.now() - startedMs;
      this.#timeline.add("evaluate", startedMs, ms);
      this.#send({ type: "evaluation", round, ms, ...outcome.value });
    });
  }

  #watch(isWatched: boolean): void {
    this.#timeline.watch(isWatched);
    this.#reporting?.();
    this.#reporting = isWatched ? this.#host.after(activityMs, () => this.#report()) : null;
  }

  #report(): void {
    // A picture of the node is the last that the link has room for. On a slow one it would hold up features,
    // and what waits in the background, as contributions do, for ever.
    const { isFull, hasBackground } = this.#channel;
    const isInTheWay = isFull || hasBackground || this.#isReportWaiting;
    const spans = isInTheWay ? [] : this.#timeline.take(this.#host.now());
    if (spans.length > 0) {
      this.#isReportWaiting = true;
      const onGone = (): void => {
        this.#isReportWaiting = false;
      };
      this.#channel.send({ type: "activity", spans }, undefined, { onGone });
    }
    this.#reporting = this.#host.after(activityMs, () => this.#report());
  }

  #curtail({ term, round, chain }: { term: number; round: number; chain: string }): void {
    const source = this.#stages.sourceOf({ term, round, chain });
    if (source === undefined) return;
    this.#send({ type: "curtailed", term, round, chain, work: source.curtail() });
  }

  #fail(text: string): void {
    if (this.#end !== null) return;
    this.#end = { reason: "failed", text };
    this.#send({ type: "failed", text });
    this.#channel.close(text);
  }

  #closed(reason: string): void {
    this.#goAlone();
    if (this.#alone === null) {
      this.#stages.abandon();
      this.#neighbours.close();
    }
    // The engine outlives this worker: the next one on it must not meet what this one began.
    this.#probing?.();
    this.#evaluator?.stop();
    this.#reporting?.();
    this.#parting?.();
    this.#given.end();
    this.#end ??= { reason: "lost", text: `the coordinator is gone: ${reason}` };
    this.#alone?.start();
    this.#owner.onEnd(this.#end);
  }

  /** Where members of an exchange need nobody else, they go on. */
  #goAlone(): void {
    const [plan, begun] = [this.#plan, this.#begun];
    if (this.#end !== null || this.#notice !== null || plan === null || begun === null) return;
    // Nobody can send it what it lacks.
    if (this.#given.isAwaited) return;
    if (begun.term !== plan.term || !Alone.isPossible(plan, this.#neighbours)) return;
    this.#alone = new Alone(plan, begun, this.#stages, this.#neighbours);
  }

  /** What it does without the coordinator; null where that has not left it, or it does nothing. */
  get alone(): Alone | null {
    return this.#alone;
  }
}

/** How often a watched worker tells what it did. */
const activityMs = 250;

/** Messages that make sense before the model is known. */
const beforeWelcome: ReadonlySet<string> = new Set(["welcome", "refuse", "stop"]);

const isSpoken = (version: number): boolean =>
  commonVersion({ from: version, to: version }, protocolVersions) !== null;
