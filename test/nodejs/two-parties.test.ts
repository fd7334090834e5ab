/** Two parties as processes, each with a file that has nothing but its own columns. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { readSafetensors } from "../../src/base/safetensors.ts";
import { loadModel, loadParty, loadPartyFile, NativeEngine } from "../../src/nodejs.ts";
import { parseJob } from "../../src/run/job.ts";
import type { RunRecord } from "../../src/run/metrics/record.ts";
import { replay } from "../../src/sim/replay.ts";
import { edgeloom, launcher } from "./processes.ts";

const launch = launcher();
const folder = mkdtempSync(join(tmpdir(), "edgeloom-parties-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What users think of films: the more, the nearer both are. */
const ratings = Array.from({ length: 240 }, (_, i) => {
  const [user, film] = [(i * 7) % 20, (i * 11) % 24];
  return { id: `r${i}`, user, film, stars: 1 + ((user + film) % 5) };
});
type Column = keyof (typeof ratings)[number];

const table = (name: string, columns: readonly Column[], rows = ratings): string => {
  const path = join(folder, name);
  const lines = rows.map((row) => columns.map((column) => row[column]).join(","));
  writeFileSync(path, `${[columns.join(","), ...lines].join("\n")}\n`);
  return path;
};
const shop = table("shop.csv", ["id", "user", "stars"], ratings.slice(0, 200));
const studio = table("studio.csv", ["film", "id"], ratings.slice(0, 200).reverse());
const fewer = table("fewer.csv", ["film", "id"], ratings.slice(0, 199));
const held = table("held-out.csv", ["id", "user", "film", "stars"], ratings.slice(200));

const asked = {
  ...{ model: "ncf", modelOptions: { vocabulary: 24 }, cutTensors: 3 },
  // Who serves has held-out samples alone, with all columns.
  data: { csv: held, key: "id", label: "stars", test: held },
  loss: { kind: "mean-squared-error", labelUnit: 1 },
  optimizer: { kind: "adam", learningRate: 0.01 },
  ...{ batch: 20, rounds: 3, localBatches: 10, evaluate: { every: 10 } },
  ...{ planner: "two-parties", parties: [[0], [1]], split: { labels: "at-home" } },
  fleet: { devices: [{ name: "shop" }, { name: "studio" }] },
};

it("a shop and a studio train what the log says, and whoever has other samples is refused", async () => {
  const yaml = join(folder, "job.yaml");
  writeFileSync(yaml, JSON.stringify(asked));
  const runs = join(folder, "runs");
  const server = launch(["serve", yaml, "--runs", runs], 110_000);
  const [, url = "", first = ""] = await server.says(
    /edgeloom join (ws\S+) --token (\S+) --name shop --columns 0 --data/,
  );
  const [, second = ""] = await server.says(/--token (\S+) --name studio --columns 1 --data/);
  const as = (name: string, token: string, ...data: string[]): string[] => {
    return ["join", url, "--token", token, "--name", name, "--data", ...data];
  };
  const one = launch(as("shop", first, shop, "--key", "id", "--label", "stars", "--columns", "0"));
  await one.says(/joined run/);
  const wrong = await edgeloom(as("studio", second, fewer, "--key", "id", "--columns", "1"));
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toMatch(
    /the keys of its 199 samples \(digest \w{16}\) differ from those of the 200 samples of shop \(digest \w{16}\)/,
  );
  const two = launch(as("studio", second, studio, "--key", "id", "--columns", "1"));
  for (const { finished } of [one, two, server]) {
    const { code, stderr } = await finished;
    expect(code, stderr).toBe(0);
  }
  expect((await server.finished).stdout).toMatch(
    /two parties: shop has the labels, studio the other columns/,
  );
  const path = join(runs, present(readdirSync(runs)[0], "a run folder"));
  const lines = readFileSync(join(path, "records.jsonl"), "utf8").trim().split("\n");
  const job = parseJob(asked);
  const engine = new NativeEngine();
  const sources = new Map([
    ["shop", loadPartyFile(shop, [0], { key: "id", label: "stars" })],
    ["studio", loadPartyFile(studio, [1], { key: "id" })],
  ]);
  const expected = await replay({
    ...{ job, model: loadModel(job, "."), engine },
    records: lines.map((line) => JSON.parse(line) as RunRecord),
    samplesOf: (node) => present(sources.get(node), node),
  });
  await engine.close();
  const saved = readSafetensors(readFileSync(join(path, "weights.safetensors"))).tensors;
  expect(saved.size).toBe(14);
  for (const [name, { data }] of saved) {
    expect(data, name).toEqual(present(expected.get(name), name).data);
  }
}, 120_000);

it("a party takes its columns out of a job's data, or has them in a file of its own", () => {
  const all = table("all.csv", ["id", "user", "film", "stars"], ratings.slice(0, 200));
  const job = parseJob({ ...asked, data: { csv: all, key: "id", label: "stars" } });
  const batch = { seed: 1, node: "shop", step: 3, size: 8 };
  const [mine, theirs] = [loadParty(job, [0], folder), loadParty(job, [1], folder)];
  const file = loadPartyFile(studio, [1], { key: "id" });
  expect(file.party).toEqual(theirs.party);
  expect(file.party?.keys).toBe(mine.party?.keys);
  expect(file.batch(batch).features).toEqual(theirs.batch(batch).features);
  expect([mine.party?.hasLabels, theirs.party?.hasLabels]).toEqual([true, false]);
  expect(() => loadParty(job, [2], folder)).toThrow(
    /columns of a party: got \[2\]; allowed: those of a party of the job: \[0\] or \[1\]/,
  );
  expect(() => loadPartyFile(all, [1], { key: "id", label: "stars" })).toThrow(
    /2 columns of features for columns \[1\]/,
  );
});
