/**
 * The best split that is found for a fleet: the joint choice of cuts and shares, asked again with the
 * waiting that playing it through has shown, as long as that helps.
 *
 * What the joint choice relaxes is the order in which a server takes batches. Where servers have time to
 * spare, waiting is a hundredth of a round and the first answer stands. Where they are full, a device's
 * waiting depends on what all the others do; so it is taken as it was and added to A, and cuts and
 * shares are chosen again, as long as the round that is played gets shorter. The least
 * round of the relaxed problem is a lower bound on it, and says how much is left to find.
 */
import { present } from "../base/assert.ts";
import { chooseJointly, type JointChoice } from "./joint-choice.ts";
import { playRound, type SplitRun, type SplitTimes, slowestMs } from "./split-forecast.ts";
import type { SplitModel, SplitOption } from "./split-model.ts";

/** A choice with what it comes to. */
export interface FoundSplit {
  readonly runs: readonly SplitRun[];
  readonly times: readonly SplitTimes[];
  readonly roundMs: number;
  /** What decides the round, as far as the joint choice sees it. */
  readonly choice: Pick<JointChoice<SplitOption>, "cellDecides" | "serverDecides" | "leastMs">;
}

/** Answers that are asked for at most, and what is near enough to the bound to stop: where many wait, waiting evens out. */
const attempts = 4;
const nearOf = (devices: number): number => (devices <= 200 ? 1.0005 : 1.01);

/** @param serverOf position of each device's server; the first one for all where absent */
export function chooseSplit(model: SplitModel, serverOf: readonly number[] = []): FoundSplit {
  const { devices, servers, cell, request } = model;
  const serverAt = (i: number): number => serverOf[i] ?? 0;
  const options = devices.map((device, i) =>
    model.options(device, present(servers[serverAt(i)], "a server")),
  );
  const problem = {
    cell,
    servers: servers.map((server, k) => ({
      link: model.linkOf(server),
      idleMs: model.idleMs(options.filter((_, i) => serverAt(i) === k)),
    })),
  };
  const answer = (waits: readonly SplitTimes[]): FoundSplit => {
    const choice = chooseJointly({
      ...problem,
      devices: devices.map((device, i) => ({
        options: present(options[i], "options"),
        link: model.linkOf(device),
        server: serverAt(i),
        waitMs: waits[i]?.waitMs ?? 0,
      })),
    });
    const runs = choice.choices.map((chosen, i) => ({ ...chosen, server: serverAt(i) }));
    const times = playRound(runs, request.work);
    return { runs, times, roundMs: slowestMs(times), choice };
  };
  const first = answer([]);
  const near = nearOf(devices.length);
  let [best, last] = [first, first];
  for (let i = 1; i < attempts && best.roundMs > near * first.choice.leastMs; i++) {
    last = answer(last.times);
    if (last.roundMs >= best.roundMs) break;
    best = { ...last, choice: first.choice };
  }
  return best;
}
