/** The API for programs, on small data of its own: what options do, and what wrong ones meet. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  arrayDataset,
  builtInModel,
  evaluate,
  InputError,
  loadHeldOutPath,
  type Model,
  ModelError,
  NativeEngine,
  openRun,
  parseJob,
  plan,
  type RunRecord,
  readOnnx,
  SampleSource,
  Sequential,
  train,
  writeOnnx,
} from "../../src/nodejs.ts";
import { interpreterEngine } from "../../src/sim.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeloom-library-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Points on a line; the sign is the class. */
function signs(samples: number, classes = 2): SampleSource {
  const features = Array.from({ length: samples }, (_, i) => (i - (samples - 1) / 2) / samples);
  const labels = features.map((x) => (x < 0 ? 0 : 1));
  return new SampleSource(arrayDataset(features, labels, { inputShape: [1], classes }));
}
const signModel = (): Model => new Sequential("sign", [1], 1).linear("answer", 2).model();
const job = { batch: 16, rounds: 6, localBatches: 8 };
/** All values, in the order of their names. */
const weightsOf = (model: Model): number[] =>
  [...model.weights.keys()]
    .sort()
    .flatMap((name) => Array.from(model.weights.get(name)?.data ?? [], Number));

describe("train", () => {
  it("hands over the model it trained, and leaves the one it was given", async () => {
    const model = signModel();
    const before = weightsOf(model);
    const records: RunRecord["type"][] = [];
    const {
      end,
      summary,
      model: trained,
    } = await train({
      job,
      model,
      train: signs(64),
      test: signs(32),
      record: (record) => records.push(record.type),
    });
    expect(end).toEqual({ reason: "finished", text: "6 rounds" });
    expect([summary.rounds, summary.isFinal]).toEqual([6, true]);
    expect(summary.accuracy).toBeGreaterThan(0.9);
    expect(weightsOf(model)).toEqual(before);
    expect(weightsOf(trained)).not.toEqual(before);
    expect(records.filter((type) => type === "round")).toHaveLength(6);
    const measured = await evaluate({ model: trained, test: signs(32) });
    expect(measured.accuracy).toBe(summary.accuracy);
    expect(measured.correct).toBe((measured.accuracy ?? 0) * measured.samples);
  });

  it("trains to the same weights on any engine and in any form of the model", async () => {
    const model = signModel();
    const options = { job, train: signs(64) };
    const native = await train({ ...options, model });
    const read = readOnnx(writeOnnx(model.graph, { weights: model.weights }));
    const again = await train({ ...options, model: read, engine: new NativeEngine() });
    expect(weightsOf(again.model)).toEqual(weightsOf(native.model));
    const interpreted = await train({ ...options, model, engine: interpreterEngine() });
    for (const [i, weight] of weightsOf(interpreted.model).entries()) {
      expect(weight).toBeCloseTo(weightsOf(native.model)[i] ?? Number.NaN, 4);
    }
  });

  it("leaves a run folder that opens to the model it handed over", async () => {
    const path = join(folder, "kept");
    const { model } = await train({ job, model: signModel(), train: signs(64), folder: path });
    expect(weightsOf(openRun(path))).toEqual(weightsOf(model));
    const lines = readFileSync(join(path, "records.jsonl"), "utf8").trim().split("\n");
    const types = lines.map((line) => (JSON.parse(line) as RunRecord).type);
    expect([types[0], types.at(-1)]).toEqual(["environment", "ended"]);
    expect(JSON.parse(readFileSync(join(path, "job.yaml"), "utf8"))).toEqual(job);
    const again = train({ job, model: signModel(), train: signs(64), folder: path });
    await expect(again).rejects.toThrow(InputError);
  });

  it("ends after the round under way when it is told to", async () => {
    const stop = new AbortController();
    const { end, summary } = await train({
      job: { ...job, rounds: 10_000 },
      model: signModel(),
      train: signs(64),
      signal: stop.signal,
      record: (record) => {
        if (record.type === "round" && record.round === 2) stop.abort();
      },
    });
    expect(end.reason).toBe("interrupted");
    expect(summary.rounds).toBeGreaterThanOrEqual(3);
    expect(summary.rounds).toBeLessThan(100);
    const { end: early, model } = await train({
      job,
      model: signModel(),
      train: signs(64),
      signal: AbortSignal.abort(),
    });
    expect(early.reason).toBe("interrupted");
    expect(weightsOf(model)).toEqual(weightsOf(signModel()));
  });

  it.each([
    ["training data of another shape", { train: loadHeldOutPath("mnist") }, "do not fit the model"],
    ["held-out data of another shape", { test: loadHeldOutPath("mnist") }, "shape [1,28,28]"],
    ["more classes than answers", { train: signs(64, 3) }, "3 classes"],
    ["a wrong job", { job: { ...job, batch: 0 } }, "batch: got 0"],
  ])("refuses %s at once, and keeps no process alive", async (_what, wrong, message) => {
    const training = train({ job, model: signModel(), train: signs(64), ...wrong });
    const error = await training.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toContain(message);
  });
});

describe("evaluate", () => {
  it("refuses samples that the model does not take, and models that are no classifiers", async () => {
    const mlp = builtInModel("mlp", { seed: 1 });
    await expect(evaluate({ model: mlp, test: signs(8) })).rejects.toThrow(/shape \[1\].*28,28/);
    await expect(evaluate({ model: signModel(), test: signs(8, 5) })).rejects.toThrow("5 classes");
    const deep = new Sequential("image", [1, 4, 4], 1).conv("conv", 2, { kernel: 3 }).model();
    const image = new SampleSource(arrayDataset(Array(16).fill(0), [0], { inputShape: [1, 4, 4] }));
    await expect(evaluate({ model: deep, test: image })).rejects.toThrow(ModelError);
  });

  it("leaves an engine open that it was given", async () => {
    const engine = new NativeEngine();
    const first = await evaluate({ model: signModel(), test: signs(8), engine });
    expect(await evaluate({ model: signModel(), test: signs(8), engine })).toEqual(first);
    await engine.close();
  });
});

describe("plan", () => {
  it("plans for the fleet of the job, without data, and says what it assumed", async () => {
    const fleet = { cellMbit: 50, devices: [{ name: "quick" }, { name: "slow", duty: 0.1 }] };
    const result = await plan({ job: { model: "lenet5", fleet } });
    expect(result.plan.chains.map((chain) => chain.source)).toEqual(["quick", "slow"]);
    expect(result.nodes.map(({ name, kind, duty }) => [name, kind, duty])).toEqual([
      ["quick", "device", 1],
      ["slow", "device", 0.1],
      ["edge", "edge", 1],
    ]);
    expect(result.predictedRoundMs).toBe(result.summary.medianRoundMs);
    expect(result.predictedRoundMs).toBeGreaterThan(0);
  });

  it("takes a checked job and says where no plan satisfies it", async () => {
    const job = parseJob({
      model: "lenet5",
      data: "mnist",
      fleet: { devices: [{ name: "tiny", memoryMB: 0.001 }] },
    });
    await expect(plan({ job })).rejects.toThrow(/tiny/);
  });
});

it("no test left a run beside the sources", () => {
  expect(readdirSync(folder)).toEqual(["kept"]);
  expect(existsSync("runs/kept")).toBe(false);
});
