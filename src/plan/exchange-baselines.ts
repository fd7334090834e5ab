/**
 * Schemes that micro-clouds are compared with, as plans: what each paper has its workers exchange, and equal batches, which
 * none of them adapts to its workers. A job's field `exchange` is for `micro-clouds` alone.
 */
import { fullExchange } from "./exchange.ts";
import { exchanging } from "./micro-clouds.ts";
import type { ExchangeChoice, Planner } from "./plan.ts";

/** Exchanges that a neighbour may lag behind under bounded staleness. */
const staleness = 5;

const baseline =
  (name: string, change: Partial<ExchangeChoice>): Planner =>
  (request) =>
    exchanging(request, name, { ...fullExchange, batches: "equal", ...change });

/** All gradients to everybody before each update. */
export const fullGradients = baseline("full-exchange", {});

/** The same, each worker joining a slice of them for all. */
export const allReduce = baseline("all-reduce", { reduce: "scatter" });

/** Gradients that would change their weight by more than a hundredth, later by less (Hsieh et al., "Gaia", NSDI 2017). */
export const gaia = baseline("gaia", { select: { kind: "significant", share: 0.01 } });

/**
 * One part of the gradients after the other, as many parts as links need, without waiting for the last ones
 * (Watcharapichat et al., "Ako", SoCC 2016).
 */
export const ako = baseline("ako", { select: { kind: "parts", parts: null }, staleness });

/** All gradients, waiting for all neighbours but one, and for that one within a bound (Luo et al., "Hop", ASPLOS 2019). */
export const hop = baseline("hop", { staleness, backups: 1 });
