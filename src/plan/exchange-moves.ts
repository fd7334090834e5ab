/**
 * Planning micro-clouds anew while training runs: where nodes compute or links carry otherwise than they were planned with, batches are
 * dealt out anew between two rounds, and what is exchanged how often changes with it. Weights stay where they are. A plan in
 * force and the one to move to are both judged by what is known now.
 */
import { present } from "../base/assert.ts";
import { batchesToUpdate } from "./exchange.ts";
import { ExchangeLinks } from "./exchange-links.ts";
import { exchangeOf } from "./exchange-members.ts";
import { computedIn } from "./exchange-pace.ts";
import { efficiencyOf, transferMsOf } from "./exchange-time.ts";
import { memberTimes } from "./member-times.ts";
import { homeMsOf, parameterBytes } from "./micro-clouds.ts";
import type { Plan, PlanRequest } from "./plan.ts";
import type { Forecasted, Forecaster, Mover } from "./replan.ts";

/** Updates to a round of a plan whose chains exchange. */
function updatesOf({ chains }: Plan): number {
  const { work, microBatches = 1 } = present(chains[0], "a chain");
  return work / microBatches;
}

/** An update of a plan, with nodes and links as they are now, a round's end included. */
interface UpdateTimes {
  readonly ms: number;
  /** What it would take less, were its batches worth what they are as steps one after the other. */
  readonly priceMs: number;
}

/** @returns null where a node is gone */
function updateTimes(plan: Plan, request: PlanRequest): UpdateTimes | null {
  const { members, exchange } = present(plan.groups[0], "a group");
  const { nodes: all, links: ways } = request.fleet;
  const byId = new Map(all.map((node) => [node.id, node]));
  const chainOf = new Map(plan.chains.map((chain) => [chain.stages[0]?.copy, chain]));
  const nodes = members.flatMap(
    (copy) => byId.get(chainOf.get(copy)?.source ?? ("" as never)) ?? [],
  );
  if (exchange === undefined || nodes.length < members.length) return null;
  const shares = members.map((copy) => present(chainOf.get(copy), "its chain").microBatches ?? 1);
  const times = nodes.map((node) => memberTimes(node, request.segments.length));
  const { computeMs, managed, planned } = computedIn(exchange, times, shares);
  const bytes = parameterBytes(request.segments);
  const costs = { bytes, computeMs, updates: updatesOf(plan) };
  const links = new ExchangeLinks({ nodes, links: ways }, members, exchange.topology);
  // Over the updates that the job wants, as plans are chosen.
  const homeMs = (homeMsOf(request, exchange, links, 0) * request.accumulate) / request.work;
  const updateMs = computeMs + transferMsOf(exchange, links, costs) + homeMs;
  // Of as many batches as are planned, so that plans can be compared.
  const ms = (updateMs * planned) / managed;
  const batches = managed / shares.length;
  return { ms, priceMs: ms / efficiencyOf(exchange, { bytes, batches }) - ms };
}

/** In batches of the first chain of a plan, of which an update of another one is worth as many. */
function forecasted({ ms, priceMs }: UpdateTimes, updates: number, batches: number): Forecasted {
  const periodMs = ms / batches;
  return {
    ...{ roundMs: updates * ms, latencyMs: periodMs, periodMs, homeMs: 0 },
    priceMs: priceMs / batches,
  };
}

const batchesOf = ({ chains }: Plan): number => chains[0]?.microBatches ?? 1;

/** Forecasts a plan in force. */
export const exchangeForecast: Forecaster = (plan, request) => {
  const times = updateTimes(plan, request);
  return times && forecasted(times, updatesOf(plan), batchesOf(plan));
};

/** What a plan has its members do, but for names. */
const layoutOf = (plan: Plan): string =>
  JSON.stringify(
    plan.chains.map(({ source, stages, microBatches = 1 }) => {
      const { copy } = present(stages[0], "a stage");
      const exchange = exchangeOf(plan, copy);
      if (exchange === null) return [source, microBatches];
      const { every, select, codec, reduce, topology, stream, computeMs } = exchange;
      const toUpdate = batchesToUpdate(exchange, microBatches);
      const sent = topology.filter(({ from }) => from === copy);
      const how = [every, toUpdate, select.kind, codec, reduce, stream ?? null];
      // Who takes how many is nothing to plan where each takes what it manages.
      return [source, computeMs ?? microBatches, ...how, sent];
    }),
  );

/** The fastest plan as nodes and links are now; what it takes to move there is what is said of it, as weights stay. */
export const exchangeMover =
  (planner: (request: PlanRequest) => Plan): Mover =>
  (plan, request) => {
    const next = planner(request);
    if (layoutOf(next) === layoutOf(plan)) return null;
    const times = updateTimes(next, request);
    if (times === null) return null;
    const forecast = forecasted(times, updatesOf(next), batchesOf(plan));
    return { layout: next, forecast, movingMs: 0, toPlan: () => next };
  };
