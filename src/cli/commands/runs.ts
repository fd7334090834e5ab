/** `edgeloom runs`: past runs, as a list, one of them, or two side by side. */
import {
  formatBytes,
  formatMs,
  formatPercent,
  InputError,
  measuredWords,
  type RunListing,
  roundsCsv,
} from "../../index.ts";
import { isResumable, type OpenedRun, RunArchive } from "../../nodejs.ts";
import { planLines } from "../run-reporter.ts";
import { bold, dim, say, table } from "../terminal.ts";

export interface RunsFlags {
  readonly runs: string;
  readonly csv?: true;
  readonly json?: true;
}

export async function showRuns(names: readonly string[], flags: RunsFlags): Promise<void> {
  const archive = new RunArchive(flags.runs);
  const [first, second] = names;
  if (names.length > 2) {
    const allowed = "none for a list, one to open, two to compare";
    throw new InputError({ what: "runs", received: `${names.length} of them`, allowed });
  }
  if (first === undefined) return list(await archive.list(), flags);
  const opened = await archive.open(first);
  if (second !== undefined) return compare([first, opened], [second, await archive.open(second)]);
  if (flags.csv) return void process.stdout.write(roundsCsv(opened.history));
  show(first, opened, flags);
}

function list(listings: readonly RunListing[], { runs, json }: RunsFlags): void {
  if (json) return say(JSON.stringify(listings));
  if (listings.length === 0) return say(`no runs under ${runs}`);
  const columns = [
    { title: "run" },
    { title: "model" },
    { title: "devices", align: "right" },
    { title: "rounds", align: "right" },
    { title: "accuracy", align: "right" },
    { title: "round", align: "right" },
    { title: "time", align: "right" },
    { title: "bytes", align: "right" },
    { title: "ended" },
  ] as const;
  const rows = listings.map((listing) => [
    listing.run,
    listing.model,
    String(listing.devices),
    `${listing.rounds}/${listing.roundsAsked}`,
    inTable(measuredWords(listing)),
    listing.medianRoundMs === null ? "-" : formatMs(listing.medianRoundMs),
    formatMs(listing.wallMs),
    formatBytes(listing.bytesUp + listing.bytesDown),
    [listing.end?.reason ?? "no end recorded", ...listing.notes].join("; "),
  ]);
  for (const line of table(columns, rows)) say(line);
}

/** For a column of accuracies: a loss says that it is one. */
const inTable = (measured: readonly [string, string] | null): string =>
  measured === null ? "-" : measured[0] === "loss" ? measured.join(" ") : measured[1];

function show(run: string, { history, notes }: OpenedRun, { json, runs }: RunsFlags): void {
  const { summary, environment, started } = history;
  if (json) return say(JSON.stringify({ run, summary, environment, started, notes }));
  const { rounds, roundsAsked, accuracy, heldOutLoss, loss } = summary;
  const { medianRoundMs, bytesUp, bytesDown, end } = summary;
  say(bold(`${run}: ${end === null ? "no end recorded" : `${end.reason}, ${end.text}`}`));
  for (const note of notes) say(dim(`note: ${note}`));
  const facts: [string, string | null][] = [
    ["model", started === null ? null : `${started.model}, planner ${started.planner}`],
    ["rounds", `${rounds} of ${roundsAsked}`],
    ["accuracy", accuracy === null ? null : formatPercent(accuracy)],
    ["held-out loss", heldOutLoss === null ? null : heldOutLoss.toFixed(4)],
    ["training loss", loss === null ? null : loss.toFixed(4)],
    ["round", medianRoundMs === null ? null : `${formatMs(medianRoundMs)} (median)`],
    ["time", formatMs(history.atMs)],
    ["bytes", `${formatBytes(bytesUp)} up, ${formatBytes(bytesDown)} down`],
    ["seed", started === null ? null : String(started.seed)],
    [
      "versions",
      environment === null ? null : `Edgeloom ${environment.edgeloom}, ${environment.runtime}`,
    ],
    ["again with", environment?.command ?? null],
    [
      "go on with",
      end?.reason !== "finished" && isResumable(runs, run) ? `edgeloom resume ${run}` : null,
    ],
  ];
  for (const [name, value] of facts) if (value !== null) say(`  ${name.padEnd(13)} ${value}`);
  say();
  if (summary.plan !== null) {
    say(bold(`Plan, term ${summary.plan.term}`));
    for (const line of planLines(summary.plan, summary)) say(`  ${line}`);
    say();
  }
  say(bold("Events"));
  for (const { atMs, text } of history.events) say(`  ${formatMs(atMs).padStart(10)}  ${text}`);
}

function compare(...runs: readonly [string, OpenedRun][]): void {
  const columns = [
    { title: "" },
    ...runs.map(([run]) => ({ title: run, align: "right" }) as const),
  ];
  const row = (name: string, of: (opened: OpenedRun) => string): string[] => [
    name,
    ...runs.map(([, opened]) => of(opened)),
  ];
  const orDash = <T>(value: T | null | undefined, text: (value: T) => string): string =>
    value === null || value === undefined ? "-" : text(value);
  const rows = [
    row("model", ({ history }) => orDash(history.started, ({ model }) => model)),
    row("planner", ({ history }) => orDash(history.started, ({ planner }) => planner)),
    row("seed", ({ history }) => orDash(history.started, ({ seed }) => String(seed))),
    row("rounds", ({ history }) => String(history.summary.rounds)),
    row("accuracy", ({ history }) => orDash(history.summary.accuracy, formatPercent)),
    row("held-out loss", ({ history }) =>
      orDash(history.summary.heldOutLoss, (loss) => loss.toFixed(4)),
    ),
    row("training loss", ({ history }) => orDash(history.summary.loss, (loss) => loss.toFixed(4))),
    row("round (median)", ({ history }) => orDash(history.summary.medianRoundMs, formatMs)),
    row("time", ({ history }) => formatMs(history.atMs)),
    row("bytes up", ({ history }) => formatBytes(history.summary.bytesUp)),
    row("bytes down", ({ history }) => formatBytes(history.summary.bytesDown)),
    row("nodes left", ({ history }) =>
      String(history.summary.nodes.filter((node) => node.left !== null).length),
    ),
    row("plans", ({ history }) => String(history.plans.length)),
  ];
  for (const line of table(columns, rows)) say(line);
}
