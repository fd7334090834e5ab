/**
 * Vanilla split learning: devices train one after the other, each with the server for itself, and hand the weights of
 * their part on (Gupta and Raskar, "Distributed learning of deep neural network over multiple agents", 2018). There is
 * one copy of the server's part, which every batch updates.
 *
 * Each device has rounds of its own, by turns. Its part's weights come home with its round and go out with the next
 * one, so they are handed on through the coordinator; nothing is averaged. In as many rounds as there are devices
 * each has trained its batches once, which counts as one round of the job.
 */
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { commonParts } from "./equal-shares.ts";
import { splitMs } from "./joint-choice.ts";
import type { Plan, PlanRequest } from "./plan.ts";
import type { Capacity } from "./server-price.ts";
import type { SplitRun } from "./split-forecast.ts";
import { SplitModel } from "./split-model.ts";
import { splitPlan } from "./split-plan.ts";
import { splitReasons } from "./split-reasons.ts";

/**
 * Plans devices one after the other at one cut, the one with which all of them together are done first; each has the
 * whole cell in its rounds.
 * @throws PlanError as `parallelSplit` does, and where no cut is allowed to every device
 */
export function sequentialSplit(request: PlanRequest): Plan {
  const model = new SplitModel(withOneCopy(request));
  const runs = bestRuns(model);
  const times = runs.map(({ option, rate }) => ({ roundMs: splitMs(option, rate), waitMs: 0 }));
  const scheme = "vanilla split learning: devices train one after the other and hand weights on";
  const split = { runs, times, choice: { cellDecides: false }, scheme, isInTurn: true };
  const plan = splitPlan(model, split, "sequential-split", splitReasons(model, split));
  return { ...plan, chains: plan.chains.map((chain, phase) => ({ ...chain, phase })) };
}

/** The server has one copy; where chains end on devices, one of each, which are handed on as well. */
function withOneCopy(request: PlanRequest): PlanRequest {
  const isEach = request.split?.labels === "at-home";
  const copies = { serverCopies: isEach ? ("each" as const) : ("shared" as const), merge: 1 };
  return { ...request, split: { ...request.split, ...copies } };
}

/** What all devices do with the common cut whose times add up to least. */
function bestRuns(model: SplitModel): SplitRun[] {
  const server = present(model.servers[0], "a server");
  const allowed = model.devices.map((device) => model.options(device, server));
  const rates = model.devices.map((device) =>
    narrowest([model.linkOf(device, server), model.linkOf(server), model.cell]),
  );
  let best: SplitRun[] = [];
  let leastMs = Number.POSITIVE_INFINITY;
  for (const options of commonParts(allowed, rates)) {
    const runs = options.map((option, i) => {
      return { option, rate: present(rates[i], "a rate"), server: 0 };
    });
    const ms = runs.reduce((sum, { option, rate }) => sum + splitMs(option, rate), 0);
    if (ms < leastMs) [best, leastMs] = [runs, ms];
  }
  if (best.length > 0) return best;
  throw new PlanError("sequential-split needs a cut that the memory of every device allows");
}

const narrowest = (links: readonly Capacity[]): Capacity => ({
  up: Math.min(...links.map(({ up }) => up)),
  down: Math.min(...links.map(({ down }) => down)),
});
