/** Why `pipeline` chose what it chose, in words for the people who own the machines. */
import { present } from "../base/assert.ts";
import { formatBytes, formatMs } from "../base/units.ts";
import type { PipelineModel } from "./pipeline-model.ts";
import { type ChosenChain, roomyWindow, windowPeriodMs } from "./pipeline-schedule.ts";
import type { PlanRequest } from "./plan.ts";

/** A chain with what it was chosen from, as reasons need it. */
export interface PipelineDecision {
  readonly request: PlanRequest;
  readonly model: PipelineModel;
  readonly chain: ChosenChain;
  /** The source alone; null where its memory is too small. */
  readonly alone: ChosenChain | null;
  /** The best chain with the given server and those of the chosen chain; null where there is none. */
  with(server: number): ChosenChain | null;
}

/** What the chain does and how fast, and how it came to be chosen. */
export function pipelineReasons(decision: PipelineDecision): { chain: string; plan: string } {
  const { chain } = decision;
  return {
    chain: [workWords(decision), ...paceWords(decision)].join("; "),
    plan: [
      `${placeWords(decision)}, ${formatMs(chain.roundMs)} a round`,
      decidesWords(decision, chain),
      aloneWords(decision),
      ...leftOutWords(decision),
    ].join("; "),
  };
}

const nameOf = ({ model }: PipelineDecision, node: number): string =>
  present(model.nodes[node], "a node").name;

function placeWords(decision: PipelineDecision): string {
  const names = decision.chain.stages.map(({ node }) => nameOf(decision, node));
  const [source, ...servers] = names;
  if (servers.length === 0) return `${source} trains alone`;
  return `${source} with ${servers.join(", then ")}`;
}

/** Who trains how much of the model. */
function workWords(decision: PipelineDecision): string {
  const { request, chain } = decision;
  const shares = chain.stages.map(
    ({ node, from, to }) => `${nameOf(decision, node)} has ${shareWords(request, from, to)}`,
  );
  return `${shares.join(", ")} of the work`;
}

function shareWords({ segments }: PlanRequest, from: number, to: number): string {
  let [own, all] = [0, 0];
  for (const { index, forwardFlops, backwardFlops } of segments) {
    all += forwardFlops + backwardFlops;
    if (from <= index && index < to) own += forwardFlops + backwardFlops;
  }
  const percent = all > 0 ? (100 * own) / all : 0;
  return `${percent > 0 && percent < 1 ? "less than 1" : percent.toFixed(0)} %`;
}

/** How the schedule fills the pipeline: K and why for a window, the size of a group for the others. */
function paceWords({ request, chain, model }: PipelineDecision): string[] {
  const { work, accumulate, pipeline } = request;
  if (chain.stages.length === 1) return [];
  const there = `a batch takes ${formatMs(chain.latencyMs)} there and back`;
  if (pipeline.schedule !== "window") {
    const name = pipeline.schedule === "gpipe" ? "GPipe" : "1F1B";
    if (accumulate === 1) return [`${there}; with one batch to an update, ${name} is serial`];
    return [`${there}; ${name} empties the pipeline after each update of ${accumulate} batches`];
  }
  const wanted = roomyWindow(chain, work);
  const slowest = present(model.timesOf(chain.stages).resources[0], "a resource").ms;
  const because = `${there} and ${formatMs(slowest)} where it is slowest`;
  const window = `window ${chain.window}`;
  if (pipeline.window !== null) return [`${window}, as the job asks; ${because}`];
  if (chain.window < wanted) {
    return [
      `${window}: no memory for more batches in flight, ${wanted} would be faster; ${because}`,
    ];
  }
  if (chain.window > wanted)
    return [`${window}, since with less batches would bunch up: ${because}`];
  if (wanted === 0) return [`${window}, as one batch at a time is as fast as several: ${because}`];
  return [
    `${window}, one more than keeps the slowest part busy if no batch ever waits: ${because}`,
  ];
}

/** What the time between two batches depends on. */
function decidesWords({ request, model }: PipelineDecision, chain: ChosenChain): string {
  const { work, pipeline } = request;
  const { resources } = model.timesOf(chain.stages);
  const [slowest, second] = resources;
  const { name, ms } = present(slowest, "a resource");
  if (chain.stages.length === 1) return `${name} takes ${formatMs(ms)} a batch`;
  const isWindow = pipeline.schedule === "window";
  const periodMs = isWindow
    ? windowPeriodMs(chain, { window: chain.window, work })
    : chain.slowestMs;
  const every = `a batch every ${formatMs(periodMs)}`;
  if (periodMs > ms * (1 + 1e-9)) {
    const held = isWindow ? `the window of ${chain.window}` : "1F1B's bound on batches in flight";
    return `${every}, which ${held} decides, as ${name} takes only ${formatMs(ms)}`;
  }
  const next = second === undefined ? "" : `, before ${second.name} with ${formatMs(second.ms)}`;
  return `${every}, which ${name} decides${next}`;
}

function aloneWords(decision: PipelineDecision): string {
  const { alone, chain } = decision;
  const source = nameOf(decision, 0);
  if (alone === null) return `${source} alone has too little memory for the whole model`;
  if (chain.stages.length === 1) return "no server would make it faster";
  const times = alone.roundMs / chain.roundMs;
  return `${source} alone would take ${formatMs(alone.roundMs)}, ${times.toFixed(1)} x as long`;
}

/** A sentence for each server that takes no part. */
function leftOutWords(decision: PipelineDecision): string[] {
  const { model, chain } = decision;
  const used = new Set(chain.stages.map(({ node }) => node));
  return model.nodes.flatMap((_, server) =>
    used.has(server) || server === 0
      ? []
      : [`${nameOf(decision, server)} is left out: ${whyWithout(decision, server)}`],
  );
}

function whyWithout(decision: PipelineDecision, server: number): string {
  const { chain, model } = decision;
  const other = decision.with(server);
  if (other === null) {
    const { memoryBytes } = present(model.nodes[server], "a node");
    const memory = memoryBytes === null ? "" : `, or its ${formatBytes(memoryBytes)} hold no stage`;
    return `nothing gets there${memory}`;
  }
  const more = other.roundMs / chain.roundMs - 1;
  if (more < 0.001) return "with it a round would take as long";
  const slower = `with it a round would take ${formatMs(other.roundMs)}`;
  return `${slower}; ${decidesWords(decision, other)}`;
}
