/**
 * How short a round of parallel split learning can be at all: a bound that knows nothing of how plans
 * are found, so that it can say how good they are.
 *
 * Whatever is done by T, three things hold. Each device is done by T even if it had the cell and a
 * server for itself. Rates on the cell sum to what it carries, each way; and no server computes more
 * than it has time for. With a price m on servers' time, half of the cell's price each way, and the least
 * over a device's options o,
 *
 *   sum_i min_o [ load_io(T) + m S_io ]  <=  1 + m sum_k (T - idle_k)
 *
 * must hold for every m >= 0. T is below any round when it fails for one m, which bisection on T and
 * on m find: the left side less the right one is concave in m, with the work that is picked less what
 * there is time for as its slope. The load on the cell is
 *
 * - with shares that are fixed for a round, as plans have them: of rates u and d with
 *   U / u + D / d <= T - A, the least of (u / up + d / down) / 2, which is
 *   (sqrt(U / up) + sqrt(D / down))^2 / (2 (T - A));
 * - with rates that change at any moment: (U / up + D / down) / (2 T), for all bytes have to pass within T.
 *
 * A holds no waiting, so the bound is met where nobody waits, and cuts come out whole.
 */
import { present } from "../base/assert.ts";
import { splitMs } from "./joint-choice.ts";
import type { PlanRequest } from "./plan.ts";
import { SplitModel } from "./split-model.ts";
import type { SplitOption } from "./split-option.ts";

/** Whether rates stay as they are for a round, or could be changed at any moment. */
export type Sharing = "fixed" | "free";

const bisections = 60;
const searches = 24;

/**
 * Milliseconds that no plan's round is below.
 * @throws PlanError as `parallelSplit` does
 */
export function splitBoundMs(request: PlanRequest, sharing: Sharing = "fixed"): number {
  const model = new SplitModel(request);
  const options = model.devices.map((device) =>
    model.servers.flatMap((server) => model.options(device, server)),
  );
  const bound = new Bound(model, options, sharing);
  let [low, high] = [bound.aloneMs, bound.aloneMs];
  if (!bound.isBelow(low)) return low;
  while (bound.isBelow(high)) [low, high] = [high, 2 * high];
  for (let i = 0; i < bisections && high - low > 1e-9 * high; i++) {
    const middle = (low + high) / 2;
    if (bound.isBelow(middle)) low = middle;
    else high = middle;
  }
  return low;
}

class Bound {
  readonly #options: readonly (readonly SplitOption[])[];
  readonly #model: SplitModel;
  readonly #sharing: Sharing;
  readonly #idleMs: number;
  /** When the slowest device would be done if each were alone. */
  readonly aloneMs: number;

  constructor(model: SplitModel, options: readonly (readonly SplitOption[])[], sharing: Sharing) {
    this.#model = model;
    this.#options = options;
    this.#sharing = sharing;
    this.#idleMs = model.idleMs(options);
    this.aloneMs = Math.max(
      ...options.map((own, i) => {
        const link = model.linkOf(present(model.devices[i], "a device"));
        const { cell } = model;
        const rate = { up: Math.min(link.up, cell.up), down: Math.min(link.down, cell.down) };
        return Math.min(...own.map((option) => splitMs(option, rate)));
      }),
    );
  }

  /** Whether a time is proven to be below every round. */
  isBelow(roundMs: number): boolean {
    const capacityMs = this.#model.servers.length * (roundMs - this.#idleMs);
    const loads = this.#options.map((own) => own.map((option) => this.#load(option, roundMs)));
    const at = (price: number): { readonly excess: number; readonly busyMs: number } => {
      let [excess, busyMs] = [-1 - price * capacityMs, 0];
      for (const [i, own] of this.#options.entries()) {
        const load = present(loads[i], "a device's loads");
        let [least, work] = [Number.POSITIVE_INFINITY, 0];
        for (const [o, { serverMs }] of own.entries()) {
          const cost = (load[o] as number) + price * serverMs;
          if (cost < least) [least, work] = [cost, serverMs];
        }
        excess += least;
        busyMs += work;
      }
      return { excess, busyMs };
    };
    const free = at(0);
    if (free.excess > 0) return true;
    // The excess falls from a price on at which servers have time to spare.
    if (free.busyMs <= capacityMs) return false;
    let [low, high] = [0, 1 / Math.max(1e-9, roundMs)];
    while (at(high).busyMs > capacityMs && high < 1e9) high *= 4;
    for (let i = 0; i < searches; i++) {
      const middle = (low + high) / 2;
      const { excess, busyMs } = at(middle);
      if (excess > 0) return true;
      if (busyMs > capacityMs) low = middle;
      else high = middle;
    }
    return false;
  }

  /** Share of the cell that an option takes at the least; Infinity where it is not done in time. */
  #load({ fixedMs, upBytes, downBytes }: SplitOption, roundMs: number): number {
    const { cell } = this.#model;
    const [upMs, downMs] = [upBytes / cell.up, downBytes / cell.down];
    if (fixedMs + upMs + downMs > roundMs) return Number.POSITIVE_INFINITY;
    if (this.#sharing === "free") return (upMs + downMs) / (2 * roundMs);
    return (Math.sqrt(upMs) + Math.sqrt(downMs)) ** 2 / (2 * (roundMs - fixedMs));
  }
}
