/**
 * Split learning in parallel with equal shares of the cell: what parallel split learning is mostly
 * compared with. In SplitFed every device keeps the same segments (Thapa et al., "SplitFed: When
 * federated learning meets split learning", AAAI 2022); here they are those with which the round is
 * shortest. The other one gives each device the cut that is fastest for its share.
 */
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { fastestAt } from "./joint-choice.ts";
import type { FleetNode, Plan, PlanRequest } from "./plan.ts";
import { withServerTimes } from "./server-copies.ts";
import type { Capacity } from "./server-price.ts";
import { playRound, type SplitRun, type SplitTimes, slowestMs } from "./split-forecast.ts";
import { SplitModel } from "./split-model.ts";
import { isSamePart, type SplitOption } from "./split-option.ts";
import { splitPlan } from "./split-plan.ts";
import { splitReasons } from "./split-reasons.ts";

interface Played {
  readonly runs: readonly SplitRun[];
  readonly times: readonly SplitTimes[];
}

/**
 * Plans SplitFed with the best common cut and equal shares.
 * @throws PlanError as `parallelSplit` does, and where no cut is allowed to every device
 */
export function splitFed(request: PlanRequest): Plan {
  const model = new SplitModel(request);
  const allowed = allowedOptions(model);
  const rates = model.devices.map((device) => equalShare(model, device));
  let best: Played | null = null;
  for (const options of commonParts(allowed, rates)) {
    const played = play(model, options);
    if (best === null || slowestMs(played.times) < slowestMs(best.times)) best = played;
  }
  if (best === null) {
    throw new PlanError("splitfed needs a cut that the memory of every device allows");
  }
  return planOf(model, best, "splitfed", "SplitFed: one cut for all, and equal shares");
}

/**
 * Plans a cut for each device, the fastest for an equal share.
 * @throws PlanError as `parallelSplit` does
 */
export function perDeviceCut(request: PlanRequest): Plan {
  const model = new SplitModel(request);
  const options = allowedOptions(model).map((own, i) => {
    return fastestAt(own, equalShare(model, present(model.devices[i], "a device")));
  });
  const scheme = "a cut for each device, and equal shares";
  return planOf(model, play(model, options), "per-device-cut", scheme);
}

/** For every part of the model that all devices may leave a server, what each of them does at its rate. */
export function* commonParts(
  allowed: readonly (readonly SplitOption[])[],
  rates: readonly Capacity[],
): Generator<SplitOption[]> {
  const first = present(allowed[0], "a device's options");
  for (const [i, part] of first.entries()) {
    const before = first[i - 1];
    if (before !== undefined && isSamePart(part, before)) continue;
    const options = allowed.flatMap((every, k) => {
      const own = every.filter((option) => isSamePart(option, part));
      return own.length === 0 ? [] : [fastestAt(own, present(rates[k], "a rate"))];
    });
    if (options.length === allowed.length) yield options;
  }
}

function allowedOptions(model: SplitModel): SplitOption[][] {
  const server = present(model.servers[0], "a server");
  return model.devices.map((device) => model.options(device, server));
}

/** A device's share where all have the same, as far as its own link goes. */
export function equalShare(model: SplitModel, node: FleetNode): Capacity {
  const { cell, devices, servers } = model;
  const [own, server] = [model.linkOf(node), model.linkOf(present(servers[0], "a server"))];
  const count = devices.length;
  return {
    up: Math.min(own.up, cell.up / count, server.up / count),
    down: Math.min(own.down, cell.down / count, server.down / count),
  };
}

function play(model: SplitModel, options: readonly SplitOption[]): Played {
  const chosen = options.map((option, i) => ({
    option,
    rate: equalShare(model, present(model.devices[i], "a device")),
    server: 0,
  }));
  const runs = withServerTimes(model, chosen);
  return { runs, times: playRound(runs, model.request.work) };
}

function planOf(model: SplitModel, played: Played, planner: string, scheme: string): Plan {
  const reasons = splitReasons(model, { ...played, choice: { cellDecides: false }, scheme });
  return splitPlan(model, played, planner, reasons);
}
