/**
 * The protocol: every message that crosses a link, as two discriminated unions
 * on `type`, a version, and closed sets of reasons. Decoded messages have been checked here, at the edge; inside, peers trust them.
 *
 * Control messages go between a worker and the coordinator. Data messages
 * (feature, gradient, exchange, pull, weights, state) go between workers: straight, where they have been introduced
 * and reach each other, otherwise through the coordinator, which forwards them by their `to` without looking inside. They are the same both ways.
 */
import * as z from "zod/mini";
import {
  alone,
  digest,
  exchange,
  feature,
  gradient,
  lacks,
  laterMax,
  madeAlone,
  pull,
  state,
  weights,
} from "./data-messages.ts";
import { jobSpecSchema } from "./job-spec.ts";
import { payloadBytesMax, payloadBytesMin } from "./payload-size.ts";
import {
  count,
  duration,
  duty,
  energySchema,
  heldSchema,
  id,
  introductionSchema,
  loss,
  nodeName,
  pacedSchema,
  partySchema,
  passes,
  peerAddressSchema,
  planSchema,
  positive,
  profileSchema,
  secret,
  spanSchema,
  straightSchema,
  text,
  toldSchema,
  transfersSchema,
  turns,
} from "./schemas.ts";

/** Versions of the protocol that a peer speaks, both ends included. */
export interface ProtocolVersions {
  readonly from: number;
  readonly to: number;
}

/** Versions that this release speaks. */
export const protocolVersions: ProtocolVersions = { from: 9, to: 9 };

/** The newest version that both sides speak; null where there is none. */
export function commonVersion(a: ProtocolVersions, b: ProtocolVersions): number | null {
  const version = Math.min(a.to, b.to);
  return version >= Math.max(a.from, b.from) ? version : null;
}

/** What is said to a worker that speaks none of our versions. */
export const foreignVersion = ({ from, to }: ProtocolVersions): string =>
  `protocol versions ${from} to ${to} are not ours, ${protocolVersions.from} to ` +
  `${protocolVersions.to}: use the same release on both sides`;

/** Why a coordinator refuses a worker. A closed set: programs may branch on it. */
export const refusalReasons = [
  "version",
  "token",
  "token in use",
  "name in use",
  "replaced",
  "fleet full",
  "no data",
  "wrong data",
  "protocol",
] as const;
export type RefusalReason = (typeof refusalReasons)[number];

/** Why a worker refuses another one on a link between them. Closed as well. */
export const peerRefusals = ["unknown", "term", "secret", "crowded", "protocol"] as const;
export type PeerRefusal = (typeof peerRefusals)[number];

/** Why a run ends for a worker. */
export const stopReasons = ["finished", "interrupted", "failed", "dropped", "released"] as const;
export type StopReason = (typeof stopReasons)[number];

/** Not strict: a newer release may say more of itself and still speak our version. */
const hello = z.object({
  type: z.literal("hello"),
  protocols: z.object({ from: count, to: count }),
  token: text,
  /** Drawn by the worker's process: who comes again with the same one is the same worker. */
  instance: id,
  name: nodeName,
  kind: z.enum(["device", "edge", "cloud"]),
  /** Names the physical machine, so that probes on shared hardware take turns. */
  machine: id,
  duty,
  memoryBytes: z.nullable(positive),
  ceilingBytesPerMs: z.nullable(positive),
  energy: z.optional(energySchema),
  /** Training samples held; 0 for a node without data. */
  samples: count,
  inputShape: z.nullable(z.array(count)),
  classes: z.nullable(count),
  /** Names of the classes in the order of their numbers, where the data have names. */
  classNames: z.nullable(z.array(text)),
  /** Which columns of its samples it has, where other parties have the rest; absent where it has all. */
  party: z.optional(partySchema),
  /** Held-out samples; 0 for a node that cannot evaluate. */
  testSamples: count,
  engine: text,
  /** Where other workers reach this one; null where they do not. */
  address: z.nullable(peerAddressSchema),
  /** Whether it can connect to other workers. */
  dials: z.boolean(),
});

const profile = z.strictObject({ type: z.literal("profile"), profile: profileSchema });

const ready = z.strictObject({ type: z.literal("ready"), term: count });

/** What has gone straight to and from a stage's neighbours since the worker joined: two, unless the stage merges. */
const straight = z.array(straightSchema).check(z.maxLength(10_000));
/** What the worker achieves towards the coordinator, in bytes per millisecond; null before it is known. */
const upRate = z.nullable(positive);

/** One copy's tensors at the end of its round. Applying the same id twice is applying it once. */
const contribution = z.strictObject({
  type: z.literal("contribution"),
  id,
  term: count,
  round: count,
  chain: id,
  copy: id,
  /** Mean training loss over the round's batches, from the stage that holds the loss. */
  loss,
  /** Batches trained. */
  steps: count,
  /**
   * The stage's passes in the order in which it took them, F forward and B backward, where they
   * decide what was computed: under the schedule `window`, before the last stage. Empty elsewhere.
   */
  passes,
  /**
   * From a copy that holds the loss and merges: whose batches it trained, in their order. Numbers are
   * the places of chains among those of the copy, in the plan's order. Empty elsewhere.
   */
  turns,
  ...toldSchema,
  transfers: z.optional(transfersSchema),
  alone: z.optional(madeAlone),
  /** Where another member of its exchange brings what all of them have; see `broughtKinds`. */
  isRest: z.optional(z.literal(true)),
  /** Where the round goes on: what the copy has come to after so many batches of it. */
  isInterim: z.optional(z.literal(true)),
  /** What the round cost this copy. */
  computeMs: duration,
  /** Time that this copy held the processor, sleeping for the node's duty included, by kind of program. */
  held: heldSchema,
  /** What the node's link has carried at its pace since it was opened. */
  paced: pacedSchema,
  straight,
  bytesPerMs: upRate,
  peakRssBytes: z.nullable(count),
});

/** How a copy's round goes, every second at most; what it says of `steps` and `held` is since the round's start. */
const progress = z.strictObject({
  type: z.literal("progress"),
  term: count,
  round: count,
  chain: id,
  copy: id,
  steps: count,
  /** Batches that went forward and have not come back. */
  ahead: count,
  held: heldSchema,
  straight,
  bytesPerMs: upRate,
});

/** Bytes that are sent to measure a link: the receiver drops them. Their tensor is `filler`. */
const payload = z.strictObject({ type: z.literal("payload") });

/** What a payload showed; both null where there is no link, or it ended. */
const measured = z.strictObject({
  type: z.literal("measured"),
  to: z.nullable(id),
  bytesPerMs: z.nullable(positive),
  latencyMs: z.nullable(duration),
});

/** The source's answer to `curtail`: the chain's round has so many batches. */
const curtailed = z.strictObject({
  type: z.literal("curtailed"),
  term: count,
  round: count,
  chain: id,
  work: count,
});

const evaluation = z.strictObject({
  type: z.literal("evaluation"),
  round: count,
  samples: count,
  correct: z.nullable(count),
  loss,
  ms: duration,
});

/** Why a worker rejects what came along a chain. A closed set: programs branch on it. */
export const rejectReasons = ["misfit", "not finite"] as const;

/** What came along a chain does not fit the stage it came to, or spoils it; the receiver itself is well. */
const reject = z.strictObject({
  type: z.literal("reject"),
  term: count,
  round: count,
  chain: id,
  reason: z.enum(rejectReasons),
  text,
});

/** What the node did lately; sent while the coordinator asks for it. */
const activity = z.strictObject({
  type: z.literal("activity"),
  spans: z.array(spanSchema).check(z.maxLength(1000)),
});

/** The worker cannot go on: engine error, unreadable data. */
const failed = z.strictObject({ type: z.literal("failed"), text });
/** Notice of departure: the worker finishes its round, and is told to stop when it is not needed any more. */
const leaving = z.strictObject({ type: z.literal("leaving"), text });
/** The worker is gone when this arrives. */
const leave = z.strictObject({ type: z.literal("leave"), text });
/** Heartbeat with its own sending time; the answer returns it, so no clocks are compared. */
const ping = z.strictObject({ type: z.literal("ping"), sentMs: z.number() });
const pong = z.strictObject({ type: z.literal("pong"), sentMs: z.number() });
/** How many bytes have arrived, and how many of them have been consumed, since the link opened. */
const ack = z.strictObject({
  type: z.literal("ack"),
  received: count,
  consumed: count,
  /** When `received` was reached, since the link opened, by the receiver's clock. */
  arrivedMs: duration,
  /** The same of the first message that was not acknowledged yet. */
  first: z.strictObject({ received: count, arrivedMs: duration }),
});

/** Messages that wait for nothing and may come among the chunks of a frame. */
export const overtaking: ReadonlySet<string> = new Set(["ping", "pong", "ack", "refuse"]);

const welcome = z.strictObject({
  type: z.literal("welcome"),
  /** The version to speak from now on, one of those that the worker named. */
  protocol: count,
  run: id,
  node: id,
  job: jobSpecSchema,
  /** The coordinator was away, or everybody else, and waits for what was done meanwhile, from this round on. */
  awaits: z.optional(z.strictObject({ term: count, round: count })),
});
const refuse = z.strictObject({
  type: z.literal("refuse"),
  reason: z.enum(refusalReasons),
  text,
});
const probe = z.strictObject({
  type: z.literal("probe"),
  repeats: z.int().check(z.positive()),
  /** Measures so many blocks of consecutive segments; each segment by itself where null. */
  blocks: z.nullable(z.int().check(z.positive())),
});
/** Asks a worker to send a payload to another one straight, or to the coordinator. */
const measure = z.strictObject({
  type: z.literal("measure"),
  to: z.nullable(id),
  bytes: z.int().check(z.minimum(payloadBytesMin), z.maximum(payloadBytesMax)),
});
const plan = z.strictObject({
  type: z.literal("plan"),
  plan: planSchema,
  /** The neighbours that the receiver may talk to straight while this plan is in force. */
  introductions: z.array(introductionSchema),
});

/** Starts a round; carries the tensors of every copy that the receiver holds. */
const begin = z.strictObject({
  type: z.literal("begin"),
  term: count,
  round: count,
  learningRate: z.number().check(z.nonnegative()),
  /** Copies of the receiver that go on with the tensors that they brought to the round before. */
  keep: z.array(id),
  /** Batches that the sources of the receiver's chains have drawn before. */
  first: z.array(z.strictObject({ chain: id, step: count })),
  /** Chains of the receiver that are late and go on with the round that they are in. */
  going: z.array(id),
  /** Chains of the receiver whose codecs go on with what they remember there. */
  remembers: z.optional(z.array(id)),
  /** Batches from one time to the next that the receiver's copies bring what they have come to. */
  interim: z.optional(z.int().check(z.positive())),
  /** What of the receiver's copy the member of a chain gives it (`state`): the round starts once that is there. */
  given: z.optional(
    z.strictObject({ copy: id, chain: id, names: z.array(text).check(z.maxLength(100_000)) }),
  ),
  /** Nodes that the receiver gives what it has alike with them, as the round begins. */
  gives: z.optional(z.array(id).check(z.maxLength(4096))),
  /** Learning rates of the rounds after it, for members that go on without the coordinator. */
  later: z.optional(z.array(z.number().check(z.nonnegative())).check(z.maxLength(laterMax))),
});
/** Tensors that the next plan will need, sent ahead in the background; the round is their version. */
const precopy = z.strictObject({ type: z.literal("precopy"), term: count, round: count });
/** What a round has changed of them, in parts as it came home. */
const update = z.strictObject({ type: z.literal("update"), term: count, round: count });
/** A chain is out of the round (a node left or missed the deadline); its messages are void. */
const abandon = z.strictObject({
  type: z.literal("abandon"),
  term: count,
  round: count,
  chain: id,
});
/** To the source: the chain's round is to end with the batches that have begun. */
const curtail = z.strictObject({
  type: z.literal("curtail"),
  term: count,
  round: count,
  chain: id,
});
/** To all stages: the chain's round has so many batches, fewer than the plan says. */
const shorten = z.strictObject({
  type: z.literal("shorten"),
  term: count,
  round: count,
  chain: id,
  work: count,
});
/** Asks a node with held-out data to measure the attached weights. */
const evaluate = z.strictObject({
  type: z.literal("evaluate"),
  round: count,
  /** At most so many samples, from the start; null for all. */
  samples: z.nullable(count),
});
/** Somebody looks on: report activity from now on, or stop doing so. */
const watch = z.strictObject({ type: z.literal("watch"), isWatched: z.boolean() });
const stop = z.strictObject({ type: z.literal("stop"), reason: z.enum(stopReasons), text });

const workerMessage = z.discriminatedUnion("type", [
  hello,
  profile,
  ready,
  feature,
  gradient,
  exchange,
  pull,
  weights,
  state,
  lacks,
  contribution,
  progress,
  payload,
  measured,
  curtailed,
  evaluation,
  reject,
  activity,
  alone,
  failed,
  leaving,
  leave,
  ping,
  pong,
  ack,
]);

const coordinatorMessage = z.discriminatedUnion("type", [
  welcome,
  refuse,
  probe,
  measure,
  payload,
  plan,
  precopy,
  update,
  begin,
  digest,
  abandon,
  curtail,
  shorten,
  evaluate,
  watch,
  stop,
  feature,
  gradient,
  exchange,
  pull,
  weights,
  state,
  ping,
  pong,
  ack,
]);

/** The first message on a link between two workers: who dials, in which term, and the secret of the pair. */
const peer = z.strictObject({ type: z.literal("peer"), node: id, term: count, secret });
/** The answer to who may be talked to. */
const accept = z.strictObject({ type: z.literal("accept"), term: count });
/** The answer to who may not; the link closes afterwards. */
const turnAway = z.strictObject({
  type: z.literal("refuse"),
  reason: z.enum(peerRefusals),
  text,
});

const peerMessage = z.discriminatedUnion("type", [
  peer,
  accept,
  turnAway,
  payload,
  feature,
  gradient,
  exchange,
  pull,
  weights,
  state,
  ping,
  pong,
  ack,
]);

export const messageSchemas = {
  worker: workerMessage,
  coordinator: coordinatorMessage,
  peer: peerMessage,
} as const;

/** Messages are never changed once made, so senders may pass what they hold. */
type Immutable<T> = T extends object ? { readonly [K in keyof T]: Immutable<T[K]> } : T;

/** Sent by workers. */
export type WorkerMessage = Immutable<z.infer<typeof workerMessage>>;
/** Sent by the coordinator, or forwarded by it. */
export type CoordinatorMessage = Immutable<z.infer<typeof coordinatorMessage>>;
/** Sent by one worker to another, on a link of their own. */
export type PeerMessage = Immutable<z.infer<typeof peerMessage>>;
export type Message = WorkerMessage | CoordinatorMessage | PeerMessage;

export type Hello = Immutable<z.infer<typeof hello>>;
export type FeatureMessage = Immutable<z.infer<typeof feature>>;
export type GradientMessage = Immutable<z.infer<typeof gradient>>;
export type AloneMessage = Immutable<z.infer<typeof alone>>;
export type WelcomeMessage = Immutable<z.infer<typeof welcome>>;
export type UpdateMessage = Immutable<z.infer<typeof update>>;
export type BeginMessage = Immutable<z.infer<typeof begin>>;
export type ExchangeMessage = Immutable<z.infer<typeof exchange>>;
export type PullMessage = Immutable<z.infer<typeof pull>>;
export type WeightsMessage = Immutable<z.infer<typeof weights>>;
export type StateMessage = Immutable<z.infer<typeof state>>;
export type DigestMessage = Immutable<z.infer<typeof digest>>;
/** What crosses a border between two stages, or goes from one member of an exchange to another. */
export type DataMessage =
  | FeatureMessage
  | GradientMessage
  | ExchangeMessage
  | PullMessage
  | WeightsMessage
  | StateMessage;
export type ContributionMessage = Immutable<z.infer<typeof contribution>>;
export type ProgressMessage = Immutable<z.infer<typeof progress>>;
export type CurtailedMessage = Immutable<z.infer<typeof curtailed>>;
export type RejectMessage = Immutable<z.infer<typeof reject>>;
export type EvaluationMessage = Immutable<z.infer<typeof evaluation>>;
export type ProbeMessage = Immutable<z.infer<typeof probe>>;
export type MeasureMessage = Immutable<z.infer<typeof measure>>;
export type PayloadMessage = Immutable<z.infer<typeof payload>>;
export type MeasuredMessage = Immutable<z.infer<typeof measured>>;
export type JobSpec = Immutable<z.infer<typeof jobSpecSchema>>;
/** Two workers are told of each other. */
export type Introduction = Immutable<z.infer<typeof introductionSchema>>;

const dataTypes: ReadonlySet<string> = new Set<DataMessage["type"]>([
  "feature",
  "gradient",
  "exchange",
  "pull",
  "weights",
  "state",
]);

export const isDataMessage = (message: Message): message is DataMessage =>
  dataTypes.has(message.type);
