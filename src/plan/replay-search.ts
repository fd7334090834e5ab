/**
 * The search behind `feature-replay`: every cut of a model between a device and a server, with every codec
 * that the job allows each way, and with activations that are stored or computed anew. There are some
 * thousand choices, each of which is a few additions once what a stage takes at a cut is known, so
 * all of them are looked at: what comes out is the best of the time model (`pipeline-model.ts`), and
 * soon enough to be asked for with every batch.
 */
import { present } from "../base/assert.ts";
import type { LinkCodecName } from "../codec/link-codec.ts";
import type { SegmentCost } from "../compile/segment.ts";
import { borderBytes, borderValues } from "./border-bytes.ts";
import { codingSpeed, decodeMs, encodeMs } from "./coding.ts";
import { type LineTimes, linePeriodMs, playedWindow } from "./line.ts";
import { type PipelinedStage, pipelinedBytes, rememberedBytes } from "./memory.ts";
import { type BorderRates, lastWhere, msFor, PipelineModel } from "./pipeline-model.ts";
import { roomyWindow, windowMax, windowPeriodMs } from "./pipeline-schedule.ts";
import type { FleetNode, PlanRequest } from "./plan.ts";
import { heldBy, msOf, sumsOf } from "./program-time.ts";

/** What may be chosen for a border. */
export interface ReplayChoices {
  /** The least number of segments on the device, where it is not alone. */
  readonly cutMin: number;
  /** Codecs from the most exact one on. */
  readonly up: readonly LinkCodecName[];
  readonly down: readonly LinkCodecName[];
  /** Milliseconds that a byte less on the link is worth, and a joule less on the device. */
  readonly msPerByte: number;
  readonly msPerJoule: number;
}

/** One way to train: on the device alone where the cut is behind all segments. */
export interface ReplayOption {
  readonly cut: number;
  readonly backward: "stored" | "replay";
  readonly codecUp: LinkCodecName;
  readonly codecDown: LinkCodecName;
  readonly window: number;
  readonly latencyMs: number;
  readonly slowestMs: number;
  /** Bytes on the link for a batch, and what a batch takes of the device's energy. */
  readonly bytes: number;
  readonly joules: number;
  /** Time for the batches that were asked for, with what else counts put into time. */
  readonly costMs: number;
}

/** What of a choice parts of the line depend on. */
export type LineChoice = Pick<ReplayOption, "cut" | "backward" | "codecUp" | "codecDown">;

/** What a choice is for. */
export interface ReplayGoal {
  /** So many batches, one after the other. */
  readonly batches: number;
  /** What a cut takes once. */
  onceMs(cut: number): number;
}

/** Below this share of the time a choice gains nothing: the more exact codecs are taken. */
const tolerance = 0.01;

/** What a codec makes of a batch, one way. */
interface Coded {
  /** By cut, on the link and as values. */
  readonly bytes: Float64Array;
  readonly values: Float64Array;
  /** For a byte of values. */
  readonly deviceMs: number;
  readonly serverMs: number;
}

/** What a codec of features does. */
interface CodedUp extends Coded {
  /** By cut, the batches that the device's memory holds between forward and backward, beside what the codec remembers. */
  readonly held: Readonly<Record<Kept["backward"], Int32Array>>;
}

/** What a kind of backward pass makes of a batch at each cut, before codecs. */
interface Kept {
  readonly backward: "stored" | "replay";
  readonly deviceMs: Float64Array;
}

type Figures = Omit<ReplayOption, "codecUp" | "codecDown">;

/** One device and one server. */
export class ReplaySearch {
  readonly #request: PlanRequest;
  readonly #choices: ReplayChoices;
  readonly #device: FleetNode;
  readonly #segments: number;
  /** How fast device and server code. */
  readonly #coding: { readonly device: number; readonly server: number };
  readonly #kept: readonly Kept[];
  readonly #up: readonly CodedUp[];
  readonly #down: readonly Coded[];
  /** By cut: the server's turn and its processor, what a batch bears of the weights' way home at both ends, the device's weights. */
  readonly #serverMs: Float64Array;
  readonly #serverBusyMs: Float64Array;
  readonly #homeUpMs: Float64Array;
  readonly #homeBackMs: Float64Array;
  readonly #stateBytes: Float64Array;
  readonly #rates: BorderRates;
  /** A batch on the device alone; null where its memory is too small. */
  readonly #aloneMs: number | null;

  constructor(
    request: PlanRequest,
    [device, server]: readonly [FleetNode, FleetNode],
    choices: ReplayChoices,
  ) {
    const count = request.segments.length;
    this.#request = request;
    this.#choices = choices;
    this.#device = device;
    this.#segments = count;
    const modelOf = (backward: Kept["backward"]): PipelineModel =>
      new PipelineModel(
        {
          ...request,
          ...{ codecUp: "float32", codecDown: "float32" },
          pipeline: { ...request.pipeline, schedule: "window", backward },
        },
        [device, server],
      );
    const stored = modelOf("stored");
    this.#kept = [
      this.#keptBy("stored", stored),
      ...(request.recompute ? [] : [this.#keptBy("replay", modelOf("replay"))]),
    ];
    const speedOf = ({ profile }: FleetNode): number => codingSpeed(profile, request.segments);
    this.#coding = { device: speedOf(device), server: speedOf(server) };
    this.#up = choices.up.map((codec) => this.#codedUp(codec));
    this.#down = choices.down.map((codec) => this.#codedDown(codec));
    this.#serverMs = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
    this.#serverBusyMs = this.#serverMs.slice();
    this.#homeUpMs = new Float64Array(count);
    this.#homeBackMs = new Float64Array(count);
    for (let cut = 1; cut < count; cut++) {
      if (!stored.holdsLast(1, cut)) continue;
      const stage = { node: 1, from: cut, to: count };
      this.#serverMs[cut] = stored.stageLatencyMs(stage);
      this.#serverBusyMs[cut] = stored.computeMs(stage);
      this.#homeUpMs[cut] = stored.homeShareMs({ node: 0, from: 0, to: cut });
      this.#homeBackMs[cut] = stored.homeShareMs(stage);
    }
    this.#stateBytes = sumsOf(
      request.segments.map(({ parameterBytes, stateBytes }) => parameterBytes + stateBytes),
    );
    this.#rates = stored.ratesOf(0, 1);
    const whole = { node: 0, from: 0, to: count };
    this.#aloneMs = stored.holdsLast(0, 0) ? stored.stageLatencyMs(whole) : null;
  }

  /** The device alone; null where it has not the memory or the energy. */
  alone(batches: number): ReplayOption | null {
    return this.#aloneOptions(batches)[0] ?? null;
  }

  /** The best at a cut with given codecs, those of float32 among them whatever the job allows; null where there is none. */
  at(
    cut: number,
    batches: number,
    codecs: { readonly up: LinkCodecName; readonly down: LinkCodecName },
    backward?: ReplayOption["backward"],
  ): ReplayOption | null {
    const up = this.#codedUp(codecs.up);
    const down = this.#codedDown(codecs.down);
    const options = this.#kept
      .filter((kept) => backward === undefined || kept.backward === backward)
      .flatMap((kept) => this.#figures(cut, { kept, up, down }, batches) ?? [])
      .map((figures) => ({ ...figures, codecUp: codecs.up, codecDown: codecs.down }));
    return options.length === 0 ? null : mostExact(options);
  }

  /** What takes least; null where memory, energy or the link forbids everything. */
  best({ batches, onceMs }: ReplayGoal): ReplayOption | null {
    const cuts: { readonly cut: number; readonly boundMs: number }[] = [];
    for (let cut = Math.max(1, this.#choices.cutMin); cut <= this.#segments; cut++) {
      const boundMs = batches * this.#slowestAtLeast(cut);
      if (Number.isFinite(boundMs)) cuts.push({ cut, boundMs });
    }
    cuts.sort((a, b) => a.boundMs - b.boundMs || a.cut - b.cut);
    let [best, bestMs]: [number | null, number] = [null, Number.POSITIVE_INFINITY];
    for (const { cut, boundMs } of cuts) {
      if (boundMs >= bestMs) break;
      const ms = this.#leastMs(cut, batches) + onceMs(cut);
      if (ms < bestMs) [best, bestMs] = [cut, ms];
    }
    if (best === null) return null;
    const found = best === this.#segments ? this.alone(batches) : this.#played(best, batches);
    return found && { ...found, costMs: found.costMs + onceMs(best) };
  }

  /** The best at a cut, with as many batches under way as it takes in play. */
  #played(cut: number, batches: number): ReplayOption {
    const option = this.#bestAt(cut, batches);
    const { work, pipeline } = this.#request;
    const held = this.#codedUp(option.codecUp).held[option.backward][cut] ?? 1;
    const most = Math.min(held - 1, work - 1, windowMax);
    if (pipeline.window !== null || option.window === 0 || option.window >= most) return option;
    return { ...option, window: playedWindow(this.#lineOf(option), option.window, most) };
  }

  /** Time from batch to batch of a choice between the two, as the line plays it. */
  playedMs(choice: LineChoice & Pick<ReplayOption, "window">): number {
    return linePeriodMs(this.#lineOf(choice), choice.window);
  }

  #lineOf({ cut, backward, codecUp, codecDown }: LineChoice): LineTimes {
    const { there, back, delayMs } = this.#rates;
    const [up, down] = [this.#codedUp(codecUp), this.#codedDown(codecDown)];
    const features = up.values[cut] as number;
    const gradients = down.values[cut] as number;
    const kept = present(
      this.#kept.find((one) => one.backward === backward),
      "a kind of backward pass",
    );
    const forwardMs = msOf(heldBy(this.#device, "forward"), 0, cut);
    return {
      forwardMs: forwardMs + features * up.deviceMs,
      backwardMs: (kept.deviceMs[cut] as number) - forwardMs + gradients * down.deviceMs,
      upMs: msFor((up.bytes[cut] as number) + this.#request.labelBytes, there),
      serverMs:
        (this.#serverBusyMs[cut] as number) + features * up.serverMs + gradients * down.serverMs,
      downMs: msFor(down.bytes[cut] as number, back),
      delayMs,
    };
  }

  /** No choice at a cut takes less for a batch: what the slowest part takes whatever the codecs. */
  #slowestAtLeast(cut: number): number {
    if (cut === this.#segments) return this.#aloneMs ?? Number.POSITIVE_INFINITY;
    const { thereMost, backMost } = this.#rates;
    let [upBytes, downBytes, deviceMs] = [Infinity, Infinity, Infinity];
    for (const { bytes } of this.#up) upBytes = Math.min(upBytes, bytes[cut] as number);
    for (const { bytes } of this.#down) downBytes = Math.min(downBytes, bytes[cut] as number);
    for (const kept of this.#kept) deviceMs = Math.min(deviceMs, kept.deviceMs[cut] as number);
    const linkMs = Math.max(msFor(upBytes, thereMost), msFor(downBytes, backMost));
    return Math.max(deviceMs, this.#serverBusyMs[cut] as number, linkMs);
  }

  #leastMs(cut: number, batches: number): number {
    if (cut === this.#segments) return this.alone(batches)?.costMs ?? Number.POSITIVE_INFINITY;
    let leastMs = Number.POSITIVE_INFINITY;
    for (const kept of this.#kept) {
      for (const up of this.#up) {
        for (const down of this.#down) {
          const figures = this.#figures(cut, { kept, up, down }, batches);
          if (figures !== null && figures.costMs < leastMs) leastMs = figures.costMs;
        }
      }
    }
    return leastMs;
  }

  #bestAt(cut: number, batches: number): ReplayOption {
    const { up, down } = this.#choices;
    const options = up.flatMap((codecUp) =>
      down.flatMap((codecDown) => this.at(cut, batches, { up: codecUp, down: codecDown }) ?? []),
    );
    return mostExact(options);
  }

  #keptBy(backward: Kept["backward"], model: PipelineModel): Kept {
    const deviceMs = new Float64Array(this.#segments);
    for (let cut = 1; cut < this.#segments; cut++) {
      deviceMs[cut] = model.stageLatencyMs({ node: 0, from: 0, to: cut });
    }
    return { backward, deviceMs };
  }

  #codedUp(codec: LinkCodecName): CodedUp {
    const { segments, recompute, accumulate, codecSamples = null } = this.#request;
    const { device, server } = this.#coding;
    const held = (backward: Kept["backward"]): Int32Array =>
      batchesHeld(
        segments,
        this.#device.memoryBytes,
        { recompute, backward, batchesPerVersion: accumulate },
        { codec, samples: codecSamples },
      );
    return {
      held: { stored: held("stored"), replay: held("replay") },
      bytes: borderBytes(segments, codec).features,
      values: borderValues(segments).features,
      deviceMs: encodeMs(codec, 1, device),
      serverMs: decodeMs(codec, 1, server),
    };
  }

  #codedDown(codec: LinkCodecName): Coded {
    const { segments } = this.#request;
    const { device, server } = this.#coding;
    return {
      bytes: borderBytes(segments, codec).gradients,
      values: borderValues(segments).gradients,
      deviceMs: decodeMs(codec, 1, device),
      serverMs: encodeMs(codec, 1, server),
    };
  }

  #figures(
    cut: number,
    { kept, up, down }: { kept: Kept; up: CodedUp; down: Coded },
    batches: number,
  ): Figures | null {
    const { work, pipeline, labelBytes } = this.#request;
    const { there, back, thereMost, backMost, thereOut, backOut, delayMs } = this.#rates;
    const upBytes = (up.bytes[cut] as number) + labelBytes;
    const downBytes = down.bytes[cut] as number;
    const [features, gradients] = [up.values[cut] as number, down.values[cut] as number];
    const deviceMs =
      (kept.deviceMs[cut] as number) + features * up.deviceMs + gradients * down.deviceMs;
    const codingMs = features * up.serverMs + gradients * down.serverMs;
    const latencyMs =
      deviceMs +
      (this.#serverMs[cut] as number) +
      codingMs +
      msFor(upBytes, there) +
      msFor(downBytes, back) +
      2 * delayMs;
    const slowestMs = Math.max(
      deviceMs,
      (this.#serverBusyMs[cut] as number) + codingMs,
      msFor(upBytes, thereMost),
      msFor(downBytes, backMost),
      msFor(upBytes, thereOut) + (this.#homeUpMs[cut] as number),
      msFor(downBytes, backOut) + (this.#homeBackMs[cut] as number),
    );
    const times = { latencyMs, slowestMs };
    const wanted = pipeline.window ?? roomyWindow(times, work);
    const window = Math.min(wanted, (up.held[kept.backward][cut] as number) - 1);
    if (window < 0 || !Number.isFinite(latencyMs)) return null;
    const bytes = upBytes + downBytes;
    const priced = this.#priced(cut, { deviceMs, bytes, batches });
    if (priced === null) return null;
    const timeMs = latencyMs + (batches - 1) * windowPeriodMs(times, { window, work });
    const costMs = timeMs + priced.costMs;
    const { backward } = kept;
    const { joules } = priced;
    return { cut, backward, window, latencyMs, slowestMs, bytes, joules, costMs };
  }

  #aloneOptions(batches: number): ReplayOption[] {
    const latencyMs = this.#aloneMs;
    if (latencyMs === null) return [];
    const cut = this.#segments;
    const priced = this.#priced(cut, { deviceMs: latencyMs, bytes: 0, batches });
    if (priced === null) return [];
    return [
      {
        ...{ cut, backward: "stored", codecUp: "float32", codecDown: "float32", window: 0 },
        ...{ latencyMs, slowestMs: latencyMs, bytes: 0, joules: priced.joules },
        costMs: batches * latencyMs + priced.costMs,
      },
    ];
  }

  /** Energy and data volume as time; null where the device has not the energy for a round. */
  #priced(
    cut: number,
    { deviceMs, bytes, batches }: { deviceMs: number; bytes: number; batches: number },
  ): { joules: number; costMs: number } | null {
    const { msPerByte, msPerJoule } = this.#choices;
    const { energy } = this.#device;
    let joules = 0;
    if (energy !== undefined) {
      const { computeWatts, joulesPerByte, joulesPerRound } = energy;
      joules = (computeWatts * deviceMs) / 1000 + joulesPerByte * bytes;
      const weights = joulesPerByte * (this.#stateBytes[cut] as number);
      if (this.#request.work * joules + weights > joulesPerRound) return null;
    }
    return { joules, costMs: batches * (msPerByte * bytes + msPerJoule * joules) };
  }
}

const held = new WeakMap<readonly SegmentCost[], Map<string, Int32Array>>();

/**
 * By cut, the batches that a device's memory holds between forward and backward. It is the same for every plan of
 * a job, and takes longer to find than all else, so it is kept as long as the segments are.
 */
function batchesHeld(
  segments: readonly SegmentCost[],
  memoryBytes: number | null,
  stage: Omit<PipelinedStage, "inFlight">,
  remembers: { readonly codec: LinkCodecName; readonly samples: number | null },
): Int32Array {
  const most = windowMax + 1;
  const key = JSON.stringify([memoryBytes, stage, remembers]);
  const known = held.get(segments) ?? new Map<string, Int32Array>();
  held.set(segments, known);
  const before = known.get(key);
  if (before !== undefined) return before;
  const counts = new Int32Array(segments.length).fill(most);
  for (let cut = 1; memoryBytes !== null && cut < segments.length; cut++) {
    const left = memoryBytes - rememberedBytes(segments, cut, remembers);
    const holds = (inFlight: number): boolean =>
      pipelinedBytes(segments, 0, cut, { ...stage, inFlight }) <= left;
    counts[cut] = lastWhere(0, most, holds);
  }
  known.set(key, counts);
  return counts;
}

/** Of choices that take about as long, the one with the most exact codecs: they come first. */
function mostExact(options: readonly ReplayOption[]): ReplayOption {
  const leastMs = Math.min(...options.map(({ costMs }) => costMs));
  const all = options.filter(({ costMs }) => costMs <= leastMs * (1 + tolerance));
  return present(
    all.reduce<ReplayOption | undefined>((best, one) => {
      if (best === undefined || one.bytes !== best.bytes) {
        return best === undefined || one.bytes > best.bytes ? one : best;
      }
      return one.costMs < best.costMs ? one : best;
    }, undefined),
    "a choice",
  );
}
