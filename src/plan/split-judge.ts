/**
 * What a plan that splits between devices and servers comes to, whichever planner made it: its round
 * played through by the costs and rates of a request. It is the one judge of such plans in
 * benchmarks.
 *
 * Vanilla split learning, where devices take turns and hand the weights on within a round (Gupta and
 * Raskar, "Distributed learning of deep neural network over multiple agents", 2018), is no plan that
 * workers can carry out: here is its forecast.
 */
import { present } from "../base/assert.ts";
import { splitMs } from "./joint-choice.ts";
import { playOpenRound } from "./open-round.ts";
import type { LinkPlan, Plan, PlanRequest } from "./plan.ts";
import type { Forecasted } from "./replan.ts";
import { withServerTimes } from "./server-copies.ts";
import type { Capacity } from "./server-price.ts";
import { playRound, type SplitRun, type SplitTimes, slowestMs } from "./split-forecast.ts";
import { SplitModel } from "./split-model.ts";

/** Shares are sums of fractions: so much may come from rounding. */
const rounding = 1 + 1e-6;

/**
 * Forecasts a plan whose chains have one node, or two, with the costs and rates of a request.
 * @returns null where a chain has more of them, or one that is not in the request's fleet
 */
export function splitForecast(plan: Plan, request: PlanRequest): Forecasted | null {
  const model = new SplitModel(request, { needsServer: false });
  const copies = new Map(plan.copies.map((copy) => [copy.id, copy]));
  const links = new Map(plan.links.map((link) => [link.chain, link]));
  const runs: SplitRun[] = [];
  for (const { id, source, stages } of plan.chains) {
    const [own, ...after] = stages.map(({ copy }) => copies.get(copy));
    const [served] = after;
    const device = model.devices.find((node) => node.id === source);
    const isServed = after.every((copy) => copy?.node === served?.node);
    if (own === undefined || device === undefined || !isServed) return null;
    const server = model.servers.findIndex((node) => node.id === served?.node);
    if (served !== undefined && server < 0) return null;
    const option = model.optionAt(device, model.servers[server] ?? null, own.to);
    const rate = rateOn(links.get(id), model.linkOf(device, model.servers[server]));
    runs.push({ option, rate, server: Math.max(0, server) });
  }
  const times = played(model, withServerTimes(model, runs));
  const roundMs = slowestMs(times);
  const { option, rate } = present(
    runs[times.findIndex((one) => one.roundMs === roundMs)],
    "the slowest chain",
  );
  const homeMs = option.homeBytes / Math.min(rate.up, model.cell.up) + option.delayMs;
  const beforeMs = option.weightBytes / Math.min(rate.down, model.cell.down) + option.delayMs;
  const periodMs = (roundMs - homeMs - beforeMs) / (option.work ?? request.work);
  return { roundMs, latencyMs: periodMs, periodMs, homeMs };
}

/** A round by shares, where they fit into the cell, and by what is left at each moment where they do not. */
function played({ cell, request }: SplitModel, runs: readonly SplitRun[]): SplitTimes[] {
  const [up, down] = [0, 0].map((_, way) =>
    runs.reduce((sum, { rate }) => sum + (way === 0 ? rate.up : rate.down), 0),
  ) as [number, number];
  const isShared = up <= cell.up * rounding && down <= cell.down * rounding;
  return isShared ? playRound(runs, request.work) : playOpenRound(runs, request.work, cell);
}

/** A link's share, as far as the device's own link goes; that link where it has none. */
function rateOn(link: LinkPlan | undefined, own: Capacity): Capacity {
  const up = link?.bytesPerMs ?? Number.POSITIVE_INFINITY;
  const down = link?.backBytesPerMs ?? up;
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
