/** A run served in this process, joined by devices in Node.js and by pages of a browser together. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import type { Browser } from "playwright-core";
import { present } from "../../src/base/assert.ts";
import { RunTokens } from "../../src/nodejs/tokens.ts";
import {
  createRunFolder,
  type Joined,
  type JoinOptions,
  join,
  loadHeldOut,
  loadModel,
  loadShard,
  NativeEngine,
  parseJob,
  partition,
  RunFold,
  type RunRecord,
  type RunSummary,
  type Serving,
  serve,
} from "../../src/nodejs.ts";
import { type OpenPage, open, type sizes } from "./browser.ts";

const seed = 3;
const alpha = 5;

/** A small model and unequal data; half of the devices are pages. */
const mixedJob = {
  name: "mixed",
  model: "mlp",
  data: "mnist",
  batch: 32,
  rounds: 6,
  localBatches: 20,
  seed,
  partition: { alpha },
  codec: { up: "float16", down: "float16" },
  evaluate: { every: 100 },
  optimizer: { learningRate: 0.05 },
};

export interface MixedRun {
  readonly serving: Serving;
  readonly records: readonly RunRecord[];
  readonly summary: RunSummary;
  /** Done when a record is there for which this holds. */
  until(holds: (record: RunRecord) => boolean): Promise<void>;
  /** Starts the device with this position as a process-like worker of this process. */
  joinNode(device: number): Promise<Joined>;
  /** Starts an edge server as a worker of this process, with a share of a core. */
  joinEdge(name: string, duty: number): Promise<Joined>;
  /** Opens the page of the device with this position; it has not joined yet. */
  openPage(
    browser: Browser,
    device: number,
    size?: keyof typeof sizes,
    colorScheme?: "light" | "dark",
  ): Promise<OpenPage>;
  end(): Promise<void>;
}

/**
 * Serves a run for so many devices.
 * @param duty share of a core of the server's own edge server
 */
export async function serveMixedRun(
  devices: number,
  change: object = {},
  duty = 1,
): Promise<MixedRun> {
  const folder = mkdtempSync(joinPath(tmpdir(), "edgeloom-mixed-"));
  const names = Array.from({ length: devices }, (_, i) => ({ name: `device-${i + 1}` }));
  const job = parseJob({ ...mixedJob, fleet: { devices: names }, ...change });
  const shards = partition("mnist", { parts: devices, out: folder, alpha, seed });
  const records: RunRecord[] = [];
  const fold = new RunFold();
  const waiting = new Set<() => void>();
  const runFolder = createRunFolder(joinPath(folder, "runs"), job.name, "", new Date());
  const serving = await serve({
    job,
    model: loadModel(job, folder),
    folder: runFolder,
    duty,
    test: loadHeldOut(job.data, folder),
    engine: new NativeEngine({ threads: 1 }),
    port: null,
    command: "test",
    startedAt: performance.timeOrigin + performance.now(),
    record(record) {
      records.push(record);
      fold.add(record);
      for (const look of waiting) look();
    },
  });
  return {
    serving,
    records,
    get summary() {
      return fold.summary;
    },
    until: (holds) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!records.some(holds)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    joinNode: (device) =>
      join({
        url: serving.url,
        token: present(serving.tokens[device], "a token"),
        name: present(names[device], "a device").name,
        duty: 1,
        memoryBytes: null,
        ceilingBytesPerMs: null,
        train: loadShard(present(shards[device], "a shard").folder),
        engine: new NativeEngine({ threads: 1 }),
        onEvent: () => {},
      }),
    joinEdge: (name, duty) => joinEdge({ url: serving.url, path: runFolder.path, name, duty }),
    openPage: (browser, device, size, colorScheme) =>
      open(browser, present(serving.joinUrls[device], "a link"), size, colorScheme),
    async end() {
      serving.interrupt("the test has ended");
      await serving.ended.catch(() => {});
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A worker with a token of its own, which others of this machine reach. */
async function joinEdge(
  edge: Pick<JoinOptions, "url" | "name" | "duty"> & { path: string },
): Promise<Joined> {
  const { url, name, duty, path } = edge;
  const token = await new RunTokens(path).issue("edge", name, 1);
  return join({
    ...{ url, token, name, duty, kind: "edge", listen: "127.0.0.1:0" },
    ...{ memoryBytes: null, ceilingBytesPerMs: null, train: null },
    engine: new NativeEngine({ threads: 1 }),
    onEvent: () => {},
  });
}
