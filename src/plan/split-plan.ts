/** A split between devices and servers in the plan's own words, whichever planner has chosen it. */
import { present } from "../base/assert.ts";
import { type CopyId, chainId, copyId } from "../base/ids.ts";
import { roundGroup } from "./agreement.ts";
import type { ChainPlan, CopyPlan, FleetNode, Forecast, LinkPlan, Plan } from "./plan.ts";
import { checkServerMemory, servedStages } from "./server-copies.ts";
import type { SplitRun, SplitTimes } from "./split-forecast.ts";
import type { SplitModel } from "./split-model.ts";
import { ownMs } from "./split-option.ts";

/** What was chosen for every device, in the order of the model's devices. */
export interface ChosenSplit {
  readonly runs: readonly SplitRun[];
  readonly times: readonly SplitTimes[];
}

/**
 * One chain per device: of one stage where the device keeps everything, else of its own and those on its
 * server (`server-copies.ts`), and of one more on the device where labels stay there. All copies are one group, which agrees per segment after each round. Each link has the device's share; also where nothing
 * but weights travels on it.
 *
 * @param reasons one for each device, and one for the whole plan
 * @throws PlanError where a server's memory does not hold the copies of its devices
 */
export function splitPlan(
  model: SplitModel,
  { runs, times }: ChosenSplit,
  planner: string,
  reasons: { readonly parts: readonly string[]; readonly plan: string },
): Plan {
  checkServerMemory(model, runs);
  const served = servedStages(model, runs);
  const copies = new Map<CopyId, CopyPlan>();
  const chains: ChainPlan[] = [];
  const links: LinkPlan[] = [];
  const forecasts: Forecast[] = [];
  const { request, devices, servers, whole } = model;
  for (const [i, device] of devices.entries()) {
    const run = present(runs[i], "a device's part");
    const { cut, tail, serverMs } = run.option;
    const server = servers[run.server];
    const own = copyId(`copy:${device.id}`);
    const chain = chainId(`chain:${device.id}`);
    const stages: ChainPlan["stages"][number][] = [];
    copies.set(own, { id: own, node: device.id, from: 0, to: cut, mode: "train" });
    stages.push({ copy: own, backward: cut === whole ? "none" : "stored" });
    for (const { copy, stage } of cut < whole ? served(device, run) : []) {
      copies.set(copy.id, copy);
      stages.push(stage);
    }
    if (tail !== null) {
      const end = copyId(`copy:${device.id}:end`);
      copies.set(end, { id: end, node: device.id, from: tail.from, to: whole, mode: "train" });
      stages.push({ copy: end, backward: "none" });
    }
    const { work = request.work } = device;
    chains.push({ id: chain, source: device.id, stages, schedule: "serial", window: 0, work });
    if (server !== undefined) links.push(...linksOf({ device, server, run, chain }));
    const { roundMs, waitMs } = present(times[i], "a device's times");
    const computeMs = work * ownMs(run.option) + serverMs + waitMs;
    const reason = present(reasons.parts[i], "a reason");
    // Where nothing takes time but computing, what is left of it is rounding, below 0 as often as above.
    const transferMs = Math.max(0, roundMs - computeMs);
    forecasts.push({ chain, roundMs, computeMs, transferMs, reason });
  }
  return {
    term: request.term,
    planner,
    objective: "round time",
    copies: [...copies.values()],
    chains,
    groups: [roundGroup(request, [...copies.keys()], chains.length)],
    links,
    limits: limitsOf(model, [...copies.values()]),
    forecasts,
    reason: reasons.plan,
  };
}

interface Border {
  readonly device: FleetNode;
  readonly server: FleetNode;
  readonly run: SplitRun;
  readonly chain: LinkPlan["chain"];
}

/** From the device to its server, and back where the chain ends on the device. */
function linksOf({ device, server, run, chain }: Border): LinkPlan[] {
  const { codecUp, codecDown, tail } = run.option;
  const rateOf = (rate: number): number | null => (Number.isFinite(rate) ? rate : null);
  const [up, down] = [rateOf(run.rate.up), rateOf(run.rate.down)];
  const isEven = up === down || Math.abs((up ?? 0) - (down ?? 0)) <= 1e-9 * (up ?? 0);
  const between = (
    from: FleetNode,
    to: FleetNode,
    there: typeof up,
    back: typeof up,
  ): LinkPlan => ({
    ...{ from: from.id, to: to.id, chain, bytesPerMs: there },
    ...(isEven ? {} : { backBytesPerMs: back }),
    ...{ codecUp, codecDown },
  });
  const links = [between(device, server, up, down)];
  return tail === null ? links : [...links, between(server, device, down, up)];
}

function limitsOf({ request }: SplitModel, copies: readonly CopyPlan[]): Plan["limits"] {
  const used = new Set(copies.map(({ node }) => node));
  return request.fleet.nodes
    .filter(({ id }) => used.has(id))
    .map(({ id, duty }) => ({ node: id, duty }));
}
