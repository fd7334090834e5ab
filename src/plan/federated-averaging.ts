/**
 * Federated averaging: every device trains the whole model on its own data, and the copies are averaged
 * after each round (McMahan et al., "Communication-efficient learning of deep networks from
 * decentralized data", AISTATS 2017). Nothing but weights travels. Shares of the cell are chosen so
 * that the slowest device is done as early as possible, which the paper leaves to the network.
 */
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { formatBytes } from "../base/units.ts";
import { chooseJointly } from "./joint-choice.ts";
import { playOpenRound } from "./open-round.ts";
import type { Plan, PlanRequest } from "./plan.ts";
import { playRound } from "./split-forecast.ts";
import { SplitModel } from "./split-model.ts";
import { splitPlan } from "./split-plan.ts";
import { splitReasons } from "./split-reasons.ts";

/**
 * Plans federated averaging over the devices that hold data. It needs no server.
 * @throws PlanError when no device holds data, or one has no memory for the whole model
 */
export function federatedAveraging(request: PlanRequest): Plan {
  const model = new SplitModel(request, { needsServer: false });
  const { devices, servers, cell, whole } = model;
  const all = { cut: whole, tail: null, codecUp: request.codecUp };
  for (const { name, memoryBytes } of devices) {
    if (memoryBytes === null || model.memoryBytes(all) <= memoryBytes) continue;
    throw new PlanError(
      `${name} has ${formatBytes(memoryBytes)} of memory, and training the whole model ` +
        `takes ${formatBytes(model.memoryBytes(all))}`,
    );
  }
  const free = { up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY };
  const [home] = servers;
  const { choices, cellDecides } = chooseJointly({
    cell,
    servers: [{ link: home === undefined ? free : model.linkOf(home), idleMs: 0 }],
    devices: devices.map((device) => ({
      options: [model.alone(device)],
      link: model.linkOf(device),
      server: 0,
    })),
  });
  const runs = choices.map(({ option, rate }, i) => {
    const link = model.linkOf(present(devices[i], "a device"));
    return { option, rate: home === undefined ? link : rate, server: 0 };
  });
  // Without a server there is no link that could have a share.
  const times =
    home === undefined ? playOpenRound(runs, request.work, cell) : playRound(runs, request.work);
  const split = { runs, times, choice: { cellDecides } };
  const scheme = "federated averaging: every device trains all segments";
  return splitPlan(model, split, "federated-averaging", splitReasons(model, { ...split, scheme }));
}
