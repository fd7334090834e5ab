/**
 * Who is a member. A node is one from its accepted `hello` until its channel closes, and
 * never afterwards; one that comes back is a new member that keeps its name, its number of
 * samples and, on the same engine, its profile.
 */
import { present } from "../../base/assert.ts";
import { type NodeId, nodeId } from "../../base/ids.ts";
import type { Profile } from "../../plan/plan.ts";
import type { Host } from "../host.ts";
import type { TakenData } from "../taken-data.ts";
import type { Channel } from "../wire/channel.ts";
import type { Hello, WorkerMessage } from "../wire/messages.ts";
import { admit, type Present, type Refusal, type Tickets } from "./admission.ts";
import { type Asked, type Member, newMember, nextToProbe } from "./members.ts";

const probeRepeats = 5;
/** A few coarse blocks are long enough for fewer to do. */
const coarseRepeats = 3;
/** How long a member may take to load its programs. */
const readyMsMax = 120_000;
/** How long a probe may take, even on a slow node with a large model. */
const probeMsMax = 300_000;

export interface RosterRules {
  readonly tickets: Tickets;
  readonly takes: TakenData;
  /** Columns of each party; null where nodes hold whole samples. */
  readonly parties: readonly (readonly number[])[] | null;
  /** Devices that the job has places for. */
  readonly devices: number;
  /** Coarse blocks that a worker is probed on; null for segment by segment. */
  blocksFor(hello: Hello): number | null;
}

export class Roster {
  readonly #host: Host;
  readonly #rules: RosterRules;
  readonly #members = new Map<NodeId, Member>();
  readonly #byToken = new Map<string, Member>();
  #devices = 0;
  /** Members that were sent a plan and have not its programs yet. */
  readonly #unready = new Set<Member>();
  /** Members that have no profile yet, and those of them that were not asked for one; mostly none. */
  readonly #unprobed = new Set<Member>();
  readonly #unasked = new Set<Member>();
  /** Training samples of every node that ever joined. */
  readonly #samples = new Map<NodeId, number>();
  /** What was measured of every node, with what it was measured on. */
  readonly #profiles = new Map<NodeId, { on: string; profile: Profile }>();

  constructor(host: Host, rules: RosterRules) {
    this.#host = host;
    this.#rules = rules;
  }

  /** How many members are devices, and how many are not. */
  get kinds(): { devices: number; servers: number } {
    return { devices: this.#devices, servers: this.#members.size - this.#devices };
  }

  get size(): number {
    return this.#members.size;
  }

  get(node: NodeId): Member | undefined {
    return this.#members.get(node);
  }

  has(node: NodeId): boolean {
    return this.#members.has(node);
  }

  [Symbol.iterator](): IterableIterator<Member> {
    return this.#members.values();
  }

  /** Training samples of a node that is or was a member. */
  readonly samplesOf = (node: NodeId): number => present(this.#samples.get(node), node);

  /**
   * Admits a worker, or says why not. Where the same worker is a member still, on a connection
   * that it has given up, that one is closed first, and it has left.
   */
  admit(channel: Channel<WorkerMessage>, hello: Hello): Member | Refusal {
    const holder = this.#byToken.get(hello.token);
    if (holder?.hello.instance === hello.instance) {
      // Mostly nobody hears it. A copy of the worker would otherwise come back, and they would push
      // each other out for ever.
      holder.channel.cut("it has connected anew", replaced);
    }
    const refusal = admit(hello, { ...this.#rules, present: this.#present() });
    if (refusal !== null) return refusal;
    const member = newMember(nodeId(hello.name), hello, channel);
    const known = this.#profiles.get(member.id);
    if (known?.on === measuredOn(hello)) member.profile = known.profile;
    this.#members.set(member.id, member);
    this.#byToken.set(hello.token, member);
    if (hello.kind === "device") this.#devices++;
    if (member.profile === null) {
      this.#unprobed.add(member);
      this.#unasked.add(member);
    }
    this.#samples.set(member.id, hello.samples);
    return member;
  }

  #present(): Present {
    return {
      devices: this.#devices,
      holding: (token) => this.#byToken.get(token)?.hello,
      named: (name) => this.#members.get(nodeId(name))?.hello,
      parties: () =>
        [...this].filter(({ hello }) => hello.party !== undefined).map(({ hello }) => hello),
      withClassNames: () => [...this].find(({ hello }) => hello.classNames !== null)?.hello,
    };
  }

  /** A member's channel has closed. */
  remove(member: Member): void {
    for (const cancel of member.deadlines.values()) cancel();
    this.#unprobed.delete(member);
    this.#unasked.delete(member);
    this.#unready.delete(member);
    this.#members.delete(member.id);
    this.#byToken.delete(member.hello.token);
    if (member.hello.kind === "device") this.#devices--;
  }

  /** Whether every member has a profile. */
  get isProbed(): boolean {
    return this.#unprobed.size === 0;
  }

  /** A plan is sent anew: nobody is awaited for the one before. */
  planAnew(): void {
    this.#unready.clear();
  }

  /** A member is sent a plan, whose programs it has to load. */
  planned(member: Member, term: number): void {
    member.plannedTerm = term;
    this.#unready.add(member);
    this.expect(member, "programs loaded", readyMsMax);
  }

  /** A member says that it has the programs of a term. */
  ready(member: Member, term: number): void {
    if (term !== member.plannedTerm) return;
    this.#unready.delete(member);
    this.answered(member, "programs loaded");
  }

  /** Whether everybody who was sent the plan has its programs. */
  get isReady(): boolean {
    return this.#unready.size === 0;
  }

  /** Probes whoever has not been; members that share a machine in turn, so that they do not slow each other. */
  probeNewcomers(): void {
    if (this.#unasked.size === 0) return;
    for (const member of nextToProbe([...this.#unprobed])) {
      this.#unasked.delete(member);
      this.probe(member);
    }
  }

  /** Asks a member for its profile, also where it has one. */
  probe(member: Member): void {
    member.isProbing = true;
    member.probeStartedMs = this.#host.now();
    const blocks = this.#rules.blocksFor(member.hello);
    const repeats = blocks === null ? probeRepeats : coarseRepeats;
    member.channel.send({ type: "probe", repeats, blocks });
    this.expect(member, "profile", probeMsMax);
  }

  /** What a member measures is void from now on: it is to train meanwhile. */
  leaveProbing(member: Member): void {
    member.isProbing = false;
    this.answered(member, "profile");
  }

  /** Keeps what a probe has measured. @returns whether it is the member's first profile */
  profiled(member: Member, profile: Profile): boolean {
    member.profile = profile;
    this.leaveProbing(member);
    this.#profiles.set(member.id, { on: measuredOn(member.hello), profile });
    return this.#unprobed.delete(member);
  }

  /** Closes a member's channel unless {@link answered} is called in time. */
  expect(member: Member, what: Asked, withinMs: number): void {
    this.answered(member, what);
    const late = this.#host.after(withinMs, () => {
      member.channel.close(`no ${what} within ${(withinMs / 1000).toFixed(0)} s`);
    });
    member.deadlines.set(what, late);
  }

  /** What was expected of a member has come. */
  answered(member: Member, what: Asked): void {
    member.deadlines.get(what)?.();
    member.deadlines.delete(what);
  }
}

/** What a worker is told in whose place the same worker has come on another link. */
const replaced = {
  type: "refuse",
  reason: "replaced",
  text: "the same worker has connected anew, and goes on there",
} as const;

const measuredOn = ({ engine, machine }: Hello): string => `${engine} on ${machine}`;
