/**
 * Split learning over vertical data: one party has some columns of the samples and the labels, another one the other
 * columns of the same samples (Vepakomma et al., "Split learning for health: distributed deep learning without sharing
 * raw patient data", 2018, configuration for vertically partitioned data; Ceballos et al., "SplitNN-driven
 * vertical partitioning", 2020). A batch begins with the party that has the labels, goes on at the other one, whose
 * segments take its own columns beside the features that come, and ends with the first again where labels stay at home.
 *
 * It is split learning of one device and one server whose cuts are bound: no party may hold a segment that takes
 * columns of the other one. Of the cuts that are left the one with the shortest round is taken.
 */
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { lackedColumns } from "./check-columns.ts";
import { splitMs } from "./joint-choice.ts";
import type { FleetLink, FleetNode, Plan, PlanRequest } from "./plan.ts";
import type { Capacity } from "./server-price.ts";
import { SplitModel } from "./split-model.ts";
import type { SplitOption } from "./split-option.ts";
import { splitPlan } from "./split-plan.ts";
import { splitReasons } from "./split-reasons.ts";

/**
 * Plans one chain over two parties; other nodes of the fleet have no part in it. The party with the labels keeps the
 * model's first segments up to the first that takes the other one's columns at the most, and, where labels stay at
 * home, the last ones from the last trained segment on at the least: behind that, a gradient would tell the label.
 * @throws PlanError when a party is missing, or no cut gives each party its columns and fits its memory
 */
export function twoParties(request: PlanRequest): Plan {
  const [home, other] = partiesOf(request);
  const model = new SplitModel(asSplit(request, home, other));
  const [device, server] = [
    present(model.devices[0], "a device"),
    present(model.servers[0], "a server"),
  ];
  const option = bestOption(model, device, server);
  const rate = rateOf(model, device, server);
  const runs = [{ option, rate, server: 0 }];
  const times = [{ roundMs: splitMs(option, rate), waitMs: 0 }];
  const scheme = `two parties: ${home.name} has the labels, ${other.name} the other columns`;
  const split = { runs, times, choice: { cellDecides: false }, scheme };
  return splitPlan(model, split, "two-parties", splitReasons(model, split));
}

/** The party with the labels, and the other one. */
function partiesOf({ fleet }: PlanRequest): [FleetNode, FleetNode] {
  const parties = fleet.nodes.filter(({ party }) => party !== undefined);
  const home = parties.find(({ party }) => party?.hasLabels);
  const other = parties.find(({ party }) => !party?.hasLabels);
  if (home !== undefined && other !== undefined) return [home, other];
  const missing = home === undefined ? "the party with the labels" : "the party without labels";
  throw new PlanError(`two-parties needs both parties, and ${missing} is not there`);
}

/** The same as split learning sees it: a device and its only server. */
function asSplit(request: PlanRequest, home: FleetNode, other: FleetNode): PlanRequest {
  const { fleet, split } = request;
  const isWay = ({ from, to }: FleetLink): boolean =>
    (from === home.id && to === other.id) || (from === other.id && to === home.id);
  const way = fleet.links.find(isWay) ?? {
    ...{ from: home.id, to: other.id, thereBytesPerMs: null, backBytesPerMs: null },
    latencyMs: home.latencyMs + other.latencyMs,
  };
  const nodes: FleetNode[] = [
    { ...home, kind: "device" },
    { ...other, kind: "edge" },
  ];
  return {
    ...request,
    split: { ...split, serverCopies: "each", merge: null, mayKeepAll: false },
    fleet: { ...fleet, nodes, links: [way] },
  };
}

function bestOption(model: SplitModel, device: FleetNode, server: FleetNode): SplitOption {
  const { segments } = model.request;
  const taken = segments.map(({ columns = [] }) => columns);
  const lastTrained = segments.findLastIndex(({ parameterBytes }) => parameterBytes > 0);
  const rate = rateOf(model, device, server);
  const isAllowed = ({ cut, tail }: SplitOption): boolean => {
    const end = tail?.from ?? model.whole;
    const isHeld = (node: FleetNode, from: number, to: number): boolean =>
      lackedColumns(taken, node, from, to).length === 0;
    return (
      isHeld(device, 0, cut) &&
      isHeld(server, cut, end) &&
      isHeld(device, end, model.whole) &&
      (tail === null || end <= lastTrained)
    );
  };
  let best: SplitOption | null = null;
  for (const option of model.options(device, server)) {
    if (!isAllowed(option)) continue;
    if (best === null || splitMs(option, rate) < splitMs(best, rate)) best = option;
  }
  if (best !== null) return best;
  throw new PlanError(
    `no cut gives ${device.name} and ${server.name} the segments that take their columns, ` +
      `[${device.party?.columns}] and [${server.party?.columns}]: more tensors may have to cross it (cutTensors)`,
  );
}

/** Nobody else shares the way. */
function rateOf(model: SplitModel, device: FleetNode, server: FleetNode): Capacity {
  const ends = [model.linkOf(device, server), model.linkOf(server), model.cell];
  return {
    up: Math.min(...ends.map(({ up }) => up)),
    down: Math.min(...ends.map(({ down }) => down)),
  };
}
