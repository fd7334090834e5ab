/** `edgeloom serve`: a coordinator and edge server for a job file. */
import { join } from "node:path";
import { formatBytes, formatMs, type Job, type RunRecord } from "../../index.ts";
import {
  createRunFolder,
  defaultPort,
  loadHeldOut,
  loadModel,
  NativeEngine,
  peakMemoryBytes,
  runFiles,
  serve,
} from "../../nodejs.ts";
import { exitCodeOf } from "../exit.ts";
import { readJobFile } from "../job-file.ts";
import { predictRound, type RoundPrediction } from "../predict.ts";
import { RunReporter } from "../run-reporter.ts";
import { bold, fail, say } from "../terminal.ts";

export interface ServeFlags {
  readonly port?: number;
  readonly runs: string;
  readonly json?: true;
  /** Unix time from which the run's time counts; the start of this process where absent. */
  readonly since?: number;
}

/** What serve tells a parent process that asked for a channel. */
export interface Listening {
  readonly type: "listening";
  readonly url: string;
  readonly tokens: readonly string[];
  readonly folder: string;
}

export async function serveJob(path: string, flags: ServeFlags): Promise<void> {
  const startedAt = flags.since ?? performance.timeOrigin;
  const sinceStart = (): number => performance.timeOrigin + performance.now() - startedAt;
  const { job, text, folder } = readJobFile(path);
  const model = loadModel(job.model, job.seed, folder);
  const test = loadHeldOut(job.data, folder);
  const runFolder = createRunFolder(flags.runs, job.name, text, new Date());
  const reporter = new RunReporter();
  let prediction: Promise<RoundPrediction> | null = null;
  const serving = await serve({
    run: runFolder.run,
    job,
    model,
    folder: runFolder.path,
    test,
    engine: new NativeEngine({ threads: 1 }),
    port: flags.port ?? null,
    record(record: RunRecord) {
      runFolder.append(sinceStart(), record);
      reporter.tell(sinceStart(), record);
      if (record.type === "planned") prediction ??= predictRound(job, model, reporter.summary);
    },
  });
  if (flags.port === undefined && serving.port !== defaultPort) {
    say(`port ${defaultPort} is in use; listening on ${serving.port}`);
  }
  const stop = (): void => serving.interrupt("interrupted at the server");
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  process.on("disconnect", stop);
  announce(job, serving.url, serving.tokens, runFolder.path);
  const end = await serving.ended;
  await runFolder.close();
  const predicted = await prediction;
  const report = { reporter, predicted, wallMs: sinceStart(), folder: runFolder.path };
  if (end.reason === "failed") fail(end.text);
  conclude(report);
  if (flags.json) say(JSON.stringify(jsonOf(report)));
  process.exitCode = exitCodeOf(end.reason);
  if (process.connected) process.disconnect();
}

function announce(job: Job, url: string, tokens: readonly string[], folder: string): void {
  const listening: Listening = { type: "listening", url, tokens, folder };
  if (process.send !== undefined) {
    process.send(listening);
    return;
  }
  say(
    `Waiting for ${tokens.length} device${tokens.length === 1 ? "" : "s"}. On each, with its own data:`,
  );
  job.fleet.devices.forEach((device, i) => {
    const duty = device.duty === 1 ? "" : ` --duty ${device.duty}`;
    say(`  edgeloom join ${url} --token ${tokens[i]} --name ${device.name}${duty} --data PATH`);
  });
  say();
}

interface Report {
  readonly reporter: RunReporter;
  readonly predicted: RoundPrediction | null;
  readonly wallMs: number;
  readonly folder: string;
}

/** The last lines: what was reached, how long it took, where it lies. */
export function conclude({ reporter, predicted, wallMs, folder }: Report): void {
  const { summary } = reporter;
  const { accuracy, isFinal, rounds, roundsAsked, bytesUp, bytesDown, medianRoundMs } = summary;
  say();
  if (accuracy !== null) {
    const what = isFinal ? "Test accuracy" : `Accuracy after round ${summary.accuracyRound}`;
    say(
      bold(`${what} ${(100 * accuracy).toFixed(2)} %`) +
        ` after ${rounds} of ${roundsAsked} rounds, ${formatMs(wallMs)} in all`,
    );
  } else {
    say(`${bold(`${rounds} of ${roundsAsked} rounds`)}, ${formatMs(wallMs)} in all`);
  }
  if (medianRoundMs !== null && predicted !== null) {
    const error = 100 * (predicted.roundMs / medianRoundMs - 1);
    say(
      `A round took ${formatMs(medianRoundMs)} (median); the simulator predicted ` +
        `${formatMs(predicted.roundMs)} (${error >= 0 ? "+" : ""}${error.toFixed(0)} %)`,
    );
  }
  say(
    `Devices sent ${formatBytes(bytesUp)} and received ${formatBytes(bytesDown)}; no raw data left them`,
  );
  for (const node of summary.nodes) {
    if (node.kind !== "device" || node.dutyAchieved === null) continue;
    say(
      `  ${node.name}: duty ${(100 * node.dutyAchieved).toFixed(1)} % achieved, ` +
        `${(100 * node.dutyAsked).toFixed(1)} % asked`,
    );
  }
  say(`Written to ${folder}/: ${Object.values(runFiles).join(", ")}`);
}

/** The result for programs, one object. */
export function jsonOf({ reporter, predicted, wallMs, folder }: Report): object {
  const { summary } = reporter;
  const megabytes = (bytes: number): number => Math.round(bytes / 1e5) / 10;
  const peakRssMb: Record<string, number> = { serve: megabytes(peakMemoryBytes()) };
  for (const node of summary.nodes) {
    if (node.kind === "device" && node.peakRssBytes !== null) {
      peakRssMb[node.name] = megabytes(node.peakRssBytes);
    }
  }
  return {
    accuracy: summary.accuracy,
    rounds: summary.rounds,
    wallMs: Math.round(wallMs),
    predictedRoundMs: predicted?.roundMs ?? null,
    measuredRoundMs: summary.medianRoundMs,
    bytesUp: summary.bytesUp,
    bytesDown: summary.bytesDown,
    peakRssMb,
    nodes: summary.nodes,
    plan: summary.plan,
    paths: Object.fromEntries(
      Object.entries(runFiles).map(([name, file]) => [name, join(folder, file)]),
    ),
    end: summary.end,
  };
}
