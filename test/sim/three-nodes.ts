/** A pipeline over three nodes by hand, in virtual time, checked against its single-process replay. */
import { expect } from "vitest";
import { present } from "../../src/base/assert.ts";
import { chainId, copyId, nodeId } from "../../src/base/ids.ts";
import type { LinkCodecName } from "../../src/codec/link-codec.ts";
import type { Model } from "../../src/compile/graph.ts";
import type { ChainPlan, Plan, Planner, PlanRequest } from "../../src/plan/plan.ts";
import type { Forecaster } from "../../src/plan/replan.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import type { SimFault } from "../../src/sim/faults.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { expectReplayed } from "./replayed.ts";
import { shard, smallFleet, smallJob, smallModel } from "./small-job.ts";

/** How the chain is trained, and what the planner knows. */
export type Way = Pick<ChainPlan, "schedule" | "window"> & {
  readonly backward?: "stored" | "replay";
  /** Where the model is cut; segments [0, 2), [2, 4) and [4, 5) where absent. */
  readonly cutsOf?: (request: PlanRequest) => readonly number[];
  readonly forecaster?: Forecaster;
  /** How slow all nodes are; 1 where absent. */
  readonly slowness?: number;
  /** How features and gradients travel; as they are where absent. */
  readonly codecs?: { readonly up: LinkCodecName; readonly down: LinkCodecName };
  /** The node of the middle stage; "near" where absent. */
  readonly middleOf?: (request: PlanRequest) => string;
  /** How long an update of a segment takes; a tenth of a millisecond where absent. */
  readonly updateMs?: number;
  /** A model of as many segments; {@link smallModel} where absent. */
  readonly model?: Model;
};

/** The first segments on the device, the next on one server, the last on another. */
const pipelineOf =
  ({ schedule, window, backward = "stored", cutsOf = () => [0, 2, 4, 5], ...way }: Way): Planner =>
  (request): Plan => {
    const { term, work } = request;
    const { codecs = { up: "float32", down: "float32" }, middleOf = () => "near" } = way;
    const nodes = ["a", middleOf(request), "far"].map((name) => nodeId(name));
    const [a, near, far] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
    const cuts = cutsOf(request);
    const copies = nodes.map((node, i) => ({
      id: copyId(`copy:${node}`),
      node,
      from: present(cuts[i], "a cut"),
      to: present(cuts[i + 1], "a cut"),
      mode: "train" as const,
    }));
    const chain = chainId("chain:a");
    const link = { chain, bytesPerMs: null, codecUp: codecs.up, codecDown: codecs.down };
    return {
      term,
      planner: "by hand",
      objective: "round time",
      copies,
      chains: [
        {
          id: chain,
          source: a,
          stages: copies.map(({ id }, i) => ({ copy: id, backward: i === 2 ? "none" : backward })),
          schedule,
          window,
          work,
        },
      ],
      groups: copies.map(({ id }) => ({ members: [id], policy: "average", when: "round" })),
      links: [
        { from: a, to: near, ...link },
        { from: near, to: far, ...link },
      ],
      limits: nodes.map((node) => ({ node, duty: 1 })),
      forecasts: [],
      reason: "by hand",
    };
  };

/** Trains the small job so, and holds the weights against the replay. */
export async function train(way: Way, change: object = {}, faults: readonly SimFault[] = []) {
  const job = smallJob({
    localBatches: 6,
    optimizer: { learningRate: 0.1, momentum: 0.9, accumulate: 3 },
    fleet: { devices: [{ name: "a" }] },
    ...change,
  });
  const [edge, device] = smallFleet(job);
  const { profile, ...rest } = present(edge, "an edge");
  const { updateMs = profile.segments[0]?.updateMs ?? 0 } = way;
  const segments = profile.segments.map((time) => ({ ...time, updateMs }));
  const server = { ...rest, profile: { ...profile, segments }, latencyMs: 3 };
  const nodes = [
    present(device, "a device"),
    { ...server, name: "near" },
    { ...server, name: "far", test: null },
    { ...server, name: "other", test: null },
    { ...server, name: "spare", test: null },
  ];
  const { slowness = 1, model = smallModel() } = way;
  const slowed = nodes.map((node) => ({
    ...node,
    profile: {
      ...node.profile,
      segments: node.profile.segments.map(({ forwardMs, backwardMs, updateMs }) => ({
        forwardMs: slowness * forwardMs,
        backwardMs: slowness * backwardMs,
        updateMs: slowness * updateMs,
      })),
    },
  }));
  const result = await simulate({
    job,
    model,
    planner: pipelineOf(way),
    ...(way.forecaster === undefined ? {} : { forecaster: way.forecaster }),
    nodes: slowed,
    engine: interpreterEngine,
    faults,
    patienceMs: faults.length === 0 ? 0 : 60_000,
  });
  expect(result.end).toMatchObject({ reason: "finished" });
  const records = result.records.map(({ record }) => record);
  const weights = await expectReplayed(job, result, { model, samplesOf: () => shard(0) });
  const rounds = records.filter((record) => record.type === "round");
  return { weights, rounds, records, timed: result.records };
}
