/**
 * Why `parallel-split` chose what it chose, in words for the people who own the
 * machines: one sentence per device and one for the plan.
 */
import { formatBytes, formatMs, formatRate, mbitOfBytesPerMs } from "../base/units.ts";
import type { SplitOption } from "./joint-choice.ts";
import type { FleetNode, PlanRequest } from "./plan.ts";

/** What was decided for one device. */
export interface SplitPart {
  readonly device: FleetNode;
  readonly option: SplitOption;
  /** Bytes per millisecond; Infinity where nothing limits it. */
  readonly rate: number;
  readonly roundMs: number;
  /** Device and server compute of a round. */
  readonly computeMs: number;
  /** The server's part of it. */
  readonly serverMs: number;
  /** Whether a cut that does not fit into memory would have been faster. */
  readonly memoryDecides: boolean;
}

export interface SplitDecision {
  readonly request: PlanRequest;
  readonly server: FleetNode;
  readonly parts: readonly SplitPart[];
  /** Bytes per millisecond that all devices share; Infinity where there is no limit. */
  readonly cell: number;
  readonly cellDecides: boolean;
}

/** A reason per part, in the same order, and one for the whole plan. */
export function splitReasons(decision: SplitDecision): { parts: string[]; plan: string } {
  const fastestMs = Math.min(...decision.parts.map(({ device }) => modelMs(device)));
  const parts = decision.parts.map((part) => {
    const words = [
      ...speedWords(part, decision, fastestMs),
      `keeps ${workWords(decision.request, part.option.cut)}`,
      rateWords(part, decision),
    ];
    if (part.memoryDecides) {
      words.splice(
        2,
        0,
        `its memory of ${formatBytes(part.device.memoryBytes ?? 0)} allows no more`,
      );
    }
    return words.join("; ");
  });
  return { parts, plan: planWords(decision) };
}

function speedWords({ device }: SplitPart, { parts }: SplitDecision, fastestMs: number): string[] {
  if (parts.length === 1) return [];
  const times = fastestMs > 0 ? modelMs(device) / fastestMs : 1;
  if (times < 1.05) return ["as fast as any"];
  return [`${times.toFixed(times < 9.95 ? 1 : 0)} x slower than the fastest`];
}

/** Time of one batch through the whole model at the node's duty. */
function modelMs({ profile, duty }: FleetNode): number {
  let ms = 0;
  for (const time of profile.segments) ms += time.forwardMs + time.backwardMs + time.updateMs;
  return ms / duty;
}

function workWords({ segments }: PlanRequest, cut: number): string {
  const flops = segments.map(({ forwardFlops, backwardFlops }) => forwardFlops + backwardFlops);
  const total = sum(flops);
  const share = total > 0 ? (100 * sum(flops.slice(0, cut))) / total : 0;
  return `${share < 1 ? "less than 1" : share.toFixed(0)} % of the work`;
}

/** The rate with the one thing that made it larger or smaller than an even share. */
function rateWords(part: SplitPart, { parts, cell }: SplitDecision): string {
  const { rate, device, option } = part;
  if (!Number.isFinite(rate)) return "its link has no limit";
  if (rate >= (device.ceilingBytesPerMs ?? Number.POSITIVE_INFINITY) * (1 - 1e-9)) {
    return `${formatRate(rate)}, all that its own link carries`;
  }
  const share = `${formatRate(rate)} of the cell's ${formatRate(cell)}`;
  const times = (rate * parts.length) / cell;
  if (times > 1 / 1.1 && times < 1.1) return `${share}, an even share`;
  const bytes = option.bytes / mean(parts.map((other) => other.option.bytes));
  const leftMs = leftForTransferMs(part) / mean(parts.map(leftForTransferMs));
  const moves = `${formatBytes(option.bytes)} a round`;
  const left = `computing leaves it ${formatMs(leftForTransferMs(part))} for transfer`;
  if (times > 1) return `${share} because ${bytes > 1 / leftMs ? `it moves ${moves}` : left}`;
  return `${share} because ${1 / bytes > leftMs ? `it moves only ${moves}` : left}`;
}

const leftForTransferMs = ({ option, rate }: SplitPart): number => option.bytes / rate;

function planWords(decision: SplitDecision): string {
  const { request, server, parts, cell, cellDecides } = decision;
  const slowest = parts.reduce((a, b) => (b.roundMs > a.roundMs ? b : a));
  const devices = parts.length === 1 ? "1 device" : `${parts.length} devices`;
  const sentences = [`${devices} with ${server.name}, ${formatMs(slowest.roundMs)} a round`];
  if (cellDecides) {
    sentences.push(
      `the ${mbitOfBytesPerMs(cell).toFixed(0)} Mbit/s that they share decide it: more would shorten it`,
    );
  } else if (2 * slowest.computeMs >= slowest.roundMs) {
    sentences.push(`${slowest.device.name} decides it, which computes for most of it`);
  } else {
    sentences.push(`${slowest.device.name} decides it, whose own link takes most of it`);
  }
  const busyMs = sum(parts.map((part) => part.serverMs));
  sentences.push(
    busyMs > slowest.roundMs
      ? `${server.name} has ${formatMs(busyMs)} of work in that time, more than fits: ` +
          `chains will wait for each other there and the round will take about that long`
      : `${server.name} is busy for ${formatMs(busyMs)} of it`,
  );
  const idle = request.fleet.nodes.filter((node) => node.kind === "device" && node.samples === 0);
  if (idle.length > 0) {
    sentences.push(`without data and so without work: ${idle.map((node) => node.name).join(", ")}`);
  }
  return sentences.join("; ");
}

function sum(values: readonly number[]): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

const mean = (values: readonly number[]): number => sum(values) / values.length;
