/**
 * How an edge server's memory grows with the devices that it serves: the peak of a process that trains its
 * segments for real, for devices that compute nothing and so can be many on one machine.
 */
import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  createRunFolder,
  type Job,
  type Model,
  NativeEngine,
  parseJob,
  type RunRecord,
  Sequential,
  serve,
  version,
} from "edgeloom";
import { atMost, type Bench, countOf, fieldsOf, optionsOf, type Row, tell } from "./bench.ts";
import { edgeToken, ownServer } from "./real-run.ts";
import { type MemoryTask, sampleShape } from "./split-memory-task.ts";

const rounds = 2;
const serverName = "server";
/** It may grow by this from the fewest devices to the most, and count as flat. */
const growthMax = 0.1;

/** On such a cell devices keep as few weights as they may, since those travel. */
const cellMbit = 200;

/** Nearly all of it is behind the first cut. */
function model(): Model {
  const { features, classes } = sampleShape;
  const width = 384;
  return new Sequential("load", [features], 1)
    .linear("fc1", width)
    .relu("relu1")
    .linear("fc2", width)
    .relu("relu2")
    .linear("fc3", width)
    .relu("relu3")
    .linear("fc4", classes)
    .model();
}

export const parallelSplitMemory: Bench = {
  summary:
    "memory of an edge server by the devices that it serves [--devices 4,16,64] [--split JSON]",
  async run(args) {
    const asked = optionsOf(args, { devices: "4,16,64", split: "{}" });
    const split = fieldsOf("--split", asked.split);
    const counts = asked.devices.split(",").map((text) => countOf("--devices", text));
    const rows: Row[] = [];
    const peaks: number[] = [];
    for (const devices of counts) {
      tell(`${devices} devices ...`);
      const { peakBytes, copies, seconds } = await serveFleet(devices, split);
      tell(`${devices} devices: ${(peakBytes / 1e6).toFixed(0)} MB`);
      const before = peaks.at(-1);
      const fewer = rows.length === 0 ? null : (counts[rows.length - 1] ?? null);
      peaks.push(peakBytes);
      rows.push({
        devices,
        "copies at the server": copies,
        "peak, MB": peakBytes / 1e6,
        "MB for each more":
          before === undefined || fewer === null
            ? null
            : (peakBytes - before) / 1e6 / (devices - fewer),
        "round, s": seconds,
      });
    }
    const growth = (peaks.at(-1) ?? 0) / (peaks[0] ?? 1) - 1;
    const parameters = model().weights.values();
    const copyBytes = [...parameters].reduce((sum, { data }) => sum + (data?.byteLength ?? 0), 0);
    return {
      rows,
      goals: [
        atMost("growth from the fewest devices to the most", [growth], growthMax, "of the least"),
      ],
      versions: { edgeloom: version },
      seed: 1,
      notes: [
        `a copy of the model with its momentum is ${((2 * copyBytes) / 1e6).toFixed(1)} MB`,
        `peaks are what the server's process tells after ${rounds} rounds; devices share a process and compute nothing`,
      ],
    };
  },
};

/** What the server's process came to. */
interface Served {
  readonly peakBytes: number;
  /** Copies of segments that the plan gave it. */
  readonly copies: number;
  /** The last round's time. */
  readonly seconds: number;
}

/** @param split the job's field of that name */
async function serveFleet(devices: number, split: object): Promise<Served> {
  const folder = mkdtempSync(path.join(tmpdir(), "edgeloom-bench-"));
  const children: ChildProcess[] = [];
  const records: RunRecord[] = [];
  try {
    const run = createRunFolder(folder, "load", "", new Date());
    const serving = await serve({
      job: jobFor(devices, split),
      model: model(),
      folder: run,
      duty: ownServer.duty,
      test: null,
      engine: new NativeEngine({ threads: 1 }),
      port: null,
      command: "npm run bench -- parallel-split-memory",
      startedAt: Date.now(),
      record: (record) => records.push(record),
    });
    const { url, tokens } = serving;
    const start = (task: MemoryTask): void => {
      const script = path.join(import.meta.dirname, "split-memory-child.ts");
      const child = fork(script, { execArgv: ["--no-warnings"] });
      children.push(child);
      child.once("exit", (code) => {
        if (code !== 0) serving.interrupt(`a process ended with ${code}`);
      });
      child.send(task);
    };
    start({ kind: "server", url, token: await edgeToken(run.path, serverName), name: serverName });
    // The run begins when its devices are there, with the servers that are there by then.
    const isThere = (record: RunRecord): boolean =>
      record.type === "ended" || (record.type === "joined" && record.name === serverName);
    while (!records.some(isThere)) await sleep(50);
    start({ kind: "devices", url, tokens });
    const end = await serving.ended;
    if (end.reason !== "finished") throw new Error(`the run came to no end: ${end.text}`);
    return outcome(records);
  } finally {
    for (const child of children) child.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

const jobFor = (devices: number, split: object): Job =>
  parseJob({
    split,
    model: "load",
    data: { csv: "none" },
    batch: sampleShape.batch,
    rounds,
    localBatches: 2,
    evaluate: { every: 1_000_000 },
    fleet: {
      cellMbit,
      devices: Array.from({ length: devices }, (_, i) => ({ name: `device-${i + 1}` })),
    },
  });

function outcome(records: readonly RunRecord[]): Served {
  const planned = records.findLast((record) => record.type === "planned");
  const copies = planned?.plan.copies.filter(({ node }) => node === serverName).length ?? 0;
  const last = records.findLast((record) => record.type === "round");
  const server = last?.type === "round" ? last.nodes.find(({ node }) => node === serverName) : null;
  if (last?.type !== "round" || !server?.peakRssBytes) throw new Error("the server had no part");
  return { peakBytes: server.peakRssBytes, copies, seconds: last.ms / 1000 };
}
