/**
 * A probe of a few coarse blocks: what each segment takes follows from its share of its block's work.
 * It compiles and runs a handful of programs instead of three for each segment, so training starts
 * sooner; `plan/approximate-profile.ts` has the arithmetic.
 */
import { present } from "../../base/assert.ts";
import type { SegmentCost } from "../../compile/segment.ts";
import { approximateProfile, coarseBlocks } from "../../plan/approximate-profile.ts";
import type { Profile } from "../../plan/plan.ts";
import type { Cancel, Done, Host } from "../host.ts";
import { probe } from "./prober.ts";
import type { WorkerModel } from "./worker-model.ts";

/**
 * Measures a profile by blocks.
 * @param count of blocks; fewer where the model has fewer segments
 * @returns gives the measurement up and frees its slots at once
 */
export function probeBlocks(
  host: Host,
  model: WorkerModel,
  { count, repeats }: { readonly count: number; readonly repeats: number },
  done: Done<Profile>,
): Cancel {
  const { costs } = model;
  const blocks = coarseBlocks(costs, count);
  // What any run costs is seen where next to nothing is computed, and no block does so little.
  const least = leastWork(costs);
  const stages = [...blocks, { from: least, to: least + 1 }];
  const programs = stages.map(({ from, to }) => model.stage(from, to));
  return probe(host, programs, repeats, (outcome) => {
    if (!outcome.ok) return done(outcome);
    const { segments: times, runMs, callMs } = outcome.value;
    const measured = blocks.map((block, i) => {
      return { ...block, time: present(times[i], "a block's times") };
    });
    done({ ok: true, value: approximateProfile(costs, measured, { runMs, callMs }) });
  });
}

/** The segment that computes least; the last one computes the loss as well. */
function leastWork(costs: readonly SegmentCost[]): number {
  const work = ({ forwardFlops, backwardFlops }: SegmentCost): number =>
    forwardFlops + backwardFlops;
  let least = 0;
  for (const [i, cost] of costs.slice(0, -1).entries()) {
    if (work(cost) < work(present(costs[least], "a segment"))) least = i;
  }
  return least;
}
