/**
 * The best split that is found for a fleet: the joint choice of cuts and shares, asked again with the
 * waiting that playing it through has shown, as long as that helps.
 *
 * What the joint choice relaxes is the order in which a server takes batches. Where servers have time to
 * spare, waiting is a hundredth of a round and the first answer stands. Where they are full, a device's
 * waiting depends on what all the others do; so it is taken as it was and added to A, and cuts and
 * shares are chosen again, as long as the round that is played gets shorter; then servers are left some of
 * their time, which others would wait for. The least round of the relaxed problem is a lower bound, and
 * says how much is left to find.
 */
import { present } from "../base/assert.ts";
import { chooseJointly, type JointChoice, splitMs } from "./joint-choice.ts";
import { withServerTimes } from "./server-copies.ts";
import { playRound, type SplitRun, type SplitTimes, slowestMs } from "./split-forecast.ts";
import type { SplitModel } from "./split-model.ts";
import { isSamePart, type SplitOption } from "./split-option.ts";

/** A choice with what it comes to. */
export interface FoundSplit {
  readonly runs: readonly SplitRun[];
  readonly times: readonly SplitTimes[];
  readonly roundMs: number;
  /** What decides the round, as far as the joint choice sees it. */
  readonly choice: Pick<JointChoice<SplitOption>, "cellDecides" | "serverDecides" | "leastMs">;
}

/** Devices up to which it is worth the time to look for a round that is shorter by little. */
const few = 200;
/** Answers that are asked for at most, and what is near enough to the bound to stop: where many wait, waiting evens out. */
const attemptsOf = (devices: number, isFull: boolean): number =>
  devices <= few ? 4 : isFull ? 1 : 2;
const nearOf = (devices: number): number => (devices <= few ? 1.0005 : 1.01);

/** Shares of its time for which a full server is tried to be busy. */
const loads = [0.9, 0.8, 0.65];

/** What the joint choice is asked beside the fleet: the waiting that is expected, and how busy servers may be. */
type Ask = (waits: readonly SplitTimes[], load: number) => JointChoice<SplitOption>;

function askJointly(model: SplitModel, serverOf: readonly number[]): Ask {
  const { devices, servers, cell } = model;
  const serverAt = (i: number): number => serverOf[i] ?? 0;
  const options = devices.map((device, i) =>
    model.options(device, present(servers[serverAt(i)], "a server")),
  );
  const known = servers.map((server, k) => ({
    link: model.linkOf(server),
    idleMs: model.idleMs(options.filter((_, i) => serverAt(i) === k)),
  }));
  return (waits, load) =>
    chooseJointly({
      cell,
      servers: known.map((server) => ({ ...server, load })),
      devices: devices.map((device, i) => ({
        options: present(options[i], "options"),
        link: model.linkOf(device, servers[serverAt(i)]),
        server: serverAt(i),
        waitMs: waits[i]?.waitMs ?? 0,
      })),
    });
}

/** Codecs with which a round is longer by less are as good as others, and the most exact of them are taken. */
const asLong = 1.01;

/** @param serverOf position of each device's server; the first one for all where absent */
export function chooseSplit(model: SplitModel, serverOf: readonly number[] = []): FoundSplit {
  const found = shortest(model, serverOf);
  if (!model.choosesCodecs) return found;
  const runs = withServerTimes(model, found.runs.map(exactest(model, found)));
  const times = playRound(runs, model.request.work);
  const roundMs = slowestMs(times);
  return roundMs > asLong * found.roundMs ? found : { ...found, runs, times, roundMs };
}

/**
 * What a device does with the most exact codecs with which it is still done before the slowest one: only who decides
 * the round has a use for others. Its cut and its rate stay, and its server has no more to do.
 */
const exactest =
  (model: SplitModel, { times, roundMs }: FoundSplit) =>
  (run: SplitRun, i: number): SplitRun => {
    const device = present(model.devices[i], "a device");
    const { waitMs } = present(times[i], "a device's times");
    const server = present(model.servers[run.server], "a server");
    const same = model.options(device, server).filter((one) => isSamePart(one, run.option));
    const chosen = same.find(({ codecUp, codecDown }) => {
      return codecUp === run.option.codecUp && codecDown === run.option.codecDown;
    });
    const { serverMs } = present(chosen, "what was chosen");
    const option = same.find((one) => {
      const isInTime = splitMs(one, run.rate) + waitMs <= roundMs;
      return one === chosen || (isInTime && one.serverMs <= serverMs);
    });
    return { ...run, option: present(option, "what was chosen") };
  };

function shortest(model: SplitModel, serverOf: readonly number[]): FoundSplit {
  const ask = askJointly(model, serverOf);
  const answer = (waits: readonly SplitTimes[], load = 1): FoundSplit => {
    const choice = ask(waits, load);
    const chosen = choice.choices.map((own, i) => ({ ...own, server: serverOf[i] ?? 0 }));
    const runs = withServerTimes(model, chosen);
    const times = playRound(runs, model.request.work);
    return { runs, times, roundMs: slowestMs(times), choice };
  };
  const first = answer([]);
  const { serverDecides, leastMs } = first.choice;
  const count = model.devices.length;
  let best = first;
  for (let i = 1; i < attemptsOf(count, serverDecides); i++) {
    if (best.roundMs <= nearOf(count) * leastMs) break;
    const next = answer(best.times);
    if (next.roundMs >= best.roundMs) break;
    best = { ...next, choice: first.choice };
  }
  if (!serverDecides || count > few) return best;
  for (const load of loads) {
    const played = answer([], load);
    if (played.roundMs < best.roundMs) best = { ...played, choice: first.choice };
  }
  return best;
}
