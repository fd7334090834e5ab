/**
 * Cuts for a round in which nobody has a share of the cell: whoever sends divides it with the others who
 * send at the moment (`open-round.ts`). Which cuts are best then is not decided by shares that sum to the
 * cell, for not everybody sends at a time. But a cell of some width, shared out, has the same cuts as
 * one that is open: so the joint choice is asked for cells of several widths, each answer is played
 * through with the cell as it is, and the shortest round counts. Nothing says that it is the shortest
 * there is; `split-bound.ts` has a bound for it.
 */
import { present } from "../base/assert.ts";
import { chooseJointly } from "./joint-choice.ts";
import { playOpenRound } from "./open-round.ts";
import { withServerTimes } from "./server-copies.ts";
import type { FoundSplit } from "./split-choice.ts";
import { slowestMs } from "./split-forecast.ts";
import type { SplitModel } from "./split-model.ts";

/** Widths that are tried: half of the time a device sends, so twice the cell is about right. */
const widths = [0.7, 1, 1.5, 2, 3];
/** Playing an open round takes time with the square of the number of devices. */
const devicesMax = 200;

/** What a plan says of links that it leaves to the network, those of the devices' own included. */
const unlimited = { up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY };

/** @returns null where no cell limits devices together, they are too many to be played, or there are several servers */
export function chooseOpen(model: SplitModel): FoundSplit | null {
  const { devices, cell, request } = model;
  const isLimited = Number.isFinite(Math.min(cell.up, cell.down));
  if (!isLimited || devices.length > devicesMax || model.servers.length > 1) return null;
  const server = present(model.servers[0], "a server");
  const options = devices.map((device) => model.options(device, server));
  const rates = devices.map((device) => model.linkOf(device));
  let best: FoundSplit | null = null;
  for (const width of widths) {
    const { choices, ...choice } = chooseJointly({
      cell: { up: width * cell.up, down: width * cell.down },
      servers: [{ link: model.linkOf(server), idleMs: model.idleMs(options) }],
      devices: rates.map((link, i) => ({
        options: present(options[i], "options"),
        link,
        server: 0,
      })),
    });
    const chosen = choices.map(({ option }, i) => {
      return { option, rate: present(rates[i], "a rate"), server: 0 };
    });
    const played = withServerTimes(model, chosen);
    const times = playOpenRound(played, request.work, cell);
    const runs = played.map((run) => ({ ...run, rate: unlimited }));
    const roundMs = slowestMs(times);
    if (best === null || roundMs < best.roundMs) best = { runs, times, roundMs, choice };
  }
  return best;
}
