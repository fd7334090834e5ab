/**
 * Data messages: what goes between workers, over borders of chains and among members of exchanges. Straight or
 * through the coordinator, they are the same.
 */
import * as z from "zod/mini";
import { count, id, toldSchema, transfersSchema } from "./schemas.ts";

/** What says of a batch at a border whose it is, and where it goes on. */
const passage = { to: id, term: count, round: count, step: count, chain: id, stage: count };

/** Rounds that members of an exchange go on for without the coordinator, at most. */
export const laterMax = 64;

/** Answers `awaits`: the round that the worker is in without the coordinator; null where it is in none. */
export const alone = z.strictObject({
  type: z.literal("alone"),
  term: count,
  round: z.nullable(count),
});

/** What a contribution says of how it came to be while the coordinator was away. */
export const madeAlone = z.strictObject({
  learningRate: z.number(),
  /** The rounds before it that were not brought, oldest first; see `Participant` for what was joined in each. */
  before: z
    .array(z.strictObject({ round: count, learningRate: z.number(), ...toldSchema }))
    .check(z.maxLength(laterMax)),
  /** Whether the sender begins no other round before the coordinator does. */
  isLast: z.boolean(),
});

/** Features (and labels) of one batch, on their way to the stage after the border. */
export const feature = z.strictObject({ type: z.literal("feature"), ...passage });

/** The gradient of a feature, on its way back to the stage before the border. */
export const gradient = z.strictObject({ type: z.literal("gradient"), ...passage });

const joinedParts = z.array(z.strictObject({ chain: id, parts: count })).check(z.maxLength(64));

/**
 * What a member of an exchange has computed since its last one, for a neighbour; `step` counts exchanges of the
 * round, `chain` is the sender's.
 */
export const exchange = z.strictObject({
  type: z.literal("exchange"),
  ...passage,
  /** Batches that the part stands for. */
  batches: z.int().check(z.positive()),
  /** Entries of each trained tensor that came, in the order in which programs have them. */
  chosen: z.array(count).check(z.maxLength(100_000)),
  /** Parts that the sender has joined of others so far, where that is not one for each exchange before. */
  joined: z.optional(joinedParts),
  /**
   * Where members compute for a time: how many batches the sender took before its exchange `at` of the round, this one, and how
   * many others took that it has heard of since it said so last.
   */
  took: z.optional(
    z
      .array(z.strictObject({ chain: id, at: count, batches: z.int().check(z.positive()) }))
      .check(z.maxLength(1024)),
  ),
  /** Mean loss of the sender's batches since it said so last, where weights are transferred. */
  loss: z.optional(z.number()),
  /** See `Participant`; what became of transfers to the sender so far, absent where there was none. */
  transfers: z.optional(transfersSchema),
});

/** A member asks a neighbour for its weights; `step` counts the exchanges that it has done, `chain` is its own. */
export const pull = z.strictObject({ type: z.literal("pull"), ...passage });

/**
 * What all members of an exchange have alike as a round begins, for one that has joined: under names, in the version that
 * the round begins with. `chain` is the sender's, and the receiver's own where the coordinator sends it.
 */
export const state = z.strictObject({ type: z.literal("state"), ...passage });

/** SHA-256 of what the receiver is given: of values, behind one another in the order of `names`; null where there are none. */
export const digest = z.strictObject({
  type: z.literal("digest"),
  term: count,
  round: count,
  digest: z.nullable(z.string().check(z.regex(/^[0-9a-f]{64}$/))),
});

/** What a neighbour was to give has not come, or is something else. */
export const lacks = z.strictObject({ type: z.literal("lacks"), term: count, round: count });

/** The answer: all trained tensors of the sender after `step` exchanges, before it took over any itself then. */
export const weights = z.strictObject({
  type: z.literal("weights"),
  ...passage,
  /** As of an exchange. */
  joined: z.optional(joinedParts),
  transfers: z.optional(transfersSchema),
});
