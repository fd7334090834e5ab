/** Two runs in figures, with what the second has more or less. */
import { formatBytes, formatMs, formatPercent, type RunHistory } from "edgeloom";
import { unknown } from "../words.ts";

export interface Fact {
  readonly name: string;
  readonly a: string;
  readonly b: string;
  /** The second against the first, in words. */
  readonly difference: string;
}

/** Job first, then results. */
export function factsOf(a: RunHistory, b: RunHistory): Fact[] {
  const left = resultsOf(a);
  const right = resultsOf(b);
  const texts = jobOf(a).map(([name, value], i): Fact => {
    const other = jobOf(b)[i]?.[1] ?? unknown;
    const isKnown = value !== unknown && other !== unknown;
    return { name, a: value, b: other, difference: isKnown ? "differs" : "not known" };
  });
  const figures = left.map(({ name, value, format, isShare }, i): Fact => {
    const other = right[i]?.value ?? null;
    const text = (figure: number | null): string => (figure === null ? unknown : format(figure));
    return { name, a: text(value), b: text(other), difference: change(value, other, isShare) };
  });
  return [...texts, ...figures];
}

function jobOf({ started, environment, summary }: RunHistory): [string, string][] {
  const known = (text: string | undefined): string =>
    text === undefined || text === "?" ? unknown : text;
  const number = (value: number | undefined): string =>
    value === undefined ? unknown : value.toLocaleString("en");
  return [
    ["job", known(started?.name)],
    ["model", known(started?.model)],
    ["parameters", number(started?.parameters)],
    ["planner", known(started?.planner)],
    ["seed", number(started?.seed)],
    ["batch", number(started?.batch)],
    ["batches in a round", started?.localBatches ? number(started.localBatches) : unknown],
    ["devices", number(summary.nodes.filter((node) => node.kind === "device").length)],
    ["Edgeloom", known(environment?.edgeloom)],
  ];
}

interface Figure {
  readonly name: string;
  readonly value: number | null;
  readonly format: (value: number) => string;
  /** Shares differ in points, other figures by a factor. */
  readonly isShare: boolean;
}

function resultsOf({ summary, plans, evaluations, rounds, atMs }: RunHistory): Figure[] {
  const { accuracy, loss, medianRoundMs, bytesUp, bytesDown } = summary;
  const moved = bytesUp + bytesDown;
  const best = evaluations.reduce<number | null>(
    (max, point) => (point.accuracy === null ? max : Math.max(max ?? 0, point.accuracy)),
    null,
  );
  const count = (value: number): string => value.toLocaleString("en");
  const plain = { isShare: false };
  return [
    { name: "accuracy", value: accuracy, format: formatPercent, isShare: true },
    { name: "best accuracy", value: best, format: formatPercent, isShare: true },
    {
      ...plain,
      name: "held-out loss",
      value: summary.heldOutLoss,
      format: (value) => value.toFixed(4),
    },
    { ...plain, name: "training loss", value: loss, format: (value) => value.toFixed(4) },
    { ...plain, name: "rounds done", value: rounds.length, format: count },
    { ...plain, name: "plans", value: plans.length, format: count },
    { ...plain, name: "round, median", value: medianRoundMs, format: formatMs },
    { ...plain, name: "whole time", value: atMs, format: formatMs },
    { ...plain, name: "bytes sent by devices", value: bytesUp, format: formatBytes },
    { ...plain, name: "bytes sent to devices", value: bytesDown, format: formatBytes },
    {
      ...plain,
      name: "bytes moved in a round",
      value: rounds.length === 0 ? null : moved / rounds.length,
      format: formatBytes,
    },
  ];
}

function change(a: number | null, b: number | null, isShare: boolean): string {
  if (a === null || b === null) return unknown;
  const sign = b > a ? "+" : "−";
  if (isShare) return `${sign}${Math.abs(100 * (b - a)).toFixed(2)} points`;
  if (a === 0) return unknown;
  const share = (100 * (b - a)) / a;
  if (Math.abs(share) >= 995) return `${(b / a).toFixed(0)} times`;
  return `${sign}${Math.abs(share).toFixed(Math.abs(share) < 9.95 ? 1 : 0)} %`;
}
