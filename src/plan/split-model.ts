/**
 * What a round of split learning takes of a device, its server and their links, for every cut: the
 * one time model behind all planners that split a model between devices and servers, and behind
 * what they forecast.
 *
 * A device with m batches a round receives its weights and optimizer state, trains batches one after
 * the other, and sends the weights back:
 *
 *   m (forward + features and labels up + server's step + gradients down + backward and update)
 *
 * with the link's delay each time that something travels, and with what codecs take of either processor. Where labels
 * stay at home, the device has the model's end as well (Vepakomma et al., "Split learning for health: distributed deep
 * learning without sharing raw patient data", 2018, section 3), and the server's step is two passes:
 *
 *   server's forward + features down + the device's step + gradients up + server's backward and update
 *
  Where it keeps all segments, a batch is one
 * step on the device, and nothing but weights travels.
 */
import { PlanError } from "../base/errors.ts";
import { formatBytes, formatRate } from "../base/units.ts";
import { type BorderBytes, borderBytes, borderValues } from "./border-bytes.ts";
import { checkNode, firstCut } from "./check-request.ts";
import { codingSpeed, decodeMs, encodeMs } from "./coding.ts";
import { DeviceMemory } from "./device-memory.ts";
import { homeSums, stateSums } from "./home-bytes.ts";
import type { FleetNode, PlanRequest } from "./plan.ts";
import { between, type Held, heldBy, msOf, sumsOf } from "./program-time.ts";
import type { Capacity } from "./server-price.ts";
import { type LinkCodecs, ownMs, type SplitOption, type SplitTail } from "./split-option.ts";

export class SplitModel {
  readonly request: PlanRequest;
  /** Those that hold data, in the order of the fleet. */
  readonly devices: readonly FleetNode[];
  readonly servers: readonly FleetNode[];
  /** What all devices share. */
  readonly cell: Capacity;
  readonly #firstCut: number;
  /** What a link may be coded with, the most exact first. */
  readonly #codecs: readonly CodedBorders[];
  /** Bytes of a batch behind each cut before they are coded. */
  readonly #values: BorderBytes;
  readonly #weightSums: Float64Array;
  readonly #homeSums: Float64Array;
  readonly #parameterSums: Float64Array;
  readonly #memory: DeviceMemory;
  readonly #stepsOf = new Map<FleetNode, Float64Array>();
  readonly #heldOf = new Map<FleetNode, HeldPrograms>();

  /**
   * @throws PlanError when there is no server or no device with data, when a rate or profile makes no
   *   sense, or when the model has no cut that keeps raw data at home
   */
  constructor(request: PlanRequest, { needsServer = true } = {}) {
    const { segments } = request;
    this.request = request;
    this.devices = devicesOf(request);
    this.servers = serversOf(request, needsServer);
    for (const node of [...this.servers, ...this.devices]) checkNode(request, node);
    this.cell = cellOf(request);
    this.#firstCut = this.#leastCut(needsServer);
    this.#codecs = codecsOf(request);
    this.#values = borderValues(segments);
    this.#weightSums = stateSums(request);
    this.#homeSums = homeSums(request);
    this.#parameterSums = sumsOf(segments.map((cost) => cost.parameterBytes));
    this.#memory = new DeviceMemory(request);
    if (!this.isShared || !this.labelsStay) return;
    throw new PlanError(
      "devices that keep their labels need a server's copy each: a copy that they share holds the loss",
    );
  }

  /** Whether a server's devices share one copy of its part. */
  get isShared(): boolean {
    return this.request.split?.serverCopies === "shared";
  }

  /** Whether a device has the model's end, so that labels never leave it. */
  get labelsStay(): boolean {
    return this.request.split?.labels === "at-home";
  }

  /** Batches that a shared copy merges into an update, for so many devices. */
  mergeOf(devices: number): number {
    return this.request.split?.merge ?? Math.max(1, devices);
  }

  /** Number of segments, which is the cut of a device that keeps all of them. */
  get whole(): number {
    return this.request.segments.length;
  }

  /** Whether codecs are chosen, too. */
  get choosesCodecs(): boolean {
    return this.#codecs.length > 1;
  }

  /** Every option of a device with a server, shallowest cut and most exact codecs first, whatever its limits. */
  everyOption(device: FleetNode, server: FleetNode): SplitOption[] {
    const options: SplitOption[] = [];
    const pair = this.#pairOf(device, server);
    for (let cut = this.#firstCut; cut < this.whole; cut++) {
      const [first, last] = this.labelsStay ? [cut + 1, this.whole - 1] : [this.whole, this.whole];
      for (let end = first; end <= last; end++) {
        for (const codecs of this.#codecs) {
          options.push(this.#splitAt(pair, cut, end, codecs));
        }
      }
    }
    if (this.request.split?.mayKeepAll === true) options.push(this.alone(device));
    return options;
  }

  /**
   * The options that a device's memory and energy allow.
   * @throws PlanError where there are none
   */
  options(device: FleetNode, server: FleetNode): SplitOption[] {
    const every = this.everyOption(device, server);
    if (!this.isLimited(device)) return every;
    const options = every.filter((option) => this.isAllowed(device, option));
    if (options.length > 0) return options;
    throw this.#noOption(device, every);
  }

  /** Whether a device has a limit that an option may break. */
  isLimited({ memoryBytes, energy }: FleetNode): boolean {
    return memoryBytes !== null || energy !== undefined;
  }

  /** Whether a device has the memory and the energy for an option. */
  isAllowed(device: FleetNode, option: SplitOption): boolean {
    const { memoryBytes, energy } = device;
    if (memoryBytes !== null && this.memoryBytes(option) > memoryBytes) return false;
    return energy === undefined || this.joules(device, option) <= energy.joulesPerRound;
  }

  /** Bytes that training its part takes on a device. */
  memoryBytes(option: Pick<SplitOption, "cut" | "tail" | "codecUp">): number {
    return this.#memory.bytesOf(option);
  }

  /** What a round takes of a device's energy. */
  joules({ energy, work = this.request.work }: FleetNode, option: SplitOption): number {
    if (energy === undefined) return 0;
    const { computeWatts, joulesPerByte } = energy;
    const computeMs = work * ownMs(option);
    return (computeWatts * computeMs) / 1000 + joulesPerByte * (option.upBytes + option.downBytes);
  }

  /** Training the whole model on the device. */
  alone(device: FleetNode): SplitOption {
    const { accumulate } = this.request;
    const { work = this.request.work } = device;
    const held = this.#held(device);
    let stepMs = msOf(held.step, 0, this.whole);
    if (accumulate > 1) stepMs += this.#updateMs(held, 0, this.whole);
    const weightBytes = between(this.#weightSums, 0, this.whole);
    const homeBytes = between(this.#homeSums, 0, this.whole);
    const { codecUp, codecDown } = this.request;
    return {
      ...{ cut: this.whole, tail: null, codecUp, codecDown },
      work,
      forwardMs: stepMs,
      backwardMs: 0,
      stepMs: 0,
      delayMs: device.latencyMs,
      featureBytes: 0,
      gradientBytes: 0,
      weightBytes,
      homeBytes,
      fixedMs: work * stepMs + 2 * device.latencyMs,
      upBytes: homeBytes,
      downBytes: weightBytes,
      serverMs: 0,
    };
  }

  /**
   * The option of a cut, whatever the device's limits.
   * @param server null where the device keeps all
   * @param cuts where the server's segments begin, and end
   * @param codecs the job's where absent
   */
  optionAt(
    device: FleetNode,
    server: FleetNode | null,
    [cut, end]: readonly [number, number],
    { codecUp, codecDown }: LinkCodecs = this.request,
  ): SplitOption {
    if (server === null || cut === this.whole) return this.alone(device);
    const coded = codedBorders(this.request, { codecUp, codecDown });
    return this.#splitAt(this.#pairOf(device, server), cut, end, coded);
  }

  /** What a node's own link carries; and to a server, no more than the way there is known to. */
  linkOf(node: FleetNode, server?: FleetNode): Capacity {
    const up = node.ceilingBytesPerMs ?? Number.POSITIVE_INFINITY;
    const { ceilingDownBytesPerMs } = node;
    const down = ceilingDownBytesPerMs === undefined ? up : (ceilingDownBytesPerMs ?? Infinity);
    const way = server === undefined ? null : this.#wayBetween(node, server);
    return { up: Math.min(up, way?.up ?? Infinity), down: Math.min(down, way?.down ?? Infinity) };
  }

  /** What has been measured between a device and a server; null where nothing has. */
  #wayBetween(device: FleetNode, server: FleetNode): (Capacity & { delayMs: number }) | null {
    for (const { from, to, thereBytesPerMs, backBytesPerMs, latencyMs } of this.request.fleet
      .links) {
      const isThere = from === device.id && to === server.id;
      if (!isThere && !(from === server.id && to === device.id)) continue;
      const [there, back] = [thereBytesPerMs ?? Infinity, backBytesPerMs ?? Infinity];
      const [up, down] = isThere ? [there, back] : [back, there];
      // Nothing passes a way that was measured as dead; a rate is above 0.
      const least = 1e-9;
      return { up: Math.max(least, up), down: Math.max(least, down), delayMs: latencyMs };
    }
    return null;
  }

  /** Time of a round before the first batch can be at a server, and after the last one has left it. */
  idleMs(options: readonly (readonly SplitOption[])[]): number {
    let [before, after] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (const own of options) {
      for (const { forwardMs, backwardMs, delayMs, serverMs } of own) {
        if (serverMs === 0) continue;
        before = Math.min(before, forwardMs + 2 * delayMs);
        after = Math.min(after, backwardMs + 2 * delayMs);
      }
    }
    return Number.isFinite(before) ? before + after : 0;
  }

  /** What all options of a device with a server have in common. */
  #pairOf(device: FleetNode, server: FleetNode): Pair {
    const { work = this.request.work } = device;
    const delayMs = this.#wayBetween(device, server)?.delayMs ?? device.latencyMs;
    const [near, far] = [this.#coderOf(device), this.#coderOf(server)];
    return { device: near, server: far, steps: this.#steps(server), work, delayMs };
  }

  /** Made for thousands of devices with each of their cuts, so nothing is made beside the option. */
  #splitAt(pair: Pair, cut: number, end: number, coded: CodedBorders): SplitOption {
    const { device, server, steps, work, delayMs } = pair;
    const { labelBytes } = this.request;
    const { codecUp, codecDown } = coded;
    const { features, gradients } = this.#values;
    const [up, down] = [features[cut] as number, gradients[cut] as number];
    const back = end === this.whole ? null : this.#tailAt(pair, cut, end, coded);
    const tail = back === null ? null : back.tail;
    const forwardMs = msOf(device.held.forward, 0, cut) + encodeMs(codecUp, up, device.speed);
    const backwardMs =
      decodeMs(codecDown, down, device.speed) +
      msOf(device.held.backward, 0, cut) +
      this.#updateMs(device.held, 0, cut);
    const stepMs =
      decodeMs(codecUp, up, server.speed) +
      (back === null ? (steps[cut] as number) : back.stepMs) +
      encodeMs(codecDown, down, server.speed);
    const sent = coded.features[cut] as number;
    const featureBytes = tail === null ? sent + labelBytes : sent;
    const gradientBytes = coded.gradients[cut] as number;
    const [weights, home, whole] = [this.#weightSums, this.#homeSums, this.whole];
    const weightBytes = between(weights, 0, cut) + between(weights, end, whole);
    const homeBytes = between(home, 0, cut) + between(home, end, whole);
    const ways = tail === null ? 2 : 4;
    const tailMs = tail === null ? 0 : tail.ms;
    return {
      cut,
      tail,
      codecUp,
      codecDown,
      forwardMs,
      backwardMs,
      stepMs,
      delayMs,
      work,
      featureBytes,
      gradientBytes,
      weightBytes,
      homeBytes,
      fixedMs: work * (forwardMs + stepMs + tailMs + backwardMs + ways * delayMs) + 2 * delayMs,
      upBytes: work * (featureBytes + (tail === null ? 0 : tail.gradientBytes)) + homeBytes,
      downBytes: work * (gradientBytes + (tail === null ? 0 : tail.featureBytes)) + weightBytes,
      serverMs: work * stepMs,
    };
  }

  /** The model's end on the device, and what a server that has segments [cut, from) takes for a batch. */
  #tailAt(
    { device, server }: Pair,
    cut: number,
    from: number,
    { codecUp, codecDown, ...coded }: CodedBorders,
  ): { readonly tail: SplitTail; readonly stepMs: number } {
    const { accumulate } = this.request;
    const [down, up] = [
      this.#values.features[from] as number,
      this.#values.gradients[from] as number,
    ];
    const updateMs = accumulate === 1 ? 0 : this.#updateMs(device.held, from, this.whole);
    const serverMs = msOf(server.held.forward, cut, from) + encodeMs(codecUp, down, server.speed);
    const backMs =
      decodeMs(codecDown, up, server.speed) +
      msOf(server.held.backward, cut, from) +
      this.#updateMs(server.held, cut, from);
    const ms =
      decodeMs(codecUp, down, device.speed) +
      msOf(device.held.step, from, this.whole) +
      updateMs +
      encodeMs(codecDown, up, device.speed);
    const featureBytes = coded.features[from] as number;
    const gradientBytes = coded.gradients[from] as number;
    return { tail: { from, serverMs, ms, featureBytes, gradientBytes }, stepMs: serverMs + backMs };
  }

  /** What a node takes for programs, and how fast it codes. */
  #coderOf(node: FleetNode): Coder {
    return { held: this.#held(node), speed: codingSpeed(node.profile, this.request.segments) };
  }

  /** An update's share for each of the batches that add up to it. */
  #updateMs(
    { update }: { readonly update: Held },
    from: number,
    to: number,
    perUpdate = this.request.accumulate,
  ): number {
    if (between(this.#parameterSums, from, to) === 0) return 0;
    return msOf(update, from, to) / perUpdate;
  }

  /**
   * A server's time for a batch that goes through copies which devices share.
   * @param cuts where each of them begins, in their order
   * @param merge batches to an update, beside those that the job accumulates
   */
  sharedStepMs(server: FleetNode, cuts: readonly number[], merge: number): number {
    const held = this.#held(server);
    const perUpdate = merge * this.request.accumulate;
    let ms = 0;
    for (const [i, from] of cuts.entries()) {
      const to = cuts[i + 1];
      const updateMs = this.#updateMs(held, from, to ?? this.whole, perUpdate);
      if (to !== undefined) {
        ms += msOf(held.forward, from, to) + msOf(held.backward, from, to) + updateMs;
      } else ms += msOf(held.step, from, this.whole) + (perUpdate === 1 ? 0 : updateMs);
    }
    return ms;
  }

  /** A server's step for a batch that comes in at a cut, but for coding. */
  stepMs(server: FleetNode, cut: number): number {
    return this.#steps(server)[cut] as number;
  }

  #steps(server: FleetNode): Float64Array {
    const known = this.#stepsOf.get(server);
    if (known !== undefined) return known;
    const held = this.#held(server);
    const merge = this.mergeOf(this.devices.length);
    const steps = Float64Array.from({ length: this.whole }, (_, cut) => {
      if (this.isShared) return this.sharedStepMs(server, [cut], merge);
      const stepMs = msOf(held.step, cut, this.whole);
      const { accumulate } = this.request;
      return accumulate === 1 ? stepMs : stepMs + this.#updateMs(held, cut, this.whole);
    });
    this.#stepsOf.set(server, steps);
    return steps;
  }

  #held(node: FleetNode): HeldPrograms {
    let held = this.#heldOf.get(node);
    if (held !== undefined) return held;
    held = {
      forward: heldBy(node, "forward"),
      backward: heldBy(node, "backward"),
      update: heldBy(node, "update"),
      step: heldBy(node, "step"),
    };
    this.#heldOf.set(node, held);
    return held;
  }

  /** The shallowest cut: behind the first trained segment, and as deep as the job wants it. */
  #leastCut(needsServer: boolean): number {
    const { segments, split = {} } = this.request;
    const first = firstCut(segments);
    if (first === null) {
      if (!needsServer) return segments.length;
      throw new PlanError(
        "parallel-split needs a legal cut behind the model's first trained segment, so that raw " +
          "data stay on the device; this model has none",
      );
    }
    const least = Math.max(first, split.cutMin ?? first);
    const last = this.labelsStay ? segments.length - 1 : segments.length;
    if (least < last || split.mayKeepAll === true || !needsServer) return least;
    if (this.labelsStay) {
      throw new PlanError(
        `devices are to keep ${least === 1 ? "1 segment" : `${least} segments`} and the last one at least, and the model has ` +
          `${segments.length}, which leaves the server none`,
      );
    }
    throw new PlanError(
      `devices are to keep ${least} segments at least, and the model has ${segments.length}, of ` +
        "which the last one needs the server",
    );
  }

  #noOption(device: FleetNode, every: readonly SplitOption[]): PlanError {
    const { name, memoryBytes, energy } = device;
    if (memoryBytes !== null) {
      const least = Math.min(...every.map((option) => this.memoryBytes(option)));
      if (least > memoryBytes) {
        return new PlanError(
          `${name} has ${formatBytes(memoryBytes)} of memory; the smallest part of the model ` +
            `that a cut leaves it takes ${formatBytes(least)} to train`,
        );
      }
    }
    const joules = Math.min(...every.map((option) => this.joules(device, option)));
    return new PlanError(
      `${name} may spend ${energy?.joulesPerRound.toFixed(0)} J a round; the cut that takes the ` +
        `least takes ${joules.toFixed(0)} J`,
    );
  }
}

/** How long programs take of a node, by kind. */
type HeldPrograms = Readonly<Record<"forward" | "backward" | "update" | "step", Held>>;

interface Coder {
  readonly held: HeldPrograms;
  readonly speed: number;
}

/** A device and a server. */
interface Pair {
  readonly device: Coder;
  readonly server: Coder;
  /** The server's step for a batch, by cut. */
  readonly steps: Float64Array;
  /** Batches a round. */
  readonly work: number;
  readonly delayMs: number;
}

/** A pair of codecs, and what crosses each cut with a batch when it is coded by them. */
interface CodedBorders extends LinkCodecs, BorderBytes {}

function codedBorders({ segments }: PlanRequest, { codecUp, codecDown }: LinkCodecs): CodedBorders {
  const { features } = borderBytes(segments, codecUp);
  const { gradients } = borderBytes(segments, codecDown);
  return { codecUp, codecDown, features, gradients };
}

/** Every pair of codecs that links may have. */
function codecsOf(request: PlanRequest): CodedBorders[] {
  const { codecUp: up, codecDown: down, split } = request;
  const [ups, downs] = [split?.up ?? [up], split?.down ?? [down]];
  return ups.flatMap((codecUp) =>
    downs.map((codecDown) => codedBorders(request, { codecUp, codecDown })),
  );
}

function serversOf({ fleet }: PlanRequest, needsServer: boolean): readonly FleetNode[] {
  const edges = fleet.nodes.filter(({ kind }) => kind === "edge");
  const servers = edges.length > 0 ? edges : fleet.nodes.filter(({ kind }) => kind === "cloud");
  if (servers.length > 0 || !needsServer) return servers;
  throw new PlanError("parallel-split needs an edge server, and the fleet has none");
}

function devicesOf({ fleet }: PlanRequest): readonly FleetNode[] {
  const devices = fleet.nodes.filter((node) => node.kind === "device" && node.samples > 0);
  if (devices.length > 0) return devices;
  throw new PlanError("parallel-split needs a device with training data, and the fleet has none");
}

function cellOf({ fleet }: PlanRequest): Capacity {
  const { cellBytesPerMs, cellDownBytesPerMs = cellBytesPerMs } = fleet;
  const cell = { up: cellBytesPerMs ?? Infinity, down: cellDownBytesPerMs ?? Infinity };
  const least = Math.min(cell.up, cell.down);
  if (least > 0) return cell;
  throw new PlanError(`the cell has ${formatRate(least)}; nothing can travel`);
}
