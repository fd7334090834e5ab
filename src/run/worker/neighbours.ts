/**
 * A worker's neighbours: the nodes that hold the stage before or after one of its own. The
 * coordinator introduces those that can reach each other, one of the two dials, and data messages
 * then go straight between them. Where there is no link, or it is lost, they go through the
 * coordinator, as they do where nobody has been introduced.
 *
 * Invariants:
 * 1. A link stands for a term. With the next plan it is greeted on anew, where the same two neighbours
 *    are introduced again at the same address, and closed otherwise.
 * 2. Data go straight to a neighbour only in a round that began with a link to it. Where that is lost,
 *    what was not consumed, and all the rest of the round, goes through the coordinator: so
 *    messages of one border, taken when they come first, come in their order.
 * 3. A stage is handed a batch's message once, whichever ways it came.
 * 4. What comes straight may be early, before this worker's round has begun: it waits, unconsumed.
 * 5. Over a link come messages of borders with that neighbour alone; any other is void.
 */
import { present } from "../../base/assert.ts";
import { type NodeId, nodeId } from "../../base/ids.ts";
import { equalSecrets } from "../../base/secrets.ts";
import { linkRate } from "../../plan/link-rate.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Cancel, Frame, Host, Link, PeerAddress } from "../host.ts";
import type { StraightTraffic } from "../metrics/record.ts";
import { type Decoded, encodeFrame, type Tensors } from "../wire/frame.ts";
import type { DataMessage, Introduction, PeerRefusal } from "../wire/messages.ts";
import { Pace } from "../wire/pace.ts";
import { type MeasuredLink, type PayloadSize, unmeasured } from "../wire/payload.ts";
import { borderOf, type Inflow, inflowsOf } from "./inflows.ts";
import type { StageSetup } from "./stage-setup.ts";
import { type Greeting, StraightLink, type TurnedAway } from "./straight-link.ts";

/** Pauses between two attempts: doubled from the first to the longest, of which a random half is taken off. */
const firstPauseMs = 500;
const longestPauseMs = 15_000;
/** A round is not held up for longer by links that are still being opened. */
const settlingMsMax = 2_000;
/** Links whose other end has not said who it is, beside one for each neighbour. */
const visitorsMax = 16;

/** Refusals that another attempt will not change. */
const final: ReadonlySet<PeerRefusal> = new Set(["secret", "protocol"]);

/** Which way data go to a neighbour. */
export type Way = "straight" | "relayed";

/** What neighbours need of their worker. */
export interface NeighboursAround {
  readonly host: Host;
  /** The node's own pace, which its link to the coordinator keeps too. */
  readonly pace: Pace;
  /** Sends through the coordinator. */
  relay(frame: Frame): void;
  /** Hands a message to the stage that it is for. */
  deliver(message: DataMessage, tensors: Tensors): void;
  /** Something has left under the node's own pace: from when on it was leaving, and for how long. */
  onPaced(fromMs: number, ms: number): void;
  /** A link to a neighbour stands, or stands no more, with the reason. */
  onWay(node: NodeId, way: Way, text: string): void;
}

/** A plan as far as neighbours are concerned. */
export interface NeighbourPlan {
  readonly plan: Plan;
  readonly node: NodeId;
  readonly stages: Iterable<StageSetup>;
  readonly introductions: readonly Introduction[];
  /** Largest frame that crosses a border. */
  readonly frameBytesMax: number;
}

/** A neighbour that this worker has been introduced to. */
interface Neighbour {
  readonly node: NodeId;
  readonly secret: string;
  /** Where to dial; null where it dials. */
  readonly address: PeerAddress | null;
  readonly pace: Pace;
  link: StraightLink | null;
  /** How data go in this round. */
  way: Way;
  attempts: number;
  /** Gives up the attempt under way, or the next one. */
  stop: Cancel;
}

/** A message whose round has not begun here. */
interface Early extends Decoded<DataMessage> {
  readonly link: StraightLink;
  readonly release: () => void;
}

export class Neighbours {
  readonly #around: NeighboursAround;
  #term = -1;
  #round = -1;
  /** Rounds of the chains that go on with an earlier one. */
  #behind: ReadonlyMap<string, number> = new Map();
  #self: NodeId | null = null;
  #frameBytesMax = 0;
  #neighbours = new Map<string, Neighbour>();
  #inflows = new Map<string, Inflow>();
  /** Neighbours whose link neither stands nor has been given up for the moment. */
  readonly #unsettled = new Set<string>();
  #onSettled: (() => void) | null = null;
  #settling: Cancel = () => {};
  /** Links whose other end has not said who it is in this term, or has said it too early. */
  readonly #visitors = new Map<StraightLink, Greeting | null>();
  /** Links on which this worker has said who it is, and waits for the answer. */
  readonly #asking = new Map<StraightLink, Neighbour>();
  /** Batches of this round that have been handed on, by border. */
  readonly #taken = new Map<string, Set<number>>();
  #early: Early[] = [];
  /** Bytes on links that are no more, by neighbour. */
  readonly #past = new Map<NodeId, { sent: number; received: number }>();
  readonly #paces = new Map<NodeId, Pace>();
  /** Ways that the owner knows of. */
  readonly #told = new Map<NodeId, Way>();
  #isClosed = false;

  constructor(around: NeighboursAround) {
    this.#around = around;
  }

  /** Takes over a plan, whose term is a new one: links of the one before are closed. */
  adopt({ plan, node, stages, introductions, frameBytesMax }: NeighbourPlan): void {
    const kept = this.#endTerm("the plan has changed", introductions);
    this.#term = plan.term;
    this.#round = -1;
    this.#behind = new Map();
    this.#self = node;
    this.#frameBytesMax = frameBytesMax;
    this.#inflows = inflowsOf(stages);
    const neighbouring = neighboursOf(stages);
    this.#neighbours = new Map(
      introductions.map(({ node: name, secret, address }) => {
        const other = nodeId(name);
        const pace = this.#paceTo(other, plan);
        const made: Neighbour = {
          ...{ node: other, secret, address, pace },
          ...{ link: null, way: "relayed", attempts: 0, stop: () => {} },
        };
        return [name, made];
      }),
    );
    for (const [name, neighbour] of this.#neighbours) {
      // Those who only may become neighbours hold nobody up.
      if (neighbouring.has(name)) this.#unsettled.add(name);
      const link = kept.get(name);
      if (link === undefined) this.#dial(neighbour);
      else if (neighbour.address !== null) this.#greet(neighbour, link);
      else this.#awaitGreeting(link);
    }
    for (const [link, greeting] of [...this.#visitors]) {
      if (greeting !== null) this.#judge(link, greeting);
    }
  }

  /**
   * Calls `done` when every link that can be opened stands, and soon in any case: a round
   * that begins before goes through the coordinator.
   */
  whenSettled(done: () => void): void {
    this.#onSettled = done;
    this.#settling = this.#around.host.after(settlingMsMax, () => this.#settled());
    if (this.#unsettled.size === 0) this.#settled();
  }

  /**
   * A round begins: from now on its messages are handed on, those first that have waited for it.
   * @param going chains that go on with the round that they are in
   */
  begin(round: number, going: ReadonlySet<string> = new Set()): void {
    this.#behind = new Map([...going].map((chain) => [chain, this.#roundOf(chain)]));
    this.#round = round;
    for (const border of [...this.#taken.keys()]) {
      // What a plan before has left has no chain in this one.
      const chain = this.#inflows.get(border)?.chain;
      if (chain === undefined || !going.has(chain)) this.#taken.delete(border);
    }
    for (const neighbour of this.#neighbours.values()) {
      neighbour.way = neighbour.link === null ? "relayed" : "straight";
    }
    const early = this.#early;
    const isEarly = ({ message }: Early) => message.round > this.#roundOf(message.chain);
    this.#early = early.filter(isEarly);
    for (const one of early) {
      const { message, tensors, release } = one;
      if (isEarly(one)) continue;
      release();
      this.take({ message, tensors });
    }
  }

  /** The round that a chain is in. */
  #roundOf(chain: string): number {
    return this.#behind.get(chain) ?? this.#round;
  }

  /** Nodes of stages here that nothing goes to straight in this round. */
  get lost(): string[] {
    const all = [...new Set([...this.#inflows.values()].map(({ from }) => from))];
    return all.filter((node) => this.#neighbours.get(node)?.way !== "straight");
  }

  /** Sends a data message to the node of its stage, whichever way. */
  send(message: DataMessage, tensors?: Tensors): void {
    const frame = encodeFrame(message, tensors);
    const neighbour = this.#neighbours.get(message.to);
    if (neighbour === undefined || neighbour.link === null || neighbour.way === "relayed") {
      this.#around.relay(frame);
    } else neighbour.link.send(frame, message);
  }

  /** Hands a message on unless its batch has come before, or is of another round. */
  take({ message, tensors }: Decoded<DataMessage>): void {
    const border = borderOf(message);
    const { batches } = this.#inflows.get(border) ?? { batches: 0 };
    if (message.term !== this.#term || message.round !== this.#roundOf(message.chain)) return;
    if (message.step >= batches) return;
    const steps = this.#taken.get(border) ?? new Set();
    this.#taken.set(border, steps);
    if (steps.has(message.step)) return;
    steps.add(message.step);
    this.#around.deliver(message, tensors);
  }

  /** Takes a link that another worker has dialled. */
  accept(link: Link): void {
    if (this.#isClosed) return link.close();
    const visitor = new StraightLink(this.#around.host, link, null, this.#handlers);
    this.#visitors.set(visitor, null);
    if (this.#visitors.size > visitorsMax + this.#neighbours.size) {
      visitor.refuse({ reason: "crowded", text: "too many wait here: try again later" });
    }
  }

  /** What has gone straight to and from a node since the worker joined, and what its link achieves now. */
  trafficWith(node: NodeId): StraightTraffic | null {
    const past = this.#past.get(node);
    const link = this.#neighbours.get(node)?.link ?? null;
    if (past === undefined && link === null) return null;
    return {
      node,
      sent: (past?.sent ?? 0) + (link?.bytes.sent ?? 0),
      received: (past?.received ?? 0) + (link?.bytes.received ?? 0),
      paced: this.#paces.get(node)?.traffic ?? { bytes: 0, ms: 0 },
      bytesPerMs: link?.achievedBytesPerMs ?? null,
      latencyMs: link?.latencyMs ?? null,
    };
  }

  /**
   * Measures the link to a node by a payload; not while another one is under way.
   * @param done called once, with nothing measured where there is no link, or it ends
   */
  measure(node: NodeId, size: PayloadSize, done: (measured: MeasuredLink) => void): void {
    const link = this.#neighbours.get(node)?.link ?? null;
    if (link === null) done(unmeasured);
    else link.measure(size, done);
  }

  /** The worker is at its end. */
  close(): void {
    this.#isClosed = true;
    this.#endTerm("the worker is gone", []);
    for (const link of [...this.#visitors.keys()]) link.cut("the worker is gone");
  }

  /** Closes links, but for those that go on: to neighbours that are neighbours again, at the same address. */
  #endTerm(reason: string, next: readonly Introduction[]): Map<string, StraightLink> {
    const addresses = new Map(next.map(({ node, address }) => [node, address]));
    const neighbours = this.#neighbours;
    const kept = new Map<string, StraightLink>();
    this.#neighbours = new Map();
    this.#unsettled.clear();
    this.#settling();
    this.#onSettled = null;
    for (const [name, { link, address, stop }] of neighbours) {
      stop();
      const again = addresses.get(name);
      if (link !== null && again !== undefined && isSame(again, address)) kept.set(name, link);
      else link?.cut(reason);
    }
    this.#early = [];
    return kept;
  }

  /** The node's own pace holds for all that it sends; where it has none, the share of who receives. */
  #paceTo(node: NodeId, plan: Plan): Pace {
    const { pace } = this.#around;
    if (pace.bytesPerMs !== null) return pace;
    const own = this.#paces.get(node) ?? new Pace();
    this.#paces.set(node, own);
    own.setRate(linkRate(plan, node, "down"));
    return own;
  }

  // -- Opening links.

  #dial(neighbour: Neighbour): void {
    const { node, address } = neighbour;
    const { host } = this.#around;
    if (address === null) return;
    if (host.dial === undefined) return this.#settle(node);
    host.dial(address, (outcome) => {
      const isOver = this.#neighbours.get(node) !== neighbour;
      if (outcome.ok && isOver) outcome.value.close();
      else if (outcome.ok) this.#greet(neighbour, outcome.value);
      else if (!isOver) this.#dialAgain(neighbour);
    });
  }

  /** Says who is calling, on a link that was dialled now or in the term before, and waits to be let in. */
  #greet(neighbour: Neighbour, on: Link | StraightLink): void {
    const { secret } = neighbour;
    const self = present(this.#self, "a node id");
    const greeting = { type: "peer", node: self, term: this.#term, secret } as const;
    let link: StraightLink;
    if (on instanceof StraightLink) {
      link = on;
      link.greet(greeting);
    } else link = new StraightLink(this.#around.host, on, greeting, this.#handlers);
    this.#asking.set(link, neighbour);
    neighbour.stop = () => link.cut("the plan has changed");
  }

  #accepted(link: StraightLink): void {
    const neighbour = this.#asking.get(link);
    this.#asking.delete(link);
    if (neighbour === undefined) return;
    const { node, pace } = neighbour;
    neighbour.stop = () => {};
    link.stand({ node, frameBytesMax: this.#frameBytesMax, pace });
    this.#stands(neighbour, link);
  }

  /** Waits for who has dialled in the term before to say who it is in this one. */
  #awaitGreeting(link: StraightLink): void {
    // It may have said so before this worker heard of the plan.
    if (!this.#visitors.has(link)) this.#visitors.set(link, null);
    link.await();
  }

  #dialAgain(neighbour: Neighbour): void {
    const { host } = this.#around;
    this.#settle(neighbour.node);
    const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** neighbour.attempts++);
    const waitMs = pauseMs * (0.5 + 0.5 * host.random.uniform());
    neighbour.stop = host.after(waitMs, () => this.#dial(neighbour));
  }

  /** Accepts who was introduced for this term, or says why not; who comes early waits for the plan. */
  #judge(link: StraightLink, greeting: Greeting): void {
    if (greeting.term > this.#term) return void this.#visitors.set(link, greeting);
    const neighbour = this.#neighbours.get(greeting.node);
    const refusal = refusalOf(greeting, this.#term, neighbour);
    this.#visitors.delete(link);
    if (neighbour === undefined || refusal !== null) {
      return link.refuse(refusal ?? strange);
    }
    const { node, pace } = neighbour;
    if (neighbour.link !== link) neighbour.link?.cut("it has connected anew");
    link.accept({ node, frameBytesMax: this.#frameBytesMax, pace }, this.#term);
    this.#stands(neighbour, link);
  }

  #stands(neighbour: Neighbour, link: StraightLink): void {
    neighbour.link = link;
    neighbour.attempts = 0;
    this.#tell(neighbour.node, "straight", "they reach each other");
    this.#settle(neighbour.node);
  }

  /** With each plan links stand anew; that is no news. */
  #tell(node: NodeId, way: Way, text: string): void {
    if (this.#told.get(node) === way) return;
    this.#told.set(node, way);
    this.#around.onWay(node, way, text);
  }

  #settle(node: NodeId): void {
    this.#unsettled.delete(node);
    if (this.#unsettled.size === 0) this.#settled();
  }

  #settled(): void {
    const done = this.#onSettled;
    this.#onSettled = null;
    this.#settling();
    done?.();
  }

  // -- What comes over them.

  readonly #handlers = {
    onGreeting: (link: StraightLink, greeting: Greeting): void => this.#judge(link, greeting),
    onAccepted: (link: StraightLink): void => this.#accepted(link),
    onData: (link: StraightLink, decoded: Decoded<DataMessage>, hold: () => () => void): void =>
      this.#receive(link, decoded, hold),
    onEnd: (link: StraightLink, text: string, refusal: PeerRefusal | null): void =>
      this.#ended(link, text, refusal),
    onPaced: ({ node }: StraightLink, fromMs: number, ms: number): void => {
      const pace = node === null ? undefined : this.#neighbours.get(node)?.pace;
      // Under shares of neighbours, many may be sent to at once.
      if (pace === this.#around.pace) this.#around.onPaced(fromMs, ms);
    },
  };

  #receive(link: StraightLink, decoded: Decoded<DataMessage>, hold: () => () => void): void {
    const { message, tensors } = decoded;
    // Who has not said who it is in this term has no say in it.
    const stands = link.node !== null && this.#neighbours.get(link.node)?.link === link;
    const isOurs = message.to === this.#self && message.term === this.#term;
    if (!stands || !isOurs || this.#inflows.get(borderOf(message))?.from !== link.node) return;
    if (message.round <= this.#roundOf(message.chain)) return this.take(decoded);
    this.#early.push({ message, tensors, link, release: hold() });
  }

  /** A link is gone. What it leaves goes through the coordinator, and in the next round it may stand again. */
  #ended(link: StraightLink, text: string, refusal: PeerRefusal | null): void {
    this.#visitors.delete(link);
    this.#unanswered(link, refusal);
    const { node, bytes, unconsumed } = link;
    if (node === null) return;
    const past = this.#past.get(node) ?? { sent: 0, received: 0 };
    const { sent, received } = bytes;
    this.#past.set(node, { sent: past.sent + sent, received: past.received + received });
    // Its sender sends what has waited here again.
    this.#early = this.#early.filter((early) => early.link !== link);
    const neighbour = this.#neighbours.get(node);
    if (neighbour === undefined || neighbour.link !== link) return;
    neighbour.link = null;
    neighbour.way = "relayed";
    this.#tell(node, "relayed", text);
    for (const [frame, message] of unconsumed) {
      const isOfRound = message.round === this.#roundOf(message.chain);
      if (message.term === this.#term && isOfRound) this.#around.relay(frame);
    }
    if (neighbour.address !== null) this.#dialAgain(neighbour);
  }

  /** A link has ended before this worker was let in. */
  #unanswered(link: StraightLink, refusal: PeerRefusal | null): void {
    const neighbour = this.#asking.get(link);
    this.#asking.delete(link);
    if (neighbour === undefined || this.#neighbours.get(neighbour.node) !== neighbour) return;
    if (refusal === null || !final.has(refusal)) this.#dialAgain(neighbour);
    else this.#settle(neighbour.node);
  }
}

/** Whether two introductions lead to the same place. */
const isSame = (a: PeerAddress | null, b: PeerAddress | null): boolean =>
  a?.url === b?.url && a?.fingerprint === b?.fingerprint;

const strange: TurnedAway = { reason: "unknown", text: "nobody has introduced us" };

/** Why a greeting is not accepted in a term; null where it is. */
function refusalOf(
  { node, term, secret }: Greeting,
  current: number,
  neighbour: Neighbour | undefined,
): TurnedAway | null {
  if (term < current) {
    return { reason: "term", text: `term ${term} is over: it is ${current} now` };
  }
  if (neighbour === undefined || neighbour.address !== null) return strange;
  if (equalSecrets(secret, neighbour.secret)) return null;
  return { reason: "secret", text: `that is not what ${node} and we were given` };
}

/** Nodes with a border to a stage of this one, or an exchange with it. */
function neighboursOf(stages: Iterable<StageSetup>): Set<string | null> {
  return new Set(
    [...stages].flatMap(({ upstream, downstream, exchange }) => {
      const others = [...(exchange?.incoming ?? []), ...(exchange?.outgoing ?? [])];
      return [upstream, downstream, ...others.map(({ node }) => node)];
    }),
  );
}
