/** The end of a run for people and for programs: what was reached, how long it took, where it lies. */
import { join } from "node:path";
import { formatBytes, formatMs, measuredWords, type RunSummary } from "../index.ts";
import { existingRunFiles, peakMemoryBytes, runFiles } from "../nodejs.ts";
import type { RoundPrediction } from "./predict.ts";
import { bold, say } from "./terminal.ts";

export interface Conclusion {
  readonly summary: RunSummary;
  readonly predicted: RoundPrediction | null;
  readonly wallMs: number;
  /** The run's folder. */
  readonly folder: string;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** Prints the last lines. */
export function conclude({ summary, predicted, wallMs, folder }: Conclusion): void {
  const { isFinal, accuracyRound, rounds, roundsAsked } = summary;
  const { bytesUp, bytesDown, medianRoundMs } = summary;
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
    `Devices sent ${formatBytes(bytesUp)} and received ${formatBytes(bytesDown)}; no raw data left them`,
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
export function jsonOf({ summary, predicted, wallMs, folder }: Conclusion): object {
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
