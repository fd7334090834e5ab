/**
 * Parallel split learning: every device trains the first segments on its own
 * data, each up to its own cut, the edge server trains the rest with one copy
 * per device, and all copies are averaged per segment at the end of the round.
 * Cuts and shares of the cell are chosen together so that the slowest device is
 * done as early as possible (EdgeSplit, arXiv 2403.15815; solved exactly in
 * `joint-choice.ts`).
 *
 * A round of device i with cut c, rate b, m batches and one-way delay d takes
 *
 *   A = m (device compute + server compute + 2 d) + 2 d
 *   V = m (feature and labels up, gradient down) + 2 (parameters and state of [0, c))
 *   T = A + V / b
 *
 * since batches follow each other serially, and weights come down before the
 * first and go up after the last. The server's compute counts as if each device
 * had it alone, as in the paper; the plan's reason says how long the server is
 * busy in all.
 */
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { chainId, copyId } from "../base/ids.ts";
import { formatBytes, formatRate } from "../base/units.ts";
import { linkWireBytes } from "../codec/link-codec.ts";
import type { SegmentCost } from "../compile/segment.ts";
import { checkNode, firstCut } from "./check-request.ts";
import { chooseJointly, type JointChoice, type SplitOption, splitMs } from "./joint-choice.ts";
import { trainingBytes } from "./memory.ts";
import type { ChainPlan, CopyPlan, FleetNode, LinkPlan, Plan, PlanRequest } from "./plan.ts";
import { heldMs } from "./program-time.ts";
import { type SplitPart, splitReasons } from "./split-reasons.ts";

/**
 * Plans parallel split learning over the devices that hold data and one server:
 * the first edge server of the fleet, or its first cloud node where it has none.
 * At least the first segment stays on each device and at least the last one,
 * with the loss, on the server.
 *
 * @throws PlanError when there is no server or no device with data, when a node's
 *   memory or rate allows no cut, or when a profile does not fit the model
 */
export function parallelSplit(request: PlanRequest): Plan {
  const server = serverOf(request);
  const devices = devicesOf(request);
  for (const node of [server, ...devices]) checkNode(request, node);
  const cell = cellOf(request, server);
  const every = devices.map((device) => everyOption(request, device, server));
  const choice = chooseJointly(
    devices.map((device, i) => ({
      options: optionsOf(request, device, every[i] ?? []),
      ceiling: device.ceilingBytesPerMs ?? Number.POSITIVE_INFINITY,
    })),
    cell,
  );
  checkServerMemory(request, server, choice);
  const parts = devices.map((device, i): SplitPart => {
    const { option, rate } = present(choice.choices[i], "a choice");
    return {
      device,
      option,
      rate,
      roundMs: splitMs(option, rate),
      computeMs: request.work * batchComputeMs(device, server, option.cut),
      serverMs: request.work * serverBatchMs(server, option.cut),
      memoryDecides: (every[i] ?? []).some((other) => splitMs(other, rate) < splitMs(option, rate)),
    };
  });
  const reasons = splitReasons({ request, server, parts, cell, cellDecides: choice.cellDecides });
  return {
    term: request.term,
    planner: "parallel-split",
    objective: "round time",
    ...layOut(request, devices, server, choice),
    forecasts: parts.map(({ device, roundMs, computeMs }, i) => ({
      chain: chainId(`chain:${device.id}`),
      roundMs,
      computeMs,
      transferMs: roundMs - computeMs,
      reason: present(reasons.parts[i], "a reason"),
    })),
    reason: reasons.plan,
  };
}

function serverOf({ fleet }: PlanRequest): FleetNode {
  const server =
    fleet.nodes.find((node) => node.kind === "edge") ??
    fleet.nodes.find((node) => node.kind === "cloud");
  if (server !== undefined) return server;
  throw new PlanError("parallel-split needs an edge server, and the fleet has none");
}

function devicesOf({ fleet }: PlanRequest): readonly FleetNode[] {
  const devices = fleet.nodes.filter((node) => node.kind === "device" && node.samples > 0);
  if (devices.length === 0) {
    throw new PlanError("parallel-split needs a device with training data, and the fleet has none");
  }
  return devices;
}

/** What all devices share: the cell, or the server's own link where that is narrower. */
function cellOf({ fleet }: PlanRequest, server: FleetNode): number {
  const { cellBytesPerMs } = fleet;
  if (cellBytesPerMs !== null && !(cellBytesPerMs > 0)) {
    throw new PlanError(`the cell has ${formatRate(cellBytesPerMs)}; nothing can travel`);
  }
  return Math.min(
    cellBytesPerMs ?? Number.POSITIVE_INFINITY,
    server.ceilingBytesPerMs ?? Number.POSITIVE_INFINITY,
  );
}

/** Every cut of the model that keeps a device's raw data at home, shallowest first. */
function everyOption(request: PlanRequest, device: FleetNode, server: FleetNode): SplitOption[] {
  const { segments, work } = request;
  const first = firstCut(segments);
  if (first === null) {
    throw new PlanError(
      "parallel-split needs a legal cut behind the model's first trained segment, so that raw " +
        "data stay on the device; this model has none",
    );
  }
  const cuts = segments.map((_, i) => i).filter((cut) => cut >= first);
  return cuts.map((cut) => {
    const batchMs = batchComputeMs(device, server, cut) + 2 * device.latencyMs;
    return {
      cut,
      fixedMs: work * batchMs + 2 * device.latencyMs,
      bytes: work * batchBytes(request, cut) + weightBytes(request, cut),
    };
  });
}

/** The cuts that the device's memory allows. */
function optionsOf(
  request: PlanRequest,
  device: FleetNode,
  every: readonly SplitOption[],
): readonly SplitOption[] {
  const { memoryBytes } = device;
  if (memoryBytes === null) return every;
  const options = every.filter(({ cut }) => deviceBytes(request, cut) <= memoryBytes);
  if (options.length > 0) return options;
  const least = Math.min(...every.map(({ cut }) => deviceBytes(request, cut)));
  throw new PlanError(
    `${device.name} has ${formatBytes(memoryBytes)} of memory; the smallest part of the model ` +
      `that a cut leaves it takes ${formatBytes(least)} to train`,
  );
}

function deviceBytes({ segments, recompute }: PlanRequest, cut: number): number {
  return trainingBytes(segments, 0, cut, { hasLoss: false, recompute });
}

/** Time that one batch spends computing: forward, step with the loss, backward, update. */
function batchComputeMs(device: FleetNode, server: FleetNode, cut: number): number {
  let ms = serverBatchMs(server, cut);
  for (const kind of ["forward", "backward", "update"] as const) {
    ms += heldMs(device.profile, { kind, from: 0, to: cut }, device.duty);
  }
  return ms;
}

function serverBatchMs({ profile, duty }: FleetNode, cut: number): number {
  return heldMs(profile, { kind: "step", from: cut, to: profile.segments.length }, duty);
}

/** Bytes of one batch on the link, both ways. */
function batchBytes(request: PlanRequest, cut: number): number {
  const { segments, codecUp, codecDown, labelBytes } = request;
  let bytes = labelBytes;
  for (const value of outputsOf(segments, cut)) {
    bytes += linkWireBytes(codecUp, value);
    if (value.hasGradient) bytes += linkWireBytes(codecDown, value);
  }
  return bytes;
}

/** Bytes of the device's weights and optimizer state, down and up once a round. */
function weightBytes({ segments }: PlanRequest, cut: number): number {
  let bytes = 0;
  for (const { parameterBytes, stateBytes } of segments.slice(0, cut)) {
    bytes += parameterBytes + stateBytes;
  }
  return 2 * bytes;
}

function outputsOf(segments: readonly SegmentCost[], cut: number): SegmentCost["outputs"] {
  return present(segments[cut - 1], `segment ${cut - 1}`).outputs;
}

function checkServerMemory(request: PlanRequest, server: FleetNode, choice: JointChoice): void {
  if (server.memoryBytes === null) return;
  const { segments, recompute } = request;
  let bytes = 0;
  for (const { option } of choice.choices) {
    bytes += trainingBytes(segments, option.cut, segments.length, { hasLoss: true, recompute });
  }
  if (bytes <= server.memoryBytes) return;
  throw new PlanError(
    `${server.name} has ${formatBytes(server.memoryBytes)} of memory, and its copies for ` +
      `${choice.choices.length} devices take ${formatBytes(bytes)}`,
  );
}

/** The choice in the plan's own words. */
function layOut(
  request: PlanRequest,
  devices: readonly FleetNode[],
  server: FleetNode,
  choice: JointChoice,
): Pick<Plan, "copies" | "chains" | "groups" | "links" | "limits"> {
  const copies: CopyPlan[] = [];
  const chains: ChainPlan[] = [];
  const links: LinkPlan[] = [];
  for (const [i, device] of devices.entries()) {
    const { option, rate } = present(choice.choices[i], "a choice");
    const own = copyId(`copy:${device.id}`);
    const served = copyId(`copy:${server.id}:${device.id}`);
    const chain = chainId(`chain:${device.id}`);
    const last = request.segments.length;
    copies.push({ id: own, node: device.id, from: 0, to: option.cut, mode: "train" });
    copies.push({ id: served, node: server.id, from: option.cut, to: last, mode: "train" });
    chains.push({
      id: chain,
      source: device.id,
      stages: [
        { copy: own, backward: "stored" },
        { copy: served, backward: "none" },
      ],
      schedule: "serial",
      window: 0,
      work: request.work,
    });
    links.push({
      from: device.id,
      to: server.id,
      chain,
      bytesPerMs: Number.isFinite(rate) ? rate : null,
      codecUp: request.codecUp,
      codecDown: request.codecDown,
    });
  }
  const members = copies.map((copy) => copy.id);
  const limits = request.fleet.nodes
    .filter((node) => node === server || devices.includes(node))
    .map(({ id, duty }) => ({ node: id, duty }));
  return { copies, chains, groups: [{ members, policy: "average", when: "round" }], links, limits };
}
