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
import { admit, type Refusal, type Tickets } from "./admission.ts";
import { type Member, newMember, nextToProbe } from "./members.ts";

const probeRepeats = 5;
/** How long a probe may take, even on a slow node with a large model. */
const probeMsMax = 300_000;

export interface RosterRules {
  readonly tickets: Tickets;
  readonly takes: TakenData;
  /** Devices that the job has places for. */
  readonly devices: number;
}

export class Roster {
  readonly #host: Host;
  readonly #rules: RosterRules;
  readonly #members = new Map<NodeId, Member>();
  /** Members that have no profile yet; mostly none, and asked for after each message. */
  readonly #unprobed = new Set<Member>();
  /** Training samples of every node that ever joined. */
  readonly #samples = new Map<NodeId, number>();
  /** What was measured of every node, with what it was measured on. */
  readonly #profiles = new Map<NodeId, { on: string; profile: Profile }>();

  constructor(host: Host, rules: RosterRules) {
    this.#host = host;
    this.#rules = rules;
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
   * that it has given up, that one is closed first.
   */
  admit(channel: Channel<WorkerMessage>, hello: Hello): Member | Refusal {
    const ghost = [...this].find(
      ({ hello: other }) => other.token === hello.token && other.instance === hello.instance,
    );
    const others = [...this].filter((member) => member !== ghost).map((member) => member.hello);
    const refusal = admit(hello, { ...this.#rules, present: others });
    if (refusal !== null) return refusal;
    ghost?.channel.cut("it has connected anew");
    const member = newMember(nodeId(hello.name), hello, channel);
    const known = this.#profiles.get(member.id);
    if (known?.on === measuredOn(hello)) member.profile = known.profile;
    this.#members.set(member.id, member);
    if (member.profile === null) this.#unprobed.add(member);
    this.#samples.set(member.id, hello.samples);
    return member;
  }

  /** A member's channel has closed. */
  remove(member: Member): void {
    member.deadline?.();
    this.#unprobed.delete(member);
    if (this.#members.get(member.id) === member) this.#members.delete(member.id);
  }

  /** Probes whoever has not been; members that share a machine in turn, so that they do not slow each other. */
  probeNewcomers(): void {
    for (const member of nextToProbe([...this.#unprobed])) {
      member.isProbing = true;
      member.probeStartedMs = this.#host.now();
      member.channel.send({ type: "probe", repeats: probeRepeats });
      this.expect(member, "profile", probeMsMax);
    }
  }

  /** Keeps what a probe has measured. */
  profiled(member: Member, profile: Profile): void {
    member.profile = profile;
    member.isProbing = false;
    this.#unprobed.delete(member);
    this.#profiles.set(member.id, { on: measuredOn(member.hello), profile });
  }

  /** Closes a member's channel unless {@link answered} is called in time. */
  expect(member: Member, what: string, withinMs: number): void {
    member.deadline?.();
    member.deadline = this.#host.after(withinMs, () => {
      member.channel.close(`no ${what} within ${(withinMs / 1000).toFixed(0)} s`);
    });
  }

  /** What was expected of a member has come. */
  answered(member: Member): void {
    member.deadline?.();
    member.deadline = null;
  }
}

const measuredOn = ({ engine, machine }: Hello): string => `${engine} on ${machine}`;
