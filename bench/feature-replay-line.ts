/**
 * What every cut, window, pair of codecs and kind of backward pass comes to, each of them played batch by batch: the
 * planner's choice is compared with the best of them, which owes nothing to its formula.
 */
import {
  codingSpeed,
  computeMs,
  decodeMs,
  encodeMs,
  type FleetNode,
  type LineTimes,
  type LinkCodecName,
  linePeriodMs,
  linkWireBytes,
  type PlanRequest,
  type Profile,
} from "edgeloom";

/** One way to train. The device is alone where the cut is behind all segments. */
export interface Way {
  readonly cut: number;
  readonly window: number;
  readonly codecUp: LinkCodecName;
  readonly codecDown: LinkCodecName;
  readonly backward: "stored" | "replay";
}

/** What a way takes by what a planner is told. */
export function lineTimes(request: PlanRequest, way: Omit<Way, "window">): LineTimes {
  const { segments, labelBytes, fleet } = request;
  const { cut, codecUp, codecDown, backward } = way;
  const [device, server] = fleet.nodes as readonly [FleetNode, FleetNode];
  const [link] = fleet.links;
  const ms = (
    profile: Profile,
    kind: "forward" | "backward" | "update" | "step",
    from: number,
    to: number,
  ) =>
    computeMs(profile, { kind, from, to, replays: kind === "backward" && backward === "replay" }) +
    profile.callMs;
  const bytes = (codec: LinkCodecName): number =>
    (segments[cut - 1]?.outputs ?? []).reduce((sum, value) => sum + linkWireBytes(codec, value), 0);
  const values = bytes("float32");
  const [own, other] = [device, server].map(({ profile }) => codingSpeed(profile, segments));
  const [slow, fast] = [own ?? 1, other ?? 1];
  const count = segments.length;
  return {
    forwardMs: ms(device.profile, "forward", 0, cut) + encodeMs(codecUp, values, slow),
    backwardMs:
      ms(device.profile, "backward", 0, cut) +
      ms(device.profile, "update", 0, cut) +
      decodeMs(codecDown, values, slow),
    upMs: (bytes(codecUp) + labelBytes) / (link?.thereBytesPerMs ?? Infinity),
    serverMs:
      ms(server.profile, "step", cut, count) +
      decodeMs(codecUp, values, fast) +
      encodeMs(codecDown, values, fast),
    downMs: bytes(codecDown) / (link?.backBytesPerMs ?? Infinity),
    delayMs: link?.latencyMs ?? 0,
  };
}

/** What is looked through. */
export interface Choices {
  readonly codecs: readonly LinkCodecName[];
  readonly windows: readonly number[];
}

/** A way and its time from batch to batch. */
export interface Timed {
  readonly way: Way;
  readonly periodMs: number;
}

/** The best of all ways, the device alone among them. */
export function bestWay(request: PlanRequest, { codecs, windows }: Choices): Timed {
  const { segments, fleet } = request;
  const [device] = fleet.nodes as readonly [FleetNode, FleetNode];
  const count = segments.length;
  let best: Timed = {
    way: { cut: count, window: 0, codecUp: "float32", codecDown: "float32", backward: "stored" },
    periodMs: aloneMs(device, request),
  };
  const first = segments.findIndex(({ parameterBytes }) => parameterBytes > 0) + 1;
  for (let cut = first; cut < count; cut++) {
    for (const codecUp of codecs) {
      for (const codecDown of codecs) {
        for (const backward of ["stored", "replay"] as const) {
          const way = { cut, codecUp, codecDown, backward };
          const times = lineTimes(request, way);
          for (const window of windows) {
            const periodMs = linePeriodMs(times, window);
            if (periodMs < best.periodMs) best = { way: { ...way, window }, periodMs };
          }
        }
      }
    }
  }
  return best;
}

/** Time from batch to batch of one way. */
export function playedMs(request: PlanRequest, way: Way): number {
  const [device] = request.fleet.nodes as readonly [FleetNode, FleetNode];
  return way.cut === request.segments.length
    ? aloneMs(device, request)
    : linePeriodMs(lineTimes(request, way), way.window);
}

const aloneMs = ({ profile }: FleetNode, { segments }: PlanRequest): number =>
  computeMs(profile, { kind: "step", from: 0, to: segments.length }) + profile.callMs;
