/** PyTorch as a peer: a process that trains the same models and says how long each step took. */
import { spawn, spawnSync } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";

export interface Torch {
  readonly version: string;
  /** Milliseconds of so many steps of a model. */
  steps(model: string, batch: number, threads: number, count: number): Promise<number[]>;
  close(): Promise<void>;
}

/** Null where `python3 -c 'import torch'` fails. The variable PYTHON names another interpreter. */
export async function torch(): Promise<Torch | null> {
  const python = process.env.PYTHON ?? "python3";
  const probe = spawnSync(python, ["-c", "import torch; print(torch.__version__)"]);
  if (probe.status !== 0) return null;
  const script = path.join(import.meta.dirname, "torch_step.py");
  const child = spawn(python, [script], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    version: String(probe.stdout).trim(),
    async steps(model, batch, threads, count) {
      child.stdin.write(`${JSON.stringify({ model, batch, threads, count })}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error("the PyTorch process has ended");
      return JSON.parse(value) as number[];
    },
    close: () =>
      new Promise((resolve) => {
        child.once("exit", () => resolve());
        child.stdin.end();
      }),
  };
}
