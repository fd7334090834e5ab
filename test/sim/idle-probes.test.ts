/** Servers that train nothing: measured again now and then, so that one that has become fast is found. */
import { expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { nodeId } from "../../src/base/ids.ts";
import type { Plan } from "../../src/plan/plan.ts";
import { scaledProfile } from "../../src/plan/program-time.ts";
import type { TimedRecord } from "../../src/run/metrics/record.ts";
import { nullEngine } from "../../src/sim/engines.ts";
import type { SimNode, SimTrace } from "../../src/sim/fleet.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

const job = smallJob({
  planner: "pipeline",
  rounds: 40,
  localBatches: 200,
  fleet: { devices: [{ name: "phone" }] },
  evaluate: { every: 1000 },
});

/** A phone that is slow, and two servers that are faster; how fast the second one is changes. */
function fleet(): SimNode[] {
  const [edge, phone] = smallFleet(job);
  const [device, server] = [present(phone, "a device"), present(edge, "an edge server")];
  const slower = (node: SimNode, name: string, factor: number): SimNode => {
    const profile = scaledProfile(node.profile, (ms) => factor * ms);
    return { ...node, name, profile, latencyMs: 2 };
  };
  return [slower(device, "phone", 10), slower(server, "near", 20), slower(server, "spare", 2)];
}

test("a server that was busy when the first plan was made takes part once it is free", async () => {
  const traces: SimTrace[] = [
    {
      ...{ kind: "speed", node: "spare" },
      points: [
        [0, 0.05],
        [20_000, 1],
      ],
    },
  ];
  const plansOf = (records: readonly TimedRecord[]): Plan[] =>
    records.flatMap(({ record }) => (record.type === "planned" ? [record.plan] : []));
  const hasSpare = ({ copies }: Plan): boolean =>
    copies.some(({ node }) => node === nodeId("spare"));
  let foundMs = 0;
  const { records } = await simulate({
    ...{ job, model: smallModel(), nodes: fleet(), engine: nullEngine, traces },
    until: (nowMs, seen) => {
      foundMs = nowMs;
      return plansOf(seen).some(hasSpare) || nowMs > 120_000;
    },
  });
  const have = plansOf(records).map(hasSpare);
  expect([have[0], have.at(-1)]).toEqual([false, true]);
  expect(foundMs).toBeGreaterThan(20_000);
  // A node is busy with probes for 2 % of its time, and a gain has to last fifteen seconds.
  expect(foundMs).toBeLessThan(120_000);
});
