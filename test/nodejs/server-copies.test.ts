/** Whether servers train one copy for each device or one for all, digits are learnt as well. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { demoJob } from "../../src/cli/demo-job.ts";
import {
  builtInModel,
  loadHeldOut,
  loadTraining,
  NativeEngine,
  parseJob,
  partition,
} from "../../src/nodejs.ts";
import { type SimNode, simulate } from "../../src/sim.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeloom-server-copies-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The demo's devices and their shards, with a model that is quickly trained; accuracy on held-out digits. */
async function accuracyOf(split: object): Promise<number> {
  const job = parseJob({ ...demoJob, model: "mlp", rounds: 8, localBatches: 10, split });
  const { devices } = job.fleet;
  const shards = partition("mnist", { parts: devices.length, out: folder, alpha: 0.5, seed: 1 });
  const time = { forwardMs: 1, backwardMs: 2, updateMs: 0.1 };
  const model = builtInModel(job.model, { seed: job.seed });
  const node = {
    profile: { segments: Array.from({ length: 6 }, () => time), runMs: 0.04, callMs: 0.18 },
    ...{ latencyMs: 0.2, memoryBytes: null },
  };
  const edge: SimNode = {
    ...node,
    ...{ name: "edge", kind: "edge", duty: 1, ceilingBytesPerMs: null, train: null },
    test: loadHeldOut("mnist", "."),
  };
  const nodes = devices.map((device, i): SimNode => {
    const { folder: idx } = present(shards[i], "a shard");
    return { ...node, ...device, kind: "device", test: null, train: loadTraining({ idx }, ".") };
  });
  const engines: NativeEngine[] = [];
  const engine = (): NativeEngine => {
    const made = new NativeEngine({ threads: 1 });
    engines.push(made);
    return made;
  };
  const { records } = await simulate({ job, model, nodes: [edge, ...nodes], engine });
  for (const made of engines) await made.close();
  const last = records.findLast(({ record }) => record.type === "evaluation")?.record;
  return last?.type === "evaluation" ? (last.accuracy ?? Number.NaN) : Number.NaN;
}

it("digits are learnt with a server copy for each device, and as well with one for all", async () => {
  const each = await accuracyOf({ serverCopies: "each" });
  const shared = await accuracyOf({ serverCopies: "shared" });
  const published = await accuracyOf({ serverCopies: "shared", merge: 1 });
  expect(each).toBeGreaterThan(0.75);
  expect(Math.abs(shared - each)).toBeLessThan(0.05);
  expect(published).toBeGreaterThan(each - 0.05);
});
