/**
 * Whether a pipeline that nothing disturbs is as fast as its bound, max(T*, T0 / (K + 1)): the
 * time from batch to batch, as the difference of two rounds of which one is longer.
 */
import type { Planner } from "edgeloom";
import { type SimulationOptions, simulate } from "edgeloom/sim";
import { Conditions } from "./pipeline-conditions.ts";
import { longRunPlan, periodMs } from "./pipeline-oracle.ts";
import { chainText } from "./pipeline-schemes.ts";

/** Batches of the two rounds. */
const [short, long] = [60, 180] as const;

/** A period as it was and as it would be at the bound, in milliseconds. */
export interface Steady {
  readonly chain: string;
  readonly boundMs: number;
  readonly periodMs: number;
}

/** @param standing a scenario in which nothing changes */
export async function steadyPeriod(standing: SimulationOptions): Promise<Steady> {
  const conditions = new Conditions(standing, 1);
  let [chain, boundMs] = ["", 0];
  const roundMs = async (localBatches: number): Promise<number> => {
    const planner: Planner = (request) => {
      const fleet = conditions.average(request.fleet, "rates");
      const plan = longRunPlan({ ...request, fleet });
      boundMs = periodMs(plan);
      chain = chainText(plan);
      return { ...plan, chains: plan.chains.map((one) => ({ ...one, work: localBatches })) };
    };
    // The second round finds weights where they are to be.
    const job = { ...standing.job, rounds: 2, localBatches };
    const { records } = await simulate({ ...standing, job, planner });
    const last = records.findLast(({ record }) => record.type === "round")?.record;
    if (last?.type !== "round") throw new Error("no round was committed");
    return last.ms;
  };
  const ms = (await roundMs(long)) - (await roundMs(short));
  return { chain, boundMs, periodMs: ms / (long - short) };
}
