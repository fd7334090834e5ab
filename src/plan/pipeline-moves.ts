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
import { decisionOf, pipelineProblem, planOf } from "./pipeline.ts";
import type { PipelineModel } from "./pipeline-model.ts";
import {
  fits,
  type PipelineProblem,
  type Placement,
  placementsOf,
  roomyWindow,
  roundMs,
  windowPeriodMs,
} from "./pipeline-schedule.ts";
import type { CopyPlan, Plan, PlanRequest } from "./plan.ts";
import { movingMs } from "./replan.ts";

/** Steps that are taken at most: as many as there may be stages. */
const stepsMax = 8;

/**
 * The pipeline that takes least for so many batches, moving there included.
 *
 * @param plan the one in force, of the schedule `window`
 * @param batches before things are expected to change again
 * @returns null where nothing is better than staying, or the plan in force is none of the request's
 * @throws PlanError as `pipeline`
 */
export function pipelineMove(plan: Plan, request: PlanRequest, batches: number): Plan | null {
  const isWindow = [plan.chains[0], request.pipeline].every((one) => one?.schedule === "window");
  if (!isWindow) return null;
  const { model, problem } = pipelineProblem(request);
  const start = placementsOf(plan, model.nodes);
  if (start === null) return null;
  const search = new MoveSearch({ model, problem, request }, plan.copies, batches);
  const stages = search.from(start);
  if (stages === start) return null;
  const figures = search.figuresOf(stages);
  if (figures === null) return null;
  const { latencyMs, slowestMs, window } = figures;
  const { homeMs } = model.timesOf(stages);
  const times = { latencyMs, slowestMs, homeMs };
  const found = { stages, ...times, window, roundMs: roundMs(times, window, problem) };
  return planOf(decisionOf({ request, model, problem }, found));
}

interface Surroundings {
  readonly model: PipelineModel;
  readonly problem: PipelineProblem;
  readonly request: PlanRequest;
}

interface Figures {
  readonly latencyMs: number;
  readonly slowestMs: number;
  readonly window: number;
  readonly periodMs: number;
}

class MoveSearch {
  readonly #around: Surroundings;
  readonly #held: readonly CopyPlan[];
  readonly #batches: number;

  constructor(around: Surroundings, held: readonly CopyPlan[], batches: number) {
    this.#around = around;
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
    const { problem } = this.#around;
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
    const { model, request } = this.#around;
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
    return Math.max(from + 1, node === 0 ? this.#around.problem.firstCut : 0);
  }

  #spares(stages: readonly Placement[]): number[] {
    const used = new Set(stages.map(({ node }) => node));
    return this.#around.problem.stages.flatMap((_, node) => (used.has(node) ? [] : [node]));
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
    const { segments } = this.#around.problem;
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
