/** A served run whose server is killed (SIGKILL), and that is gone on with by `edgeloom resume`. */
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { edgeloom, launcher } from "./processes.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeloom-resume-"));
const rounds = 8;
const job = `model: mlp
data: mnist
batch: 8
rounds: ${rounds}
localBatches: 20
evaluate: { every: 4, samples: 500 }
`;
const launch = launcher();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const runFolder = (runs: string): string => join(runs, present(readdirSync(runs)[0], "a run"));

/** Records of a run by type. */
function recordsOf(path: string): { type: string; round: number; dropped: unknown[] }[] {
  const lines = readFileSync(join(path, "records.jsonl"), "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line));
}

const committed = (path: string): number[] =>
  recordsOf(path).flatMap(({ type, round }) => (type === "round" ? [round] : []));

const weights = (path: string): string =>
  readFileSync(join(path, "weights.safetensors")).toString("base64");

/** Starts a job in this process until it says something, and kills it. */
async function killAfter(args: readonly string[], pattern: RegExp): Promise<void> {
  const process = launch(args);
  await process.says(pattern);
  process.child.kill("SIGKILL");
  await process.finished;
}

describe("edgeloom resume", () => {
  it("goes on with a run whose server was killed; its devices come back by themselves", async () => {
    const file = join(folder, "served.yaml");
    writeFileSync(file, `${job}fleet: { devices: [{ name: one }, { name: two }] }\n`);
    const runs = join(folder, "served");
    const server = launch(["serve", file, "--runs", runs]);
    const [, url = ""] = await server.says(/edgeloom join (ws:\S+) --token \S+ --name two/);
    const listed = await server.says(/--token (\S+) --name one[\s\S]*--token (\S+) --name two/);
    const devices = ["one", "two"].map((name, i) => {
      const token = listed[i + 1] ?? "";
      return launch(["join", url, "--token", token, "--name", name, "--data", "mnist"]);
    });
    await server.says(/round 3\//);
    server.child.kill("SIGKILL");
    await server.finished;
    for (const device of devices) await device.says(/the coordinator is gone.*trying again in/);
    const path = runFolder(runs);
    const before = committed(path).length;
    const resumed = launch(["resume", path]);
    await resumed.says(/^Watch it at/m);
    const second = await edgeloom(["resume", path]);
    expect(second.stderr).toMatch(/which another process has open/);
    expect(second.code).toBe(2);
    const { code, stdout, stderr } = await resumed.finished;
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^resumed after \d rounds/m);
    for (const device of devices) expect((await device.finished).code).toBe(0);
    // Each once and in order, and those before the kill were not done again.
    expect(committed(path)).toEqual(Array.from({ length: rounds }, (_, i) => i));
    expect(before).toBeGreaterThanOrEqual(3);
    const again = await edgeloom(["resume", path]);
    expect(again.stderr).toMatch(/which has finished/);
  });

  it("comes to the same weights, bit for bit, as if nothing had happened", async () => {
    const file = join(folder, "alone.yaml");
    writeFileSync(file, job);
    const [whole, killed] = [join(folder, "whole"), join(folder, "killed")];
    expect((await edgeloom(["train", file, "--runs", whole])).code).toBe(0);
    await killAfter(["train", file, "--runs", killed], /round 3\//);
    const name = present(readdirSync(killed)[0], "a run");
    const told = await edgeloom(["runs", name, "--runs", killed]);
    expect(told.stdout).toContain(`edgeloom resume ${name}`);
    const resumed = await edgeloom(["resume", name, "--runs", killed]);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(weights(runFolder(killed))).toBe(weights(runFolder(whole)));
  });

  it("goes back by one round where a file of the newest checkpoint is damaged", async () => {
    const file = join(folder, "damaged.yaml");
    writeFileSync(file, job);
    const [whole, runs] = [join(folder, "whole-too"), join(folder, "damaged")];
    expect((await edgeloom(["train", file, "--runs", whole])).code).toBe(0);
    await killAfter(["train", file, "--runs", runs], /round 5\//);
    const path = runFolder(runs);
    const before = committed(path).length;
    const newest = readdirSync(join(path, "checkpoints"))
      .map((name) => join(path, "checkpoints", name))
      .filter((name) => name.endsWith(".safetensors"));
    const journal = readFileSync(join(path, "journal.sqlite-wal")).toString("latin1");
    const last = newest.toSorted(
      (a, b) => journal.lastIndexOf(nameIn(a)) - journal.lastIndexOf(nameIn(b)),
    );
    truncateSync(present(last.at(-1), "a kept file"), 100);
    const resumed = await edgeloom(["resume", path]);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.stdout).toMatch(
      new RegExp(`resumed after ${before - 1} rounds: [0-9a-f]+ is damaged or missing`),
    );
    expect(weights(path)).toBe(weights(runFolder(whole)));
  });

  it("says what a folder is that cannot be gone on with", async () => {
    const { code, stderr } = await edgeloom(["resume", folder]);
    expect(stderr).toMatch(/allowed: a run folder such as runs\/<id>/);
    expect(code).toBe(2);
  });
});

const nameIn = (path: string): string => /([0-9a-f]{64})/.exec(path)?.[1] ?? "";
