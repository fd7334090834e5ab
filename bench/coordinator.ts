/**
 * A coordinator under load: thousands of devices on WebSockets of their own, from a few other
 * processes, that join, contribute, leave at random and come again. Engines compute nothing, so
 * what is measured is the coordinator: its rounds, its control messages, its memory and time.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  createRunFolder,
  parseJob,
  type RunRecord,
  Sequential,
  type Serving,
  serve,
} from "edgeloom";
import { zeroEngine } from "edgeloom/sim";
import { type Bench, type BenchResult, countOf, optionsOf, tell } from "./bench.ts";
import {
  deviceShape,
  type FleetMessage,
  type FleetOrder,
  type FleetReport,
  type FleetTask,
} from "./coordinator-fleet.ts";

const children = 2;
/** Share of the devices that leave within a minute. */
const leaving = 0.2;
const seed = 1;

export const coordinator: Bench = {
  summary: "a coordinator with 2,000 devices that come and go [--seconds 60] [--devices 2000]",
  async run(args) {
    const given = optionsOf(args, { devices: "2000", seconds: "60" });
    const devices = countOf("--devices", given.devices);
    const seconds = countOf("--seconds", given.seconds);
    const folder = mkdtempSync(path.join(tmpdir(), "edgeloom-bench-"));
    try {
      return await measure(folder, devices, seconds);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** What has happened so far, in a line. */
function standing(records: readonly RunRecord[]): string {
  const count = (type: RunRecord["type"]): number =>
    records.filter((record) => record.type === type).length;
  const left = records.findLast((record) => record.type === "left");
  const lastly = left?.type === "left" ? `, lastly ${left.name}: ${left.reason}` : "";
  const parts = [`${count("joined")} joined`, `${count("left")} left${lastly}`];
  parts.push(
    `${count("profiled")} probed`,
    `${count("planned")} plans`,
    `${count("round")} rounds`,
  );
  return parts.join("; ");
}

async function measure(folder: string, devices: number, seconds: number): Promise<BenchResult> {
  const baseBytes = process.memoryUsage.rss();
  const records: RunRecord[] = [];
  const serving = await start(folder, devices, (record) => records.push(record));
  const telling = setInterval(() => tell(standing(records)), 10_000);
  const fleets = startFleets(serving, devices);
  const startedMs = performance.now();
  await Promise.all(fleets.map((fleet) => told(fleet, "joined")));
  tell(`${devices} devices joined in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  await until(() => records.some(({ type }) => type === "round"), 600_000);
  tell(`first round after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  const order = (what: FleetOrder): void => {
    for (const fleet of fleets) fleet.send(what);
  };
  order("measure");
  const cpuBefore = process.cpuUsage();
  const firstRound = records.filter(({ type }) => type === "round").length;
  const fromMs = performance.now();
  await sleep(1000 * seconds);
  const cpu = process.cpuUsage(cpuBefore);
  const wallMs = performance.now() - fromMs;
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  const rounds = records.filter(({ type }) => type === "round").length - firstRound;
  order("over");
  const reports = fleets.map((fleet) => told(fleet, "report"));
  serving.interrupt("the time is over");
  const end = await serving.ended;
  const heard = (await Promise.all(reports)).flatMap((message) =>
    message.type === "report" ? message.report : [],
  );
  clearInterval(telling);
  for (const fleet of fleets) fleet.disconnect();
  return resultOf({
    devices,
    seconds,
    rounds,
    end,
    reports: heard,
    fates: fatesOf(records, heard),
    cpuMs: (cpu.user + cpu.system) / 1000,
    wallMs,
    bytes: peakBytes - baseBytes,
  });
}

interface Measured {
  readonly devices: number;
  readonly seconds: number;
  readonly rounds: number;
  readonly end: { readonly reason: string; readonly text: string };
  readonly reports: readonly FleetReport[];
  readonly fates: Fates;
  readonly cpuMs: number;
  readonly wallMs: number;
  /** Memory that the server's process has gained. */
  readonly bytes: number;
}

function resultOf(measured: Measured): BenchResult {
  const { devices, seconds, rounds, end, reports, fates, cpuMs, wallMs, bytes } = measured;
  const rtt = reports.flatMap(({ rttMs }) => rttMs).sort((a, b) => a - b);
  const at = (share: number): number | null => rtt[Math.floor(share * (rtt.length - 1))] ?? null;
  const sum = (of: (report: FleetReport) => number): number =>
    reports.reduce((all, report) => all + of(report), 0);
  return {
    rows: [
      {
        devices,
        seconds,
        rounds,
        left: sum(({ left }) => left),
        rejoined: sum(({ rejoined }) => rejoined),
        contributions: fates.sent,
        committed: fates.committed,
        void: fates.voided,
        lost: fates.lost,
        "control p50 ms": at(0.5),
        "control p99 ms": at(0.99),
        "cores busy": cpuMs / wallMs,
        "ms CPU per device and s": cpuMs / seconds / devices,
        "KB per device": bytes / devices / 1000,
      },
    ],
    goals: [
      {
        name: "contributions lost",
        value: fates.lost,
        goal: 0,
        unit: "at most",
        met: fates.lost === 0 && fates.committed > 0,
      },
    ],
    versions: {},
    seed,
    notes: [
      `the run: ${end.reason}, ${end.text}`,
      ...reports.flatMap(({ ends }) =>
        Object.entries(ends).map(([how, times]) => `${times} x ${how}`),
      ),
    ],
  };
}

function start(
  folder: string,
  devices: number,
  record: (record: RunRecord) => void,
): Promise<Serving> {
  const { features, classes } = deviceShape;
  const job = parseJob({
    name: "load",
    model: "load",
    data: { csv: "none" },
    batch: 4,
    rounds: 1_000_000,
    localBatches: 1,
    evaluate: { every: 1_000_000 },
    fleet: { devices: Array.from({ length: devices }, (_, i) => ({ name: `d${i}` })) },
  });
  return serve({
    job,
    model: new Sequential("load", [features], seed)
      .linear("fc1", 16)
      .relu("relu")
      .linear("fc2", classes)
      .model(),
    folder: createRunFolder(folder, "load", "", new Date()),
    test: null,
    engine: zeroEngine(),
    port: null,
    command: "npm run bench -- coordinator",
    startedAt: Date.now(),
    record,
  });
}

function startFleets({ url, tokens }: Serving, devices: number): ChildProcess[] {
  const script = path.join(import.meta.dirname, "coordinator-child.ts");
  return Array.from({ length: children }, (_, child) => {
    const own = Array.from({ length: devices }, (_, i) => i).filter((i) => i % children === child);
    const fleet = fork(script, { execArgv: ["--no-warnings"] });
    const task: FleetTask = {
      url,
      devices: own.map((i) => ({ name: `d${i}`, token: tokens[i] ?? "" })),
      leaving,
      seed: seed + 1_000_000 * child,
    };
    fleet.send(task);
    return fleet;
  });
}

/** The next message of this type. */
async function told(fleet: ChildProcess, type: FleetMessage["type"]): Promise<FleetMessage> {
  for (;;) {
    const [message] = (await once(fleet, "message")) as [FleetMessage];
    if (message.type === type) return message;
  }
}

async function until(is: () => boolean, limitMs: number): Promise<void> {
  const fromMs = performance.now();
  while (!is()) {
    if (performance.now() - fromMs > limitMs) throw new Error(`nothing after ${limitMs} ms`);
    await sleep(50);
  }
}

interface Fates {
  sent: number;
  committed: number;
  voided: number;
  lost: number;
}

/** What became of the contributions that devices have sent. */
function fatesOf(records: readonly RunRecord[], reports: readonly FleetReport[]): Fates {
  const committed = new Map<string, "committed" | "void">();
  const rounds = new Set<number>();
  for (const record of records) {
    if (record.type !== "round") continue;
    rounds.add(record.round);
    for (const { chain } of record.participants)
      committed.set(`${record.round} ${chain}`, "committed");
    // Dropped with a reason that the record states.
    for (const { chain } of record.dropped) committed.set(`${record.round} ${chain}`, "void");
  }
  const fates: Fates = { sent: 0, committed: 0, voided: 0, lost: 0 };
  for (const [, round, chain] of reports.flatMap(({ contributions }) => contributions)) {
    fates.sent++;
    const fate = committed.get(`${round} ${chain}`);
    if (fate === "committed") fates.committed++;
    // The last round ends with the run, uncommitted.
    else if (fate === "void" || !rounds.has(round)) fates.voided++;
    else fates.lost++;
  }
  return fates;
}
