/**
 * The schemes that the pipeline is compared with, as planners: each is given the nodes that are
 * there and answers with its plan, whatever it is asked after. Those that are tuned know the
 * scenario's average; none of them knows what is next.
 */
import {
  type ChainPlan,
  type Fleet,
  type NodeId,
  type Plan,
  type Planner,
  type PlanRequest,
  planners,
} from "edgeloom";
import { amongNodes } from "./pipeline-conditions.ts";

/** What a tuned scheme knows of a scenario: the fleet that it is on the average. */
export type Average = (fleet: Fleet) => Fleet;

/** The device trains all by itself. */
export const deviceOnly = (): Planner => planners.local;

/** One cut, one server, one batch at a time: the best on the average, the device alone without it. */
export function serialSplit(average: Average): Planner {
  return keeping((request) => {
    const tuned = { ...request, fleet: average(request.fleet) };
    const source = sourceOf(request);
    const servers = request.fleet.nodes.filter(({ kind }) => kind !== "device");
    const pipeline = { ...request.pipeline, schedule: "window" as const, window: 0 };
    const plans = servers.map(({ id }) => {
      const fleet = amongNodes(tuned.fleet, new Set([source, id]));
      return unpaced(planners.pipeline({ ...tuned, fleet, pipeline }));
    });
    return fastest([planners.local(tuned), ...plans]);
  }, planners.local);
}

/** The best pipeline on the average; the device alone while one of its servers is away. */
export const staticPipeline = (average: Average): Planner =>
  keeping(tunedPipeline(average), planners.local);

/** The same, and the best one of those who are there when one of its servers is lost. */
export const repairedPipeline = (average: Average): Planner =>
  keeping(tunedPipeline(average), tunedPipeline(average), { forGood: true });

const tunedPipeline =
  (average: Average): Planner =>
  (request) =>
    unpaced(planners.pipeline({ ...request, fleet: average(request.fleet) }));

/** The plan without the rates that links are to keep to: the network holds them to what it carries. */
export const unpaced = (plan: Plan): Plan => ({
  ...plan,
  links: plan.links.map((link) => ({ ...link, bytesPerMs: null })),
});

/**
 * A planner that keeps to its first plan while every node of it is there, and asks another one else.
 * @param forGood what the other one says is kept in turn, instead of coming back to the first plan
 */
function keeping(first: Planner, other: Planner, { forGood = false } = {}): Planner {
  let kept: Plan | null = null;
  return (request) => {
    kept ??= first(request);
    const there = new Set(request.fleet.nodes.map(({ id }) => id));
    if (kept.copies.every(({ node }) => there.has(node))) return { ...kept, term: request.term };
    const plan = other(request);
    if (forGood) kept = plan;
    return plan;
  };
}

function fastest(plans: readonly Plan[]): Plan {
  const roundMs = ({ forecasts }: Plan): number => Math.max(...forecasts.map((one) => one.roundMs));
  return plans.reduce((best, plan) => (roundMs(plan) < roundMs(best) ? plan : best));
}

function sourceOf({ fleet }: PlanRequest): NodeId {
  const holder = fleet.nodes.find(({ samples }) => samples > 0);
  if (holder === undefined) throw new Error("nobody holds data");
  return holder.id;
}

/** A plan's chain in a few words: "phone 0-3, server-2 3-9". */
export function chainText({ copies, chains }: Plan): string {
  const [chain] = chains as readonly ChainPlan[];
  const stages = chain?.stages.map(({ copy }) => copies.find(({ id }) => id === copy)) ?? [];
  const parts = stages.map((copy) => (copy ? `${copy.node} ${copy.from}-${copy.to}` : "?"));
  return `${parts.join(", ")}${chain && chain.window > 0 ? `, window ${chain.window}` : ""}`;
}
