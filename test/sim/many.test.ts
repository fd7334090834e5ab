/** Many devices behind edge lines: what a device costs must not grow with the number of the others. */
import { expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { readyScenario } from "../../src/nodejs/scenario.ts";
import { parseScenario } from "../../src/sim/scenario.ts";
import { Simulation } from "../../src/sim/simulate.ts";

/** One round of so many devices, 50 behind a line: what the first one received, and the events in all. */
async function oneRound(devices: number): Promise<{ bytesDown: number; events: number }> {
  const lines = Array.from({ length: devices / 50 }, (_, i) => `line-${i}`);
  const scenario = parseScenario({
    model: "mlp",
    data: "mnist",
    rounds: 1,
    localBatches: 1,
    fleet: {
      coordinator: "server",
      nodes: [
        { name: "server", kind: "edge", gflops: 1e6, upMbit: 1e6, downMbit: 1e6 },
        ...lines.map((behind) => {
          return { name: `${behind}-{n}`, kind: "device", count: 50, gflops: 5, ms: 5, behind };
        }),
      ],
      cells: lines.map((name) => ({ name, upMbit: 1e5, downMbit: 1e5 })),
    },
  });
  const simulation = new Simulation(await readyScenario(scenario, "."));
  let events = 0;
  await simulation.run(() => {
    events++;
    return false;
  });
  const { end, records } = simulation.result();
  expect(end?.reason).toBe("finished");
  const round = present(
    records.map(({ record }) => record).find((record) => record.type === "round"),
    "a round",
  );
  expect(round.participants).toHaveLength(devices);
  const first = present(
    round.nodes.find(({ node }) => node === "line-0-1"),
    "a device",
  );
  return { bytesDown: first.bytesDown, events };
}

it("sends a device as much, and takes as many events for it, among 300 as among 100", async () => {
  const [few, many] = [await oneRound(100), await oneRound(300)];
  expect(many.bytesDown / few.bytesDown).toBeLessThan(1.1);
  expect(many.events / few.events / 3).toBeLessThan(1.25);
});
