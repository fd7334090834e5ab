/**
 * What a pipeline's stages and borders take per batch: the time model that `pipeline` plans with and
 * that re-planning compares measured periods to.
 *
 * A batch holds each node's processor for the stage's forward and backward pass (the last stage: one
 * step), and for its share of an update. Each border carries features and labels up and gradients
 * down, at the rate of the way between its two nodes. Wires are full duplex: each direction of a way
 * is a resource of its own. But a node in the middle hears from the stage before and the
 * stage after by the same link, so each direction of a node's own link is a resource, too: as fast as its owner
 * says at most, and as the fastest of its ways was seen to be. All
 * resources work at the same time on different batches, so the slowest one decides the period (T*),
 * while one batch meets them one after the other (T0). What a round brings home leaves by the node's own link while
 * the next round trains: each batch bears its share of it there. Codecs take their time of the processors at both
 * ends of a border. Updates follow after the gradient has left,
 * and so hold up the processor but not the batch, except on the source, whose next batch waits.
 */
import { present } from "../base/assert.ts";
import { type BorderBytes, borderBytes, borderValues } from "./border-bytes.ts";
import { codingSpeed, decodeMs, encodeMs } from "./coding.ts";
import { homeSums, keepsBase } from "./home-bytes.ts";
import { pipelinedBytes, trainingBytes } from "./memory.ts";
import type { BorderCosts, ChosenChain, Placement, StageCosts } from "./pipeline-schedule.ts";
import type { FleetNode, PlanRequest } from "./plan.ts";
import { between, type Held, heldBy, msOf, sumsOf } from "./program-time.ts";

/** Something that batches pass one at a time. */
export interface Resource {
  /** A sentence's beginning: "computing on edge-1", "the link from phone to edge-1". */
  readonly name: string;
  /** Milliseconds for a batch. */
  readonly ms: number;
}

/** What the nodes of a chain are asked for, in a batch and in a round. */
export interface ChainTimes extends Pick<ChosenChain, "latencyMs"> {
  /** Until the last of a round's weights are home, after its last batch. */
  readonly homeMs: number;
  /** Slowest first. */
  readonly resources: readonly Resource[];
  /** Computing of the busiest node, and the busiest direction of a link, for a batch. */
  readonly computeMs: number;
  readonly transferMs: number;
  /** By stage, the latency of the chain from it on, there and back. */
  readonly restMs: readonly number[];
}

/** What passes a border in a millisecond, in bytes, and the delay each way. */
export interface BorderRates {
  /** By its way alone. */
  readonly there: number;
  readonly back: number;
  /** By the nodes' own links as well. */
  readonly thereMost: number;
  readonly backMost: number;
  /** By the link out of the one node, and out of the other one. */
  readonly thereOut: number;
  readonly backOut: number;
  readonly delayMs: number;
}

/** One request, for the nodes that may take part; the first is the source. */
export class PipelineModel {
  readonly nodes: readonly FleetNode[];
  readonly #request: PlanRequest;
  readonly #held: readonly Readonly<Record<"forward" | "backward" | "update" | "step", Held>>[];
  /** Bytes of a batch by cut: as they travel, labels not counted, and as nodes hold them. */
  readonly #wireUp: BorderBytes;
  readonly #wireDown: BorderBytes;
  readonly #values: BorderBytes;
  /** How fast each node codes. */
  readonly #coding: readonly number[];
  /** Bytes of parameters, and those that a round brings home, of the segments before each. */
  readonly #parameterBytes: Float64Array;
  readonly #homeBytes: Float64Array;

  constructor(request: PlanRequest, nodes: readonly FleetNode[]) {
    const { segments, codecUp, codecDown } = request;
    this.nodes = nodes;
    this.#request = request;
    this.#held = nodes.map((node) => ({
      forward: heldBy(node, "forward"),
      backward: heldBy(node, "backward"),
      update: heldBy(node, "update"),
      step: heldBy(node, "step"),
    }));
    this.#wireUp = borderBytes(segments, codecUp);
    this.#wireDown = borderBytes(segments, codecDown);
    this.#values = borderValues(segments);
    this.#coding = nodes.map(({ profile }) => codingSpeed(profile, segments));
    this.#parameterBytes = sumsOf(segments.map(({ parameterBytes }) => parameterBytes));
    this.#homeBytes = homeSums(request);
  }

  /** Tables for {@link chooseChain}: every stage that a node could be. */
  stageCosts(index: number): StageCosts {
    const count = this.#request.segments.length;
    const latencyMs = new Float64Array(count * (count + 1)).fill(Number.POSITIVE_INFINITY);
    const periodMs = latencyMs.slice();
    for (let from = 0; from < (index === 0 ? 1 : count); from++) {
      for (let to = from + 1; to <= count; to++) {
        if (to === count && !this.holdsLast(index, from)) continue;
        const stage = { node: index, from, to };
        const at = from * (count + 1) + to;
        latencyMs[at] = this.stageLatencyMs(stage);
        periodMs[at] = Math.max(this.computeMs(stage), ...this.#ownLinkMs(stage));
      }
    }
    return { latencyMs, periodMs, reach: this.#reachOf(index) };
  }

  /** Tables for {@link chooseChain}: every border that there could be from one node to another. */
  borderCosts(from: number, to: number): BorderCosts {
    const count = this.#request.segments.length;
    const latencyMs = new Float64Array(count);
    const periodMs = new Float64Array(count);
    for (let cut = 1; cut < count; cut++) {
      const { upMs, downMs, delayMs } = this.#border(from, to, cut);
      latencyMs[cut] = upMs + downMs + 2 * delayMs;
      periodMs[cut] = Math.max(upMs, downMs);
    }
    return { latencyMs, periodMs };
  }

  /** The times of a given chain, whether it was chosen or is in force. */
  timesOf(stages: readonly Placement[]): ChainTimes {
    const computing: Resource[] = [];
    const links: Resource[] = [];
    let [latencyMs, homeMs] = [0, 0];
    const beforeMs: number[] = [];
    for (const [i, stage] of stages.entries()) {
      beforeMs.push(latencyMs);
      const { name } = this.#node(stage.node);
      latencyMs += this.stageLatencyMs(stage);
      homeMs = Math.max(homeMs, this.homeMs(stage));
      computing.push({ name: `computing on ${name}`, ms: this.computeMs(stage) });
      const [hearsMs, tellsMs] = this.#ownLinkMs(stage);
      links.push({ name: `the link to ${name}`, ms: hearsMs });
      links.push({ name: `the link out of ${name}`, ms: tellsMs });
      const next = stages[i + 1];
      if (next === undefined) continue;
      const { upMs, downMs, delayMs } = this.#border(stage.node, next.node, stage.to);
      const after = this.#node(next.node).name;
      latencyMs += upMs + downMs + 2 * delayMs;
      links.push({ name: `the link from ${name} to ${after}`, ms: upMs });
      links.push({ name: `the link from ${after} back to ${name}`, ms: downMs });
    }
    // Where a node's own link is as slow as the way to its only neighbour, the way says more.
    const bySpeed = (a: Resource, b: Resource): number =>
      b.ms - a.ms || Number(b.name.includes(" from ")) - Number(a.name.includes(" from "));
    const slowest = (some: readonly Resource[]): number => Math.max(0, ...some.map(({ ms }) => ms));
    return {
      latencyMs,
      homeMs,
      resources: [...computing, ...links].sort(bySpeed),
      computeMs: slowest(computing),
      transferMs: slowest(links),
      restMs: beforeMs.map((ms) => latencyMs - ms),
    };
  }

  /** What one batch waits for on a stage. */
  stageLatencyMs(stage: Placement): number {
    return this.#turnMs(stage) + (stage.from === 0 ? this.#updateMs(stage) : 0);
  }

  /** What a batch takes of a stage's processor, with its share of an update. */
  computeMs(stage: Placement): number {
    return this.#turnMs(stage) + this.#updateMs(stage);
  }

  /** Forward and backward, which replay begins with forward once more, or the step with the loss; and codecs. */
  #turnMs(stage: Placement): number {
    const { node, from, to } = stage;
    const { segments, recompute, pipeline } = this.#request;
    const held = present(this.#held[node], "a node's times");
    const codingMs = this.#codingMs(stage);
    if (to === segments.length) return msOf(held.step, from, to) + codingMs;
    const turnMs = msOf(held.forward, from, to) + msOf(held.backward, from, to) + codingMs;
    // Where every backward pass computes activations anew, its profile has that in it.
    if (pipeline.backward === "stored" || recompute) return turnMs;
    return turnMs + msOf(held.forward, from, to) - held.forward.fixedMs;
  }

  /** Features and gradients decoded as they come and encoded as they leave. */
  #codingMs({ node, from, to }: Placement): number {
    const { segments, codecUp, codecDown } = this.#request;
    const { features, gradients } = this.#values;
    const speed = this.#coding[node] as number;
    let ms = 0;
    if (from > 0) {
      ms += decodeMs(codecUp, features[from] as number, speed);
      ms += encodeMs(codecDown, gradients[from] as number, speed);
    }
    if (to < segments.length) {
      ms += encodeMs(codecUp, features[to] as number, speed);
      ms += decodeMs(codecDown, gradients[to] as number, speed);
    }
    return ms;
  }

  /** An update's share for each of the batches that add up to it; a step of one batch has its own inside. */
  #updateMs({ node, from, to }: Placement): number {
    const { segments, accumulate } = this.#request;
    const isInStep = to === segments.length && accumulate === 1;
    if (isInStep || between(this.#parameterBytes, from, to) === 0) return 0;
    return msOf(present(this.#held[node], "a node's times").update, from, to) / accumulate;
  }

  /** How a border's bytes pass: rates of its way, and those that the nodes' own links leave of them. */
  ratesOf(from: number, to: number): BorderRates {
    const { there, back, delayMs } = this.#way(from, to);
    const [a, b] = [this.#ownRates(from), this.#ownRates(to)];
    return {
      ...{ there, back, delayMs },
      thereMost: Math.min(there, a.up, b.down),
      backMost: Math.min(back, b.up, a.down),
      ...{ thereOut: a.up, backOut: b.up },
    };
  }

  /** What a node's own link carries each way, as its owner says and as it was seen to. */
  #ownRates(node: number): { up: number; down: number } {
    const ceiling = this.#ceiling(node);
    const { up, down } = this.#node(node).lineBytesPerMs ?? unlimited;
    return { up: Math.min(ceiling, up), down: Math.min(ceiling, down) };
  }

  /** What a batch bears of what its round brings home, on the link out of a node. */
  homeShareMs({ node, from, to }: Placement): number {
    const bytes = between(this.#homeBytes, from, to);
    return msFor(bytes, this.#ownRates(node).up) / this.#request.work;
  }

  /** Milliseconds that a batch takes of a node's own link, towards it and out of it. */
  #ownLinkMs(stage: Placement): [number, number] {
    const { node, from, to } = stage;
    const isLast = to === this.#request.segments.length;
    const [upBefore, downBefore] = from === 0 ? [0, 0] : this.#bytesAt(from);
    const [upAfter, downAfter] = isLast ? [0, 0] : this.#bytesAt(to);
    const { up, down } = this.#ownRates(node);
    const tellsMs = msFor(downBefore + upAfter, up) + this.homeShareMs(stage);
    return [msFor(upBefore + downAfter, down), tellsMs];
  }

  /**
   * Weights and optimizer state leave with each round's contribution. They come with the first round
   * alone: afterwards the node has them.
   */
  homeMs({ node, from, to }: Placement): number {
    const { coordinatorBytesPerMs, latencyMs } = this.#node(node);
    const { up } = coordinatorBytesPerMs ?? unlimited;
    const bytes = between(this.#homeBytes, from, to);
    return msFor(bytes, Math.min(this.#ceiling(node), up)) + 2 * latencyMs;
  }

  #bytesAt(cut: number): [number, number] {
    const up = (this.#wireUp.features[cut] as number) + this.#request.labelBytes;
    return [up, this.#wireDown.gradients[cut] as number];
  }

  #border(from: number, to: number, cut: number) {
    const [upBytes, downBytes] = this.#bytesAt(cut);
    const { there, back, delayMs } = this.#way(from, to);
    return { upMs: msFor(upBytes, there), downMs: msFor(downBytes, back), delayMs };
  }

  /** The measured way between two nodes, or what their own links make of it. */
  #way(from: number, to: number): { there: number; back: number; delayMs: number } {
    const [a, b] = [this.#node(from), this.#node(to)];
    for (const link of this.#request.fleet.links) {
      const there = link.thereBytesPerMs ?? Number.POSITIVE_INFINITY;
      const back = link.backBytesPerMs ?? Number.POSITIVE_INFINITY;
      const delayMs = link.latencyMs;
      if (link.from === a.id && link.to === b.id) return { there, back, delayMs };
      if (link.from === b.id && link.to === a.id) return { there: back, back: there, delayMs };
    }
    const rate = Math.min(this.#ceiling(from), this.#ceiling(to));
    return { there: rate, back: rate, delayMs: a.latencyMs + b.latencyMs };
  }

  /** Bytes per millisecond that a border's link is to keep to; null where nobody has declared any. */
  paceOf(from: FleetNode, to: FleetNode): number | null {
    const least = Math.min(this.#ceilingOf(from), this.#ceilingOf(to));
    return Number.isFinite(least) ? least : null;
  }

  #ceiling(index: number): number {
    return this.#ceilingOf(this.#node(index));
  }

  /** What a node's own link carries each way: no more than the cell, for a device. */
  #ceilingOf({ kind, ceilingBytesPerMs }: FleetNode): number {
    const own = ceilingBytesPerMs ?? Number.POSITIVE_INFINITY;
    const { cellBytesPerMs } = this.#request.fleet;
    return kind === "device" ? Math.min(own, cellBytesPerMs ?? own) : own;
  }

  #node(index: number): FleetNode {
    return present(this.nodes[index], "a node");
  }

  /** Whether a node has the memory to train from a segment on to the end. */
  holdsLast(index: number, from: number): boolean {
    const { segments, recompute } = this.#request;
    const { memoryBytes } = this.#node(index);
    if (memoryBytes === null) return true;
    const stage = { hasLoss: true, recompute, keepsBase: keepsBase(this.#request) };
    return trainingBytes(segments, from, segments.length, stage) <= memoryBytes;
  }

  /** How far a stage may reach by memory, once for each number of batches in flight that is asked for. */
  #reachOf(index: number): (inFlight: number) => Int32Array {
    const { segments, recompute, accumulate, pipeline } = this.#request;
    const { memoryBytes } = this.#node(index);
    const longest = segments.length - 1;
    const unlimited = new Int32Array(longest + 1).fill(longest);
    if (memoryBytes === null) return () => unlimited;
    const known = new Map<number, Int32Array>();
    const options = {
      recompute,
      keepsBase: keepsBase(this.#request),
      backward: pipeline.backward,
      // Synchronous schedules update when nothing is in flight: all batches saw the same parameters.
      batchesPerVersion: pipeline.schedule === "window" ? accumulate : Number.POSITIVE_INFINITY,
    };
    return (inFlight) => {
      let reach = known.get(inFlight);
      if (reach !== undefined) return reach;
      reach = unlimited.map((_, from) =>
        lastWhere(from, longest, (to) => {
          const bytes = pipelinedBytes(segments, from, to, { ...options, inFlight });
          return bytes <= memoryBytes;
        }),
      );
      known.set(inFlight, reach);
      return reach;
    };
  }
}

/** What is not known holds nothing up. */
const unlimited = { up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY };

/** Nothing takes no time, also where nothing passes. */
export const msFor = (bytes: number, bytesPerMs: number): number =>
  bytes === 0 ? 0 : bytes / bytesPerMs;

/** The last of (low, high] for which something holds that holds for all before it too; low where none does. */
export function lastWhere(low: number, high: number, holds: (i: number) => boolean): number {
  let [good, bad] = [low, high + 1];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (holds(middle)) good = middle;
    else bad = middle;
  }
  return good;
}
