/**
 * A training step in WebAssembly: ours under Node.js against jax-js (WebAssembly) and
 * TensorFlow.js (plain JavaScript), which are no dependencies and are measured where they are
 * installed: `npm install --no-save @jax-js/jax @tensorflow/tfjs`.
 */
import { spawnSync } from "node:child_process";
import path from "node:path";
import { builtInModel } from "edgeloom";
import { WebEngine } from "edgeloom/browser";
import { WebWorker } from "../test/nodejs/web-worker.ts";
import { type Bench, type Goal, optionsOf, type Row, tell } from "./bench.ts";
import { median } from "./statistics.ts";
import { stepProgram, stepper } from "./step.ts";

/** Batches are small where the peers would take minutes. */
const subjects = [
  { name: "lenet5", batch: 32, peerSteps: 4 },
  { name: "vgg11", batch: 8, peerSteps: 2 },
] as const;

const peers = [
  { name: "jax-js", goal: 25 },
  { name: "tfjs", goal: 100 },
] as const;

const ownSteps = 20;

export const web: Bench = {
  summary: "one training step in WebAssembly against jax-js and TensorFlow.js",
  async run(args) {
    optionsOf(args, {});
    Object.assign(globalThis, { Worker: WebWorker });
    const rows: Row[] = [];
    const goals: Goal[] = [];
    const notes: string[] = [];
    for (const { name, batch, peerSteps } of subjects) {
      tell(`${name} ...`);
      const ours = await measure(name, batch);
      const times = peers.map((peer) => peerTime(peer.name, name, batch, peerSteps));
      rows.push({
        model: name,
        batch,
        "ours, median ms": ours,
        "jax-js, median ms": times[0]?.ms ?? null,
        "TensorFlow.js, median ms": times[1]?.ms ?? null,
      });
      peers.forEach((peer, i) => {
        const { ms = null, reason = "" } = times[i] ?? {};
        if (ms === null) notes.push(`${peer.name} on ${name}: ${reason}`);
        const value = ms === null ? null : ms / ours;
        goals.push({
          name: `${name}: ${peer.name}'s time over ours`,
          value,
          goal: peer.goal,
          unit: "x, at least",
          met: value !== null && value >= peer.goal,
        });
      });
    }
    const engine = new WebEngine({ backend: "wasm" });
    await engine.close();
    return { rows, goals, versions: { engine: engine.description }, seed: 1, notes };
  },
};

/** Median milliseconds of our step, the first few not counted. */
async function measure(name: string, batch: number): Promise<number> {
  const model = builtInModel(name, { seed: 1, dropout: 0 });
  const engine = new WebEngine({ backend: "wasm" });
  const program = stepProgram(model, batch);
  await engine.load([program]);
  const run = await stepper(engine, program, model);
  const times: number[] = [];
  for (let i = 0; i < ownSteps + 2; i++) times.push(await run());
  await engine.close();
  return median(times.slice(2));
}

/** Median milliseconds of a peer's step, the first not counted, or why there is none. */
function peerTime(
  library: string,
  model: string,
  batch: number,
  steps: number,
): { ms: number | null; reason: string } {
  const script = path.join(import.meta.dirname, "web-peer-child.mjs");
  const args = [script, library, model, String(batch), String(steps + 1)];
  const child = spawnSync(process.execPath, args, { timeout: 300_000 });
  const last = String(child.stdout).trim().split("\n").at(-1) ?? "";
  if (child.status === 0)
    return { ms: median((JSON.parse(last) as number[]).slice(1)), reason: "" };
  const errors = String(child.stderr);
  const reason =
    errors.split("\n").find((line) => line.includes("Error")) ?? `ended with ${child.status}`;
  return { ms: null, reason: reason.trim() };
}
