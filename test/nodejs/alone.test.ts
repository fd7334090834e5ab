/** A server of micro-clouds that is killed (SIGKILL) while its devices are at work: they go on, and bring what they came to. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import type { RoundCommitted } from "../../src/run/metrics/record.ts";
import { launcher } from "./processes.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeloom-alone-"));
const limitMs = 300_000;
const launch = launcher();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("R26: devices go on while the server is away, and what they come to is committed when it is back", {
  timeout: limitMs,
}, async () => {
  const file = join(folder, "clouds.yaml");
  writeFileSync(
    file,
    `model: mlp
data: mnist
planner: micro-clouds
batch: 8
rounds: 40
localBatches: 16
optimizer: { accumulate: 2 }
exchange: { every: 1, select: all }
evaluate: { every: 1000, samples: 500 }
fleet: { devices: [{ name: one, duty: 0.2 }, { name: two, duty: 0.2 }] }
`,
  );
  const runs = join(folder, "runs");
  const server = launch(["serve", file, "--runs", runs], limitMs);
  const [, url = ""] = await server.says(/edgeloom join (ws:\S+) --token \S+ --name two/);
  const listed = await server.says(/--token (\S+) --name one[\s\S]*--token (\S+) --name two/);
  const devices = ["one", "two"].map((name, i) => {
    const args = ["join", url, "--token", listed[i + 1] ?? "", "--name", name];
    return launch(
      [...args, "--data", "mnist", "--duty", "0.2", "--listen", "127.0.0.1:0"],
      limitMs,
    );
  });
  await server.says(/round +3\//);
  server.child.kill("SIGKILL");
  await server.finished;
  for (const device of devices) await device.says(/the coordinator is gone.*trying again in/);
  await wait(3000);
  const path = join(runs, present(readdirSync(runs)[0], "a run"));
  const resumed = launch(["resume", path], limitMs);
  await resumed.says(/rounds that nodes have made by themselves while the coordinator was away/);
  const { code, stderr } = await resumed.finished;
  expect(code, stderr).toBe(0);
  for (const device of devices) expect((await device.finished).code).toBe(0);
  const lines = readFileSync(join(path, "records.jsonl"), "utf8").trim().split("\n");
  const rounds = lines
    .map((line) => JSON.parse(line) as RoundCommitted)
    .filter(({ type }) => type === "round");
  const home = rounds.filter(({ alone }) => alone !== undefined);
  expect(home).toHaveLength(1);
  expect(home[0]?.participants).toHaveLength(2);
  const made = rounds.reduce((sum, { alone = [] }) => sum + 1 + alone.length, 0);
  expect(made).toBe(40);
  expect(present(rounds.at(-1)?.loss, "a loss")).toBeLessThan(
    0.5 * present(rounds[0]?.loss, "a loss"),
  );
});
