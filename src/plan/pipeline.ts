/**
 * A pipeline: one chain from the device that holds the data over some of the servers, in an order
 * that is chosen with the cuts, so that a round takes as little time as possible. The device keeps
 * the first trained segment at least, as in `parallel-split`; it may also do best alone.
 *
 * `pipeline-model.ts` says what stages and borders take, `pipeline-choice.ts` finds the chain,
 * `pipeline-reasons.ts` puts it into words.
 *
 * A link is paced where the owner of one of its ends has declared a ceiling, because nothing else
 * would hold it, and for a device by its cell. The borders of a chain that meet at a node share the
 * node's link as their messages come: a share of its own for each would stand idle while the
 * other waits.
 */
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { chainId, copyId } from "../base/ids.ts";
import { formatBytes } from "../base/units.ts";
import { checkNode, firstCut } from "./check-request.ts";
import { chooseChain } from "./pipeline-choice.ts";
import { PipelineModel } from "./pipeline-model.ts";
import { type PipelineDecision, pipelineReasons } from "./pipeline-reasons.ts";
import type { ChosenChain, PipelineProblem } from "./pipeline-schedule.ts";
import type { FleetNode, LinkPlan, Plan, PlanRequest } from "./plan.ts";

/**
 * Most servers among which a chain is chosen exactly: the sets of more are too many to look at.
 * Of more, those with which the source alone would be fastest.
 */
export const serversMax = 12;

/**
 * Plans one chain over the one node that holds data and any of the edge servers and cloud nodes.
 *
 * @throws PlanError when not exactly one node holds data, when no chain fits into memory, or when a
 *   profile does not fit the model
 */
export function pipeline(request: PlanRequest): Plan {
  const question = pipelineQuestion(request);
  return planOf(question, fastestChain(question));
}

/** A chain as a plan, with the reasons for it. */
export const planOf = (question: PipelineQuestion, chain: ChosenChain): Plan =>
  planFor(decisionOf(question, chain));

/** A decision as a plan, with its reasons. */
export function planFor(decision: PipelineDecision): Plan {
  const { request, model, chain } = decision;
  const times = model.timesOf(chain.stages);
  const reasons = pipelineReasons(decision);
  const id = chainId(`chain:${present(model.nodes[0], "the source").id}`);
  return {
    term: request.term,
    planner: "pipeline",
    objective: "round time",
    ...layOut(decision, chain),
    forecasts: [
      {
        chain: id,
        roundMs: chain.roundMs,
        computeMs: request.work * times.computeMs,
        transferMs: request.work * times.transferMs,
        reason: reasons.chain,
      },
    ],
    reason: reasons.plan,
  };
}

/** A request with what there is to choose from. */
export interface PipelineQuestion {
  readonly request: PlanRequest;
  /** The source first, then all servers. */
  readonly model: PipelineModel;
  readonly problem: PipelineProblem;
}

/** The fastest chain. @throws PlanError where there is none */
export function fastestChain({ request, model, problem }: PipelineQuestion): ChosenChain {
  const every = model.nodes.map((_, i) => i);
  const chain = among(problem, nearest(problem, every));
  if (chain === null) throw noChain(request, present(model.nodes[0], "the source"));
  return chain;
}

/** @throws PlanError as {@link pipeline}, though a chain may still not exist */
export function pipelineQuestion(request: PlanRequest): PipelineQuestion {
  const model = new PipelineModel(request, pipelineNodes(request));
  return { request, model, problem: problemOf(request, model) };
}

/** Those who may take part: the source first, then all servers. @throws PlanError as {@link pipeline} */
export function pipelineNodes(request: PlanRequest): FleetNode[] {
  const source = holderOf(request);
  const servers = request.fleet.nodes.filter((node) => node !== source && node.kind !== "device");
  for (const node of [source, ...servers]) checkNode(request, node);
  return [source, ...servers];
}

/** A chain with what it is compared to. */
function decisionOf(
  { request, model, problem }: PipelineQuestion,
  chain: ChosenChain,
): PipelineDecision {
  const used = chain.stages.map(({ node }) => node);
  return {
    request,
    model,
    chain,
    alone: among(problem, [0]),
    with: (server) => among(problem, [...used, server], [server]),
  };
}

function holderOf({ fleet }: PlanRequest): FleetNode {
  const holders = fleet.nodes.filter((node) => node.samples > 0);
  if (holders.length === 1) return present(holders[0], "a node with data");
  throw new PlanError(
    holders.length === 0
      ? "pipeline needs a device with training data, and the fleet has none"
      : `pipeline trains on the data of one device, and ${holders.length} hold some ` +
          `(${holders.map((node) => node.name).join(", ")}); parallel-split uses them all`,
  );
}

function problemOf(request: PlanRequest, model: PipelineModel): PipelineProblem {
  const { segments, pipeline: wish, work, accumulate } = request;
  return {
    segments: segments.length,
    firstCut: firstCut(segments) ?? segments.length,
    stages: model.nodes.map((_, i) => model.stageCosts(i)),
    borders: model.nodes.map((_, from) => model.nodes.map((__, to) => model.borderCosts(from, to))),
    schedule: wish.schedule,
    window: wish.window,
    work,
    accumulate,
  };
}

/** The best chain among some of the nodes, in which some have to be. */
function among(
  problem: PipelineProblem,
  nodes: readonly number[],
  must: readonly number[] = [],
): ChosenChain | null {
  const those = <T>(items: readonly T[]): T[] => nodes.map((i) => present(items[i], "a node"));
  const part = {
    ...problem,
    stages: those(problem.stages),
    borders: those(problem.borders).map(those),
  };
  let bits = 0;
  for (const node of must) bits |= 1 << nodes.indexOf(node);
  const chain = chooseChain(part, bits);
  if (chain === null) return null;
  const stages = chain.stages.map((stage) => ({
    ...stage,
    node: present(nodes[stage.node], "a node"),
  }));
  return { ...chain, stages };
}

/** The source and no more servers than can be chosen among, in their order. */
function nearest(problem: PipelineProblem, nodes: readonly number[]): readonly number[] {
  if (nodes.length <= serversMax + 1) return nodes;
  const ms = new Map(
    nodes.slice(1).map((node) => {
      return [node, among(problem, [0, node], [node])?.roundMs ?? Number.POSITIVE_INFINITY];
    }),
  );
  const best = [...ms.keys()].sort((a, b) => (ms.get(a) as number) - (ms.get(b) as number));
  const kept = new Set(best.slice(0, serversMax));
  return nodes.filter((node) => node === 0 || kept.has(node));
}

/** Says that memory and links allow no chain at all. */
export function noChain({ segments }: PlanRequest, source: FleetNode): PlanError {
  const memory = source.memoryBytes === null ? "" : ` of ${formatBytes(source.memoryBytes)}`;
  return new PlanError(
    `${source.name} cannot train all ${segments.length} segments in its memory${memory}, and no ` +
      "server that it reaches has memory for what a cut behind the first trained segment leaves",
  );
}

/** The chain in the plan's own words. */
export function layOut(
  { request, model }: Pick<PipelineQuestion, "request" | "model">,
  chain: Pick<ChosenChain, "stages" | "window">,
): Pick<Plan, "copies" | "chains" | "groups" | "links" | "limits"> {
  const { pipeline: wish, work } = request;
  const nodes = chain.stages.map(({ node }) => present(model.nodes[node], "a node"));
  const source = present(nodes[0], "the source");
  const copies = chain.stages.map(({ from, to }, i) => {
    const node = present(nodes[i], "a node").id;
    return { id: copyId(`copy:${node}`), node, from, to, mode: "train" as const };
  });
  const id = chainId(`chain:${source.id}`);
  const last = copies.length - 1;
  const isAlone = last === 0;
  return {
    copies,
    chains: [
      {
        id,
        source: source.id,
        stages: copies.map((copy, i) => ({
          copy: copy.id,
          backward: i === last ? ("none" as const) : wish.backward,
        })),
        schedule: isAlone ? "serial" : wish.schedule,
        window: chain.window,
        work,
      },
    ],
    groups: copies.map((copy) => ({ members: [copy.id], policy: "average", when: "round" })),
    links: nodes.slice(1).map((to, i): LinkPlan => {
      const from = present(nodes[i], "a node");
      return {
        from: from.id,
        to: to.id,
        chain: id,
        bytesPerMs: model.paceOf(from, to),
        codecUp: request.codecUp,
        codecDown: request.codecDown,
      };
    }),
    limits: nodes.map(({ id: node, duty }) => ({ node, duty })),
  };
}
