/**
 * What servers train with in a split: a copy of their part of the model for each device, merged with all
 * others after a round (SplitFed v1), or one copy that all devices train in turns (SplitFed v2; Thapa et al.,
 * "SplitFed: when federated learning meets split learning", AAAI 2022).
 *
 * Cuts differ, so a shared part is as many copies in a row as there are cuts: one from each cut to the next
 * deeper one. A device's chain comes in at its own cut and goes through all that follow. So a server holds every
 * segment once, however many devices there are; for each deeper cut a batch takes three runs more.
 */
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { copyId } from "../base/ids.ts";
import { formatBytes } from "../base/units.ts";
import { keepsBase } from "./home-bytes.ts";
import { trainingBytes } from "./memory.ts";
import type { ChainPlan, CopyPlan, FleetNode, PlanRequest } from "./plan.ts";
import type { SplitRun } from "./split-forecast.ts";
import type { SplitModel } from "./split-model.ts";
import type { SplitOption } from "./split-option.ts";

/** A stage of a chain on a server, and the copy that it trains. */
export interface ServedStage {
  readonly copy: CopyPlan;
  readonly stage: ChainPlan["stages"][number];
}

/** The stages on its server of a device with a cut: one, or as many as deeper cuts divide a shared part into. */
export function servedStages(
  model: SplitModel,
  runs: readonly SplitRun[],
): (device: FleetNode, run: SplitRun) => ServedStage[] {
  const { servers, whole } = model;
  const cutsOf = servers.map((_, position) => cutsAt(model, runs, position));
  return (device, { server, option: { cut: from, tail } }) => {
    const node = present(servers[server], "a server").id;
    if (!model.isShared) {
      const id = copyId(`copy:${node}:${device.id}`);
      const copy = { id, node, from, to: tail?.from ?? whole, mode: "train" } as const;
      return [{ copy, stage: { copy: id, backward: tail === null ? "none" : "stored" } }];
    }
    const cuts = present(cutsOf[server], "a server's cuts");
    const after = distinctOf(cuts.filter((cut) => cut >= from));
    return after.map((begin, i) => {
      const to = after[i + 1] ?? whole;
      const id = copyId(`copy:${node}:${begin}-${to}`);
      const backward = to === whole ? "none" : "stored";
      const copy = { id, node, from: begin, to, mode: "train" } as const;
      return { copy, stage: { copy: id, backward, merge: model.mergeOf(cuts.length) } };
    });
  };
}

/** Runs with the time that their server's step takes, given the cuts of all. */
export function withServerTimes(model: SplitModel, runs: readonly SplitRun[]): SplitRun[] {
  if (!model.isShared) return [...runs];
  const cuts = model.servers.map((_, position) => cutsAt(model, runs, position));
  return runs.map((run) => {
    const { option, server: position } = run;
    const server = model.servers[position];
    if (server === undefined || option.cut === model.whole) return run;
    const all = present(cuts[position], "a server's cuts");
    const after = distinctOf(all.filter((cut) => cut >= option.cut));
    const sharedMs = model.sharedStepMs(server, after, model.mergeOf(all.length));
    const moreMs = sharedMs - model.stepMs(server, option.cut);
    const { work = model.request.work } = option;
    return {
      ...run,
      option: {
        ...option,
        stepMs: option.stepMs + moreMs,
        serverMs: option.serverMs + work * moreMs,
        fixedMs: option.fixedMs + work * moreMs,
      },
    };
  });
}

/** Bytes that training a copy takes. */
export function copyBytes(
  request: PlanRequest,
  { from, to }: Pick<CopyPlan, "from" | "to">,
): number {
  const { segments, recompute } = request;
  const hasLoss = to === segments.length;
  return trainingBytes(segments, from, to, { hasLoss, recompute, keepsBase: keepsBase(request) });
}

/**
 * Bytes that a server's part takes, for its devices.
 * @param isShared whether they share it
 */
function serverBytes(
  { request, whole }: SplitModel,
  options: readonly SplitOption[],
  isShared: boolean,
): number {
  const bytesOf = (from: number, to: number): number => copyBytes(request, { from, to });
  let bytes = 0;
  if (!isShared) {
    for (const { cut, tail } of options) bytes += bytesOf(cut, tail?.from ?? whole);
  } else {
    const distinct = distinctOf(options.map(({ cut }) => cut));
    for (const [i, cut] of distinct.entries()) bytes += bytesOf(cut, distinct[i + 1] ?? whole);
  }
  return bytes;
}

/** @throws PlanError where a server's memory does not hold the copies of its devices */
export function checkServerMemory(model: SplitModel, runs: readonly SplitRun[]): void {
  for (const [position, { name, memoryBytes }] of model.servers.entries()) {
    if (memoryBytes === null) continue;
    const options = servedAt(model, runs, position);
    const bytes = serverBytes(model, options, model.isShared);
    if (bytes <= memoryBytes) continue;
    const devices = options.length === 1 ? "1 device" : `${options.length} devices`;
    const shared = serverBytes(model, options, true);
    const hint =
      model.isShared || model.labelsStay || shared > memoryBytes
        ? ""
        : `; copies that all of them share would take ${formatBytes(shared)}`;
    throw new PlanError(
      `${name} has ${formatBytes(memoryBytes)} of memory, and its copies for ` +
        `${devices} take ${formatBytes(bytes)}${hint}`,
    );
  }
}

/** What a shared part spares a server, in words; null where it has none. */
export function sharedWords(
  model: SplitModel,
  runs: readonly SplitRun[],
  position: number,
): string | null {
  const options = servedAt(model, runs, position);
  if (!model.isShared || options.length === 0) return null;
  const [one, each] = [true, false].map((isShared) => serverBytes(model, options, isShared));
  const name = present(model.servers[position], "a server").name;
  const merge = model.mergeOf(options.length);
  const update = merge === 1 ? "each batch updates it" : `${merge} batches make an update`;
  return (
    `devices share one copy on ${name}, of ${formatBytes(one as number)} instead of ` +
    `${formatBytes(each as number)}; ${update}`
  );
}

/** What a server's devices do. */
const servedAt = ({ whole }: SplitModel, runs: readonly SplitRun[], position: number) =>
  runs.flatMap(({ server, option }): SplitOption[] =>
    server === position && option.cut < whole ? [option] : [],
  );

/** The cuts of a server's devices. */
const cutsAt = (model: SplitModel, runs: readonly SplitRun[], position: number): number[] =>
  servedAt(model, runs, position).map(({ cut }) => cut);

/** Each once, shallowest first. */
const distinctOf = (cuts: readonly number[]): number[] => [...new Set(cuts)].sort((a, b) => a - b);
