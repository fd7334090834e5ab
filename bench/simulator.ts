/**
 * How fast the simulator is: one round of a fleet of devices behind edge lines, with the null
 * engine and every message that peers send each other, from the first hello to the end.
 */
import { peakMemoryBytes, readyScenario, version } from "edgeloom";
import { parseScenario, simulate } from "edgeloom/sim";
import { type Bench, countOf, optionsOf, type Row, tell } from "./bench.ts";

/** Devices behind one line. */
const perLine = 100;
const [secondsMax, bytesMax, devicesAsked] = [10, 2e9, 10_000];

const seed = 1;

function fleet(devices: number): object {
  const lines = Math.ceil(devices / perLine);
  return {
    model: "lenet5",
    data: "mnist",
    seed,
    batch: 32,
    rounds: 1,
    localBatches: 1,
    fleet: {
      coordinator: "server",
      nodes: [
        { name: "server", kind: "edge", gflops: 5000, upMbit: 100_000, downMbit: 100_000, ms: 1 },
        ...Array.from({ length: lines }, (_, line) => ({
          name: `device-${line}-{n}`,
          kind: "device",
          gflops: 5,
          count: Math.min(perLine, devices - line * perLine),
          upMbit: 20,
          downMbit: 50,
          ms: 10,
          behind: `line-${line}`,
        })),
      ],
      cells: Array.from({ length: lines }, (_, line) => ({
        name: `line-${line}`,
        upMbit: 1000,
        downMbit: 1000,
      })),
    },
  };
}

export const simulator: Bench = {
  summary: "one simulated round of many devices behind edge lines [--devices N]",
  async run(args) {
    const given = optionsOf(args, { devices: String(devicesAsked) });
    const devices = countOf("--devices", given.devices);
    const rows: Row[] = [];
    let [seconds, bytes] = [0, 0];
    for (const count of [Math.ceil(devices / 10), devices]) {
      tell(`${count} devices ...`);
      const startedMs = performance.now();
      const ready = await readyScenario(parseScenario(fleet(count)), "examples/scenarios");
      const { end, virtualMs } = await simulate(ready);
      if (end.reason !== "finished") throw new Error(`${end.reason}: ${end.text}`);
      seconds = (performance.now() - startedMs) / 1000;
      bytes = peakMemoryBytes();
      rows.push({ devices: count, seconds, "peak MB": bytes / 1e6, "virtual s": virtualMs / 1000 });
    }
    const isAsked = devices === devicesAsked;
    const goal = (name: string, value: number, most: number, unit: string) => ({
      name: `${name}, ${devicesAsked} devices`,
      value: isAsked ? value : null,
      goal: most,
      unit,
      met: isAsked && value <= most,
    });
    return {
      rows,
      goals: [goal("time", seconds, secondsMax, "s"), goal("memory", bytes, bytesMax, "B")],
      versions: { edgeloom: version },
      seed,
      notes: isAsked ? [] : [`goals are for ${devicesAsked} devices`],
    };
  },
};
