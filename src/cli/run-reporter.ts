/** Tells a run to the terminal, record by record: the same words for serve, demo and train. */
import {
  formatBytes,
  formatMs,
  formatRate,
  type Plan,
  RunFold,
  type RunRecord,
  type RunSummary,
} from "../index.ts";
import { bold, dim, isInteractive, say, status, table } from "./terminal.ts";

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

export class RunReporter {
  readonly #fold = new RunFold();
  /** Time at which training began, for the time left. */
  #trainingSinceMs: number | null = null;

  get summary(): RunSummary {
    return this.#fold.summary;
  }

  /** Takes a record and says what a person would want to know of it. */
  tell(atMs: number, record: RunRecord): void {
    this.#fold.add(record);
    switch (record.type) {
      case "joined":
        return this.#joined(record.name, record.kind, record.samples, record.duty);
      case "left":
        return this.#left(record.name, record.reason);
      case "profiled":
        return say(dim(`${record.name}: probed in ${formatMs(record.probeMs)}`));
      case "planned":
        this.#trainingSinceMs ??= atMs;
        return this.#planned(record.plan, record.reason);
      case "round":
        for (const { chain, reason } of record.dropped) {
          say(
            `round ${record.round + 1}: went on without ${chain.replace("chain:", "")} (${reason})`,
          );
        }
        return this.#progress(atMs);
      case "evaluation":
        if (record.final || !isInteractive) return;
        return this.#progress(atMs);
      case "run":
      case "ended":
        return;
    }
  }

  #joined(name: string, kind: string, samples: number, duty: number): void {
    if (kind !== "device") return;
    const share = duty === 1 ? "a whole core" : `duty ${formatDuty(duty)} of a core`;
    say(`${name} joined: ${samples.toLocaleString("en")} private samples, ${share}`);
  }

  #left(name: string, reason: string): void {
    if (this.summary.end === null) say(bold(`${name} left: ${reason}; the run goes on without it`));
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
    const { rounds, roundsAsked, loss, accuracy, accuracyRound, bytesUp, bytesDown } = this.summary;
    const spentMs = atMs - (this.#trainingSinceMs ?? atMs);
    const leftMs = rounds === 0 ? 0 : (spentMs / rounds) * (roundsAsked - rounds);
    const parts = [
      `round ${String(rounds).padStart(String(roundsAsked).length)}/${roundsAsked}`,
      `loss ${loss === null ? "-" : loss.toFixed(4)}`,
      accuracy === null ? "accuracy -" : `accuracy ${percent(accuracy)} (round ${accuracyRound})`,
      `${formatBytes(bytesUp)} up, ${formatBytes(bytesDown)} down`,
      `${formatMs(leftMs)} left`,
    ];
    return parts.join("  ");
  }
}

/** "1/4" for 0.25, "0.3" for what is no unit fraction. */
function formatDuty(duty: number): string {
  const inverse = 1 / duty;
  return inverse > 1 && Math.abs(inverse - Math.round(inverse)) < 1e-9
    ? `1/${Math.round(inverse)}`
    : String(duty);
}

/** The plan as lines: a table with a row per chain, then the reason for each. */
export function planLines(plan: Plan, summary: Pick<RunSummary, "nodes" | "segments">): string[] {
  const columns = [
    { title: "device" },
    { title: "duty", align: "right" },
    { title: "samples", align: "right" },
    { title: "keeps on the device" },
    { title: "link share", align: "right" },
    { title: "round", align: "right" },
  ] as const;

  const rows = plan.chains.map((chain) => {
    const node = summary.nodes.find((candidate) => candidate.node === chain.source);
    const copy = plan.copies.find((candidate) => candidate.id === chain.stages[0]?.copy);
    const link = plan.links.find((candidate) => candidate.chain === chain.id);
    const forecast = plan.forecasts.find((candidate) => candidate.chain === chain.id);
    const last = copy === undefined ? undefined : summary.segments[copy.to - 1];
    return [
      node?.name ?? chain.source,
      formatDuty(node?.dutyAsked ?? 1),
      (node?.samples ?? 0).toLocaleString("en"),
      copy === undefined ? "?" : `${copy.to} of ${summary.segments.length}, to ${last}`,
      link === undefined ? "none" : formatRate(link.bytesPerMs ?? Number.POSITIVE_INFINITY),
      formatMs(forecast?.roundMs ?? Number.NaN),
    ];
  });
  const names = rows.map(([name = ""]) => name);
  const width = Math.max(...names.map((name) => name.length));
  const reasons = plan.chains.map((chain, i) => {
    const forecast = plan.forecasts.find((candidate) => candidate.chain === chain.id);
    return `${(names[i] ?? "").padEnd(width)}  ${forecast?.reason}`;
  });
  return [...table(columns, rows), "", ...reasons, "", plan.reason];
}
