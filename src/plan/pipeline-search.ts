/**
 * The search for the chain with the shortest round for a given window.
 *
 * A round takes f(T0, T*, H): a sum and a maximum over stages and borders, and the time for the
 * weights. Under a cap on the maximum the sum is least by dynamic programming: chains grow from their
 * last stage towards the source, and of those that begin with the same server at the same segment
 * and use the same set of servers, only the one with the least T0 counts. That is the recurrence
 * of pipeline partitioning (Narayanan et al., "PipeDream", SOSP 2019, section 3.1) with sets in place
 * of a given order, as in Held and Karp (1962).
 *
 * Branch and bound then finds the cap. With a < T* <= b no chain is better than f(T0, a, H') for the
 * least T0 under the cap b and the least H' of any chain; what cannot beat the best chain found is
 * done. Otherwise the chain with that T0 has some T*, no chain of its range with a larger one is better
 * in T0 and T*, and the range below is halved. So T0 and T* are exact together; H counts for
 * every chain that is found, but none is looked for only because its weights come home sooner.
 */
import { present } from "../base/assert.ts";
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

/** The three figures of a chain. */
type Figures = Pick<ChosenChain, "latencyMs" | "slowestMs" | "homeMs">;

/** The least T0 of the chains' ends on one set of servers that begin on the same one, by segment. */
interface State {
  readonly servers: number;
  readonly node: number;
  readonly latencyMs: Float64Array;
  /** Where the first stage ends, and the state of those after it; null where it is the last. */
  readonly ends: Int32Array;
  readonly next: (State | null)[];
}

/** The stages that a node can be under caps, by their end: `from[i]` for i in [starts[to], starts[to + 1]). */
interface Allowed {
  readonly starts: Int32Array;
  readonly from: Int32Array;
  readonly latencyMs: Float64Array;
}

/** Sums in different orders differ by so much. */
const rounding = 1e-12;

/**
 * After the first bisection, so many stages are put before chains' ends at most, some ten milliseconds'
 * work. Small problems are solved with far fewer. With six servers and a hundred segments the
 * chain is then within three percent of the best that a hundred times the effort found.
 */
const effortMax = 2e6;

/** Steps of the bisection that gives the search its first goal. */
const divesMax = 8;

/** What a better chain has to gain to be looked for: far less than measured times are sure by. */
const tolerance = 1e-3;

/** One problem, asked for several windows. */
export class PipelineSearch {
  readonly #problem: PipelineProblem;
  readonly #must: number;
  readonly #bounds: readonly Bounds[];
  /** No chain brings its weights home sooner. */
  readonly #homeMs: number;
  #trial: Trial = { window: 0, held: 0 };
  #best: ChosenChain | null = null;
  #effort = 0;
  /** What nodes can be in the range under way, by batches in flight. */
  #allowed: { range: Range | null; known: Map<number, readonly Allowed[]> } = {
    range: null,
    known: new Map(),
  };

  /** @param must servers that have to take part, as bits by node */
  constructor(problem: PipelineProblem, must: number) {
    this.#problem = problem;
    this.#must = must;
    this.#bounds = lowerBounds(problem);
    this.#homeMs = leastHomeMs(problem);
  }

  /** The best chain of a trial, or `known` where none is better by more than the tolerance. */
  best(trial: Trial, known: ChosenChain | null): ChosenChain | null {
    this.#trial = trial;
    this.#best = known;
    this.#allowed = { range: null, known: new Map() };
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
    const leastMs = this.#roundMs({ latencyMs, slowestMs: range.above, homeMs: this.#homeMs });
    const mostMs = this.#roundMs({ latencyMs, slowestMs: most, homeMs: this.#homeMs });
    if (!(mostMs - leastMs > tolerance * leastMs)) return [];
    const middle = (range.above + most) / 2;
    return [
      { above: range.above, most: middle, latencyMs },
      { above: middle, most, latencyMs },
    ];
  }

  /** No round of a chain in a range is shorter. */
  #leastMs({ latencyMs, above }: Range): number {
    return this.#roundMs({ latencyMs, slowestMs: above, homeMs: this.#homeMs });
  }

  /** Shorter rounds than this are worth looking for. */
  get #goalMs(): number {
    return (this.#best?.roundMs ?? Number.POSITIVE_INFINITY) * (1 - tolerance);
  }

  /** The chain with the least T0 under a range's caps; null where there is none that could be the best. */
  #leastLatency(range: Range): Placement[] | null {
    const { stages, segments } = this.#problem;
    const own = present(stages[0], "the source");
    let level = this.#lastStages(range);
    let least = Number.POSITIVE_INFINITY;
    let end: State | null = null;
    let cut = 0;
    for (let after = 2; level.size > 0; after++) {
      const next = new Map<number, State>();
      const allowed = this.#allowedAt(after, range);
      const source = present(allowed[0], "the source");
      const most = this.#mostLatency(0, after, range)[0] as number;
      for (const state of level.values()) {
        const base = this.#beforeBorder(0, state, range);
        for (let to = 1; to < segments && this.#hasAll(state); to++) {
          if (source.starts[to] === source.starts[to + 1]) continue;
          const ms = (base[to] as number) + (own.latencyMs[to] as number);
          if (!(ms < least && ms < most)) continue;
          [least, end, cut] = [ms, state, to];
        }
      }
      for (let node = 1; node < stages.length; node++) {
        const limits = this.#mostLatency(node, after, range);
        const own = present(allowed[node], "a node");
        const by = { node, range, limits, allowed: own, longest: longestBefore(own, limits) };
        for (const state of level.values()) this.#extend(next, state, by);
      }
      level = next;
    }
    return end === null ? null : placements(end, cut);
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
      const figures = { slowestMs, homeMs: this.#homeMs };
      const least = latencyBelow(goalMs, figures, this.#trial.window, this.#problem) - beforeMs;
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
        state.ends[from] = segments;
      }
    }
    return level;
  }

  /** Puts a server before the stages of a state. */
  #extend(
    level: Map<number, State>,
    state: State,
    by: {
      node: number;
      range: Range;
      limits: Float64Array;
      allowed: Allowed;
      longest: Float64Array;
    },
  ): void {
    const { node, range, limits, allowed, longest } = by;
    if ((state.servers & (1 << node)) !== 0) return;
    const base = this.#beforeBorder(node, state, range);
    const { starts, from: starting, latencyMs } = allowed;
    let longer: State | null = null;
    for (let to = this.#problem.firstCut + 1; to < this.#problem.segments; to++) {
      const ms = base[to] as number;
      if (!(ms < (longest[to] as number))) continue;
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

  /** T0 of a state's chains with the border before them, by cut; Infinity where the border is too slow. */
  #beforeBorder(node: number, { node: first, latencyMs }: State, { most }: Range): Float64Array {
    const border = present(this.#problem.borders[node]?.[first], "a border");
    return latencyMs.map((ms, cut) =>
      (border.periodMs[cut] as number) <= most
        ? ms + (border.latencyMs[cut] as number)
        : Number.POSITIVE_INFINITY,
    );
  }

  #stateOf(level: Map<number, State>, after: number, node: number): State {
    const servers = after | (1 << node);
    const key = servers * this.#problem.stages.length + node;
    let state = level.get(key);
    if (state === undefined) {
      const { segments } = this.#problem;
      state = {
        servers,
        node,
        latencyMs: new Float64Array(segments).fill(Number.POSITIVE_INFINITY),
        ends: new Int32Array(segments),
        next: Array.from({ length: segments }, () => null),
      };
      level.set(key, state);
    }
    return state;
  }

  /** What each node can be under the caps, with memory for the batches that a stage there holds. */
  #allowedAt(after: number, range: Range): readonly Allowed[] {
    const inFlight = this.#inFlight(after);
    if (this.#allowed.range !== range) this.#allowed = { range, known: new Map() };
    let allowed = this.#allowed.known.get(inFlight);
    if (allowed === undefined) {
      allowed = this.#problem.stages.map((_, node) => this.#allowedFor(node, inFlight, range));
      this.#allowed.known.set(inFlight, allowed);
    }
    return allowed;
  }

  #allowedFor(node: number, inFlight: number, range: Range): Allowed {
    const { stages, segments, firstCut } = this.#problem;
    const costs = present(stages[node], "a node");
    const reach = costs.reach(inFlight);
    const starts = new Int32Array(segments + 1);
    const from = new Int32Array((segments * (segments + 1)) / 2);
    const latencyMs = new Float64Array(from.length);
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
    return { starts, from, latencyMs };
  }

  #figuresOf(chain: readonly Placement[]): Figures {
    const { stages, borders, segments } = this.#problem;
    let [latencyMs, slowestMs, homeMs] = [0, 0, 0];
    for (let i = chain.length - 1; i >= 0; i--) {
      const { node, from, to } = chain[i] as Placement;
      const costs = stages[node] as StageCosts;
      const at = from * (segments + 1) + to;
      latencyMs += costs.latencyMs[at] as number;
      slowestMs = Math.max(slowestMs, costs.periodMs[at] as number);
      homeMs = Math.max(homeMs, costs.homeMs[at] as number);
      const next = chain[i + 1];
      if (next === undefined) continue;
      const border = (borders[node] as readonly BorderCosts[])[next.node] as BorderCosts;
      latencyMs += border.latencyMs[to] as number;
      const residence = residenceMs(latencyMs, chain.length - i, this.#problem);
      slowestMs = Math.max(slowestMs, border.periodMs[to] as number, residence);
    }
    return { latencyMs, slowestMs, homeMs };
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

/** By cut, the T0 of a chain's end below which some stage before it is within its limit. */
function longestBefore({ starts, from, latencyMs }: Allowed, limits: Float64Array): Float64Array {
  return Float64Array.from({ length: starts.length - 1 }, (_, to) => {
    let most = Number.NEGATIVE_INFINITY;
    for (let i = starts[to] as number; i < (starts[to + 1] as number); i++) {
      most = Math.max(most, (limits[from[i] as number] as number) - (latencyMs[i] as number));
    }
    return most;
  });
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

/** The least that a chain has before a stage which begins at a segment, its border included. */
interface Bounds {
  readonly latencyMs: Float64Array;
  readonly periodMs: Float64Array;
}

/**
 * By node, what the segments before a cut cost at least, each figure for itself, with servers that
 * may be used any number of times and memory that holds everything: shortest (and widest) ways from
 * the source through all borders. Every true chain is such a way.
 */
function lowerBounds(problem: PipelineProblem): readonly Bounds[] {
  const { stages, borders, segments, firstCut } = problem;
  const empty = (): Bounds => ({
    latencyMs: new Float64Array(segments + 1).fill(Number.POSITIVE_INFINITY),
    periodMs: new Float64Array(segments + 1).fill(Number.POSITIVE_INFINITY),
  });
  const before = stages.map(empty);
  const ending = stages.map(empty);
  present(before[0], "the source").latencyMs[0] = 0;
  present(before[0], "the source").periodMs[0] = 0;
  for (let cut = firstCut; cut < segments; cut++) {
    for (const [node, costs] of stages.entries()) {
      const end = ending[node] as Bounds;
      for (let from = node === 0 ? 0 : firstCut; from < (node === 0 ? 1 : cut); from++) {
        const at = from * (segments + 1) + cut;
        const latencyMs = (before[node] as Bounds).latencyMs[from] as number;
        const periodMs = (before[node] as Bounds).periodMs[from] as number;
        end.latencyMs[cut] = Math.min(
          end.latencyMs[cut] as number,
          latencyMs + (costs.latencyMs[at] as number),
        );
        end.periodMs[cut] = Math.min(
          end.periodMs[cut] as number,
          Math.max(periodMs, costs.periodMs[at] as number),
        );
      }
    }
    for (const [to, least] of before.entries()) {
      for (const [from, end] of ending.entries()) {
        if (from === to || to === 0) continue;
        const border = present(borders[from]?.[to], "a border");
        least.latencyMs[cut] = Math.min(
          least.latencyMs[cut] as number,
          (end.latencyMs[cut] as number) + (border.latencyMs[cut] as number),
        );
        least.periodMs[cut] = Math.min(
          least.periodMs[cut] as number,
          Math.max(end.periodMs[cut] as number, border.periodMs[cut] as number),
        );
      }
    }
  }
  return before;
}

/**
 * The least that the slowest weights of any chain take, with servers that may be used any number
 * of times: the recurrence of a bottleneck alone.
 */
function leastHomeMs({ stages, segments, firstCut }: PipelineProblem): number {
  const least = new Float64Array(segments + 1).fill(Number.POSITIVE_INFINITY);
  const row = segments + 1;
  for (let to = firstCut; to <= segments; to++) {
    least[to] = stages[0]?.homeMs[to] as number;
    for (let from = firstCut; from < to; from++) {
      for (const { homeMs } of stages.slice(1)) {
        const ms = Math.max(least[from] as number, homeMs[from * row + to] as number);
        if (ms < (least[to] as number)) least[to] = ms;
      }
    }
  }
  return least[segments] as number;
}
