/** Tells a run to the terminal, record by record: the same words for serve, demo, train and watch. */
import {
  eventsOf,
  formatBytes,
  formatMs,
  formatRate,
  formatShare,
  measuredWords,
  type Plan,
  planRows,
  RunFold,
  type RunRecord,
  type RunSummary,
  type TimedRecord,
} from "../index.ts";
import { bold, dim, isInteractive, say, status, table } from "./terminal.ts";

export class RunReporter {
  readonly #fold = new RunFold();
  /** Time at which training began, for the time left. */
  #trainingSinceMs: number | null = null;

  get summary(): RunSummary {
    return this.#fold.summary;
  }

  /** Takes a record of an earlier process, of which nothing is said. */
  recall(record: RunRecord): void {
    this.#fold.add(record);
  }

  /** Takes a record and says what a person would want to know of it. */
  tell({ atMs, record }: TimedRecord): void {
    const isOver = this.#fold.summary.end !== null;
    this.#fold.add(record);
    switch (record.type) {
      case "joined":
      case "left":
      case "profiled":
        for (const { kind, text } of isOver ? [] : eventsOf(record)) {
          say(kind === "left" ? bold(text) : kind === "probed" ? dim(text) : text);
        }
        return;
      case "waiting":
      case "resumed":
        for (const { text } of eventsOf(record)) say(bold(text));
        return;
      case "planned":
        this.#trainingSinceMs ??= atMs;
        return this.#planned(record.plan, record.reason);
      case "round":
        for (const { text } of eventsOf(record)) say(text);
        return this.#progress(atMs);
      case "evaluation":
        if (record.final || !isInteractive) return;
        return this.#progress(atMs);
      case "environment":
      case "links":
      case "run":
      case "activity":
      case "ended":
        return;
    }
  }

  #planned(plan: Plan, reason: string): void {
    say();
    say(bold(`Plan, term ${plan.term} (${plan.planner}; ${reason})`));
    for (const line of planLines(plan, this.summary)) say(`  ${line}`);
    say();
  }

  #progress(atMs: number): void {
    const line = this.#progressLine(atMs);
    if (isInteractive) status(line);
    else say(line);
  }

  #progressLine(atMs: number): string {
    const { rounds, roundsAsked, loss, accuracyRound, bytesUp, bytesDown } = this.summary;
    const measured = measuredWords(this.summary);
    const spentMs = atMs - (this.#trainingSinceMs ?? atMs);
    const leftMs = rounds === 0 ? 0 : (spentMs / rounds) * (roundsAsked - rounds);
    const parts = [
      `round ${String(rounds).padStart(String(roundsAsked).length)}/${roundsAsked}`,
      `loss ${loss === null ? "-" : loss.toFixed(4)}`,
      measured === null ? "accuracy -" : `${heldOut(measured)} (round ${accuracyRound})`,
      `${formatBytes(bytesUp)} up, ${formatBytes(bytesDown)} down`,
      ...(rounds < roundsAsked ? [`${formatMs(leftMs)} left`] : []),
    ];
    return parts.join("  ");
  }
}

/** Two losses stand side by side, so the one on held-out data says so. */
const heldOut = ([what, value]: readonly [string, string]): string =>
  `${what === "loss" ? "held-out loss" : what} ${value}`;

/** The plan as lines: a table with a row per chain, then the reason for each; of a pipeline, a row per stage. */
export function planLines(plan: Plan, summary: Pick<RunSummary, "nodes" | "segments">): string[] {
  if (plan.planner === "pipeline") return pipelineLines(plan, summary);
  const columns = [
    { title: "device" },
    { title: "duty", align: "right" },
    { title: "samples", align: "right" },
    { title: "keeps on the device" },
    { title: "link share", align: "right" },
    { title: "round", align: "right" },
  ] as const;
  const rows = planRows(plan, summary);
  const cells = rows.map((row) => [
    row.name,
    formatShare(row.duty),
    row.samples.toLocaleString("en"),
    `${row.stages[0]?.to} of ${summary.segments.length}, to ${row.keeps}`,
    row.bytesPerMs === null ? "none" : formatRate(row.bytesPerMs),
    formatMs(row.roundMs),
  ]);
  const width = Math.max(...rows.map(({ name }) => name.length));
  const reasons = rows.map(({ name, reason }) => `${name.padEnd(width)}  ${reason}`);
  return [...table(columns, cells), "", ...reasons, "", plan.reason];
}

/** What a pipeline's stages train, in the order of the batches, and each reason on a line of its own. */
function pipelineLines(plan: Plan, summary: Pick<RunSummary, "nodes" | "segments">): string[] {
  const columns = [
    { title: "stage" },
    { title: "duty", align: "right" },
    { title: "segments", align: "right" },
    { title: "trains" },
    { title: "link onward", align: "right" },
  ] as const;
  return planRows(plan, summary).flatMap(({ stages, reason, schedule, window, roundMs }) => {
    const cells = stages.map(({ name, duty, from, to, first, last, bytesPerMs }) => [
      name,
      formatShare(duty),
      `${to - from} of ${summary.segments.length}`,
      first === last ? first : `${first} to ${last}`,
      bytesPerMs === null ? "none" : formatRate(bytesPerMs),
    ]);
    const how = schedule === "window" ? `window ${window}` : schedule;
    const reasons = [reason, plan.reason].flatMap((text) => text.split("; "));
    return [...table(columns, cells), "", `${how}, ${formatMs(roundMs)} a round`, ...reasons];
  });
}
