/** Pipelines over real processes: a device with the data, and edge servers that come and go. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { RunTokens } from "../../src/nodejs/tokens.ts";
import { evaluate, loadHeldOutPath, type Model } from "../../src/nodejs.ts";
import { PipelineRun, unstale } from "./pipeline-run.ts";
import { type Running, start } from "./processes.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeloom-pipeline-"));
const open: PipelineRun[] = [];
afterEach(() => {
  for (const run of open.splice(0)) run.end();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function begin(name: string): Promise<PipelineRun> {
  const run = new PipelineRun(folder, name);
  open.push(run);
  await run.join();
  return run;
}

/** The run has finished with all its batches, and no round has lost any. */
async function expectWhole(run: PipelineRun): Promise<void> {
  const { code, stderr } = await run.server.finished;
  expect(code, stderr).toBe(0);
  expect(stderr).toBe("");
  const rounds = run.of("round");
  const { localBatches } = run.job;
  // Where the plan changes, a round ends early, and others make up for it.
  const batches = rounds.map(({ participants }) => participants[0]?.steps ?? localBatches);
  const missing = run.job.rounds * localBatches - batches.reduce((sum, own) => sum + own, 0);
  expect(missing).toBeLessThanOrEqual(0);
  expect(missing).toBeGreaterThan(-localBatches);
  expect(rounds.flatMap(({ dropped }) => dropped)).toEqual([]);
  for (const { participants } of rounds) expect(participants).toHaveLength(1);
}

async function expectReplayed(run: PipelineRun): Promise<void> {
  const expected = await run.replayed();
  expect(run.saved.size).toBe(10);
  for (const [name, { data }] of run.saved) expect(data, name).toEqual(expected.get(name)?.data);
}

async function accuracyOf(model: Model): Promise<number> {
  const { correct, samples } = await evaluate({ model, test: loadHeldOutPath("mnist") });
  return (correct ?? 0) / samples;
}

describe("a pipeline over a device and two edge processes", () => {
  it("learns as one process does, and gives the weights of its replay bit for bit", async () => {
    const run = await begin("whole");
    await expectWhole(run);
    const [{ plan } = { plan: null }] = run.of("planned");
    expect(plan?.chains[0]).toMatchObject({ schedule: "window", source: "phone" });
    expect(plan?.chains[0]?.window).toBeGreaterThan(0);
    const nodes: string[] = plan?.copies.map(({ node }) => node) ?? [];
    expect(nodes[0]).toBe("phone");
    expect(nodes.some((node) => node.startsWith("edge-"))).toBe(true);
    // Which of the servers it keeps to depends on how fast they were found to be.
    const straight = run
      .of("round")
      .flatMap(({ nodes }) => nodes.map((node) => node.bytesStraight));
    expect(Math.max(...straight)).toBeGreaterThan(100_000);
    expect((await run.server.finished).stdout).toMatch(
      /stage +duty +segments +trains +link onward/,
    );
    await expectReplayed(run);
    const alone = await run.replayed(unstale(run.records));
    const own = await accuracyOf({ ...run.model, weights: run.saved });
    expect(own).toBeGreaterThan(0.9);
    expect(own).toBeGreaterThan((await accuracyOf({ ...run.model, weights: alone })) - 0.005);
  });

  it("goes on where an edge process is killed in the middle of a round", async () => {
    const run = await begin("killed");
    const victim = await run.midRound(2);
    run.processes.get(victim)?.child.kill("SIGKILL");
    await expectWhole(run);
    expect(run.of("left").map(({ name }) => name)).toEqual([victim]);
    // R29: what was brought on the way is in, though the round was not over.
    const ended = run.of("round").map(({ participants }) => participants[0]?.steps ?? 0);
    expect(ended.some((steps) => steps > 0 && steps < 60)).toBe(true);
    const { plan } = run.of("planned").at(-1) ?? { plan: null };
    expect(plan?.copies.map(({ node }) => node)).not.toContain(victim);
    // Nobody waits for a server to come back where others can take over.
    expect(run.of("waiting")).toEqual([]);
    await expectReplayed(run);
  });

  it("loses no batch to an edge process that is told to stop", async () => {
    const run = await begin("stopped");
    const victim = await run.midRound(2);
    const process = run.processes.get(victim);
    process?.child.kill("SIGTERM");
    expect((await process?.finished)?.stdout).toMatch(/finishing the round/);
    await expectWhole(run);
    expect(run.of("left").map(({ reason }) => reason)).toEqual([
      "it gave notice, and its work is done",
    ]);
    await expectReplayed(run);
  });
});

describe("edgeloom train --planner pipeline", () => {
  const processes: Running[] = [];
  afterEach(() => {
    for (const { child } of processes.splice(0)) child.kill("SIGKILL");
  });
  const launch = (...args: string[]): Running => {
    const process = start(args, 150_000);
    processes.push(process);
    return process;
  };

  it("begins alone with the data that are here, and shares the model with who joins", async () => {
    const file = join(folder, "alone.json");
    const runs = join(folder, "alone");
    const job = { model: "lenet5", data: "mnist", rounds: 12, localBatches: 20 };
    writeFileSync(file, JSON.stringify({ ...job, evaluate: { every: 100 } }));
    const own = launch("train", file, "--planner", "pipeline", "--duty", "0.1", "--runs", runs);
    const [, url = ""] = await own.says(/Watch it at (http:[^#]+)#/);
    const path = join(runs, present(readdirSync(runs)[0], "a run folder"));
    await own.says(/local has 100 % of the work/);
    const token = await new RunTokens(path).issue("edge", "helper", 1);
    const ws = url.replace("http", "ws");
    launch("join", ws, "--token", token, "--edge", "--listen", "127.0.0.1:0", "--name", "helper");
    await own.says(/local with helper/);
    const { code, stderr } = await own.finished;
    expect(code, stderr).toBe(0);
    // The run's own job says what was done, so that it can be resumed from there.
    expect(readFileSync(join(path, "job.yaml"), "utf8")).toMatch(/^planner: pipeline$/m);
  });
});
