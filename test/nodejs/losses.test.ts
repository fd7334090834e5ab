/** Models that are no classifiers of many classes, from a job file to what the terminal says. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  arrayDataset,
  evaluate,
  lossSpec,
  ModelError,
  measuredWords,
  SampleSource,
  train,
} from "../../src/nodejs.ts";
import { edgeloom } from "./processes.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeloom-losses-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const jobFile = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

/** Images of 8x8 with a bright half, left or right. */
function halves(samples: number): SampleSource {
  const features = Array.from({ length: samples * 64 }, (_, i) => {
    const isLeft = i % 8 < 4;
    const number = Math.floor(i / 64);
    return (number % 2 === 0) === isLeft ? 0.9 : 0.1;
  });
  const labels = Array.from({ length: samples }, (_, i) => i % 2);
  return new SampleSource(arrayDataset(features, labels, { inputShape: [1, 8, 8] }));
}

/** Users like items that are odd or even as they are. */
function pairs(from: number, to: number): string {
  const lines = ["user,item,likes"];
  for (let i = from; i < to; i++) {
    const [user, item] = [i % 6, Math.floor(i / 6) % 6];
    lines.push(`${user},${item},${user % 2 === item % 2 ? 1 : 0}`);
  }
  return `${lines.join("\n")}\n`;
}

describe("a vae", () => {
  const job = {
    model: "vae",
    modelOptions: { size: 8 },
    rounds: 3,
    localBatches: 5,
    optimizer: { kind: "adam" },
    evaluate: { every: 1 },
  } as const;

  it("trains on its own loss, looks at no labels and has no accuracy", async () => {
    const losses: (number | null)[] = [];
    const { end, summary, model } = await train({
      job,
      train: halves(64),
      test: halves(20),
      record: (record) => void (record.type === "round" && losses.push(record.loss)),
    });
    expect(end.reason).toBe("finished");
    expect(losses).toHaveLength(3);
    expect(losses[2]).toBeLessThan(losses[0] ?? 0);
    expect([summary.accuracy, summary.isFinal]).toEqual([null, true]);
    expect(summary.heldOutLoss).toBeLessThan(losses[0] ?? 0);
    expect(measuredWords(summary)).toEqual(["loss", summary.heldOutLoss?.toFixed(4)]);
    const test = halves(20);
    const measured = await evaluate({ model, test, loss: lossSpec("mean-output") });
    expect([measured.accuracy, measured.correct]).toEqual([null, null]);
    expect(measured.loss).toBeCloseTo(summary.heldOutLoss ?? 0, 1);
    await expect(evaluate({ model, test })).rejects.toThrow(ModelError);
  });

  it("is told by its loss in the terminal", async () => {
    const text =
      "model: vae\ndata: mnist\nrounds: 2\nlocalBatches: 4\nevaluate: { every: 1, samples: 100 }\n";
    const runs = join(folder, "runs-vae");
    const trained = await edgeloom(["train", jobFile("vae.yaml", text), "--runs", runs, "--json"]);
    expect(trained.stdout).toMatch(
      /^round 2\/2 {2}loss \d\.\d{4} {2}held-out loss \d\.\d{4} \(round 1\)/m,
    );
    expect(trained.stdout).toMatch(/^Test loss \d\.\d{4} after 2 of 2 rounds/m);
    expect(trained.code).toBe(0);
    const result = JSON.parse(trained.stdout.trim().split("\n").at(-1) ?? "");
    expect(result.accuracy).toBeNull();
    const [run = ""] = readdirSync(runs);
    const listed = await edgeloom(["runs", "--runs", runs]);
    expect(listed.stdout).toContain(`loss ${result.heldOutLoss.toFixed(4)}`);
    const one = await edgeloom(["runs", run, "--runs", runs]);
    expect(one.stdout).toMatch(new RegExp(`held-out loss +${result.heldOutLoss.toFixed(4)}`));
    expect(one.stdout).not.toMatch(/accuracy/);
    // The job of the run says which loss it is.
    const measured = await edgeloom(["eval", join(runs, run), "--data", "mnist"]);
    expect(measured.stdout).toMatch(/^Loss \d\.\d{4}, on 10,000 samples/m);
  });
});

describe("ncf", () => {
  it("trains from a CSV of pairs to an accuracy over two classes", async () => {
    writeFileSync(join(folder, "train.csv"), pairs(0, 72));
    writeFileSync(join(folder, "test.csv"), pairs(0, 36));
    const text = [
      "model: ncf",
      "modelOptions: { vocabulary: 6 }",
      "data: { csv: train.csv, test: test.csv }",
      "rounds: 2",
      "localBatches: 40",
      "batch: 16",
      "optimizer: { kind: adam, learningRate: 0.02 }",
    ].join("\n");
    const runs = join(folder, "runs-ncf");
    const trained = await edgeloom(["train", jobFile("ncf.yaml", text), "--runs", runs]);
    const losses = [...trained.stdout.matchAll(/^round \d\/2 {2}loss (\S+)/gm)].map(([, x]) =>
      Number(x),
    );
    expect(trained.stderr).toBe("");
    expect(losses).toHaveLength(2);
    expect(losses[1]).toBeLessThan(losses[0] ?? 0);
    expect(trained.stdout).toMatch(/^Test accuracy (100|9\d)\.\d\d % after 2 of 2 rounds/m);
    const [run = ""] = readdirSync(runs);
    const data = join(folder, "test.csv");
    const measured = await edgeloom(["eval", join(runs, run), "--data", data]);
    expect(measured.stdout).toMatch(/^Accuracy (100|9\d)\.\d\d %, loss \d\.\d{4}, on 36 samples/m);
    const file = join(runs, run, "model.onnx");
    const refused = await edgeloom(["eval", file, "--data", data]);
    expect(refused.stderr).toMatch(/2 classes do not fit the model, which has 1/);
    const named = await edgeloom(["eval", file, "--data", data, "--loss", "binary-cross-entropy"]);
    expect(named.stdout).toBe(measured.stdout);
  });

  it("refuses a third class", async () => {
    const features = [0, 1, 1, 2, 2, 0];
    const samples = new SampleSource(arrayDataset(features, [0, 1, 2], { inputShape: [2] }));
    const training = train({ job: { model: "ncf", batch: 3 }, train: samples });
    await expect(training).rejects.toThrow("3 classes do not fit the model, which has 2");
  });
});
