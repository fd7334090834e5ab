/**
 * What a plan that splits between devices and servers comes to, whichever planner made it: its round
 * played through by the costs and rates of a request. It is the one judge of such plans in
 * benchmarks, and what re-planning compares the plan in force with.
 *
 * Vanilla split learning, where devices take turns and hand the weights on within a round (Gupta and
 * Raskar, "Distributed learning of deep neural network over multiple agents", 2018), is no plan that
 * workers can carry out: here is its forecast.
 */
import { present } from "../base/assert.ts";
import { splitMs } from "./joint-choice.ts";
import type { LinkPlan, Plan, PlanRequest } from "./plan.ts";
import type { Forecasted } from "./replan.ts";
import type { Capacity } from "./server-price.ts";
import { playRound, type SplitRun, slowestMs } from "./split-forecast.ts";
import { SplitModel } from "./split-model.ts";

/**
 * Forecasts a plan of chains of one or two stages with the costs and rates of a request.
 * @returns null where a chain has more stages, or a node of it is not in the request's fleet
 */
export function splitForecast(plan: Plan, request: PlanRequest): Forecasted | null {
  const model = new SplitModel(request, { needsServer: false });
  const copies = new Map(plan.copies.map((copy) => [copy.id, copy]));
  const links = new Map(plan.links.map((link) => [link.chain, link]));
  const runs: SplitRun[] = [];
  for (const { id, source, stages } of plan.chains) {
    const [own, served, more] = stages.map(({ copy }) => copies.get(copy));
    const device = model.devices.find((node) => node.id === source);
    if (own === undefined || device === undefined || more !== undefined) return null;
    const server = model.servers.findIndex((node) => node.id === served?.node);
    if (served !== undefined && server < 0) return null;
    const option = model.optionAt(device, model.servers[server] ?? null, own.to);
    const rate = rateOn(links.get(id), model, model.linkOf(device), plan.chains.length);
    runs.push({ option, rate, server: Math.max(0, server) });
  }
  const times = playRound(runs, request.work);
  const roundMs = slowestMs(times);
  const slowest = present(runs[times.findIndex((one) => one.roundMs === roundMs)], "a chain");
  const { option, rate } = slowest;
  const homeMs = option.weightBytes / rate.up + option.delayMs;
  const periodMs = (roundMs - homeMs - option.weightBytes / rate.down) / request.work;
  return { roundMs, latencyMs: periodMs, periodMs, homeMs };
}

/** A link's share; without a link, an even share of what all have together. */
function rateOn(
  link: LinkPlan | undefined,
  { cell }: SplitModel,
  own: Capacity,
  chains: number,
): Capacity {
  const up = link?.bytesPerMs ?? (link === undefined ? cell.up / chains : cell.up);
  const down = link?.backBytesPerMs ?? (link === undefined ? cell.down / chains : up);
  return { up: Math.min(up, own.up), down: Math.min(down, own.down) };
}

/**
 * Milliseconds of a round of vanilla split learning: devices one after the other, each with the whole
 * cell and the server for itself, the weights of the device's part handed on through the server; with
 * the best common cut that every device's memory allows.
 * @throws PlanError as `parallelSplit` does
 */
export function sequentialSplitMs(request: PlanRequest): number {
  const model = new SplitModel(request);
  const server = present(model.servers[0], "a server");
  const allowed = model.devices.map((device) => model.options(device, server));
  let best = Number.POSITIVE_INFINITY;
  for (const { cut } of present(allowed[0], "a device's options")) {
    let totalMs = 0;
    for (const [i, own] of allowed.entries()) {
      const option = own.find((one) => one.cut === cut);
      const link = model.linkOf(present(model.devices[i], "a device"));
      const rate = {
        up: Math.min(link.up, model.cell.up),
        down: Math.min(link.down, model.cell.down),
      };
      totalMs += option === undefined ? Number.POSITIVE_INFINITY : splitMs(option, rate);
    }
    best = Math.min(best, totalMs);
  }
  return best;
}
