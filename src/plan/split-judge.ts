/**
 * What a plan that splits between devices and servers comes to, whichever planner made it: its round
 * played through by the costs and rates of a request. It is the one judge of such plans in
 * benchmarks.
 */
import { present } from "../base/assert.ts";
import { groupBy } from "../base/group.ts";
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
 * Forecasts a plan whose chains have one node, or two, with the costs and rates of a request; of two, a chain may
 * end on the first. Where its chains train
 * one after the other, a round of all of them is forecast.
 * @returns null where a chain has more of them, or one that is not in the request's fleet
 */
export function splitForecast(plan: Plan, request: PlanRequest): Forecasted | null {
  const model = new SplitModel(asPlanned(plan, request), { needsServer: false });
  const copies = new Map(plan.copies.map((copy) => [copy.id, copy]));
  const sources = new Map(plan.chains.map(({ id, source }) => [id, source]));
  const away = plan.links.filter(({ chain, from }) => sources.get(chain) === from);
  const links = new Map(away.map((link) => [link.chain, link]));
  const runs: PhasedRun[] = [];
  for (const { id, source, stages, phase = 0 } of plan.chains) {
    const [own, ...others] = stages.map(({ copy }) => copies.get(copy));
    const last = others.at(-1);
    const after = last?.node === source ? others.slice(0, -1) : others;
    const [served] = after;
    const end = after.at(-1)?.to ?? model.whole;
    const device = model.devices.find((node) => node.id === source);
    const isServed = after.every((copy) => copy?.node === served?.node);
    if (own === undefined || device === undefined || !isServed) return null;
    const server = model.servers.findIndex((node) => node.id === served?.node);
    if (served !== undefined && server < 0) return null;
    const cuts = [own.to, end] as const;
    const option = model.optionAt(device, model.servers[server] ?? null, cuts, links.get(id));
    const rate = rateOn(links.get(id), model.linkOf(device, model.servers[server]));
    runs.push({ option, rate, server: Math.max(0, server), phase });
  }
  let roundMs = 0;
  let slowest: { readonly run: SplitRun; readonly ms: number } | null = null;
  for (const own of groupBy(runs, ({ phase }) => phase).values()) {
    const times = played(model, withServerTimes(model, own));
    const ms = slowestMs(times);
    roundMs += ms;
    const run = present(own[times.findIndex((one) => one.roundMs === ms)], "a phase's slowest");
    if (slowest === null || ms > slowest.ms) slowest = { run, ms };
  }
  const { option, rate } = present(slowest, "the slowest chain").run;
  const homeMs = option.homeBytes / Math.min(rate.up, model.cell.up) + option.delayMs;
  const beforeMs = option.weightBytes / Math.min(rate.down, model.cell.down) + option.delayMs;
  const periodMs = (roundMs - homeMs - beforeMs) / (option.work ?? request.work);
  return { roundMs, latencyMs: periodMs, periodMs, homeMs };
}

interface PhasedRun extends SplitRun {
  readonly phase: number;
}

/** A request as if it had asked for the server's copies that a plan has; where labels are, its stages say. */
function asPlanned({ chains }: Plan, request: PlanRequest): PlanRequest {
  const merge = chains.flatMap(({ stages }) => stages.flatMap((stage) => stage.merge ?? []))[0];
  const serverCopies = merge === undefined ? ("each" as const) : ("shared" as const);
  const labels = "at-server" as const;
  return { ...request, split: { ...request.split, labels, serverCopies, merge: merge ?? null } };
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
