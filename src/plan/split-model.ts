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
 * with the link's delay each time that something travels. Where it keeps all segments, a batch is one
 * step on the device, and nothing but weights travels.
 */
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { formatBytes, formatRate } from "../base/units.ts";
import { type LinkCodecName, linkWireBytes } from "../codec/link-codec.ts";
import { checkNode, firstCut } from "./check-request.ts";
import { homeSums, keepsBase, stateSums } from "./home-bytes.ts";
import { trainingBytes } from "./memory.ts";
import type { FleetNode, PlanRequest } from "./plan.ts";
import { between, type Held, heldBy, msOf, sumsOf } from "./program-time.ts";
import type { Capacity, JointOption } from "./server-price.ts";

/** One way to train for one device. */
export interface SplitOption extends JointOption {
  /** Segments [0, cut) stay on the device; all of them where it needs no server. */
  readonly cut: number;
  /** On the device before features leave and after gradients have come, for a batch. */
  readonly forwardMs: number;
  readonly backwardMs: number;
  /** On the server, for a batch. */
  readonly stepMs: number;
  /** One way, each time that something travels. */
  readonly delayMs: number;
  /** Batches a round, where they are not the request's. */
  readonly work?: number;
  /** For a batch. */
  readonly featureBytes: number;
  readonly gradientBytes: number;
  /** Parameters and optimizer state of the device's part, once a round: as they come, and as they travel home. */
  readonly weightBytes: number;
  readonly homeBytes: number;
}

export class SplitModel {
  readonly request: PlanRequest;
  /** Those that hold data, in the order of the fleet. */
  readonly devices: readonly FleetNode[];
  readonly servers: readonly FleetNode[];
  /** What all devices share. */
  readonly cell: Capacity;
  readonly #firstCut: number;
  readonly #featureBytes: Float64Array;
  readonly #gradientBytes: Float64Array;
  readonly #weightSums: Float64Array;
  readonly #homeSums: Float64Array;
  readonly #parameterSums: Float64Array;
  readonly #deviceMemory: readonly number[];
  readonly #stepsOf = new Map<FleetNode, Float64Array>();
  readonly #heldOf = new Map<FleetNode, Record<"forward" | "backward" | "update" | "step", Held>>();

  /**
   * @throws PlanError when there is no server or no device with data, when a rate or profile makes no
   *   sense, or when the model has no cut that keeps raw data at home
   */
  constructor(request: PlanRequest, { needsServer = true } = {}) {
    const { segments, codecUp, codecDown, labelBytes, recompute } = request;
    this.request = request;
    this.devices = devicesOf(request);
    this.servers = serversOf(request, needsServer);
    for (const node of [...this.servers, ...this.devices]) checkNode(request, node);
    this.cell = cellOf(request);
    this.#firstCut = this.#leastCut(needsServer);
    const bytesAt = (cut: number, codec: LinkCodecName, isBack: boolean): number => {
      let bytes = 0;
      for (const value of cut === 0 ? [] : present(segments[cut - 1], "a segment").outputs) {
        if (!isBack || value.hasGradient) bytes += linkWireBytes(codec, value);
      }
      return bytes;
    };
    const cuts = segments.map((_, cut) => cut);
    this.#featureBytes = Float64Array.from(
      cuts,
      (cut) => labelBytes + bytesAt(cut, codecUp, false),
    );
    this.#gradientBytes = Float64Array.from(cuts, (cut) => bytesAt(cut, codecDown, true));
    this.#weightSums = stateSums(request);
    this.#homeSums = homeSums(request);
    this.#parameterSums = sumsOf(segments.map((cost) => cost.parameterBytes));
    const memoryAt = (to: number): number =>
      trainingBytes(segments, 0, to, {
        ...{ hasLoss: to === segments.length, recompute, keepsBase: keepsBase(request) },
      });
    const some = this.devices.some(({ memoryBytes }) => memoryBytes !== null);
    this.#deviceMemory = some ? [...cuts, segments.length].map(memoryAt) : [];
  }

  /** Whether a server's devices share one copy of its part. */
  get isShared(): boolean {
    return this.request.split?.serverCopies === "shared";
  }

  /** Batches that a shared copy merges into an update, for so many devices. */
  mergeOf(devices: number): number {
    return this.request.split?.merge ?? Math.max(1, devices);
  }

  /** Number of segments, which is the cut of a device that keeps all of them. */
  get whole(): number {
    return this.request.segments.length;
  }

  /** Every option of a device with a server, shallowest cut first, whatever its limits. */
  everyOption(device: FleetNode, server: FleetNode): SplitOption[] {
    const options: SplitOption[] = [];
    for (let cut = this.#firstCut; cut < this.whole; cut++) {
      options.push(this.#splitAt(device, server, cut));
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
    if (memoryBytes !== null && this.memoryBytes(option.cut) > memoryBytes) return false;
    return energy === undefined || this.joules(device, option) <= energy.joulesPerRound;
  }

  /** Bytes that training segments [0, cut) takes on a device. */
  memoryBytes(cut: number): number {
    return present(this.#deviceMemory[cut], "the memory of a cut");
  }

  /** What a round takes of a device's energy. */
  joules({ energy, work = this.request.work }: FleetNode, option: SplitOption): number {
    if (energy === undefined) return 0;
    const { computeWatts, joulesPerByte } = energy;
    const computeMs = work * (option.forwardMs + option.backwardMs);
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
    return {
      cut: this.whole,
      ...ownWork(device),
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

  /** The option of a cut, whatever the device's limits. @param server null where the device keeps all */
  optionAt(device: FleetNode, server: FleetNode | null, cut: number): SplitOption {
    return server === null || cut === this.whole
      ? this.alone(device)
      : this.#splitAt(device, server, cut);
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

  #splitAt(device: FleetNode, server: FleetNode, cut: number): SplitOption {
    const { work = this.request.work } = device;
    const held = this.#held(device);
    const forwardMs = msOf(held.forward, 0, cut);
    const backwardMs = msOf(held.backward, 0, cut) + this.#updateMs(held, 0, cut);
    const stepMs = this.#steps(server)[cut] as number;
    const featureBytes = this.#featureBytes[cut] as number;
    const gradientBytes = this.#gradientBytes[cut] as number;
    const weightBytes = between(this.#weightSums, 0, cut);
    const homeBytes = between(this.#homeSums, 0, cut);
    const delayMs = this.#wayBetween(device, server)?.delayMs ?? device.latencyMs;
    return {
      ...{ cut, forwardMs, backwardMs, stepMs, delayMs },
      ...{ featureBytes, gradientBytes, weightBytes, homeBytes },
      ...ownWork(device),
      fixedMs: work * (forwardMs + stepMs + backwardMs + 2 * delayMs) + 2 * delayMs,
      upBytes: work * featureBytes + homeBytes,
      downBytes: work * gradientBytes + weightBytes,
      serverMs: work * stepMs,
    };
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

  /** A server's step for a batch, by cut. */
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

  #held(node: FleetNode): Record<"forward" | "backward" | "update" | "step", Held> {
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
    if (least < segments.length || split.mayKeepAll === true || !needsServer) return least;
    throw new PlanError(
      `devices are to keep ${least} segments at least, and the model has ${segments.length}, of ` +
        "which the last one needs the server",
    );
  }

  #noOption(device: FleetNode, every: readonly SplitOption[]): PlanError {
    const { name, memoryBytes, energy } = device;
    const least = Math.min(...every.map(({ cut }) => this.#deviceMemory[cut] ?? 0));
    if (memoryBytes !== null && least > memoryBytes) {
      return new PlanError(
        `${name} has ${formatBytes(memoryBytes)} of memory; the smallest part of the model ` +
          `that a cut leaves it takes ${formatBytes(least)} to train`,
      );
    }
    const joules = Math.min(...every.map((option) => this.joules(device, option)));
    return new PlanError(
      `${name} may spend ${energy?.joulesPerRound.toFixed(0)} J a round; the cut that takes the ` +
        `least takes ${joules.toFixed(0)} J`,
    );
  }
}

const ownWork = ({ work }: FleetNode): Pick<SplitOption, "work"> =>
  work === undefined ? {} : { work };

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
