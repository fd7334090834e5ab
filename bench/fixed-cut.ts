/** A planner for benchmarks that must train the same on every machine: what is measured does not move the cut. */
import { type Planner, planners } from "edgeloom";

/** The plan of parallel split, with one cut for all devices. */
export const fixedCut =
  (cut: number): Planner =>
  (request) => {
    const plan = planners["parallel-split"](request);
    const copies = plan.copies.map((copy) =>
      copy.from === 0 ? { ...copy, to: cut } : { ...copy, from: cut },
    );
    return { ...plan, copies };
  };
