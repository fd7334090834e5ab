/** Decisions in words, as terminal, page and report tell them. */
import { expect, it } from "vitest";
import { evenProfile, fleetNode, planRequest, segmentCost } from "../../../test/fleets.ts";
import { nodeId } from "../../base/ids.ts";
import { parallelSplit } from "../../plan/parallel-split.ts";
import { pipeline } from "../../plan/pipeline.ts";
import { eventsOf } from "./events.ts";
import type { Planned, WayProbed } from "./record.ts";

const segments = [0, 1, 2].map((i) => segmentCost(i, 10));
const phone = fleetNode("phone", evenProfile(3, 20));
const server = (name: string) => fleetNode(name, evenProfile(3, 1), { kind: "edge", samples: 0 });
const planned = (plan: Planned["plan"]): string | undefined =>
  eventsOf({ type: "planned", plan, round: 0, reason: "because" })[0]?.text;

it("a pipeline's plan says where batches go", () => {
  const request = planRequest(segments, [phone, server("near")], null);
  expect(planned(pipeline(request))).toBe("plan, term 1: phone with near (pipeline; because)");
  const alone = pipeline(planRequest(segments, [phone], null));
  expect(planned(alone)).toBe("plan, term 1: phone alone (pipeline; because)");
});

it("a plan of many chains is left to its table", () => {
  const nodes = [phone, fleetNode("tablet", evenProfile(3, 5)), server("near")];
  const plan = parallelSplit(planRequest(segments, nodes, null));
  expect(planned(plan)).toBe("plan, term 1 (parallel-split; because)");
});

it("probes say what they have cost, where there were any", () => {
  const way = (payloads: number, bytes: number, ms: number): WayProbed => {
    return { from: nodeId("phone"), to: nodeId("near"), payloads, bytes, ms, share: 0.01 };
  };
  const told = (probes: WayProbed[]) => eventsOf({ type: "links", term: 1, links: [], probes });
  expect(told([])).toEqual([]);
  expect(told([way(2, 1_000_000, 30), way(1, 500_000, 80)])).toEqual([
    {
      kind: "probed",
      text: "ways between nodes: 3 probes so far, 1.5 MB in all, 80 ms on the one that was held longest",
    },
  ]);
});
