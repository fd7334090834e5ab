/**
 * The search for the chain with the shortest round for a given window.
 *
 * A round takes f(T0, T*): a sum and a maximum over stages and borders. Under a cap on the maximum the sum is least by dynamic programming: chains grow from their
 * last stage towards the source, and of those that begin with the same server at the same segment
 * and use the same set of servers, or some of it, only the one with the least T0 counts. That is the recurrence
 * of pipeline partitioning (Narayanan et al., "PipeDream", SOSP 2019, section 3.1) with sets in place
 * of a given order, as in Held and Karp (1962).
 *
 * Branch and bound then finds the cap. With a < T* <= b no chain is better than f(T0, a) for the
 * least T0 under the cap b; what cannot beat the best chain found is done. Otherwise the chain with that
 * T0 has some T*, no chain of its range with a larger one is better, and the range below is halved.
 */
import { present } from "../base/assert.ts";
import { type Bounds, lowerBounds } from "./pipeline-bounds.ts";
import {
  type BorderCosts,
  type ChosenChain,
  inFlightMax,
  latencyBelow,
  type PipelineProblem,
  type Placement,
  residenceMs,
  roundMs,
  type StageCosts,
} from "./pipeline-schedule.ts";

/** What is tried: the window that times chains, and the one whose batches stages must hold. */
export interface Trial {
  readonly window: number;
  readonly held: number;
}

/** Chains whose T* is above one bound and at most the other. */
interface Range {
  readonly above: number;
  readonly most: number;
  /** No chain in it has a smaller T0. */
  readonly latencyMs: number;
}

/** The two figures of a chain. */
type Figures = Pick<ChosenChain, "latencyMs" | "slowestMs">;

/** The least T0 of the chains' ends on one set of servers that begin on the same one, by segment. */
interface State {
  servers: number;
  node: number;
  readonly latencyMs: Float64Array;
  /** Where the first stage ends, and the state of those after it; null where it is the last. */
  readonly ends: Int32Array;
  readonly next: (State | null)[];
  /** The least T0 of these servers or some of them, the same one first. */
  readonly least: Float64Array;
}

/** The stages that a node can be under caps, by their end: `from[i]` for i in [starts[to], starts[to + 1]). */
interface Allowed {
  readonly starts: Int32Array;
  readonly from: Int32Array;
  readonly latencyMs: Float64Array;
}

/** One server before the stages of chains' ends, under the caps of a range. */
interface Step {
  readonly node: number;
  readonly most: number;
  /** By segment, the T0 below which a chain's end from there on may be part of a better chain. */
  readonly limits: Float64Array;
  readonly allowed: Allowed;
  /** By cut, the T0 of a chain's end, its border included, below which the server may come before it. */
  readonly longest: Float64Array;
}

/** Sums in different orders differ by so much. */
const rounding = 1e-12;

/**
 * After the first bisection, so many stages are put before chains' ends at most, some ten milliseconds'
 * work. Small problems are solved with far fewer. With six servers and a hundred segments the
 * chain is then within three percent of the best that a hundred times the effort found.
 */
const effortMax = 5e5;

/** Steps of the bisection that gives the search its first goal. */
const divesMax = 8;

/** What a better chain has to gain to be looked for: far less than measured times are sure by. */
const tolerance = 1e-3;

/** One problem, asked for several windows. */
export class PipelineSearch {
  readonly #problem: PipelineProblem;
  readonly #must: number;
  readonly #bounds: readonly Bounds[];
  #trial: Trial = { window: 0, held: 0 };
  #best: ChosenChain | null = null;
  #effort = 0;
  /** What nodes can be in the range that was looked at last, by batches in flight. */
  readonly #allowed = new Map<
    number,
    { readonly range: Range; readonly nodes: readonly Allowed[] }
  >();
  /** States of the search under way, and those of earlier ones whose memory it may have. */
  readonly #states: State[] = [];
  #statesUsed = 0;

  /** @param must servers that have to take part, as bits by node */
  constructor(problem: PipelineProblem, must: number) {
    this.#problem = problem;
    this.#must = must;
    this.#bounds = lowerBounds(problem);
  }

  /** The best chain of a trial, or `known` where none is better by more than the tolerance. */
  best(trial: Trial, known: ChosenChain | null): ChosenChain | null {
    this.#trial = trial;
    this.#best = known;
    this.#tryShort();
    this.#effort = 0;
    // A chain whose slowest resource alone takes longer than the best round is in no range.
    const most = Math.min(Number.MAX_VALUE, this.#goalMs / this.#slowestTimes);
    this.#dive(most / 2);
    let ranges: Range[] = [{ above: 0, most, latencyMs: 0 }];
    while (ranges.length > 0 && this.#effort < effortMax) {
      const first = ranges.reduce((a, b) => (this.#leastMs(b) < this.#leastMs(a) ? b : a));
      const left = this.#explore(first);
      ranges = [...ranges.filter((range) => range !== first), ...left];
      ranges = ranges.filter((range) => this.#leastMs(range) < this.#goalMs);
    }
    return this.#best;
  }

  /** The source alone and with each server: a first goal, which saves looking at most of the rest. */
  #tryShort(): void {
    const { segments, firstCut, stages } = this.#problem;
    if (this.#must === 0) this.#offer([{ node: 0, from: 0, to: segments }]);
    const reach = present(stages[0], "the source").reach(this.#inFlight(2))[0] as number;
    for (let node = 1; node < stages.length; node++) {
      if (((1 << node) & this.#must) !== this.#must) continue;
      for (let cut = firstCut; cut <= Math.min(reach, segments - 1); cut++) {
        this.#offer([
          { node: 0, from: 0, to: cut },
          { node, from: cut, to: segments },
        ]);
      }
    }
  }

  #inFlight(after: number): number {
    return inFlightMax(after, this.#trial.held, this.#problem);
  }

  /** Bisects the caps that some better chain keeps to, of which the tightest are looked at soonest. */
  #dive(most: number): void {
    let [low, cap] = [0, most];
    let high = most;
    for (let step = 0; step < divesMax; step++) {
      const stages = this.#leastLatency({ above: 0, most: cap, latencyMs: 0 });
      if (stages === null) low = cap;
      else high = Math.min(cap, this.#offer(stages).slowestMs);
      cap = low > 0 ? (low + high) / 2 : high / 2;
    }
  }

  /** How often a round waits for the slowest resource: with one T0, once less than it has batches. */
  get #slowestTimes(): number {
    const { schedule, work, accumulate } = this.#problem;
    return schedule === "window" ? work - 1 : work - Math.ceil(work / accumulate);
  }

  /** Finds the chain with the least T0 in a range, and what of the range may hold a better one. */
  #explore(range: Range): Range[] {
    const stages = this.#leastLatency(range);
    if (stages === null) return [];
    const { latencyMs, slowestMs } = this.#offer(stages);
    const most = slowestMs * (1 - rounding);
    // What is left below the chain found gains by a shorter T* alone.
    const leastMs = this.#roundMs({ latencyMs, slowestMs: range.above });
    const mostMs = this.#roundMs({ latencyMs, slowestMs: most });
    if (!(mostMs - leastMs > tolerance * leastMs)) return [];
    const middle = (range.above + most) / 2;
    return [
      { above: range.above, most: middle, latencyMs },
      { above: middle, most, latencyMs },
    ];
  }

  /** No round of a chain in a range is shorter. */
  #leastMs({ latencyMs, above }: Range): number {
    return this.#roundMs({ latencyMs, slowestMs: above });
  }

  /** Shorter rounds than this are worth looking for. */
  get #goalMs(): number {
    return (this.#best?.roundMs ?? Number.POSITIVE_INFINITY) * (1 - tolerance);
  }

  /** The chain with the least T0 under a range's caps; null where there is none that could be the best. */
  #leastLatency(range: Range): Placement[] | null {
    const { stages, segments } = this.#problem;
    const own = present(stages[0], "the source");
    this.#statesUsed = 0;
    let level = this.#lastStages(range);
    let least = Number.POSITIVE_INFINITY;
    let end: State | null = null;
    let cut = 0;
    let steps: Step[] = [];
    for (let after = 2; level.size > 0; after++) {
      const next = new Map<number, State>();
      const allowed = this.#allowedAt(after, range);
      const source = present(allowed[0], "the source");
      const most = this.#mostLatency(0, after, range)[0] as number;
      for (const state of level.values()) {
        const border = present(this.#problem.borders[0]?.[state.node], "a border");
        for (let to = 1; to < segments && this.#hasAll(state); to++) {
          if (source.starts[to] === source.starts[to + 1]) continue;
          const base = (state.latencyMs[to] as number) + (border.latencyMs[to] as number);
          const ms = base + (own.latencyMs[to] as number);
          if (!(ms < least && ms < most && (border.periodMs[to] as number) <= range.most)) continue;
          [least, end, cut] = [ms, state, to];
        }
      }
      // Only with 1F1B do stages hold more the more come after them.
      if (after === 2 || this.#problem.schedule === "1f1b") steps = this.#stepsAt(after, range);
      for (const step of steps) {
        for (const state of level.values()) this.#extend(next, state, step);
      }
      this.#dropDominated(next, level);
      level = next;
    }
    return end === null ? null : placements(end, cut);
  }

  /** How each server may come before the stages of a chain's end, of which there are `after` with it. */
  #stepsAt(after: number, range: Range): Step[] {
    return this.#allowedAt(after, range).flatMap((allowed, node) => {
      if (node === 0) return [];
      const limits = this.#mostLatency(node, after, range);
      return [{ node, most: range.most, limits, allowed, longest: longestBefore(allowed, limits) }];
    });
  }

  #hasAll({ servers }: State): boolean {
    return (servers & this.#must) === this.#must;
  }

  /**
   * By segment, the T0 below which the chain's end from a node's stage on may still be part of a better
   * chain: after the least that comes before it, and with 1F1B within the cap on the period.
   */
  #mostLatency(node: number, after: number, { above, most }: Range): Float64Array {
    const bounds = present(this.#bounds[node], "a node's bounds");
    const goalMs = this.#goalMs;
    return bounds.latencyMs.map((beforeMs, from) => {
      const slowestMs = Math.max(above, bounds.periodMs[from] as number);
      const least =
        latencyBelow(goalMs, { slowestMs }, this.#trial.window, this.#problem) - beforeMs;
      // Residence grows in proportion to latency.
      const held = residenceMs(1, after, this.#problem);
      return held > 0 ? Math.min(least, (most / held) * (1 + rounding)) : least;
    });
  }

  /** Every server as the last stage. */
  #lastStages(range: Range): Map<number, State> {
    const { stages, segments, firstCut } = this.#problem;
    const level = new Map<number, State>();
    for (const [node, costs] of stages.entries()) {
      if (node === 0) continue;
      const limits = this.#mostLatency(node, 1, range);
      for (let from = firstCut; from < segments; from++) {
        const at = from * (segments + 1) + segments;
        const ms = costs.latencyMs[at] as number;
        if (!((costs.periodMs[at] as number) <= range.most && ms < (limits[from] as number)))
          continue;
        const state = this.#stateOf(level, 0, node);
        state.latencyMs[from] = ms;
        state.least[from] = ms;
        state.ends[from] = segments;
        // The state may have been another in an earlier search.
        state.next[from] = null;
      }
    }
    return level;
  }

  /** Puts a server before the stages of a state. */
  #extend(level: Map<number, State>, state: State, step: Step): void {
    const { node, most, limits, allowed, longest } = step;
    if ((state.servers & (1 << node)) !== 0) return;
    const border = present(this.#problem.borders[node]?.[state.node], "a border");
    const { starts, from: starting, latencyMs } = allowed;
    let longer: State | null = null;
    for (let to = this.#problem.firstCut + 1; to < this.#problem.segments; to++) {
      const ms = (state.latencyMs[to] as number) + (border.latencyMs[to] as number);
      if (!(ms < (longest[to] as number) && (border.periodMs[to] as number) <= most)) continue;
      const end = starts[to + 1] as number;
      this.#effort += end - (starts[to] as number);
      for (let i = starts[to] as number; i < end; i++) {
        const total = ms + (latencyMs[i] as number);
        const from = starting[i] as number;
        if (!(total < (limits[from] as number))) continue;
        longer ??= this.#stateOf(level, state.servers, node);
        if (!(total < (longer.latencyMs[from] as number))) continue;
        longer.latencyMs[from] = total;
        longer.ends[from] = to;
        longer.next[from] = state;
      }
    }
  }

  /**
   * Drops ends of chains that are no faster than others which begin alike and use only some of their servers:
   * whatever can come before the one can come before the other. Not with 1F1B, where more stages hold more batches.
   */
  #dropDominated(level: Map<number, State>, shorter: Map<number, State>): void {
    const { schedule, stages, segments } = this.#problem;
    if (schedule === "1f1b") return;
    for (const { servers, node, latencyMs, least } of level.values()) {
      for (let other = 1; other < stages.length; other++) {
        const bit = 1 << other;
        if (other === node || (servers & bit) === 0 || (this.#must & bit) !== 0) continue;
        const without = shorter.get((servers & ~bit) * stages.length + node);
        if (without === undefined) continue;
        for (let from = 0; from < segments; from++) {
          const ms = without.least[from] as number;
          if (ms < (least[from] as number)) least[from] = ms;
        }
      }
      for (let from = 0; from < segments; from++) {
        const ms = latencyMs[from] as number;
        if (ms < (least[from] as number)) least[from] = ms;
        else latencyMs[from] = Number.POSITIVE_INFINITY;
      }
    }
  }

  #stateOf(level: Map<number, State>, after: number, node: number): State {
    const servers = after | (1 << node);
    const key = servers * this.#problem.stages.length + node;
    const known = level.get(key);
    if (known !== undefined) return known;
    const { segments } = this.#problem;
    const state = this.#states[this.#statesUsed++] ?? emptyState(segments);
    if (this.#statesUsed > this.#states.length) this.#states.push(state);
    state.servers = servers;
    state.node = node;
    state.latencyMs.fill(Number.POSITIVE_INFINITY);
    state.least.fill(Number.POSITIVE_INFINITY);
    level.set(key, state);
    return state;
  }

  /** What each node can be under the caps, with memory for the batches that a stage there holds. */
  #allowedAt(after: number, range: Range): readonly Allowed[] {
    const inFlight = this.#inFlight(after);
    const known = this.#allowed.get(inFlight);
    if (known?.range === range) return known.nodes;
    const nodes = this.#problem.stages.map((_, node) => {
      const allowed = known?.nodes[node] ?? noneAllowed(this.#problem.segments);
      this.#allow(allowed, { node, inFlight, range });
      return allowed;
    });
    this.#allowed.set(inFlight, { range, nodes });
    return nodes;
  }

  /** Fills in what a node can be. */
  #allow(
    { starts, from, latencyMs }: Allowed,
    { node, inFlight, range }: { node: number; inFlight: number; range: Range },
  ): void {
    const { stages, segments, firstCut } = this.#problem;
    const costs = present(stages[node], "a node");
    const reach = costs.reach(inFlight);
    let count = 0;
    for (let to = firstCut; to < segments; to++) {
      starts[to] = count;
      for (let i = node === 0 ? 0 : firstCut; i < (node === 0 ? 1 : to); i++) {
        const at = i * (segments + 1) + to;
        if (to > (reach[i] as number) || !((costs.periodMs[at] as number) <= range.most)) continue;
        from[count] = i;
        latencyMs[count++] = costs.latencyMs[at] as number;
      }
      starts[to + 1] = count;
    }
  }

  #figuresOf(chain: readonly Placement[]): Figures {
    const { stages, borders, segments } = this.#problem;
    let [latencyMs, slowestMs] = [0, 0];
    for (let i = chain.length - 1; i >= 0; i--) {
      const { node, from, to } = chain[i] as Placement;
      const costs = stages[node] as StageCosts;
      const at = from * (segments + 1) + to;
      latencyMs += costs.latencyMs[at] as number;
      slowestMs = Math.max(slowestMs, costs.periodMs[at] as number);
      const next = chain[i + 1];
      if (next === undefined) continue;
      const border = (borders[node] as readonly BorderCosts[])[next.node] as BorderCosts;
      latencyMs += border.latencyMs[to] as number;
      const residence = residenceMs(latencyMs, chain.length - i, this.#problem);
      slowestMs = Math.max(slowestMs, border.periodMs[to] as number, residence);
    }
    return { latencyMs, slowestMs };
  }

  /** Takes a chain where it is the best so far. */
  #offer(stages: readonly Placement[]): Figures {
    const figures = this.#figuresOf(stages);
    const ms = this.#roundMs(figures);
    if (ms < (this.#best?.roundMs ?? Number.POSITIVE_INFINITY) * (1 - rounding)) {
      const isWindow = this.#problem.schedule === "window" && stages.length > 1;
      this.#best = { stages, ...figures, window: isWindow ? this.#trial.window : 0, roundMs: ms };
    }
    return figures;
  }

  #roundMs(figures: Figures): number {
    return roundMs(figures, this.#trial.window, this.#problem);
  }
}

const emptyState = (segments: number): State => ({
  servers: 0,
  node: 0,
  latencyMs: new Float64Array(segments),
  ends: new Int32Array(segments),
  next: new Array<State | null>(segments).fill(null),
  least: new Float64Array(segments),
});

function noneAllowed(segments: number): Allowed {
  const most = (segments * (segments + 1)) / 2;
  return {
    starts: new Int32Array(segments + 1),
    from: new Int32Array(most),
    latencyMs: new Float64Array(most),
  };
}

/** By cut, the T0 of a chain's end below which some stage before it is within its limit. */
function longestBefore({ starts, from, latencyMs }: Allowed, limits: Float64Array): Float64Array {
  const longest = new Float64Array(starts.length - 1).fill(Number.NEGATIVE_INFINITY);
  for (let to = 0; to < longest.length; to++) {
    let most = Number.NEGATIVE_INFINITY;
    for (let i = starts[to] as number; i < (starts[to + 1] as number); i++) {
      const ms = (limits[from[i] as number] as number) - (latencyMs[i] as number);
      if (ms > most) most = ms;
    }
    longest[to] = most;
  }
  return longest;
}

/** The stages from the source on, of which the servers' are a state's from a cut on. */
function placements(first: State, cut: number): Placement[] {
  const stages: Placement[] = [{ node: 0, from: 0, to: cut }];
  let from = cut;
  for (let state: State | null = first; state !== null; ) {
    const to: number = state.ends[from] as number;
    stages.push({ node: state.node, from, to });
    state = state.next[from] ?? null;
    from = to;
  }
  return stages;
}
