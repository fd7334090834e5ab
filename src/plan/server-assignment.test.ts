import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  anyRequest,
  devicesWith,
  edgeServer,
  evenProfile,
  judgedMs,
  narrowingSegments,
  planRequest,
} from "../../test/fleets.ts";
import { nodeId } from "../base/ids.ts";
import { checkPlan } from "./check.ts";
import { parallelSplit } from "./parallel-split.ts";
import type { FleetNode, Plan } from "./plan.ts";
import { chooseServers } from "./server-assignment.ts";
import { splitBoundMs } from "./split-bound.ts";
import { chooseSplit } from "./split-choice.ts";
import { SplitModel } from "./split-model.ts";

const segments = narrowingSegments(1000, 500, 100, 10);
const server = (name: string, segmentMs: number, more: Partial<FleetNode> = {}): FleetNode =>
  edgeServer(evenProfile(4, segmentMs), { ...more, id: nodeId(name), name });
const devices = (count: number): FleetNode[] => devicesWith(count, () => evenProfile(4, 10));
const serversOf = ({ copies }: Plan): string[] =>
  copies.flatMap(({ node, from }) => (from > 0 ? [node as string] : []));

describe("several servers", () => {
  test("share devices by how fast they are", () => {
    // At the deepest cut the fast one alone would have 64 ms of work for each 38 ms of a device.
    const nodes = [server("fast", 8), server("slow", 12), ...devices(8)];
    const request = planRequest(segments, nodes, null, { work: 10 });
    const plan = parallelSplit(request);
    checkPlan(plan, 4, request.fleet);
    const names = serversOf(plan);
    expect(names.filter((name) => name === "fast").length).toBeGreaterThanOrEqual(4);
    expect(names).toContain("slow");
    expect(plan.reason).toMatch(/^8 devices with fast, slow,/);
    const one = {
      ...request,
      fleet: { ...request.fleet, nodes: nodes.filter(({ name }) => name !== "slow") },
    };
    expect(judgedMs(plan, request)).toBeLessThan(0.75 * judgedMs(parallelSplit(one), one));
  });

  test("are chosen by the way to them", () => {
    const nodes = [server("far", 0.1), server("near", 0.1), ...devices(2)];
    const links = devices(2).map(({ id }) => ({
      ...{ from: id, to: nodeId("far"), thereBytesPerMs: 1, backBytesPerMs: 1, latencyMs: 50 },
    }));
    const request = planRequest(segments, nodes, 1e4, { work: 10 });
    const plan = parallelSplit({ ...request, fleet: { ...request.fleet, links } });
    expect(serversOf(plan)).toEqual(["near", "near"]);
  });

  test("are assigned as well as by trying all assignments, nearly always", () => {
    let [exact, count] = [0, 0];
    fc.assert(
      fc.property(
        anyRequest(4, 4),
        fc.double({ min: 0.2, max: 5, noNaN: true }),
        (request, speed) => {
          const [first] = request.fleet.nodes as [FleetNode];
          const second = {
            ...first,
            ...{ id: nodeId("edge 2"), name: "edge 2" },
            profile: {
              ...first.profile,
              segments: first.profile.segments.map((time) => ({
                ...time,
                forwardMs: speed * time.forwardMs,
              })),
            },
          };
          const nodes = [...request.fleet.nodes, second];
          const model = new SplitModel({ ...request, fleet: { ...request.fleet, nodes } });
          const roundOf = (serverOf: number[]) => chooseSplit(model, serverOf).roundMs;
          const all = Array.from({ length: 2 ** model.devices.length }, (_, bits) =>
            roundOf(model.devices.map((_, i) => (bits >> i) & 1)),
          );
          const ratio = chooseServers(model).roundMs / Math.min(...all);
          count++;
          if (ratio < 1 + 1e-5) exact++;
          expect(ratio).toBeLessThan(1.1);
          expect(splitBoundMs(model.request)).toBeLessThanOrEqual(Math.min(...all) * (1 + 1e-6));
        },
      ),
      { numRuns: 100 },
    );
    expect(exact / count).toBeGreaterThan(0.95);
  });
});
