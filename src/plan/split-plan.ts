/** A split between devices and servers in the plan's own words, whichever planner has chosen it. */
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { chainId, copyId } from "../base/ids.ts";
import { formatBytes } from "../base/units.ts";
import { keepsBase } from "./home-bytes.ts";
import { trainingBytes } from "./memory.ts";
import type { ChainPlan, CopyPlan, FleetNode, Forecast, LinkPlan, Plan } from "./plan.ts";
import type { SplitRun, SplitTimes } from "./split-forecast.ts";
import type { SplitModel } from "./split-model.ts";

/** What was chosen for every device, in the order of the model's devices. */
export interface ChosenSplit {
  readonly runs: readonly SplitRun[];
  readonly times: readonly SplitTimes[];
}

/**
 * One chain per device: of two stages, or of one where the device keeps everything. All copies are one
 * group, averaged per segment after each round. Each link has the device's share; also where nothing
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
  const copies: CopyPlan[] = [];
  const chains: ChainPlan[] = [];
  const links: LinkPlan[] = [];
  const forecasts: Forecast[] = [];
  const { request, devices, servers, whole } = model;
  for (const [i, device] of devices.entries()) {
    const run = present(runs[i], "a device's part");
    const { cut, serverMs } = run.option;
    const server = servers[run.server];
    const own = copyId(`copy:${device.id}`);
    const chain = chainId(`chain:${device.id}`);
    const stages: ChainPlan["stages"][number][] = [];
    copies.push({ id: own, node: device.id, from: 0, to: cut, mode: "train" });
    stages.push({ copy: own, backward: cut === whole ? "none" : "stored" });
    if (cut < whole) {
      const { id } = present(server, "a server");
      const served = copyId(`copy:${id}:${device.id}`);
      copies.push({ id: served, node: id, from: cut, to: whole, mode: "train" });
      stages.push({ copy: served, backward: "none" });
    }
    const { work = request.work } = device;
    chains.push({ id: chain, source: device.id, stages, schedule: "serial", window: 0, work });
    if (server !== undefined) links.push(linkOf(model, { device, server, run, chain }));
    const { roundMs, waitMs } = present(times[i], "a device's times");
    const { forwardMs, backwardMs } = run.option;
    const computeMs = work * (forwardMs + backwardMs) + serverMs + waitMs;
    const reason = present(reasons.parts[i], "a reason");
    forecasts.push({ chain, roundMs, computeMs, transferMs: roundMs - computeMs, reason });
  }
  return {
    term: request.term,
    planner,
    objective: "round time",
    copies,
    chains,
    groups: [{ members: copies.map((copy) => copy.id), policy: "average", when: "round" }],
    links,
    limits: limitsOf(model, copies),
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

function linkOf({ request }: SplitModel, { device, server, run, chain }: Border): LinkPlan {
  const [up, down] = [run.rate.up, run.rate.down].map((rate) =>
    Number.isFinite(rate) ? rate : null,
  ) as [number | null, number | null];
  const isEven = up === down || Math.abs((up ?? 0) - (down ?? 0)) <= 1e-9 * (up ?? 0);
  return {
    from: device.id,
    to: server.id,
    chain,
    bytesPerMs: up,
    ...(isEven ? {} : { backBytesPerMs: down }),
    codecUp: request.codecUp,
    codecDown: request.codecDown,
  };
}

function limitsOf({ request }: SplitModel, copies: readonly CopyPlan[]): Plan["limits"] {
  const used = new Set(copies.map(({ node }) => node));
  return request.fleet.nodes
    .filter(({ id }) => used.has(id))
    .map(({ id, duty }) => ({ node: id, duty }));
}

function checkServerMemory(
  { request, servers, whole }: SplitModel,
  runs: readonly SplitRun[],
): void {
  const { segments, recompute } = request;
  const stage = { hasLoss: true, recompute, keepsBase: keepsBase(request) };
  for (const [position, { name, memoryBytes }] of servers.entries()) {
    if (memoryBytes === null) continue;
    const served = runs.filter(({ server, option }) => server === position && option.cut < whole);
    let bytes = 0;
    for (const { option } of served) {
      bytes += trainingBytes(segments, option.cut, whole, stage);
    }
    if (bytes <= memoryBytes) continue;
    throw new PlanError(
      `${name} has ${formatBytes(memoryBytes)} of memory, and its copies for ` +
        `${served.length} devices take ${formatBytes(bytes)}`,
    );
  }
}
