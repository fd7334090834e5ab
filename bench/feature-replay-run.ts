/** A way to train in virtual time: the real peers, messages and links, with the null engine. */
import { type NodeId, type Plan, type Planner, planners, type TimedRecord } from "edgeloom";
import { simulate } from "edgeloom/sim";
import { type Cell, machinesOf, requestOf } from "./feature-replay-cells.ts";
import type { Way } from "./feature-replay-line.ts";
import { batchTimes } from "./pipeline-stalls.ts";

/** Batches of the round, those that are waited for, and those of them that do not count. */
const [batches, counted, skipped] = [400, 60, 15];

/** What a plan of two nodes says of a way. */
export function wayOf({ copies, chains, links }: Plan): Way {
  const [link] = links;
  const [chain] = chains;
  return {
    cut: copies[0]?.to ?? 0,
    window: chain?.window ?? 0,
    codecUp: link?.codecUp ?? "float32",
    codecDown: link?.codecDown ?? "float32",
    backward: chain?.stages[0]?.backward === "replay" ? "replay" : "stored",
  };
}

/** A way in words. @param count segments of the model */
export const wayText = (
  { cut, window, codecUp, codecDown, backward }: Way,
  count: number,
): string =>
  cut === count
    ? "device alone"
    : `cut ${cut} of ${count}, window ${window}, ${codecUp} up, ${codecDown} down, ${backward}`;

/** A plan for a way. */
function planOf(cell: Cell, way: Way, work: number): Plan {
  const request = requestOf(cell, work);
  const { cut, window, codecUp, codecDown, backward } = way;
  const count = request.segments.length;
  if (cut === count) return planners.local(request);
  const fleet = { ...request.fleet, links: [] };
  // Without any link to wait for it splits; the rest is put in its place.
  const [device, cloud] = fleet.nodes;
  if (device === undefined || cloud === undefined) throw new Error("two nodes");
  const free = { ...device, latencyMs: 0 };
  const base = planners["feature-replay"]({
    ...request,
    fleet: { ...fleet, nodes: [free, cloud] },
  });
  const copies = base.copies.map((copy, i) =>
    i === 0 ? { ...copy, to: cut } : { ...copy, from: cut },
  );
  const chains = base.chains.map((chain) => ({
    ...chain,
    window,
    stages: chain.stages.map((stage, i) => (i === 0 ? { ...stage, backward } : stage)),
  }));
  const links = base.links.map((link) => ({ ...link, codecUp, codecDown }));
  return { ...base, copies, chains, links };
}

/** Time from batch to batch. */
export async function simulatedPeriodMs(cell: Cell, way: Way): Promise<number> {
  const plan = planOf(cell, way, batches);
  const planner: Planner = ({ term }) => ({ ...plan, term });
  const watch = new DeviceWatch();
  await simulate({
    ...machinesOf(cell, batches),
    planner,
    isWatched: true,
    until: (_, records) => watch.see(records) >= counted,
  });
  const [first, last] = [watch.times[skipped], watch.times[counted - 1]];
  if (first === undefined || last === undefined) {
    throw new Error(`${watch.times.length} of ${counted} batches came back`);
  }
  return (last - first) / (counted - 1 - skipped);
}

/** When batches came back to the device, as far as its activity tells: the end of a round may be missing. */
class DeviceWatch {
  readonly times: number[] = [];
  #seen = 0;

  /** @returns the batches so far */
  see(records: readonly TimedRecord[]): number {
    const fresh = records.slice(this.#seen);
    this.#seen = records.length;
    if (fresh.length > 0) this.times.push(...batchTimes(fresh, "device" as NodeId));
    return this.times.length;
  }
}
