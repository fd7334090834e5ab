/**
 * Which of several servers each device trains with. Given servers, cuts and shares are chosen exactly
 * (but for `joint-choice.ts`'s word on full ones); which servers is a mixed-integer problem on top, like
 * the makespan on unrelated machines, which is NP-hard (Lenstra, Shmoys and Tardos, "Approximation
 * algorithms for scheduling unrelated parallel machines", 1990).
 *
 * So: a greedy start, in which devices that cost a server most choose first, each the server where it would
 * be done first with what that one has to do already, or all of them with one server; then single moves and
 * exchanges of two devices, as long as the round that is played gets shorter and a number of tries allows. No solver of mixed-integer programs
 * is asked: planners run inside of coordinators and in browsers, and answer at once.
 */
import { present } from "../base/assert.ts";
import { fastestAt, splitMs } from "./joint-choice.ts";
import { chooseSplit, type FoundSplit } from "./split-choice.ts";
import type { SplitModel } from "./split-model.ts";
import type { SplitOption } from "./split-option.ts";

/** Joint choices that are tried, by devices: so much planning takes a second at most. */
const triesOf = (devices: number): number => Math.max(8, Math.min(400, Math.floor(8000 / devices)));
/** A round that is shorter by less is as long. */
const better = 1 - 1e-6;

/** The best split that is found over all servers. */
export function chooseServers(model: SplitModel): FoundSplit {
  const { devices, servers } = model;
  if (servers.length === 1) return chooseSplit(model);
  const starts = [greedy(model), ...servers.map((_, k) => devices.map(() => k))];
  let best: Assigned | null = null;
  for (const serverOf of starts) best = shorter(model, serverOf, best) ?? best;
  let [now, left] = [present(best, "a start"), triesOf(devices.length)];
  for (let isBetter = true; isBetter && left > 0; ) {
    isBetter = false;
    for (const serverOf of neighbours(now.serverOf, servers.length)) {
      if (left-- <= 0) break;
      const next = shorter(model, serverOf, now);
      if (next === null) continue;
      [now, isBetter] = [next, true];
      break;
    }
  }
  return now.found;
}

interface Assigned {
  readonly serverOf: readonly number[];
  readonly found: FoundSplit;
}

/** An assignment, if its round is shorter than that of another one. */
function shorter(
  model: SplitModel,
  serverOf: readonly number[],
  than: Assigned | null,
): Assigned | null {
  const found = chooseSplit(model, serverOf);
  const isShorter = than === null || found.roundMs < than.found.roundMs * better;
  return isShorter ? { serverOf, found } : null;
}

/** Every assignment that differs in one device, then every one that exchanges two. */
function* neighbours(serverOf: readonly number[], servers: number): Generator<number[]> {
  for (const i of serverOf.keys()) {
    for (let server = 0; server < servers; server++) {
      if (server !== serverOf[i]) yield serverOf.with(i, server);
    }
  }
  for (const [i, a] of serverOf.entries()) {
    for (let k = i + 1; k < serverOf.length; k++) {
      const b = present(serverOf[k], "a server");
      if (a !== b) yield serverOf.with(i, b).with(k, a);
    }
  }
}

function greedy(model: SplitModel): number[] {
  const { devices, servers, cell } = model;
  const count = devices.length;
  const fastest = devices.map((device) =>
    servers.map((server): { readonly option: SplitOption; readonly ms: number } => {
      const link = model.linkOf(device, server);
      const rate = {
        up: Math.min(link.up, cell.up / count),
        down: Math.min(link.down, cell.down / count),
      };
      const option = fastestAt(model.options(device, server), rate);
      return { option, ms: splitMs(option, rate) };
    }),
  );
  const workOf = (i: number): number =>
    Math.max(...present(fastest[i], "a device").map(({ option }) => option.serverMs));
  const busyMs = servers.map(() => 0);
  const chosen = devices.map(() => 0);
  for (const i of [...devices.keys()].sort((a, b) => workOf(b) - workOf(a))) {
    let [best, least] = [0, Number.POSITIVE_INFINITY];
    for (const [k, { option, ms }] of present(fastest[i], "a device").entries()) {
      const doneMs =
        Math.max(ms, (busyMs[k] as number) + option.serverMs) + (busyMs[k] as number) * 1e-6;
      if (doneMs < least) [best, least] = [k, doneMs];
    }
    chosen[i] = best;
    const { option } = present(fastest[i]?.[best], "a server");
    busyMs[best] = (busyMs[best] as number) + option.serverMs;
  }
  return chosen;
}
