/**
 * U-shaped split learning: a device keeps the first segments and the last ones, a server has those
 * between. The chain ends on the node where it began, so labels never leave it (Vepakomma et al., "Split
 * learning for health: distributed deep learning without sharing raw patient data", 2018, section 3).
 */
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { chainId, copyId } from "../base/ids.ts";
import { formatMs } from "../base/units.ts";
import { type LinkCodecName, linkWireBytes } from "../codec/link-codec.ts";
import { firstCut } from "./check-request.ts";
import { equalShare } from "./equal-shares.ts";
import { trainingBytes } from "./memory.ts";
import type {
  ChainPlan,
  CopyPlan,
  FleetNode,
  Forecast,
  LinkPlan,
  Plan,
  PlanRequest,
} from "./plan.ts";
import { heldBy, msOf } from "./program-time.ts";
import type { Capacity } from "./server-price.ts";
import { SplitModel } from "./split-model.ts";

/** The server has segments [from, to), the device all others. */
interface Choice {
  readonly from: number;
  readonly to: number;
  /** Of one batch: on both nodes, of that on the device, on the way, and what goes out and comes in there. */
  readonly computeMs: number;
  readonly ownMs: number;
  readonly transferMs: number;
  readonly bytes: number;
}

/**
 * Plans a chain of three stages for each device, with equal shares of the cell and the cuts that make
 * its batches fastest. Devices train beside one another, and all copies are averaged after each round.
 * @throws PlanError as `parallelSplit` does, where a model has fewer than three segments from the first
 *   that is trained, and where memory allows no cuts
 */
export function uShaped(request: PlanRequest): Plan {
  const model = new SplitModel(request);
  const { devices } = model;
  const server = present(model.servers[0], "a server");
  const parts = devices.map((device) => {
    const rate = equalShare(model, device);
    return { device, rate, choice: fastest(request, { device, server, rate }) };
  });
  checkServer(request, server, parts);
  const made = parts.map(({ device, rate, choice }) =>
    chainOf(request, device, server, rate, choice),
  );
  const copies = made.flatMap((one) => one.copies);
  return {
    term: request.term,
    planner: "u-shaped",
    objective: "round time",
    copies,
    chains: made.map(({ chain }) => chain),
    groups: [{ members: copies.map(({ id }) => id), policy: "average", when: "round" }],
    links: made.flatMap(({ links }) => links),
    limits: [server, ...devices].map(({ id, duty }) => ({ node: id, duty })),
    forecasts: made.map(({ forecast }) => forecast),
    reason: `labels stay on ${devices.map(({ name }) => name).join(", ")}: each has both ends of the model, ${server.name} what is between`,
  };
}

interface Pair {
  readonly device: FleetNode;
  readonly server: FleetNode;
  readonly rate: Capacity;
}

/** The fastest cuts that the device has memory and energy for. */
function fastest(request: PlanRequest, pair: Pair): Choice {
  const { segments, recompute } = request;
  const { device } = pair;
  const whole = segments.length;
  const first = Math.max(firstCut(segments) ?? whole, request.split?.cutMin ?? 0);
  const fits = (from: number, to: number): boolean =>
    device.memoryBytes === null ||
    trainingBytes(segments, 0, from, { hasLoss: false, recompute }) +
      trainingBytes(segments, to, whole, { hasLoss: true, recompute }) <=
      device.memoryBytes;
  const times = timesOf(request, pair);
  let best: Choice | null = null;
  for (let from = first; from < whole - 1; from++) {
    for (let to = from + 1; to < whole; to++) {
      if (!fits(from, to)) continue;
      const choice = { from, to, ...times(from, to) };
      if (joules(request, device, choice) > (device.energy?.joulesPerRound ?? 0)) continue;
      if (best === null || totalMs(choice) < totalMs(best)) best = choice;
    }
  }
  if (best !== null) return best;
  const why =
    first < whole - 1
      ? "its memory and energy allow no two cuts"
      : "the model cannot be cut twice behind a trained segment";
  throw new PlanError(`u-shaped has no plan for ${device.name}: ${why}`);
}

/** What a round takes of a device's energy: its batches, and its part's weights, which come and go. */
function joules({ segments, work }: PlanRequest, device: FleetNode, choice: Choice): number {
  if (device.energy === undefined) return 0;
  const { computeWatts, joulesPerByte } = device.energy;
  const batches = device.work ?? work;
  let bytes = batches * choice.bytes;
  for (const { index, parameterBytes, stateBytes } of segments) {
    const isOwn = index < choice.from || index >= choice.to;
    if (isOwn) bytes += 2 * (parameterBytes + stateBytes);
  }
  return (batches * computeWatts * choice.ownMs) / 1000 + joulesPerByte * bytes;
}

const totalMs = ({ computeMs, transferMs }: Choice): number => computeMs + transferMs;

/** What a batch takes, by its cuts. */
function timesOf(
  { segments, codecUp, codecDown }: PlanRequest,
  { device, server, rate }: Pair,
): (from: number, to: number) => Omit<Choice, "from" | "to"> {
  const bytesAt = (cut: number, codec: LinkCodecName, isBack: boolean): number => {
    let bytes = 0;
    for (const value of present(segments[cut - 1], "a segment").outputs) {
      if (!isBack || value.hasGradient) bytes += linkWireBytes(codec, value);
    }
    return bytes;
  };
  const kinds = ["forward", "backward", "update", "step"] as const;
  const [own, far] = [device, server].map(
    (node) => new Map(kinds.map((kind) => [kind, heldBy(node, kind)])),
  );
  const ms = (held: typeof own, kind: (typeof kinds)[number], from: number, to: number): number =>
    msOf(present(held?.get(kind), kind), from, to);
  const between = (held: typeof own, from: number, to: number): number =>
    ms(held, "forward", from, to) + ms(held, "backward", from, to) + ms(held, "update", from, to);
  const delayMs = device.latencyMs + server.latencyMs;
  return (from, to) => {
    const ownMs = between(own, 0, from) + ms(own, "step", to, segments.length);
    const up = bytesAt(from, codecUp, false) + bytesAt(to, codecDown, true);
    const down = bytesAt(to, codecUp, false) + bytesAt(from, codecDown, true);
    return {
      ownMs,
      computeMs: ownMs + between(far, from, to),
      transferMs: up / rate.up + down / rate.down + 4 * delayMs,
      bytes: up + down,
    };
  };
}

interface MadeChain {
  readonly chain: ChainPlan;
  readonly copies: readonly CopyPlan[];
  readonly links: readonly LinkPlan[];
  readonly forecast: Forecast;
}

function chainOf(
  { segments, work: usual, codecUp, codecDown }: PlanRequest,
  device: FleetNode,
  server: FleetNode,
  rate: Capacity,
  choice: Choice,
): MadeChain {
  const { from, to, computeMs, transferMs } = choice;
  const { work = usual } = device;
  const id = chainId(`chain:${device.id}`);
  const [head, middle, tail] = [
    copyId(`copy:${device.id}`),
    copyId(`copy:${server.id}:${device.id}`),
    copyId(`copy:${device.id}:end`),
  ];
  const link = { chain: id, codecUp, codecDown };
  const shareOf = (bytesPerMs: number): number | null =>
    Number.isFinite(bytesPerMs) ? bytesPerMs : null;
  const reason =
    `${device.name} keeps segments 0 to ${from - 1} and ${to} to ${segments.length - 1}, and its labels: ` +
    `a batch takes ${formatMs(computeMs)} of computing and ${formatMs(transferMs)} on the way`;
  return {
    copies: [
      { id: head, node: device.id, from: 0, to: from, mode: "train" },
      { id: middle, node: server.id, from, to, mode: "train" },
      { id: tail, node: device.id, from: to, to: segments.length, mode: "train" },
    ],
    chain: {
      id,
      source: device.id,
      stages: [
        { copy: head, backward: "stored" },
        { copy: middle, backward: "stored" },
        { copy: tail, backward: "none" },
      ],
      schedule: "serial",
      window: 0,
      work,
    },
    links: [
      { ...link, from: device.id, to: server.id, bytesPerMs: shareOf(rate.up) },
      { ...link, from: server.id, to: device.id, bytesPerMs: shareOf(rate.down) },
    ],
    forecast: {
      chain: id,
      roundMs: work * (computeMs + transferMs),
      computeMs: work * computeMs,
      transferMs: work * transferMs,
      reason,
    },
  };
}

function checkServer(
  { segments, recompute }: PlanRequest,
  { name, memoryBytes }: FleetNode,
  parts: readonly { readonly choice: Choice }[],
): void {
  if (memoryBytes === null) return;
  let bytes = 0;
  for (const { choice } of parts) {
    bytes += trainingBytes(segments, choice.from, choice.to, { hasLoss: false, recompute });
  }
  if (bytes <= memoryBytes) return;
  throw new PlanError(`${name} has no memory for its copies for ${parts.length} devices`);
}
