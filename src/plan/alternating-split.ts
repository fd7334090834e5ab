/**
 * Cuts and shares by turns, as EdgeSplit solves them (arXiv 2403.15815; its abstract names an
 * alternating algorithm, the steps are our reading of it): from equal shares on, each device takes the
 * fastest cut for its share, then shares are chosen so that all devices with these cuts are done
 * together, and so on until the round changes by less than a thousandth. The server counts as free to each
 * device while it chooses.
 *
 * Where it ends with all devices done at T, it has found what `parallel-split` finds: an option with
 * a smaller share would be done before T at the share that the device has, and would have been taken.
 * It ends elsewhere where a device's own link or computing decides, and where the server is full.
 */
import { present } from "../base/assert.ts";
import { equalShare } from "./equal-shares.ts";
import { chooseJointly, fastestAt } from "./joint-choice.ts";
import type { Plan, PlanRequest } from "./plan.ts";
import { withServerTimes } from "./server-copies.ts";
import { playRound, type SplitRun } from "./split-forecast.ts";
import { SplitModel } from "./split-model.ts";
import type { SplitOption } from "./split-option.ts";
import { splitPlan } from "./split-plan.ts";
import { splitReasons } from "./split-reasons.ts";

const roundsMax = 50;
const change = 1e-3;

/**
 * Plans parallel split learning by the alternating method.
 * @throws PlanError as `parallelSplit` does
 */
export function alternatingSplit(request: PlanRequest): Plan {
  const model = new SplitModel(request);
  const runs = withServerTimes(model, alternate(model));
  const split = { runs, times: playRound(runs, request.work), choice: { cellDecides: false } };
  const scheme = "cuts and shares by turns";
  return splitPlan(model, split, "alternating-split", splitReasons(model, { ...split, scheme }));
}

function alternate(model: SplitModel): SplitRun[] {
  const { devices, servers, cell } = model;
  const server = present(servers[0], "a server");
  const options = devices.map((device) => model.options(device, server));
  let rates = devices.map((device) => equalShare(model, device));
  let chosen: SplitOption[] = [];
  let lastMs = Number.POSITIVE_INFINITY;
  for (let i = 0; i < roundsMax; i++) {
    chosen = options.map((own, k) => {
      return fastestAt(own, present(rates[k], "a rate"));
    });
    const { choices, roundMs } = chooseJointly({
      cell,
      servers: [{ link: model.linkOf(server), idleMs: 0 }],
      devices: devices.map((device, k) => ({
        options: [{ ...present(chosen[k], "an option"), serverMs: 0 }],
        link: model.linkOf(device),
        server: 0,
      })),
    });
    rates = choices.map(({ rate }) => rate);
    if (roundMs > lastMs * (1 - change)) break;
    lastMs = roundMs;
  }
  return chosen.map((option, k) => ({ option, rate: present(rates[k], "a rate"), server: 0 }));
}
