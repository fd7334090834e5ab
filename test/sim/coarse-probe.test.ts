/** A probe of a few coarse blocks against the one of each segment, in virtual time where both are exact. */
import { expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import type { Profile } from "../../src/plan/plan.ts";
import { nullEngine } from "../../src/sim/engines.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

/** What probing a phone and a server gave. */
async function probed(probe: "blocks" | "segments", planner = "pipeline") {
  const job = smallJob({
    ...{ planner, rounds: 1, localBatches: 3 },
    pipeline: { probe },
    fleet: { devices: [{ name: "phone" }] },
  });
  const nodes = smallFleet(job);
  const { end, records } = await simulate({ job, model: smallModel(), nodes, engine: nullEngine });
  expect(end?.reason).toBe("finished");
  const found = records.flatMap(({ record }) => (record.type === "profiled" ? [record] : []));
  const of = (name: string) =>
    present(
      found.find((record) => record.name === name),
      name,
    );
  return { phone: of("phone"), edge: of("edge"), truth: present(nodes[0], "a node").profile };
}

const totalMs = ({ segments }: Profile): number =>
  segments.reduce((sum, time) => sum + time.forwardMs + time.backwardMs + time.updateMs, 0);

it("measures the whole model as a probe of every segment does", async () => {
  const [coarse, full] = [await probed("blocks"), await probed("blocks", "parallel-split")];
  for (const name of ["phone", "edge"] as const) {
    expect(coarse[name].profile.segments).toHaveLength(full[name].profile.segments.length);
    const ratio = totalMs(coarse[name].profile) / totalMs(full[name].profile);
    expect(ratio).toBeGreaterThan(0.9);
    expect(ratio).toBeLessThan(1.1);
  }
});

it("leaves the device to be measured segment by segment where the job says so", async () => {
  const [own, full] = [await probed("segments"), await probed("blocks", "parallel-split")];
  expect(own.phone.profile).toEqual(full.phone.profile);
  expect(own.edge.profile).not.toEqual(full.edge.profile);
});
