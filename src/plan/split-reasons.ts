/**
 * Why `parallel-split` chose what it chose, in words for the people who own the
 * machines: one sentence per device and one for the plan.
 */

import { present } from "../base/assert.ts";
import { mean, sum } from "../base/statistics.ts";
import { formatBytes, formatMs, formatRate, mbitOfBytesPerMs } from "../base/units.ts";
import { splitMs } from "./joint-choice.ts";
import type { FleetNode, PlanRequest } from "./plan.ts";
import { segmentsMs } from "./program-time.ts";
import { sharedWords } from "./server-copies.ts";
import type { SplitRun, SplitTimes } from "./split-forecast.ts";
import type { SplitModel } from "./split-model.ts";
import { ownMs, type SplitOption } from "./split-option.ts";
import type { ChosenSplit } from "./split-plan.ts";

/** What was decided for one device. */
interface Part extends SplitRun, SplitTimes {
  readonly device: FleetNode;
  readonly computeMs: number;
  /** Bytes of a round, both ways. */
  readonly bytes: number;
  /** What kept it from a faster cut; null where nothing did. */
  readonly limit: string | null;
}

interface Decision {
  readonly request: PlanRequest;
  readonly isInTurn: boolean;
  readonly model: SplitModel;
  readonly parts: readonly Part[];
  /** Bytes per millisecond that all devices share; Infinity where there is no limit. */
  readonly cell: number;
  /** Bytes of a round, and what computing leaves for them, on the average of all devices. */
  readonly mean: { readonly bytes: number; readonly leftMs: number };
}

/** A split, and what is known of how it came about. */
export interface ReasonedSplit extends ChosenSplit {
  /** Whether more bandwidth for all would shorten the round. */
  readonly choice: { readonly cellDecides: boolean };
  /** Whether devices train one after the other, each with the whole cell. */
  readonly isInTurn?: boolean;
  /** A scheme's name and rule, where it is none that says something else for each device. */
  readonly scheme?: string;
}

/** A reason per device, in the model's order, and one for the whole plan. */
export function splitReasons(
  model: SplitModel,
  split: ReasonedSplit,
): { parts: string[]; plan: string } {
  const { request, devices } = model;
  const parts = devices.map((device, i): Part => {
    const run = present(split.runs[i], "a device's part");
    const times = present(split.times[i], "a device's times");
    const { option } = run;
    const computeMs =
      (option.work ?? request.work) * ownMs(option) + option.serverMs + times.waitMs;
    const bytes = option.upBytes + option.downBytes;
    return { ...run, ...times, device, computeMs, bytes, limit: limitWords(model, device, run) };
  });
  const links = model.servers.slice(0, 1).map((server) => model.linkOf(server).up);
  const decision: Decision = {
    ...{ request, model, parts, isInTurn: split.isInTurn === true },
    ...{ cell: Math.min(model.cell.up, ...links) },
    mean: {
      bytes: mean(parts.map(({ bytes }) => bytes)),
      leftMs: mean(parts.map(leftForTransferMs)),
    },
  };
  const fastestMs = Math.min(...parts.map(({ device }) => modelMs(device)));
  const words = parts.map((part) =>
    [
      ...speedWords(part, decision, fastestMs),
      ...(part.limit === null ? [] : [part.limit]),
      rateWords(part, decision),
      ...codecWords(part, model),
    ].join("; "),
  );
  return { parts: words, plan: planWords(decision, split) };
}

/** Memory, energy or the privacy floor, where a cut that it forbids would be faster at the same rate. */
function limitWords(model: SplitModel, device: FleetNode, run: SplitRun): string | null {
  const server = model.servers[run.server];
  if (server === undefined || !model.isLimited(device)) return null;
  const ms = splitMs(run.option, run.rate);
  const faster = model
    .everyOption(device, server)
    .filter((option) => splitMs(option, run.rate) < ms && !model.isAllowed(device, option));
  if (faster.length === 0) return null;
  const { memoryBytes, energy } = device;
  if (memoryBytes !== null && faster.some((option) => model.memoryBytes(option) > memoryBytes)) {
    return `its memory of ${formatBytes(memoryBytes)} allows no more`;
  }
  return `its ${energy?.joulesPerRound.toFixed(0)} J a round allow no other`;
}

/** How fast it is, and how much of its own time its cut keeps. */
function speedWords(part: Part, { parts, model }: Decision, fastestMs: number): string[] {
  const { device, option } = part;
  const keeps =
    option.cut === model.whole
      ? "keeps all segments"
      : `${keptWords(part, model)} ${shareWords(keptMs(device, option) / modelMs(device))} of its time`;
  if (parts.length === 1) return [keeps];
  const times = fastestMs > 0 ? modelMs(device) / fastestMs : 1;
  if (times < 1.05) return ["as fast as any", keeps];
  const slower = `${times.toFixed(times < 9.95 ? 1 : 0).replace(/\.0$/, "")} x slower than the fastest`;
  return [times >= 2 ? `slow: ${slower}` : slower, keeps];
}

/** Which part of the model it has. */
function keptWords({ option: { cut, tail } }: Part, { whole }: SplitModel): string {
  if (tail === null) return `cut ${cut} keeps`;
  const end =
    tail.from + 1 === whole ? `segment ${whole}` : `segments ${tail.from + 1} to ${whole}`;
  return `cut ${cut}, ${end} and its labels keep`;
}

/** Of a model that takes no time that could be measured, any part is all of it. */
const shareWords = (share: number): string =>
  share < 0.01 ? "less than 1 %" : `${(100 * (Number.isNaN(share) ? 1 : share)).toFixed(0)} %`;

/** Time of one batch through the whole model at the node's duty. */
const modelMs = (node: FleetNode): number =>
  keptMs(node, { cut: node.profile.segments.length, tail: null });

/** Time of one batch through the segments that it has. */
function keptMs(
  { profile: { segments }, duty }: FleetNode,
  { cut, tail }: Pick<SplitOption, "cut" | "tail">,
): number {
  const kept = [...segments.slice(0, cut), ...(tail === null ? [] : segments.slice(tail.from))];
  return segmentsMs(kept) / duty;
}

/** How features and gradients travel where that was chosen, and what it is for. */
function codecWords({ device, option, rate, server: position }: Part, model: SplitModel): string[] {
  const server = model.servers[position];
  if (!model.choosesCodecs || option.cut === model.whole || server === undefined) return [];
  const { cut, codecUp, codecDown } = option;
  const words = `features travel as ${codecUp} and gradients as ${codecDown}`;
  if (codecUp === "float32" && codecDown === "float32") return [`${words}: exact ones are in time`];
  const cuts = [cut, option.tail?.from ?? model.whole] as const;
  const plain = model.optionAt(device, server, cuts, { codecUp: "float32", codecDown: "float32" });
  return [`${words}: as float32 its round would take ${formatMs(splitMs(plain, rate))}`];
}

/** The rate with the one thing that made it larger or smaller than an even share. */
function rateWords(
  part: Part,
  { parts, isInTurn, cell, mean: { bytes: meanBytes, leftMs: meanMs } }: Decision,
): string {
  const { device, bytes } = part;
  const rate = part.rate.up;
  if (!Number.isFinite(rate)) {
    return Number.isFinite(cell)
      ? `no share of its own: who sends divides the cell's ${formatRate(cell)} with the others who do`
      : "its link has no limit";
  }
  if (rate >= (device.ceilingBytesPerMs ?? Number.POSITIVE_INFINITY) * (1 - 1e-9)) {
    return `${formatRate(rate)}, all that its own link carries`;
  }
  if (isInTurn) return `${formatRate(rate)}, all of the cell in its rounds`;
  const share = `${formatRate(rate)} of the cell's ${formatRate(cell)}`;
  const times = (rate * parts.length) / cell;
  if (times > 1 / 1.1 && times < 1.1) return `${share}, an even share`;
  const most = bytes / meanBytes;
  const leftMs = leftForTransferMs(part) / meanMs;
  const moves = `${formatBytes(bytes)} a round`;
  const left = `computing leaves it ${formatMs(leftForTransferMs(part))} for transfer`;
  if (times > 1) return `${share} because ${most > 1 / leftMs ? `it moves ${moves}` : left}`;
  return `${share} because ${1 / most > leftMs ? `it moves only ${moves}` : left}`;
}

const leftForTransferMs = ({ bytes, rate }: Part): number => bytes / rate.up;

function planWords(decision: Decision, { choice, scheme }: ReasonedSplit): string {
  const { request, model, parts, cell, isInTurn } = decision;
  const slowest = parts.reduce((a, b) => (b.roundMs > a.roundMs ? b : a));
  const devices = parts.length === 1 ? "1 device" : `${parts.length} devices`;
  const isUsed = (k: number): boolean =>
    parts.some(({ server, option }) => server === k && option.cut < model.whole);
  const used = model.servers.filter((_, k) => isUsed(k));
  const names = used.length === 0 ? "" : ` with ${used.map(({ name }) => name).join(", ")}`;
  const roundMs = isInTurn ? sum(parts.map((part) => part.roundMs)) : slowest.roundMs;
  const sentences = [
    ...(scheme === undefined ? [] : [scheme]),
    `${devices}${names}, ${formatMs(roundMs)} ${isInTurn ? "for a round of each" : "a round"}`,
  ];
  if (isInTurn) {
    sentences.push(
      `${slowest.device.name} takes ${formatMs(slowest.roundMs)} of it, which is most`,
    );
  } else if (choice.cellDecides) {
    sentences.push(
      `the ${mbitOfBytesPerMs(cell).toFixed(0)} Mbit/s that they share decide it: more would shorten it`,
    );
  } else if (2 * slowest.computeMs >= slowest.roundMs) {
    sentences.push(`${slowest.device.name} decides it, which computes for most of it`);
  } else {
    sentences.push(`${slowest.device.name} decides it, whose own link takes most of it`);
  }
  for (const k of model.servers.keys()) {
    const shared = sharedWords(model, parts, k);
    if (shared !== null) sentences.push(shared);
  }
  for (const [k, server] of model.servers.entries()) {
    const own = parts.filter((part) => part.server === k);
    if (isUsed(k)) sentences.push(...serverWords(server, own, roundMs));
  }
  const idle = request.fleet.nodes.filter((node) => node.kind === "device" && node.samples === 0);
  if (idle.length > 0) {
    sentences.push(`without data and so without work: ${idle.map((node) => node.name).join(", ")}`);
  }
  return sentences.join("; ");
}

/** How busy a server is, and how long devices wait for it. */
function serverWords({ name }: FleetNode, parts: readonly Part[], roundMs: number): string[] {
  const busyMs = sum(parts.map((part) => part.option.serverMs));
  const waitMs = Math.max(...parts.map((part) => part.waitMs));
  const busy = `${name} is busy for ${formatMs(busyMs)} of it`;
  if (waitMs < roundMs / 100) return [busy];
  return [`${busy}, and devices wait for it up to ${formatMs(waitMs)}`];
}
