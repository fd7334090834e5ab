/**
 * What a coordinator tells over HTTP to who holds a device's join token, before
 * and while the device takes part. `docs/join.md` names the requests.
 */
import * as z from "zod/mini";
import { count, text } from "./schemas.ts";

const offerSchema = z.object({
  run: text,
  /** The name that the job gives this device. */
  name: text,
  model: text,
  rounds: count,
  /** Shape of one sample; null where the model leaves it open. */
  inputShape: z.nullable(z.array(count)),
  /** Classes in the order of their numbers, where the job's data have names. */
  classNames: z.nullable(z.array(text)),
  /** A part of a public data set that the server has for this device; null where it has none. */
  shard: z.nullable(z.object({ what: text, classes: count, samples: count, bytes: count })),
});

const progressSchema = z.object({
  rounds: count,
  roundsAsked: count,
  loss: z.nullable(z.number()),
  /** What was measured on held-out data, in words: ["accuracy", "93.10 %"]. */
  measured: z.nullable(z.tuple([text, text])),
});

/** About the run, and what data fit it. */
export type JoinOffer = z.infer<typeof offerSchema>;
/** How the run goes. */
export type JoinProgress = z.infer<typeof progressSchema>;

/** Null where it is no offer, as of a server of another version. */
export const readOffer = (value: unknown): JoinOffer | null =>
  offerSchema.safeParse(value).data ?? null;

/** Null where it is none. */
export const readProgress = (value: unknown): JoinProgress | null =>
  progressSchema.safeParse(value).data ?? null;
