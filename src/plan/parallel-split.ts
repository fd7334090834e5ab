/**
 * Parallel split learning: every device trains the first segments on its own
 * data, each up to its own cut, an edge server trains the rest with one copy
 * per device, and all copies are averaged per segment at the end of the round.
 * Cuts and shares of the cell are chosen together so that the slowest device is
 * done as early as possible (EdgeSplit, arXiv 2403.15815), with the server's processor shared
 * among the devices rather than free to each, and with the weights that travel every round.
 *
 * `split-model.ts` says what a round takes, `joint-choice.ts` chooses, `split-forecast.ts` plays the
 * choice through with the server's queue (`open-choice.ts` and `open-round.ts` where nobody has a share),
 * `split-reasons.ts` puts it into words.
 */

import { chooseOpen } from "./open-choice.ts";
import type { Plan, PlanRequest } from "./plan.ts";
import { chooseServers } from "./server-assignment.ts";
import { SplitModel } from "./split-model.ts";
import { splitPlan } from "./split-plan.ts";
import { splitReasons } from "./split-reasons.ts";

/**
 * Plans parallel split learning over the devices that hold data and the edge servers of the
 * fleet, or its cloud nodes where it has none; each device has one of them. At least the first trained segment stays on each
 * device, and as many as the request asks for; at least the last one, with the loss, goes to the
 * server, unless the request lets devices keep all. Each device gets a share of the cell, unless the
 * request lets the network divide it and the round is shorter so.
 *
 * @throws PlanError when there is no server or no device with data, when a node's
 *   memory, energy or rate allows no cut, or when a profile does not fit the model
 */
export function parallelSplit(request: PlanRequest): Plan {
  const model = new SplitModel(request);
  const shared = chooseServers(model);
  const open = request.split?.mayShareFreely === true ? chooseOpen(model) : null;
  const found = open !== null && open.roundMs < shared.roundMs ? open : shared;
  return splitPlan(model, found, "parallel-split", splitReasons(model, found));
}
