/**
 * Planning micro-clouds anew while training runs: where nodes compute at other speeds than they were planned with, batches are dealt out
 * anew between two rounds, and what is exchanged may change with it. Weights stay where they are. Links are taken as
 * they were planned with: an exchange is paced by its slowest part, and tells little of any other line.
 */
import { present } from "../base/assert.ts";
import { batchesToUpdate } from "./exchange.ts";
import { exchangeOf } from "./exchange-members.ts";
import { memberTimes } from "./member-times.ts";
import type { Plan, PlanRequest } from "./plan.ts";
import type { Forecasted, Forecaster, Mover } from "./replan.ts";

/** Updates to a round of a plan whose chains exchange. */
function updatesOf({ chains }: Plan): number {
  const { work, microBatches = 1 } = present(chains[0], "a chain");
  return work / microBatches;
}

/** A round of a plan, with nodes as fast as they are now. @returns null where one is gone */
function roundMsOf(plan: Plan, request: PlanRequest): number | null {
  const nodes = new Map(request.fleet.nodes.map((node) => [node.id, node]));
  const own: number[] = [];
  for (const { source, microBatches = 1 } of plan.chains) {
    const node = nodes.get(source);
    if (node === undefined) return null;
    const { batchMs, updateMs } = memberTimes(node, request.segments.length);
    own.push(microBatches * batchMs + updateMs);
  }
  const planned = Math.max(...plan.forecasts.map(({ computeMs }) => computeMs));
  const roundMs = Math.max(...plan.forecasts.map((forecast) => forecast.roundMs));
  return roundMs - planned + updatesOf(plan) * Math.max(...own);
}

/** In batches of the first chain of a plan, of which an update of another one is worth as many. */
function forecasted(roundMs: number, updates: number, batches: number): Forecasted {
  const periodMs = roundMs / updates / batches;
  return { roundMs, latencyMs: periodMs, periodMs, homeMs: 0 };
}

const batchesOf = ({ chains }: Plan): number => chains[0]?.microBatches ?? 1;

/** Forecasts a plan in force. */
export const exchangeForecast: Forecaster = (plan, request) => {
  const roundMs = roundMsOf(plan, request);
  return roundMs === null ? null : forecasted(roundMs, updatesOf(plan), batchesOf(plan));
};

/** What a plan has its members do, but for names. */
const layoutOf = (plan: Plan): string =>
  JSON.stringify(
    plan.chains.map(({ source, stages, microBatches = 1 }) => {
      const exchange = exchangeOf(plan, present(stages[0], "a stage").copy);
      const own = exchange && [exchange.every, batchesToUpdate(exchange, microBatches)];
      return [source, microBatches, own, exchange?.select.kind];
    }),
  );

/** The fastest plan as nodes are now; what it takes to move there is what is said of it, as weights stay. */
export const exchangeMover =
  (planner: (request: PlanRequest) => Plan): Mover =>
  (plan, request) => {
    const next = planner(request);
    const roundMs = roundMsOf(next, request);
    if (roundMs === null || layoutOf(next) === layoutOf(plan)) return null;
    const forecast = forecasted(roundMs, updatesOf(next), batchesOf(plan));
    return { layout: next, forecast, movingMs: 0, toPlan: () => next };
  };
