/** The end of a run for people and for programs: what was reached, how long it took, where it lies. */
import { join } from "node:path";
import {
  type CoordinatorEnd,
  formatBytes,
  formatMs,
  measuredWords,
  type RunSummary,
} from "../index.ts";
import { existingRunFiles, peakMemoryBytes, runFiles } from "../nodejs.ts";
import { exitCodeOf } from "./exit.ts";
import type { RoundPrediction } from "./predict.ts";
import type { RunInput } from "./run-input.ts";
import { bold, fail, say } from "./terminal.ts";

/** How a run ended, and what it came to. */
export interface Outcome {
  readonly end: CoordinatorEnd;
  readonly summary: RunSummary;
  /** What the simulator takes a round to last; null where there is no prediction. */
  readonly predicted: RoundPrediction | null;
  readonly wallMs: number;
}

interface Conclusion extends Outcome {
  /** The run's folder. */
  readonly folder: string;
}

/** Tells how a run ended, to people and where asked to programs, and sets the exit code. */
export function conclude({ folder, json }: RunInput, outcome: Outcome): void {
  const { reason, text } = outcome.end;
  const conclusion = { ...outcome, folder: folder.path };
  if (reason === "failed") fail(text);
  tell(conclusion);
  if (reason !== "finished") say(`Go on with it by: edgeloom resume ${folder.path}`);
  if (json) say(JSON.stringify(jsonOf(conclusion)));
  process.exitCode = exitCodeOf(reason);
}

/** How much went from worker to worker, where anything did. */
export const straightWords = (bytes: number): string =>
  bytes === 0 ? "" : `, ${formatBytes(bytes)} of it straight between workers`;

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** Prints the last lines. */
function tell({ summary, predicted, wallMs, folder }: Conclusion): void {
  const { isFinal, accuracyRound, rounds, roundsAsked } = summary;
  const { bytesUp, bytesDown, bytesStraight, medianRoundMs } = summary;
  const measured = measuredWords(summary);
  say();
  if (measured !== null) {
    const [what, value] = measured;
    const title = isFinal ? `Test ${what}` : `${capital(what)} after round ${accuracyRound}`;
    say(
      bold(`${title} ${value}`) +
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
    `Devices sent ${formatBytes(bytesUp)} and received ${formatBytes(bytesDown)}` +
      `${straightWords(bytesStraight)}; no raw data left them`,
  );
  for (const node of summary.nodes) {
    if (node.kind !== "device" || node.dutyAchieved === null) continue;
    say(
      `  ${node.name}: duty ${(100 * node.dutyAchieved).toFixed(1)} % achieved, ` +
        `${(100 * node.dutyAsked).toFixed(1)} % asked`,
    );
  }
  say(`Written to ${folder}/: ${existingRunFiles(folder).join(", ")}`);
}

/** The result for programs, one object. */
function jsonOf({ summary, predicted, wallMs, folder }: Conclusion): object {
  const megabytes = (bytes: number): number => Math.round(bytes / 1e5) / 10;
  const peakRssMb: Record<string, number> = { serve: megabytes(peakMemoryBytes()) };
  for (const node of summary.nodes) {
    if (node.kind === "device" && node.peakRssBytes !== null) {
      peakRssMb[node.name] = megabytes(node.peakRssBytes);
    }
  }
  return {
    accuracy: summary.accuracy,
    heldOutLoss: summary.heldOutLoss,
    rounds: summary.rounds,
    wallMs: Math.round(wallMs),
    predictedRoundMs: predicted?.roundMs ?? null,
    measuredRoundMs: summary.medianRoundMs,
    bytesUp: summary.bytesUp,
    bytesStraight: summary.bytesStraight,
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
