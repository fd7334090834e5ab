/**
 * In which order a stage takes its passes: the schedules of a plan as rules for one stage, which
 * knows how many passes it has done and what has arrived. Pure; the chain's order as a whole
 * follows from every stage keeping to its own.
 */
import { present } from "../../base/assert.ts";
import type { ChainPlan, ScheduleKind } from "../../plan/plan.ts";

/** A stage's rules, fixed for a term. */
export interface StageOrder {
  readonly schedule: ScheduleKind;
  /** Most batches that may be between their forward and backward pass here. */
  readonly capacity: number;
  /** The same at the chain's source: no stage can be sent a batch further ahead. */
  readonly sourceCapacity: number;
  /** Batches to an update. */
  readonly accumulate: number;
  /** Batches to a round; infinitely many where something else ends it. */
  readonly work: number;
}

/** How a stage stands in its round. */
export interface StageStanding {
  /** Passes done: batches 0, 1, ... in this order, each way. */
  readonly forward: number;
  readonly backward: number;
  /** Whether what the next pass needs is there. */
  readonly hasFeature: boolean;
  readonly hasGradient: boolean;
}

/** The rules of a chain's stage. */
export function stageOrder(chain: ChainPlan, stage: number, accumulate: number): StageOrder {
  const { schedule, window, work, stages } = chain;
  present(stages[stage], `stage ${stage} of ${chain.id}`);
  const capacityAt = (position: number): number => {
    switch (schedule) {
      case "serial":
        return 1;
      case "gpipe":
        return accumulate;
      case "1f1b":
        return Math.min(accumulate, stages.length - position);
      case "window":
        return window + 1;
    }
  };
  const [capacity, sourceCapacity] = [capacityAt(stage), capacityAt(0)];
  return { schedule, capacity, sourceCapacity, accumulate, work };
}

/** The pass to take next; null where there is something to wait for. Backward first: it frees memory. */
export function nextPass(
  order: StageOrder,
  standing: StageStanding,
): "forward" | "backward" | null {
  if (standing.hasGradient && mayGoBack(order, standing)) return "backward";
  if (standing.hasFeature && mayGoForward(order, standing)) return "forward";
  return null;
}

/** Whether the schedule lets the next batch go forward. */
export function mayGoForward(
  { schedule, capacity, accumulate, work }: StageOrder,
  { forward, backward }: Pick<StageStanding, "forward" | "backward">,
): boolean {
  if (forward >= work || forward - backward >= capacity) return false;
  // Outside of a window, every batch of an update sees the same parameters: those after the update before.
  return schedule === "window" || forward - (forward % accumulate) <= backward;
}

/** Only the first schedule of pipelines holds gradients back, until the last batch of their update has gone forward. */
function mayGoBack(
  { schedule, accumulate }: StageOrder,
  { forward, backward }: StageStanding,
): boolean {
  return schedule !== "gpipe" || forward >= backward - (backward % accumulate) + accumulate;
}
