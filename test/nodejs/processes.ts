/** Starting the command line as a user would, and reading what it says. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach } from "vitest";

const entry = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

export interface Finished {
  /** Exit code; null where a signal ended the process. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  /** The first match in what stdout holds so far or will hold. Rejects when the process ends without it. */
  says(pattern: RegExp): Promise<RegExpMatchArray>;
}

/** Starts `edgeloom` with these arguments; it is killed after `limitMs`. */
export function start(args: readonly string[], limitMs = 60_000): Running {
  const child = spawn(process.execPath, [entry, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
  const text = { stdout: "", stderr: "" };
  const listeners = new Set<() => void>();
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (chunk: string) => {
      text[stream] += chunk;
      for (const listener of [...listeners]) listener();
    });
  }
  const finished = new Promise<Finished>((resolve) => {
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code, ...text });
    });
  });
  const says = (pattern: RegExp): Promise<RegExpMatchArray> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const match = text.stdout.match(pattern);
        if (match === null) return;
        listeners.delete(look);
        resolve(match);
      };
      listeners.add(look);
      look();
      void finished.then(() =>
        reject(new Error(`ended without ${pattern}:\n${text.stdout}\n${text.stderr}`)),
      );
    });
  return { child, finished, says };
}

/** Starts processes that are killed after the test, if they have not ended by then. */
export function launcher(): typeof start {
  const running: Running[] = [];
  afterEach(() => {
    for (const { child } of running.splice(0)) child.kill("SIGKILL");
  });
  return (args, limitMs) => {
    const process = start(args, limitMs);
    running.push(process);
    return process;
  };
}

/** Runs `edgeloom` to its end. */
export const edgeloom = (args: readonly string[], limitMs?: number): Promise<Finished> =>
  start(args, limitMs).finished;
