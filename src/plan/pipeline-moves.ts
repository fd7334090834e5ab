/**
 * Which pipeline to move to from one in force. The fastest there is may be far away: all its weights would have
 * to travel, and a little later another one would be the fastest. So the chain is changed step by step
 * where each step pays: a border between two stages is shifted, a server takes the place of another
 * one, joins between two stages, or leaves. What pays is the time that a number of batches takes, what moving
 * takes included; so weights stay where they are unless there is something to be gained by them.
 *
 * This is local search (Papadimitriou and Steiglitz, "Combinatorial Optimization", 1982, chapter 19): it ends in a chain
 * that no single step makes better, which need not be the best of all.
 */
import { present } from "../base/assert.ts";
import {
  fastestChain,
  layOut,
  type PipelineQuestion,
  pipelineQuestion,
  planOf,
} from "./pipeline.ts";
import { chainForecast } from "./pipeline-forecast.ts";
import {
  type ChosenChain,
  fits,
  type Placement,
  placementsOf,
  roomyWindow,
  roundMs,
  windowPeriodMs,
} from "./pipeline-schedule.ts";
import type { CopyPlan, Plan, PlanRequest } from "./plan.ts";
import { bestMove, type MoveOption, movingMs } from "./replan.ts";

/** Steps that are taken at most: as many as there may be stages. */
const stepsMax = 8;

/**
 * The pipeline that takes least for so many batches, moving there included: the fastest of all, or the one
 * that steps from the plan in force lead to where its schedule is `window`.
 *
 * @param batches before things are expected to change again
 * @returns null where that is the one in force
 * @throws PlanError as `pipeline`
 */
export function pipelineMove(plan: Plan, request: PlanRequest, batches: number): MoveOption | null {
  const question = pipelineQuestion(request);
  const fastest = fastestChain(question);
  const nearest = nearestChain(plan, question, batches);
  const chains = nearest === null ? [fastest] : [fastest, nearest];
  const options = chains.map((chain) => optionOf(plan, question, chain));
  return bestMove(plan, options, batches);
}

function optionOf(plan: Plan, question: PipelineQuestion, chain: ChosenChain): MoveOption {
  const { model, request } = question;
  const layout = layOut(question, chain);
  const how = { ...present(layout.chains[0], "a chain"), ...request };
  return {
    layout,
    forecast: chainForecast(model, chain.stages, how),
    movingMs: movingMs(plan.copies, layout.copies, request),
    toPlan: () => planOf(question, chain),
  };
}

/** Where steps from a plan lead; null where none pays, or the plan is no pipeline of the request's nodes with a window. */
function nearestChain(plan: Plan, question: PipelineQuestion, batches: number): ChosenChain | null {
  const { model, problem, request } = question;
  const isWindow = [plan.chains[0], request.pipeline].every((one) => one?.schedule === "window");
  const start = isWindow ? placementsOf(plan, model.nodes) : null;
  if (start === null) return null;
  const search = new MoveSearch(question, plan.copies, batches);
  const stages = search.from(start);
  if (stages === start) return null;
  const figures = search.figuresOf(stages);
  if (figures === null) return null;
  const { latencyMs, slowestMs, window } = figures;
  const times = { latencyMs, slowestMs };
  return { stages, ...times, window, roundMs: roundMs(times, window, problem) };
}

interface Figures {
  readonly latencyMs: number;
  readonly slowestMs: number;
  readonly window: number;
  readonly periodMs: number;
}

class MoveSearch {
  readonly #question: PipelineQuestion;
  readonly #held: readonly CopyPlan[];
  readonly #batches: number;

  constructor(question: PipelineQuestion, held: readonly CopyPlan[], batches: number) {
    this.#question = question;
    this.#held = held;
    this.#batches = batches;
  }

  /** The chain that steps lead to; the one given where none pays. */
  from(start: readonly Placement[]): readonly Placement[] {
    let [best, bestMs] = [start, this.#costMs(start, Number.POSITIVE_INFINITY)];
    for (let step = 0; step < stepsMax; step++) {
      const before = best;
      for (const next of this.#neighbours(before)) {
        const ms = this.#costMs(next, bestMs);
        if (ms < bestMs) [best, bestMs] = [next, ms];
      }
      if (best === before) break;
    }
    return best;
  }

  /** Null for a chain that memory or a link forbids. */
  figuresOf(stages: readonly Placement[]): Figures | null {
    const { problem } = this.#question;
    const { segments, work } = problem;
    let [latencyMs, slowestMs] = [0, 0];
    for (const [i, { node, from, to }] of stages.entries()) {
      const costs = present(problem.stages[node], "a node");
      const at = from * (segments + 1) + to;
      latencyMs += costs.latencyMs[at] as number;
      slowestMs = Math.max(slowestMs, costs.periodMs[at] as number);
      const next = stages[i + 1];
      if (next === undefined) continue;
      const border = present(problem.borders[node]?.[next.node], "a border");
      latencyMs += border.latencyMs[to] as number;
      slowestMs = Math.max(slowestMs, border.periodMs[to] as number);
    }
    if (!Number.isFinite(latencyMs)) return null;
    // Alone there is nothing to run ahead of.
    const window =
      stages.length === 1 ? 0 : (problem.window ?? roomyWindow({ latencyMs, slowestMs }, work));
    if (!fits(problem, stages, window)) return null;
    return {
      latencyMs,
      slowestMs,
      window,
      periodMs: windowPeriodMs({ latencyMs, slowestMs }, { window, work }),
    };
  }

  /** What the batches take on a chain, and the way there; not looked at closely where it is above a bound. */
  #costMs(stages: readonly Placement[], boundMs: number): number {
    const figures = this.figuresOf(stages);
    if (figures === null) return Number.POSITIVE_INFINITY;
    const { periodMs, latencyMs } = figures;
    const ms = latencyMs + (this.#batches - 1) * periodMs;
    if (ms >= boundMs) return ms;
    const { model, request } = this.#question;
    const next = stages.map(({ node, from, to }) => ({
      node: present(model.nodes[node], "a node").id,
      from,
      to,
    }));
    return ms + movingMs(this.#held, next, request);
  }

  *#neighbours(stages: readonly Placement[]): Generator<readonly Placement[]> {
    yield* this.#shifted(stages);
    yield* this.#replaced(stages);
    yield* this.#joined(stages);
    yield* left(stages);
  }

  /** Each border at every other cut between those around it. */
  *#shifted(stages: readonly Placement[]): Generator<readonly Placement[]> {
    for (const [i, stage] of stages.entries()) {
      const next = stages[i + 1];
      if (next === undefined) continue;
      for (let cut = this.#least(stage); cut < next.to; cut++) {
        if (cut === stage.to) continue;
        yield stages.with(i, { ...stage, to: cut }).with(i + 1, { ...next, from: cut });
      }
    }
  }

  /** A stage ends behind its first segment, and the source's behind what may not leave it. */
  #least({ node, from }: Placement): number {
    return Math.max(from + 1, node === 0 ? this.#question.problem.firstCut : 0);
  }

  #spares(stages: readonly Placement[]): number[] {
    const used = new Set(stages.map(({ node }) => node));
    return this.#question.problem.stages.flatMap((_, node) => (used.has(node) ? [] : [node]));
  }

  *#replaced(stages: readonly Placement[]): Generator<readonly Placement[]> {
    for (const node of this.#spares(stages)) {
      for (const [i, stage] of stages.entries()) {
        if (i > 0) yield stages.with(i, { ...stage, node });
      }
    }
  }

  /** A server more, which takes the end of one stage and the beginning of the next. */
  *#joined(stages: readonly Placement[]): Generator<readonly Placement[]> {
    const { segments } = this.#question.problem;
    for (const node of this.#spares(stages)) {
      for (const [i, before] of stages.entries()) {
        const after = stages[i + 1];
        const end = after === undefined ? segments + 1 : after.to;
        for (let from = this.#least(before); from <= before.to; from++) {
          const ends = after === undefined ? [segments] : range(Math.max(from + 1, before.to), end);
          for (const to of ends) {
            if (from >= to) continue;
            const rest = after === undefined ? [] : [{ ...after, from: to }];
            yield [
              ...stages.slice(0, i),
              { ...before, to: from },
              { node, from, to },
              ...rest,
              ...stages.slice(i + 2),
            ];
          }
        }
      }
    }
  }
}

/** One server less: those around it share its segments. */
function* left(stages: readonly Placement[]): Generator<readonly Placement[]> {
  for (const [i, { from, to }] of stages.entries()) {
    const before = stages[i - 1];
    const after = stages[i + 1];
    if (before === undefined) continue;
    for (const cut of after === undefined ? [to] : range(from, to + 1)) {
      const rest = after === undefined ? [] : [{ ...after, from: cut }];
      yield [...stages.slice(0, i - 1), { ...before, to: cut }, ...rest, ...stages.slice(i + 2)];
    }
  }
}

const range = (from: number, end: number): number[] =>
  Array.from({ length: Math.max(0, end - from) }, (_, i) => from + i);
