import { describe, expect, it } from "vitest";
import { learningRateAt, parseJob } from "./job.ts";

const job = (fields: object) => parseJob({ model: "mlp", data: "mnist", ...fields });

describe("a job", () => {
  it("gives each device a name of its own, and none the server's", () => {
    const devices = (...names: string[]) => ({
      fleet: { devices: names.map((name) => ({ name })) },
    });
    expect(() => job(devices("a", "b", "a"))).toThrow('fleet.devices.2.name: got "a"');
    expect(() => job(devices("a", "edge"))).toThrow('fleet.devices.1.name: got "edge"');
    expect(job(devices("a", "b")).fleet.devices.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(job({ fleet: { devices: 2 } }).fleet.devices.map(({ name }) => name)).toEqual([
      "device-1",
      "device-2",
    ]);
  });
});

describe("the learning rate of a round", () => {
  it("stays, or falls along half a cosine from the job's rate towards 0", () => {
    const optimizer = { learningRate: 0.2 };
    const constant = job({ rounds: 4, optimizer });
    expect([0, 3].map((round) => learningRateAt(constant, round))).toEqual([0.2, 0.2]);
    const cosine = job({ rounds: 4, optimizer: { ...optimizer, schedule: "cosine" } });
    const rates = [0, 1, 2, 3].map((round) => learningRateAt(cosine, round));
    expect(rates[0]).toBe(0.2);
    expect(rates[1]).toBeCloseTo(0.1 * (1 + Math.SQRT1_2), 12);
    expect(rates[2]).toBeCloseTo(0.1, 12);
    expect(rates[3]).toBeCloseTo(0.1 * (1 - Math.SQRT1_2), 12);
  });
});
