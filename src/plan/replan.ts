/**
 * Whether to change the plan while training runs: a pure decision. A change pays where what it
 * saves over the batches before the next change is more than what moving costs: the weights and
 * optimizer state that have to travel, a pipeline that empties and fills again. Estimates are noisy,
 * so the answer has to be the same several times in a row (hysteresis), unless the plan cannot go on.
 */

import type { NodeId } from "../base/ids.ts";
import { formatMs } from "../base/units.ts";
import { homeSums } from "./home-bytes.ts";
import type { CopyPlan, Plan, Planner, PlanRequest } from "./plan.ts";
import { between } from "./program-time.ts";

/** What a plan's round takes by what is known of the fleet now. */
export interface Forecasted {
  readonly roundMs: number;
  /** Way of one batch through everything, there and back. */
  readonly latencyMs: number;
  /** Time between two batches. */
  readonly periodMs: number;
  /** Bringing the weights home at the end of a round. */
  readonly homeMs: number;
  /** What else counts of a batch, in time: its bytes and energy, or how little is exchanged; nothing where absent. */
  readonly priceMs?: number;
}

/**
 * Forecasts a plan that was made by what was known earlier.
 * @returns null where the plan cannot go on: a node of it is gone
 */
export type Forecaster = (plan: Plan, request: PlanRequest) => Forecasted | null;

/** A plan that there is to move to, in numbers. */
export interface MoveOption {
  /** Who trains what, with how many batches under way. */
  readonly layout: Layout;
  readonly forecast: Forecasted;
  /** See {@link movingMs}. */
  readonly movingMs: number;
  /** The plan with its reasons, which take longer than choosing it: for the one that is moved to alone. */
  toPlan(): Plan;
}

/** What of a plan its figures depend on. */
export type Layout = Pick<Plan, "copies" | "chains">;

/**
 * The best plan to move to from one in force, which need not be the fastest of all: moving costs, too.
 * @param batches before things are expected to change again
 * @returns null where there is none but the one in force
 * @throws PlanError where a planner would for the same request
 */
export type Mover = (plan: Plan, request: PlanRequest, batches: number) => MoveOption | null;

/** How often in a row a move was found to pay. */
export type Agreed = number;

export interface MoveQuestion {
  readonly now: Forecasted;
  readonly next: Forecasted;
  /** Batches expected before things change again, or the run is over. */
  readonly batches: number;
  /** Until everybody has what the next plan needs: see {@link movingMs}. */
  readonly movingMs: number;
  readonly agreed: Agreed;
  /** How sure a move has to be; {@link withinRounds} where absent. */
  readonly hysteresis?: Hysteresis;
}

/** How sure a move has to be. Estimates are noisy, and each move costs more than what is reckoned here. */
export interface Hysteresis {
  /** A gain must be larger than this share of the period. */
  readonly marginShare: number;
  /** So often in a row a move has to be found to pay. */
  readonly agreedMin: number;
  /** Between two considerations: agreement means that it lasts as long. */
  readonly betweenMs: number;
  /** From a change of plan to the next consideration, at least. */
  readonly settlingMsMin: number;
  /** Marks that the observed period is read from, of a second each at least. */
  readonly marks: number;
  /** So many fleets of late count as much as the one of the moment; 0 where what is now will last. */
  readonly memory: number;
  /** What figures are said of. */
  readonly per: "batch" | "round";
  /** How conditions change: see `conditions.ts`. */
  readonly conditions: "drift" | "jump";
}

export interface MoveDecision {
  readonly decision: "stay" | "move";
  readonly agreed: Agreed;
  /** What the move takes. */
  readonly costMs: number;
  readonly reason: string;
}

/**
 * For chains of several servers, which move at any moment. What is best changes faster than moving pays, so plans are judged
 * by the last two minutes beside the moment (`coordinator/lately.ts`). On the walks of docs/benchmarks.md agreeing three times came to 0 to 1 %
 * more batches than four times; on four of them, half the margin, or twice, came to fewer.
 */
export const withinRounds: Hysteresis = {
  ...{ marginShare: 0.15, agreedMin: 3, betweenMs: 5_000, settlingMsMin: 10_000, marks: 12 },
  ...{ memory: 8, per: "batch", conditions: "drift" },
};

/** For plans that are changed between rounds: each round is one measurement, of all its batches. */
export const betweenRounds: Hysteresis = {
  ...{ marginShare: 0.15, agreedMin: 3, betweenMs: 0, settlingMsMin: 0, marks: 0 },
  ...{ memory: 0, per: "round", conditions: "drift" },
};

/** For one link that changes at once to another one: most changes are of codec and window, which cost next to nothing. */
export const prompt: Hysteresis = {
  ...{ marginShare: 0.1, agreedMin: 2, betweenMs: 900, settlingMsMin: 2_000, marks: 3 },
  ...{ memory: 0, per: "batch", conditions: "jump" },
};

/**
 * Decides between the plan in force and another one: r (P_now - P_next) > cost of moving + margin,
 * where r counts the batches before the next change (EdgeMove, WWW 2023, in our reading of it:
 * its abstract names the rule's parts and not the rule).
 */
export function decideMove(question: MoveQuestion): MoveDecision {
  const { now, next, batches, movingMs, agreed, hysteresis = withinRounds } = question;
  const { marginShare, agreedMin, per } = hysteresis;
  const [nowMs, nextMs] = [pricedMs(now), pricedMs(next)];
  const gainMs = batches * (nowMs - nextMs);
  // The old pipeline empties and the new one fills, each for the batches that it does not overlap.
  const costMs = movingMs + bubbleMs(now) + bubbleMs(next);
  const marginMs = batches * marginShare * nowMs;
  const count = per === "round" ? next.roundMs / next.periodMs : 1;
  const isPriced = nowMs + nextMs > now.periodMs + next.periodMs;
  const what =
    `${formatMs(count * nextMs)} a ${per} instead of ${formatMs(count * nowMs)}` +
    `${isPriced ? ", with what else counts at its price" : ""}`;
  const ahead = `${Math.round(batches / count)} ${per === "round" ? "rounds" : "batches"}`;
  const saved = `saves ${formatMs(gainMs)} over the next ${ahead}`;
  const price = `which ${saved} and takes ${formatMs(costMs)} of moving`;
  if (!(gainMs > costMs + marginMs)) {
    return { decision: "stay", agreed: 0, costMs, reason: `it would not pay: ${what}, ${price}` };
  }
  if (agreed + 1 < agreedMin) {
    return {
      decision: "stay",
      agreed: agreed + 1,
      costMs,
      reason: `it would pay, if it lasts: ${what}`,
    };
  }
  return { decision: "move", agreed: 0, costMs, reason: `${what}, ${price}` };
}

/** What a batch takes, and what else counts put into time. */
export const pricedMs = ({ periodMs, priceMs = 0 }: Forecasted): number => periodMs + priceMs;

/** What a pipeline loses as it empties or fills, for the batches that it does not overlap meanwhile. */
export const bubbleMs = ({ latencyMs, periodMs }: Forecasted): number =>
  Math.max(0, latencyMs - periodMs);

/** Has nothing but the fastest plan to move to: for schemes that know no other. */
export function fastestMover(planner: Planner, forecaster: Forecaster): Mover {
  return (plan, request, batches) => {
    const next = planner(request);
    const forecast = forecaster(next, request);
    if (forecast === null) return null;
    const moving = movingMs(plan.copies, next.copies, request);
    return bestMove(
      plan,
      [{ layout: next, forecast, movingMs: moving, toPlan: () => next }],
      batches,
    );
  };
}

/** The option that takes least for the batches, moving included; null where that is the plan in force. */
export function bestMove(
  plan: Plan,
  options: readonly MoveOption[],
  batches: number,
): MoveOption | null {
  const totalMs = ({ forecast, movingMs: moving }: MoveOption): number =>
    forecast.latencyMs + batches * forecast.periodMs + moving;
  const best = options.reduce((a, b) => (totalMs(b) < totalMs(a) ? b : a));
  return isSameLayout(plan, best.layout) ? null : best;
}

/** Whether two plans have the same segments on the same nodes, with as many batches under way. */
export function isSameLayout(a: Layout, b: Layout): boolean {
  const layout = ({ copies, chains }: Layout): string =>
    JSON.stringify([
      copies.map(({ id, node, from, to }) => [id, node, from, to]),
      chains.map(({ schedule, window }) => [schedule, window]),
    ]);
  return layout(a) === layout(b);
}

/** Segments that a node trains. */
export type HeldSegments = Pick<CopyPlan, "node" | "from" | "to">;

/**
 * Milliseconds until all nodes have what another plan has them train: parameters and optimizer state of
 * segments that they do not train already. Those come home with all that their copies have trained, and go on from there. Where
 * differences travel, the rest has been sent ahead, and they are all that the move waits for.
 */
export function movingMs(
  now: readonly HeldSegments[],
  next: readonly HeldSegments[],
  request: Pick<PlanRequest, "segments" | "homeBytes" | "fleet">,
): number {
  const { fleet } = request;
  const homeBytes = homeSums(request);
  const rateOf = (id: NodeId) => fleet.nodes.find((node) => node.id === id)?.coordinatorBytesPerMs;
  const homeMs = (copy: HeldSegments): number =>
    between(homeBytes, copy.from, copy.to) / (rateOf(copy.node)?.up ?? Infinity);
  const moves = next.map(({ node, from, to }) => {
    let [bytes, comesMs] = [0, 0];
    for (let index = from; index < to; index++) {
      const holder = now.find((copy) => copy.from <= index && index < copy.to);
      if (holder?.node === node) continue;
      bytes += between(homeBytes, index, index + 1);
      if (holder !== undefined) comesMs = Math.max(comesMs, homeMs(holder));
    }
    return bytes === 0 ? 0 : comesMs + bytes / (rateOf(node)?.down ?? Infinity);
  });
  return Math.max(0, ...moves);
}
