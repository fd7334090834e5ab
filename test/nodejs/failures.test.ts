import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { edgeloom, launcher, type Running } from "./processes.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeloom-failures-"));
const jobFile = join(folder, "job.yaml");
writeFileSync(
  jobFile,
  `model: lenet5
data: mnist
batch: 8
rounds: 500
localBatches: 8
evaluate: { every: 1000 }
fleet: { devices: [{ name: only }] }
`,
);

const launch = launcher();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A server that waits for its one device, and the join arguments that it printed. */
async function serving(name: string): Promise<{ server: Running; join: string[]; runs: string }> {
  const runs = join(folder, name);
  const server = launch(["serve", jobFile, "--runs", runs, "--patience", "2"]);
  const [, url = "", token = ""] = await server.says(/edgeloom join (ws:\S+) --token (\S+)/);
  const args = ["join", url, "--token", token, "--data", "mnist", "--patience", "2"];
  return { server, join: args, runs };
}

const runFolder = (runs: string): string => join(runs, present(readdirSync(runs)[0], "a run"));

describe("a run that goes wrong", () => {
  it("refuses a wrong join token with exit code 2, and goes on waiting", async () => {
    const { server, join: args } = await serving("token");
    const stranger = await edgeloom(args.with(3, "not-the-token"));
    expect(stranger.stderr).toMatch(/refused to let .* join: the join token is not valid/);
    expect(stranger.code).toBe(2);
    const guest = launch(args);
    await guest.says(/round 1/);
    server.child.kill("SIGINT");
    expect((await server.finished).code).toBe(130);
    expect((await guest.finished).code).toBe(130);
  });

  it("whose server is killed leaves devices that say so, and a usable folder", async () => {
    const { server, join: args, runs } = await serving("killed");
    const device = launch(args);
    await device.says(/round 5/);
    server.child.kill("SIGKILL");
    const { code, stderr } = await device.finished;
    expect(stderr).toMatch(/error: .*the coordinator is gone/);
    expect(code).toBe(1);
    const out = join(folder, "exported.onnx");
    const exported = await edgeloom(["export", runFolder(runs), "--out", out]);
    expect(exported.code, exported.stderr).toBe(0);
    const measured = await edgeloom(["eval", out, "--data", "mnist", "--json"]);
    expect(measured.code, measured.stderr).toBe(0);
    expect(measured.stdout).toMatch(/"samples":10000/);
  });

  it("whose only device is killed ends with exit code 1, weights saved", async () => {
    const { server, join: args, runs } = await serving("alone");
    const device = launch(args);
    await device.says(/round 3/);
    device.child.kill("SIGKILL");
    const { code, stderr } = await server.finished;
    expect(stderr).toMatch(/error: .* did not come back within 2 s/);
    expect(code).toBe(1);
    expect(existsSync(join(runFolder(runs), "weights.safetensors"))).toBe(true);
  });

  it("the demo, interrupted, stops every process it started and keeps what was trained", async () => {
    const runs = join(folder, "demo");
    const demo = launch(["demo", "--runs", runs]);
    await demo.says(/round +2\//);
    const children = childrenOf(present(demo.child.pid, "a process id"));
    expect(children).toHaveLength(5);
    demo.child.kill("SIGINT");
    const { code, stdout, stderr } = await demo.finished;
    expect(code, stderr).toBe(130);
    expect(stdout).toMatch(/Written to /);
    expect(children.filter(isAlive)).toEqual([]);
    const measured = await edgeloom(["eval", runFolder(runs), "--data", "mnist"]);
    expect(measured.stdout).toMatch(/^Accuracy \d/m);
  });
});

/** Process ids of the children of a process (Linux). */
const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
