/** Plans for two parties with different columns of the same samples. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  anyRequest,
  edgeServer,
  evenProfile,
  fleetNode,
  planRequest,
  segmentCost,
} from "../../test/fleets.ts";
import { soundPlan } from "../../test/sound-plan.ts";
import { PlanError } from "../base/errors.ts";
import type { Party } from "../base/party.ts";
import { checkPlan } from "./check.ts";
import type { FleetNode, Plan, PlanRequest } from "./plan.ts";
import { twoParties } from "./two-parties.ts";

const party = (columns: readonly number[], hasLabels: boolean): Party => ({
  ...{ columns, hasLabels, keys: "0123456789abcdef" },
});
const home = fleetNode("shop", evenProfile(6, 6), {
  party: party([0], true),
  ceilingBytesPerMs: 10,
});
const other = fleetNode("studio", evenProfile(6, 3), {
  party: party([1], false),
  ceilingBytesPerMs: 20,
  latencyMs: 5,
});

/** Features of so many values behind each segment; the second party's columns are taken by the third and the fourth. */
const segmentsOf = (...values: readonly number[]) =>
  values.map((count, i) => {
    const taken = i === 0 ? [0] : i === 2 || i === 3 ? [1] : undefined;
    const bytes = { parameterBytes: i < values.length - 1 ? 80 : 0, stateBytes: 80 };
    return segmentCost(i, count, { ...bytes, ...(taken && { columns: taken }) });
  });
const narrow = segmentsOf(500, 40, 30, 200, 10, 1);
const requestOf = (
  change: Partial<PlanRequest> = {},
  nodes: readonly FleetNode[] = [home, other],
) => planRequest(narrow, nodes, null, { split: { labels: "at-home" }, work: 4, ...change });
const partsOf = (plan: Plan) => plan.copies.map(({ node, from, to }) => [node, from, to]);
const taken = narrow.map(({ columns = [] }) => columns);

describe("two parties", () => {
  test("have the segments that take their columns, and end where labels are, with a trained segment", () => {
    const plan = twoParties(requestOf());
    checkPlan(plan, 6, requestOf().fleet, { taken, nodes: [home, other] });
    // Behind the second segment least crosses; behind the fifth as well, but nothing would be trained then.
    expect(partsOf(plan)).toEqual([
      ["shop", 0, 2],
      ["studio", 2, 4],
      ["shop", 4, 6],
    ]);
    expect(plan.chains.map(({ source }) => source)).toEqual(["shop"]);
    expect(plan.links.map(({ from, to, bytesPerMs }) => [from, to, bytesPerMs])).toEqual([
      ["shop", "studio", 10],
      ["studio", "shop", 10],
    ]);
    expect(plan.reason).toMatch(/^two parties: shop has the labels, studio the other columns; /);
  });

  test("end with the other one where labels may go there", () => {
    expect(partsOf(twoParties(requestOf({ split: { labels: "at-server" } })))).toEqual([
      ["shop", 0, 2],
      ["studio", 2, 6],
    ]);
  });

  test("are told apart by what they have, among nodes that have no part in it", () => {
    const nodes = [edgeServer(evenProfile(6, 0.1)), other, home];
    expect(partsOf(twoParties(requestOf({}, nodes)))).toEqual(partsOf(twoParties(requestOf())));
  });

  test("are reckoned with the delay of both, or with the way that was measured between them", () => {
    const [forecast] = twoParties(requestOf()).forecasts;
    const fleet = { ...requestOf().fleet };
    const way = {
      from: other.id,
      to: home.id,
      thereBytesPerMs: 5,
      backBytesPerMs: 5,
      latencyMs: 50,
    };
    const slow = twoParties(requestOf({ fleet: { ...fleet, links: [way] } }));
    expect(slow.links.map(({ bytesPerMs }) => bytesPerMs)).toEqual([5, 5]);
    expect(slow.forecasts[0]?.roundMs).toBeGreaterThan(2 * (forecast?.roundMs ?? 0));
    const near = { ...other, latencyMs: 0 };
    const delays = 4 * 4 + 2;
    const nearMs = twoParties(requestOf({}, [home, near])).forecasts[0]?.roundMs ?? 0;
    expect((forecast?.roundMs ?? 0) - nearMs).toBeCloseTo(5 * delays, 6);
  });

  test.each([
    ["one is missing", [home], /the party without labels is not there/],
    [
      "labels are missing",
      [{ ...home, party: party([0], false) }, other],
      /the party with the labels is not there/,
    ],
    [
      "the memory of one is too small",
      [{ ...home, memoryBytes: 1 }, other],
      /shop has 1 B of memory/,
    ],
    [
      "one has not its columns",
      [home, { ...other, party: party([2], false) }],
      /no cut gives shop and studio the segments that take their columns, \[0\] and \[2\]/,
    ],
  ] as [string, FleetNode[], RegExp][])("have no plan where %s", (_, nodes, words) => {
    expect(() => twoParties(requestOf({}, nodes))).toThrow(PlanError);
    expect(() => twoParties(requestOf({}, nodes))).toThrow(words);
  });

  test("are never given each other's columns, whatever the fleet", () => {
    let planned = 0;
    fc.assert(
      fc.property(anyRequest(2, 6), fc.boolean(), (given, isAtHome) => {
        const [first, second] = given.fleet.nodes.filter(({ kind }) => kind === "device");
        const count = given.segments.length;
        if (first === undefined || second === undefined) return;
        const segments = given.segments.map((cost, i) => {
          if (i === 0) return { ...cost, columns: [0] };
          return i === Math.floor(count / 2) ? { ...cost, columns: [1] } : cost;
        });
        const nodes = given.fleet.nodes.map((node) => {
          if (node === first) return { ...node, party: party([0], true) };
          return node === second ? { ...node, party: party([1], false) } : node;
        });
        const split = { labels: isAtHome ? ("at-home" as const) : ("at-server" as const) };
        const plan = soundPlan(twoParties, {
          ...given,
          segments,
          fleet: { ...given.fleet, nodes },
          split,
        });
        if (plan instanceof PlanError) return;
        planned++;
        expect(plan.chains).toHaveLength(1);
      }),
      { numRuns: 200, seed: 1 },
    );
    expect(planned).toBeGreaterThan(20);
  });
});

describe("a plan that gives columns to who has them not", () => {
  const plan = twoParties(requestOf());
  const check =
    (change: Partial<Plan>, nodes: readonly FleetNode[] = [home, other]) =>
    () =>
      checkPlan({ ...plan, ...change }, 6, undefined, { taken, nodes });

  test.each([
    [
      "another party",
      {
        copies: plan.copies.map((copy) =>
          copy.from === 2 ? { ...copy, from: 3 } : copy.from === 0 ? { ...copy, to: 3 } : copy,
        ),
      },
      /copy:shop takes columns \[1\] of the samples, which shop has not/,
    ],
  ] as [string, Partial<Plan>, RegExp][])("is refused: %s", (_, change, words) => {
    expect(check(change)).toThrow(words);
  });

  test("is refused: a node without samples, a source without labels, a copy that merges", () => {
    const { party: _, ...bare } = other;
    expect(check({}, [home, { ...bare, samples: 0 }])).toThrow(/columns \[1\] .* studio has not/);
    expect(check({}, [home, bare])).not.toThrow();
    expect(check({}, [{ ...home, party: party([0], false) }, other])).toThrow(
      /chain:shop begins on shop, which has no labels/,
    );
    // Of nodes that nothing is known of, nothing is held.
    expect(check({}, [])).not.toThrow();
    const two = twoParties(requestOf({ split: { labels: "at-server" } }));
    const chains = two.chains.map((chain) => ({
      ...chain,
      stages: chain.stages.map((stage, i) => (i === 0 ? stage : { ...stage, merge: 1 })),
    }));
    expect(check({ ...two, chains })).toThrow(/copy:studio:shop merges, and takes columns/);
  });
});
