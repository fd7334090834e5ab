/** Data that go through the coordinator take no longer than those that go straight: nobody waits for another device. */
import { expect, it } from "vitest";
import { nullEngine } from "../../src/sim/engines.ts";
import type { SimNode } from "../../src/sim/fleet.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

it.each([true, false])(
  "W8: a round of ten devices takes as long as it is forecast to (the server is reachable: %s)",
  async (reachable) => {
    // Two megabytes for each device: a window has room for two of them.
    const devices = Array.from({ length: 10 }, (_, i) => ({ name: `d${i}`, duty: 1 / (1 + i) }));
    const job = smallJob({ batch: 65_536, rounds: 2, fleet: { cellMbit: 100, devices } });
    const train = { samples: 65_536, inputShape: [12], classes: 3 };
    const nodes = smallFleet(job).map((node): SimNode => {
      return node.kind === "device" ? { ...node, train } : { ...node, reachable };
    });
    const { records } = await simulate({ job, model: smallModel(), nodes, engine: nullEngine });
    const all = records.map(({ record }) => record);
    const plan = all.findLast((record) => record.type === "planned")?.plan;
    const forecastMs = Math.max(...(plan?.forecasts.map(({ roundMs }) => roundMs) ?? []));
    const rounds = all.filter((record) => record.type === "round");
    expect(rounds).toHaveLength(2);
    for (const { ms } of rounds) expect(Math.abs(ms / forecastMs - 1)).toBeLessThan(0.05);
  },
);
