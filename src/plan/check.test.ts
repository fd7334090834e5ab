import { describe, expect, test } from "vitest";
import { edgeServer, evenProfile, fleetNode, planRequest, segmentCost } from "../../test/fleets.ts";
import { PlanError } from "../base/errors.ts";
import { chainId, copyId, nodeId } from "../base/ids.ts";
import { checkPlan } from "./check.ts";
import { parallelSplit } from "./parallel-split.ts";
import type { Plan } from "./plan.ts";

const profile = evenProfile(3, 1);
const request = planRequest(
  [segmentCost(0, 100), segmentCost(1, 50), segmentCost(2, 10)],
  [edgeServer(profile), fleetNode("a", profile), fleetNode("b", profile, { ceilingBytesPerMs: 9 })],
  20,
);
const good = parallelSplit(request);

type Loose<T> = T extends string | number
  ? T
  : T extends readonly (infer E)[]
    ? Loose<E>[]
    : T extends object
      ? { -readonly [K in keyof T]: Loose<T[K]> }
      : T;

/** The good plan with one thing changed. */
function broken(change: (plan: Loose<Plan>) => void): Plan {
  const plan = structuredClone(good) as Loose<Plan>;
  change(plan);
  return plan as Plan;
}

const at = <T>(items: readonly T[], i: number): T => items[i] as T;

test("a good plan passes, with the fleet and without", () => {
  checkPlan(good, 3);
  checkPlan(good, 3, request.fleet);
});

describe("a plan is refused for", () => {
  test.each<[string, (plan: Loose<Plan>) => void, string]>([
    ["two copies of one name", (p) => p.copies.push(at(p.copies, 0)), "copy:a occurs twice"],
    ["segments that the model lacks", (p) => (at(p.copies, 1).to = 4), "the model has [0, 3)"],
    ["an empty copy", (p) => (at(p.copies, 0).to = 0), "[0, 0)"],
    ["a gap between stages", (p) => (at(p.copies, 0).to = 1), "goes from segment 1"],
    [
      "a chain that ends early",
      (p) => at(p.chains, 0).stages.pop(),
      'has backward "stored" in stage 0 of 1',
    ],
    ["no chain", (p) => (p.chains = []), "no chain"],
    ["a chain twice", (p) => p.chains.push(at(p.chains, 0)), "chain:a occurs twice"],
    ["no work", (p) => (at(p.chains, 0).work = 0), "0 batches a round"],
    ["a chain that starts elsewhere", (p) => (at(p.chains, 0).source = nodeId("b")), "starts on a"],
    [
      "a copy that is not there",
      (p) => (at(at(p.chains, 0).stages, 0).copy = copyId("x")),
      "uses x",
    ],
    [
      "a copy in two chains",
      (p) => (p.chains[1] = { ...at(p.chains, 0), id: chainId("c") }),
      "copy:a serves two stages",
    ],
    [
      "a copy in no chain",
      (p) => p.copies.push({ ...at(p.copies, 0), id: copyId("x") }),
      "x is in no chain",
    ],
    [
      "a forecast for nothing",
      (p) => (at(p.forecasts, 0).chain = chainId("x")),
      "a forecast is for x",
    ],
    [
      "a forecast of less than nothing",
      (p) => (at(p.forecasts, 0).transferMs = -1e-14),
      "is forecast to take -1e-14 ms",
    ],
    ["two forecasts", (p) => p.forecasts.push(at(p.forecasts, 0)), "two forecasts"],
    [
      "a loss in mid-chain",
      (p) => (at(at(p.chains, 0).stages, 0).backward = "none"),
      'backward "none"',
    ],
    ["an empty group", (p) => p.groups.push({ ...at(p.groups, 0), members: [] }), "no members"],
    [
      "a member that is no copy",
      (p) => at(p.groups, 0).members.push(copyId("x")),
      "x, which is no copy",
    ],
    ["a copy in two groups", (p) => p.groups.push(at(p.groups, 0)), "in two groups"],
    ["a copy in no group", (p) => at(p.groups, 0).members.pop(), "copy:edge:b is in no group"],
    [
      "a policy that is not there",
      (p) => (at(p.groups, 0).policy = "vote" as "average"),
      "no policy vote",
    ],
    ["a border without a link", (p) => p.links.pop(), "from b to edge has no link"],
    ["a link twice", (p) => p.links.push(at(p.links, 0)), "has one already"],
    [
      "a link where no border is",
      (p) => (at(p.links, 0).to = nodeId("b")),
      "no border for the link",
    ],
    [
      "a link that carries nothing",
      (p) => (at(p.links, 0).bytesPerMs = 0),
      "0 bytes per millisecond",
    ],
    [
      "a codec that is not there",
      (p) => (at(p.links, 0).codecUp = "zip" as "float32"),
      "no codec zip",
    ],
    ["a duty above 1", (p) => (at(p.limits, 0).duty = 2), "duty of 2"],
    ["two limits", (p) => p.limits.push(at(p.limits, 0)), "two limits"],
    ["a node without a limit", (p) => p.limits.pop(), "b trains and has no limit"],
  ])("%s", (_, change, words) => {
    const plan = broken(change);
    expect(() => checkPlan(plan, 3)).toThrow(PlanError);
    expect(() => checkPlan(plan, 3)).toThrow(words);
  });

  test("a node that nobody knows", () => {
    const nodes = request.fleet.nodes.slice(0, 2);
    expect(() => checkPlan(good, 3, { ...request.fleet, nodes })).toThrow("there is no node b");
  });

  test("shares above the cell and above a node's own link", () => {
    const wide = broken((p) => (at(p.links, 0).bytesPerMs = 30));
    expect(() => checkPlan(wide, 3, request.fleet)).toThrow("shares of the cell");
    const narrow = broken((p) => (at(p.links, 1).bytesPerMs = 9.1));
    expect(() => checkPlan(narrow, 3, { ...request.fleet, cellBytesPerMs: null })).toThrow(
      "shares of the link of b",
    );
  });
});
