/** Fields that messages and stored records have in common: plan, profile, and the small ones. */
import * as z from "zod/mini";
import { namePattern } from "../../base/ids.ts";
import { linkCodecNames } from "../../codec/link-codec.ts";
import { type SparseCodecName, sparseCodecNames } from "../../codec/sparse.ts";
import { turnsMax } from "../../plan/check-merge.ts";
import { syncPolicyNames } from "../../sync/policies.ts";
import { spanKinds } from "../metrics/record.ts";

/** Longest text in a message, in UTF-16 units. */
export const textLengthMax = 4096;
export const text = z.string().check(z.maxLength(textLengthMax));
export const nodeName = z.string().check(z.regex(namePattern));
export const id = z.string().check(z.minLength(1), z.maxLength(256));
export const count = z.int().check(z.nonnegative());
/** Milliseconds. The maximum (over three years) keeps sums and quotients of them finite. */
export const duration = z.number().check(z.nonnegative(), z.maximum(1e11));
/** Sizes and rates. */
export const positive = z.number().check(z.positive(), z.maximum(1e15));
export const duty = z.number().check(z.positive(), z.maximum(1));
const codec = z.enum(linkCodecNames);
/** A mean loss; null where the null engine computes nothing, or it is not finite. */
export const loss = z.nullable(z.number());

const segmentTime = z.strictObject({
  forwardMs: duration,
  backwardMs: duration,
  updateMs: duration,
});

export const profileSchema = z.strictObject({
  segments: z.array(segmentTime),
  runMs: duration,
  callMs: duration,
});

/** Columns of a model's input. */
export const columns = z.array(count).check(z.minLength(1), z.maxLength(4096));

/** See `Party`. */
export const partySchema = z.strictObject({
  columns,
  hasLabels: z.boolean(),
  keys: z.string().check(z.regex(/^[0-9a-f]{16}$/)),
});

/** See `EnergyLimit`. */
export const energySchema = z.strictObject({
  computeWatts: positive,
  joulesPerByte: z.number().check(z.nonnegative(), z.maximum(1e15)),
  joulesPerRound: positive,
});

/** See `ContributionMessage`. */
export const passes = z.string().check(z.regex(/^[FB]{0,200000}$/, "F and B"));

/** See `ContributionMessage`. */
export const turns = z.array(count).check(z.maxLength(turnsMax));

/** See `Joined`. */
const joinedSchema = z
  .array(
    z.strictObject({
      by: z.optional(id),
      chain: id,
      parts: z.array(count).check(z.maxLength(200_000)),
    }),
  )
  .check(z.maxLength(4096));

/** See `Took`. */
const tookSchema = z
  .array(
    z.strictObject({
      chain: id,
      batches: z.array(z.int().check(z.positive())).check(z.maxLength(200_000)),
    }),
  )
  .check(z.maxLength(4096));

/** See `Transfer`. */
export const transfersSchema = z
  .array(
    z.strictObject({
      by: z.optional(id),
      chain: id,
      version: count,
      at: count,
      ownLoss: loss,
      mixedLoss: loss,
      isTaken: z.boolean(),
    }),
  )
  .check(z.maxLength(65_536));

/** What a member of an exchange tells of a round, for its log; absent where it is nothing. See `Participant`. */
export const toldSchema = {
  joined: z.optional(joinedSchema),
  took: z.optional(tookSchema),
};

/** See `HeldMs`. */
export const heldSchema = z.strictObject({
  forward: duration,
  backward: duration,
  update: duration,
  step: duration,
});

/** See `PacedTraffic`. */
export const pacedSchema = z.strictObject({ bytes: count, ms: duration });

/** See `PeerAddress`. */
export const peerAddressSchema = z.object({
  url: text.check(z.minLength(1)),
  fingerprint: z.nullable(z.string().check(z.regex(/^[\w-]{43}$/))),
});

/** What two workers know each other by: drawn anew for each pair and term. */
export const secret = z.string().check(z.minLength(16), z.maxLength(256));

/** A neighbour and how to meet it: who is given an address dials there, who is given none waits. */
export const introductionSchema = z.strictObject({
  node: id,
  secret,
  address: z.nullable(peerAddressSchema),
});

/** See `StraightTraffic`. */
export const straightSchema = z.strictObject({
  node: id,
  sent: count,
  received: count,
  paced: pacedSchema,
  bytesPerMs: z.nullable(positive),
  latencyMs: z.nullable(duration),
});

/** See `Span`; a clock that is read twice may give an age just below 0. */
export const spanSchema = z.tuple([z.enum(spanKinds), z.number(), duration]);

/** Batches that a plan may have under way beside the first. */
const windowMax = 1024;

/** Batches that a plan may merge into an update. */
const mergeMax = 100_000;

const policyName = z.enum(syncPolicyNames as [string, ...string[]]);

/** See `ExchangePlan`. */
const exchangeSchema = z.strictObject({
  every: z.int().check(z.positive()),
  inner: z.nullable(z.int().check(z.positive())),
  computeMs: z.optional(positive),
  topology: z.array(z.strictObject({ from: id, to: id, bytes: z.nullable(count) })),
  select: z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("all") }),
    z.strictObject({ kind: z.literal("max-n"), nMin: z.number() }),
    z.strictObject({ kind: z.literal("significant"), share: z.number() }),
    z.strictObject({ kind: z.literal("parts"), parts: z.int().check(z.positive()) }),
  ]),
  codec: z._default(z.enum(sparseCodecNames as [SparseCodecName, ...SparseCodecName[]]), "float32"),
  reduce: z.enum(["each", "scatter"]),
  staleness: count,
  backups: z.nullable(count),
  join: z.strictObject({ kind: policyName, liars: z.optional(count), clip: z.optional(positive) }),
  outer: z.strictObject({ rate: positive, momentum: z.number().check(z.nonnegative(), z.lt(1)) }),
  stream: z.optional(
    z.strictObject({
      fragments: z.int().check(z.positive()),
      delay: z.int().check(z.positive()),
      mix: z.number().check(z.nonnegative(), z.lt(1)),
    }),
  ),
  home: z.enum(["each", "first"]),
  transfer: z.optional(
    z.strictObject({ every: z.int().check(z.positive()), mix: duty, margin: z.number() }),
  ),
});

export const planSchema = z.strictObject({
  term: count,
  planner: text,
  objective: z.literal("round time"),
  copies: z.array(
    z.strictObject({ id, node: id, from: count, to: count, mode: z.literal("train") }),
  ),
  chains: z.array(
    z.strictObject({
      id,
      source: id,
      stages: z.array(
        z.strictObject({
          copy: id,
          backward: z.enum(["stored", "replay", "none"]),
          merge: z.optional(z.int().check(z.positive(), z.maximum(mergeMax))),
        }),
      ),
      schedule: z.enum(["serial", "gpipe", "1f1b", "window"]),
      window: z._default(z.int().check(z.nonnegative(), z.maximum(windowMax)), 0),
      work: count,
      phase: z.optional(count),
      microBatches: z.optional(z.int().check(z.positive())),
    }),
  ),
  groups: z.array(
    z.strictObject({
      members: z.array(id),
      policy: policyName,
      liars: z.optional(count),
      clip: z.optional(positive),
      when: z.enum(["round", "step"]),
      exchange: z.optional(exchangeSchema),
    }),
  ),
  links: z.array(
    z.strictObject({
      from: id,
      to: id,
      chain: id,
      bytesPerMs: z.nullable(positive),
      backBytesPerMs: z.optional(z.nullable(positive)),
      codecUp: codec,
      codecDown: codec,
    }),
  ),
  limits: z.array(z.strictObject({ node: id, duty })),
  forecasts: z.array(
    z.strictObject({
      chain: id,
      roundMs: duration,
      computeMs: duration,
      transferMs: duration,
      reason: text,
    }),
  ),
  reason: text,
});
