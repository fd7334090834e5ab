/**
 * The plan in force: when it has to be made anew, how it is made for those who are there, and
 * who has it ready.
 */
import { present } from "../../base/assert.ts";
import { messageOf, PlanError } from "../../base/errors.ts";
import { type CopyId, type NodeId, nodeId } from "../../base/ids.ts";
import { hasDrifted } from "../../plan/drift.ts";
import { interimBatches, mayEndEarly } from "../../plan/interim.ts";
import { linkRate } from "../../plan/link-rate.ts";
import { partsOf } from "../../plan/part.ts";
import { phasesOf } from "../../plan/phases.ts";
import type { ChainPlan, Fleet, FleetNode, Plan, Planner, PlanRequest } from "../../plan/plan.ts";
import { forecasters, hystereses, movers, planners } from "../../plan/planners.ts";
import { betweenRounds, fastestMover, withinRounds } from "../../plan/replan.ts";
import type { Host } from "../host.ts";
import { rememberingEnds } from "../link-memory.ts";
import type { LinksMeasured, Planned } from "../metrics/record.ts";
import type { Tensors } from "../wire/frame.ts";
import type { MeasuredMessage, PayloadMessage } from "../wire/messages.ts";
import { isPayload } from "../wire/payload.ts";
import { Adaptation, type Move } from "./adaptation.ts";
import { candidates, isChoosing, legsAmong } from "./candidates.ts";
import { CarriedRates } from "./carried-rates.ts";
import type { CompiledJob } from "./compiled-job.ts";
import type { CoordinatorOptions } from "./coordinator-options.ts";
import { exchangedLines } from "./exchanged-lines.ts";
import { Hazard } from "./hazard.ts";
import { IdleProbes } from "./idle-probes.ts";
import { introductions } from "./introductions.ts";
import { fleetNode, inNodeOrder, type Member } from "./members.ts";
import type { Progress } from "./progress.ts";
import type { Roster } from "./roster.ts";
import { Speeds, type Told } from "./speeds.ts";
import { Survey } from "./survey.ts";
import { Ways, type WaysTold } from "./ways.ts";

export class Planning {
  readonly #host: Host;
  readonly #compiled: CompiledJob;
  readonly #planner: Planner;
  readonly #adaptation: Adaptation | null;
  readonly #speeds: Speeds;
  readonly #members: Roster;
  readonly #ways = new Ways();
  readonly #carried = new CarriedRates();
  readonly #hazard = new Hazard();
  readonly #idleProbes = new IdleProbes();
  /** Whether plans change within rounds, and need not take in everybody. */
  readonly #isChoosing: boolean;
  readonly #survey: Survey;
  readonly #drawSecret: (() => string) | undefined;
  /** Newest term issued, that of a plan which is being written down included. */
  #term = 0;
  #plan: Plan | null = null;
  #outdated: string | null = "first plan";
  /** The plan that is due because it pays, though the one in force could go on; null for none. */
  #next: Move | null = null;
  /** The same, while what it needs is sent ahead: until then nothing is due. */
  #prepared: Move | null = null;
  /** Whom the next plan is made without, and why, in words; null for nobody who was awaited. */
  #without: string | null = null;
  /** Whether no round has begun under the plan in force. */
  #isUnused = false;
  /** How many times the job's batches make an update under the newest plan, and the round that is next. */
  #growth = 1;
  #nextRound = 0;
  /** The newest round that has begun, and when it did. */
  #round = 0;
  #begunMs = 0;
  /** Batches that its copies say they have trained. */
  readonly #steps = new Map<string, number>();
  /** The plan of the newest round; null before the first. */
  #begunPlan: Plan | null = null;
  /** Nodes that have left since it began: who comes back holds nothing, and may be somewhere else. */
  readonly #lost = new Set<NodeId>();
  /** What was known of the fleet when the plan in force was made. */
  #fleet: Fleet | null = null;
  /** The part of the plan in force that concerns a node. */
  #partOf: ((node: NodeId) => Plan) | null = null;
  /** Nodes of the copies of the plan in force. */
  #nodeOf: ReadonlyMap<CopyId, NodeId> = new Map();

  /** @param onSurveyed called when the ways that a round waits for are measured, or will not be */
  constructor(
    compiled: CompiledJob,
    options: Pick<CoordinatorOptions, "job" | "planner" | "forecaster" | "drawSecret">,
    { host, members, onSurveyed }: { host: Host; members: Roster; onSurveyed: () => void },
  ) {
    const { job, planner = planners[job.planner], drawSecret } = options;
    const { forecaster = options.planner ? undefined : forecasters[job.planner] } = options;
    this.#host = host;
    this.#compiled = compiled;
    this.#planner = planner;
    const own = options.planner ? undefined : movers[job.planner];
    this.#isChoosing = options.forecaster !== undefined || isChoosing(job.planner);
    this.#adaptation =
      forecaster === undefined
        ? null
        : new Adaptation(
            forecaster,
            own ?? fastestMover(planner, forecaster),
            hystereses[job.planner] ?? (this.#isChoosing ? withinRounds : betweenRounds),
          );
    this.#speeds = new Speeds(compiled.passes);
    this.#drawSecret = drawSecret;
    this.#members = members;
    this.#survey = new Survey({ host, members }, this.#ways, onSurveyed);
  }

  /** The plan in force; null before the first. */
  get plan(): Plan | null {
    return this.#plan;
  }

  /**
   * Whether a plan is to be made before the next round. One that somebody has left or joined since
   * serves for a round all the same, where a chain of it is whole: in a large fleet somebody comes
   * or goes at any moment, and a plan made anew each time would never be ready.
   */
  get isDue(): boolean {
    if (this.#reason === null) return false;
    const isLeft = [...this.#members].some(({ isLeaving }) => isLeaving);
    return !this.#isUnused || isLeft || !this.#plan?.chains.some((chain) => this.isWhole(chain));
  }

  /** Why a plan is to be made; null where the one in force holds. */
  get #reason(): string | null {
    const growth = this.#compiled.growthAt(this.#nextRound);
    if (this.#outdated !== null || this.#growth === growth) return this.#outdated;
    return `an update takes ${growth} times the job's batches from now on`;
  }

  /** Whether a plan is due that everybody can move to from the one in force. */
  get isMove(): boolean {
    return this.#next !== null;
  }

  /** Whether every node of a chain of the plan in force is there and was sent the plan. */
  isWhole({ stages }: ChainPlan): boolean {
    return stages.every(({ copy }) => {
      const node = this.#nodeOf.get(copy);
      const member = node === undefined ? undefined : this.#members.get(node);
      return member !== undefined && member.plannedTerm === this.#plan?.term;
    });
  }

  /**
   * Whether others can take over from nodes of the plan in force that are gone, because everybody
   * is still there who holds the data that it trains on; where chains train one after the other, somebody.
   */
  get canDoWithout(): boolean {
    const chains = this.#plan?.chains ?? [];
    const isThere = ({ source }: ChainPlan): boolean => this.#members.has(source);
    const hasSources = phasesOf({ chains }) > 1 ? chains.some(isThere) : chains.every(isThere);
    return (
      this.#outdated !== null && hasSources && typeof this.#tryPlan(this.#request()) !== "string"
    );
  }

  /** Nodes of the plan in force that are not there. */
  get missing(): NodeId[] {
    return [...new Set(this.#nodeOf.values())].filter((node) => !this.#members.has(node));
  }

  /** What a node was sent of the plan in force: all that concerns it. */
  partOf(node: NodeId): Plan {
    return present(this.#partOf, "a plan in force")(node);
  }

  /** A round has begun under the plan in force. */
  begun(round: number, nowMs: number): void {
    this.#isUnused = false;
    this.#begunPlan = this.#plan;
    this.#lost.clear();
    this.#round = round;
    this.#begunMs = nowMs;
    this.#steps.clear();
  }

  /** Takes over from a coordinator that is no more; its plan is not in force, but says who was there. */
  resume(term: number, plan: Plan | null): void {
    this.#term = term;
    this.#plan = plan;
    this.#nodeOf = nodesOf(plan);
    this.#outdated = "the coordinator was started again";
  }

  /** A probe has measured a member. */
  probed({ id, profile, probeStartedMs }: Member, nowMs: number): void {
    this.#speeds.probed(id);
    const when = { fromMs: probeStartedMs, toMs: nowMs };
    this.#idleProbes.measured(id, present(profile, "a profile"), when);
  }

  /** A member says how a round of one of its copies goes, or went. */
  told({ id, profile, hello, channel }: Member, message: Told & WaysTold, nowMs: number): void {
    this.#ways.take(id, message, channel, nowMs);
    const { term, round, copy, steps } = message;
    // What a round gave may come when the next one has told more.
    if (this.#plan === null || profile === null || round < this.#round) return;
    if (term === this.#plan.term && round === this.#round) this.#steps.set(copy, steps);
    const isOfSource = this.#plan.chains[0]?.stages[0]?.copy === copy;
    if (term === this.#plan.term && isOfSource) this.#adaptation?.went(round, steps, nowMs);
    this.#speeds.observe(this.#plan, { id, profile, duty: hello.duty }, message);
  }

  /**
   * Thinks about the plan in force again, by what is known now.
   * @param at how far the run is, and whether a round is under way: plans of many chains change between two
   * @returns a plan that is worth moving to, once {@link moveTo} says so; null for staying
   */
  reconsider(
    nowMs: number,
    { progress, isInRound }: { readonly progress: Progress; readonly isInRound: boolean },
  ): Plan | null {
    if (!isInRound) this.#nextRound = progress.committed;
    const plan = this.#plan;
    if (this.#adaptation === null || plan === null || this.#reason !== null) return null;
    if (this.#isChoosing) this.#probeIdle(nowMs);
    if (!this.#isChoosing && (isInRound || !this.#looksBack(plan, nowMs))) return null;
    if (this.#prepared !== null || !this.#adaptation.isDue(nowMs)) return null;
    const choice = { plan, request: this.#request(), left: progress.batchesLeft, nowMs };
    const adaptation = this.#adaptation;
    const next = tryTo(() => adaptation.consider(choice));
    if (typeof next === "string") return null;
    this.#prepared = next;
    return next?.plan ?? null;
  }

  /** Measures the servers again that have no part in the plan, where nothing else says how fast they have become. */
  #probeIdle(nowMs: number): void {
    const used = new Set(this.#nodeOf.values());
    const busy = new Set(
      [...this.#members].flatMap((member) =>
        used.has(member.id) || member.isProbing ? [member.hello.machine] : [],
      ),
    );
    for (const member of this.#members) {
      const { id, hello, isLeaving } = member;
      if (hello.kind === "device" || isLeaving || busy.has(hello.machine)) continue;
      if (!this.#idleProbes.isDue(id, nowMs)) continue;
      busy.add(hello.machine);
      this.#members.probe(member);
    }
  }

  /** What a plan needs is where it needs it. @returns whether it is still the one to move to */
  moveTo(plan: Plan): boolean {
    if (this.#prepared?.plan !== plan) return false;
    this.#next = this.#prepared;
    this.#outdated = this.#next.reason;
    this.#prepared = null;
    return true;
  }

  /** Takes in what a round has shown that is over. @returns whether nodes or ways are not as the plan has them */
  #looksBack(plan: Plan, nowMs: number): boolean {
    this.#adaptation?.took(nowMs - this.#begunMs, this.#batchesOfSource(plan));
    this.#carried.observe(plan, (from, to) => this.#ways.achieved(from, to));
    const exchanges = plan.groups.some(({ exchange }) => exchange !== undefined);
    const isDrifting =
      this.#fleet !== null && hasDrifted(this.#fleet, this.#request().fleet, exchanges);
    if (!isDrifting) this.#adaptation?.calm();
    return isDrifting;
  }

  /** Batches of the first chain in the round that is over; where it took what it managed, what it would have taken of all. */
  #batchesOfSource({ chains, groups }: Plan): number {
    const { work = 1 } = chains[0] ?? {};
    if (groups[0]?.exchange?.computeMs === undefined) return work;
    const planned = chains.reduce((sum, chain) => sum + chain.work, 0);
    const trained = chains.map(
      (chain) => this.#steps.get(chain.stages[0]?.copy ?? "") ?? chain.work,
    );
    return (work * trained.reduce((sum, own) => sum + own, 0)) / planned;
  }

  /** A member has left. */
  left({ id: node, isLeaving }: Member): void {
    if (!isLeaving) this.#hazard.lost();
    this.#hazard.are(this.#members.size, this.#host.now());
    this.#ways.forget(node);
    this.#carried.forget(node);
    this.#survey.left(node);
    this.#lost.add(node);
    const isAwaited = this.#prepared?.plan.copies.some((copy) => copy.node === node);
    if (isAwaited) this.#prepared = null;
  }

  /** A worker says what a payload of its has shown, or sends one. */
  measured(
    { id, channel }: Member,
    message: MeasuredMessage | PayloadMessage,
    tensors: Tensors,
  ): void {
    if (message.type === "measured") {
      this.#survey.measured(id, message.to === null ? null : nodeId(message.to), message);
    } else if (!isPayload(tensors)) channel.close("sent a payload that is none");
  }

  /**
   * Measures, before a round, the ways that nothing is known of; where they show something, a plan is due that knows it.
   * @returns whether the round need not wait
   */
  isSurveyed(): boolean {
    // Training need not stand still for ways that it does not use.
    const isBlind = this.#plan?.copies.some(({ node }) => this.#lost.has(node)) ?? false;
    if (this.#begunPlan !== null && !isBlind) return true;
    const standing = this.#survey.survey();
    if (standing === "news") {
      this.#isUnused = false;
      this.outdate("the ways between nodes have been measured");
    }
    return standing === "done";
  }

  /** What is known now of the ways between nodes, under a plan; nothing where that is nothing. */
  knownBy({ term }: Plan): LinksMeasured[] {
    const links = this.#ways.links(this.#among(this.#nodes()));
    const { costs } = this.#survey;
    return links.length === 0 ? [] : [{ type: "links", term, links, probes: costs }];
  }

  /**
   * Batches of a round that begins under a plan from one time to the next that copies bring what they have come to; null for none
   * before its end. What codecs remember has moved on by then with batches under way, so chains with such do not.
   */
  interim(plan: Plan): number | null {
    this.#hazard.are(this.#members.size, this.#host.now());
    if (!mayEndEarly(plan) || rememberingEnds(plan).size > 0) return null;
    return this.#compiled.interim ?? interimBatches(plan, this.#request(), this.#hazard.perMs);
  }

  /** The run is over. @returns what was known at its end */
  stop(): LinksMeasured[] {
    this.#survey.stop();
    return this.#plan === null ? [] : this.knownBy(this.#plan);
  }

  #nodes(): FleetNode[] {
    const ratesOf = this.#ways.ratesOfNodes();
    const lines = this.#exchangedLines();
    return inNodeOrder(this.#members)
      .filter(takesPart)
      .map((member) => {
        const node = fleetNode(member);
        const profile = this.#speeds.now(node.id, node.profile);
        const line = lines.get(node.id);
        const rates = line && { coordinatorBytesPerMs: line, lineBytesPerMs: line };
        return { ...node, profile, ...(rates ?? ratesOf(node)) };
      });
  }

  /** Lines of members of an exchange, by the round that is over or under way, or else by those before. */
  #exchangedLines(): ReturnType<typeof exchangedLines> {
    const plan = this.#begunPlan;
    if (plan === null) return new Map();
    const rateOf = (from: NodeId, to: NodeId) => this.#ways.rate({ from, to });
    const since = (ms: number) => exchangedLines(plan, rateOf, ms);
    return new Map([...since(0), ...since(this.#begunMs)]);
  }

  #request(): PlanRequest {
    const all = this.#nodes();
    const some = this.#among(all);
    // A planner that may choose does so among those whose ways are known; for others nobody counts
    // all pairs of a large fleet.
    const nodes = some.length === 0 ? all : some;
    const links = this.#isChoosing ? this.#ways.links(some) : this.#carried.links(nodes);
    return this.#compiled.planRequest(this.#term + 1, nodes, links, this.#nextRound);
  }

  /** Nodes between which the ways are worth knowing, the source first. */
  #among(nodes: readonly FleetNode[]): FleetNode[] {
    return candidates(this.#compiled.planner, nodes, new Set(this.#nodeOf.values()));
  }

  /** @returns the plan, or why there is none, in words */
  #tryPlan(request: PlanRequest): Plan | string {
    return tryTo(() => this.#planner(request));
  }

  /** A node has come that may take part: where plans are weighed against others, those with it are, too. */
  arrived(node: NodeId, reason: string): void {
    this.changed(node, reason);
    if (this.#outdated === null) this.#adaptation?.hasNews();
  }

  /**
   * A node goes or is gone. Where plans in force are weighed against others, one that it has no part in
   * holds until another one pays.
   */
  changed(node: NodeId, reason: string): void {
    const isWeighed =
      this.#isChoosing && this.#adaptation !== null && ![...this.#nodeOf.values()].includes(node);
    if (!isWeighed) this.outdate(reason);
  }

  /** The plan that was decided to be moved to, where it still pays; else the one to go on with, or the first. */
  #nextPlan(request: PlanRequest): Plan {
    const [plan, begun, adaptation] = [this.#plan, this.#begunPlan, this.#adaptation];
    if (plan === null || adaptation === null) return this.#planner(request);
    const choice = { plan, request, nowMs: this.#host.now() };
    if (this.#next !== null) {
      const { plan: next, reason } = this.#next;
      if (adaptation.stillPays(choice, next)) return next;
      // Half of what is known may be of before, so no third plan is looked for: soon none of it is.
      this.#outdated = `a move does not pay any more, now that nothing is under way: ${reason}`;
      return plan;
    }
    if (begun === null) return this.#planner(request);
    const held = begun.copies.filter(({ node }) => !this.#lost.has(node));
    return adaptation.goOn(choice, held) ?? this.#planner(request);
  }

  /** The plan no longer fits who is there; before the first one that goes without saying. */
  outdate(reason: string): void {
    if (this.#plan === null) return;
    this.#outdated = reason;
    this.#next = null;
    this.#prepared = null;
  }

  /** The next plan is made for who is there, although others were awaited. */
  goWithout(reason: string): void {
    this.#without = reason;
  }

  /**
   * Makes a plan of the next term for the members that are to take part.
   * @param round first round under it
   * @returns the decision, or why there is no plan, in words
   */
  make(round: number): Planned | string {
    this.#nextRound = round;
    const request = this.#request();
    const plan = tryTo(() => ({ ...this.#nextPlan(request), term: this.#term + 1 }));
    this.#fleet = request.fleet;
    if (typeof plan === "string") return plan;
    this.#next = null;
    this.#prepared = null;
    const reason = [this.#reason, this.#without].filter((why) => why !== null).join("; ");
    this.#term = plan.term;
    this.#growth = this.#compiled.growthAt(round);
    this.#outdated = null;
    this.#without = null;
    return { type: "planned", plan, round, reason };
  }

  /** Puts a plan into force, and sends its part to everybody whom it was made for and who is still there. */
  adopt(plan: Plan, nowMs: number): void {
    this.#adaptation?.adopted(nowMs);
    this.#plan = plan;
    this.#isUnused = true;
    this.#nodeOf = nodesOf(plan);
    const planned = new Set(this.#nodeOf.values());
    this.#partOf = partsOf(plan);
    this.#members.planAnew();
    const helloOf = (node: NodeId) => this.#members.get(node)?.hello;
    const among = this.#among(this.#nodes()).map(({ id }) => id);
    const introduced =
      this.#drawSecret === undefined ? null : introductions(plan, helloOf, this.#drawSecret, among);
    const isIntroduced = (a: NodeId, b: NodeId): boolean =>
      introduced?.get(a)?.some(({ node }) => node === b) ?? false;
    for (const member of this.#members) {
      if (!takesPart(member) && !planned.has(member.id)) continue;
      if (planned.has(member.id)) this.#members.leaveProbing(member);
      const part = this.partOf(member.id);
      member.channel.setRate(linkRate(part, member.id, "down"));
      const own = introduced?.get(member.id) ?? [];
      member.channel.send({ type: "plan", plan: part, introductions: own });
      this.#members.planned(member, plan.term);
    }
    this.#survey.watch(legsAmong(among, plan, isIntroduced));
  }
}

/** @returns what is planned, or why there is no plan, in words */
function tryTo<Planned>(plan: () => Planned): Planned | string {
  try {
    return plan();
  } catch (error) {
    if (!(error instanceof PlanError)) throw error;
    return messageOf(error);
  }
}

/** The node of each copy. */
const nodesOf = (plan: Plan | null): Map<CopyId, NodeId> =>
  new Map(plan?.copies.map(({ id, node }) => [id, node]));

/** Whether a member is to take part in the next plan. */
const takesPart = ({ profile, isLeaving }: Member): boolean => profile !== null && !isLeaving;
