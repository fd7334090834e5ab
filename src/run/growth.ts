/**
 * The global batch of workers that agree from node to node, grown over the rounds: small ones learn fast at first, large ones
 * give steadier gradients later, and more work for each exchange (Smith et al., "Don't decay the learning rate, increase the
 * batch size", ICLR 2018). The learning rate grows along: in proportion (Goyal et al., arXiv 1706.02677, 2017), or
 * with the root, for optimizers that divide by the root of squares (Krizhevsky, "One weird trick", 2014).
 */
import * as z from "zod/mini";
import { InputError } from "../base/errors.ts";

export const growthSchema = z.strictObject({
  /** Rounds from one step to the next. */
  every: z.int().check(z.positive()),
  /** What the batches to an update are multiplied by at each step. */
  factor: z._default(z.int().check(z.minimum(2)), 2),
  /** So many times the job's batches at most. */
  max: z._default(z.int().check(z.positive()), 8),
  rate: z._default(z.enum(["linear", "sqrt", "none"]), "linear"),
});
type Growth = z.infer<typeof growthSchema>;

/** What of a job says how batches grow. */
interface GrowingJob {
  readonly planner: string;
  readonly exchange: { readonly growth?: Growth | undefined };
}

/** How many times the job's batches make an update in a round, 0-based. */
export function growthAt({ planner, exchange: { growth } }: GrowingJob, round: number): number {
  if (planner !== "micro-clouds" || growth === undefined) return 1;
  const { every, factor, max } = growth;
  return Math.min(max, factor ** Math.floor(round / every));
}

/** What the learning rate of a round is multiplied by for that. */
export function grownRate(job: GrowingJob, round: number): number {
  const times = growthAt(job, round);
  const { rate = "none" } = job.exchange.growth ?? {};
  return { linear: times, sqrt: Math.sqrt(times), none: 1 }[rate];
}

/** @throws InputError where an update would take more batches than a round has */
export function refuseGrowth(
  {
    exchange: { growth },
    optimizer: { accumulate },
    localBatches,
  }: GrowingJob & {
    readonly optimizer: { readonly accumulate: number };
    readonly localBatches: number;
  },
  locate: (path: readonly PropertyKey[]) => string,
): void {
  if (growth === undefined || growth.max * accumulate <= localBatches) return;
  throw new InputError({
    what: "exchange.growth.max",
    received: `${growth.max} with accumulate ${accumulate} and localBatches ${localBatches}`,
    allowed: `at most ${Math.floor(localBatches / accumulate)}, so that a round has an update`,
    where: locate(["exchange", "growth", "max"]),
  });
}
