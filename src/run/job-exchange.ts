/** What a job may say of how its workers agree from node to node: the field `exchange`. */
import * as z from "zod/mini";
import type { ExchangeChoice } from "../plan/plan.ts";

const positive = z.number().check(z.positive());
const positiveInt = z.int().check(z.positive());
const count = z.int().check(z.nonnegative());
const percent = z.number().check(z.positive(), z.maximum(100));

const selectSchema = z.union([
  z.enum(["auto", "all"]),
  z.strictObject({ kind: z.literal("max-n"), nMin: z._default(percent, 0.85) }),
  z.strictObject({ kind: z.literal("significant"), share: z._default(positive, 0.01) }),
  z.strictObject({ kind: z.literal("parts"), parts: positiveInt }),
]);

const joinSchema = z.strictObject({
  kind: z._default(z.enum(["average", "median", "trimmed-mean", "krum"]), "average"),
  liars: z.optional(count),
  clip: z.optional(positive),
});

export const exchangeSchema = z.strictObject({
  /** Updates from one exchange to the next. */
  every: z._default(z.union([z.literal("auto"), positiveInt]), "auto"),
  select: z._default(selectSchema, "auto"),
  staleness: z._default(count, 0),
  join: z._default(joinSchema, { kind: "average" }),
  outer: z.optional(
    z.strictObject({
      rate: z._default(positive, 1),
      momentum: z._default(z.number().check(z.nonnegative(), z.lt(1)), 0),
    }),
  ),
  batches: z._default(z.enum(["proportional", "equal"]), "proportional"),
});

export const exchangeDefaults: z.infer<typeof exchangeSchema> = {
  ...{ every: "auto", select: "auto", staleness: 0, batches: "proportional" },
  join: { kind: "average" },
};

/** The same as planners take it. */
export function exchangeChoice({
  every,
  select,
  join: { kind, liars, clip },
  outer,
  ...rest
}: z.infer<typeof exchangeSchema>): ExchangeChoice {
  return {
    ...rest,
    every: every === "auto" ? null : every,
    select: select === "auto" ? null : select === "all" ? { kind: "all" } : select,
    join: { kind, ...(liars !== undefined && { liars }), ...(clip !== undefined && { clip }) },
    outer: outer ?? null,
  };
}
