/** What a job may say of how its workers agree from node to node: the field `exchange`. */
import * as z from "zod/mini";
import { type SparseCodecName, sparseCodecNames } from "../codec/sparse.ts";
import { topologyNames } from "../plan/exchange-topology.ts";
import type { ExchangeChoice } from "../plan/plan.ts";
import { growthSchema } from "./growth.ts";
import { joinPolicy, joinSchema } from "./job-join.ts";
import { streamSchema } from "./job-stream.ts";

const positive = z.number().check(z.positive());
const positiveInt = z.int().check(z.positive());
const count = z.int().check(z.nonnegative());
const percent = z.number().check(z.positive(), z.maximum(100));

const selectSchema = z.union([
  z.enum(["auto", "all"]),
  z.strictObject({ kind: z.literal("max-n"), nMin: z._default(percent, 0.85) }),
  z.strictObject({ kind: z.literal("significant"), share: z._default(positive, 0.01) }),
  z.strictObject({
    kind: z.literal("parts"),
    parts: z._default(z.union([z.literal("auto"), positiveInt]), "auto"),
  }),
]);

export const exchangeSchema = z.strictObject({
  /** Updates from one exchange to the next. */
  every: z._default(z.union([z.literal("auto"), positiveInt]), "auto"),
  /** Batches to an update that each makes by itself, between exchanges of changes; 1 where absent. */
  inner: z.optional(positiveInt),
  select: z._default(selectSchema, "auto"),
  /** How values travel; by the links where absent. */
  codec: z.optional(z.enum(sparseCodecNames as [SparseCodecName, ...SparseCodecName[]])),
  topology: z.optional(z.enum(topologyNames)),
  reduce: z._default(z.enum(["auto", "each", "scatter"]), "auto"),
  staleness: z._default(count, 0),
  /** Neighbours that may be behind at all; all where absent. */
  backups: z.optional(count),
  join: z._default(joinSchema, { kind: "average" }),
  outer: z.optional(
    z.strictObject({
      rate: z._default(positive, 1),
      momentum: z._default(z.number().check(z.nonnegative(), z.lt(1)), 0),
    }),
  ),
  /** When members take over weights of neighbours that have come further; never where absent. */
  transfer: z.optional(
    z.strictObject({
      every: z._default(positiveInt, 8),
      mix: z._default(z.number().check(z.positive(), z.maximum(1)), 0.75),
      margin: z._default(z.number().check(z.nonnegative(), z.lt(1)), 0.1),
    }),
  ),
  /** Where changes go by fragments of the model, while nodes train on; all at once where absent. */
  stream: z.optional(streamSchema),
  batches: z._default(z.enum(["proportional", "dealt", "equal"]), "proportional"),
  growth: z.optional(growthSchema),
});

export const exchangeDefaults: z.infer<typeof exchangeSchema> = {
  ...{ every: "auto", select: "auto", reduce: "auto", staleness: 0, batches: "proportional" },
  join: { kind: "average" },
};

function selectionChoice(select: z.infer<typeof selectSchema>): ExchangeChoice["select"] {
  if (select === "auto") return null;
  if (select === "all") return { kind: "all" };
  if (select.kind !== "parts") return select;
  return { kind: "parts", parts: select.parts === "auto" ? null : select.parts };
}

/** The same as planners take it. */
export function exchangeChoice({
  every,
  inner,
  select,
  join,
  outer,
  reduce,
  backups,
  topology,
  codec,
  transfer,
  stream,
  growth: _,
  ...rest
}: z.infer<typeof exchangeSchema>): ExchangeChoice {
  return {
    ...rest,
    ...(topology !== undefined && { topology }),
    ...(transfer !== undefined && { transfer }),
    ...(stream !== undefined && { stream: { ...stream, delay: stream.delay ?? null } }),
    every: every === "auto" ? null : every,
    inner: inner ?? null,
    codec: codec ?? null,
    select: selectionChoice(select),
    reduce: reduce === "auto" ? null : reduce,
    backups: backups ?? null,
    join: joinPolicy(join),
    outer: outer ?? null,
  };
}
