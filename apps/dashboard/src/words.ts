/** Words and numbers for people: what state a run is in, what a plan does, how long, how much. */
import {
  formatMs,
  mbitOfBytesPerMs,
  measuredWords,
  type RunHistory,
  type RunSummary,
} from "edgeloom";

type Plan = NonNullable<RunSummary["plan"]>;

/** What stands for a figure that is not known. */
export const unknown = "–";

export type PhaseKind =
  | "waiting"
  | "training"
  | "measuring"
  | "finished"
  | "interrupted"
  | "failed"
  | "gone"
  | "stopped";

export interface Phase {
  readonly kind: PhaseKind;
  readonly text: string;
  /** More about it, where there is more to say. */
  readonly detail: string;
}

/** What a reader may expect of a run's page. */
export type Source = "live" | "past" | "report";

/** The state of a run, from its records and from whether its server still answers. */
export function phaseOf(
  { plans }: Pick<RunHistory, "plans">,
  { rounds, roundsAsked, end, nodes }: RunSummary,
  source: Source,
  isLost: boolean,
): Phase {
  if (end !== null) return { kind: end.reason, text: end.reason, detail: end.text };
  if (source !== "live") {
    const detail = "no end was recorded: the run was still going, or was stopped from outside";
    return { kind: "stopped", text: "not finished", detail };
  }
  if (isLost) return { kind: "gone", text: "server gone", detail: "shown as it last was" };
  if (plans.length === 0) {
    const joined = nodes.length === 0 ? "none so far" : `${counted(nodes.length, "node")} so far`;
    return { kind: "waiting", text: "waiting for devices", detail: joined };
  }
  if (rounds >= roundsAsked) {
    const detail = "all rounds are done; the last check on all held-out samples is under way";
    return { kind: "measuring", text: "measuring", detail };
  }
  return { kind: "training", text: `training round ${rounds + 1} of ${roundsAsked}`, detail: "" };
}

/** Milliseconds until the last round, at the pace so far; null where nothing is known. */
export function leftMs(
  { plans }: Pick<RunHistory, "plans">,
  { rounds, roundsAsked, end }: RunSummary,
  atMs: number,
): number | null {
  const since = plans[0]?.atMs;
  if (since === undefined || rounds === 0 || end !== null) return null;
  return Math.max(0, ((atMs - since) / rounds) * (roundsAsked - rounds));
}

/** What a plan makes the fleet do, for somebody who never heard of it. */
export function planInWords(plan: Plan, { nodes, segments }: RunSummary): string {
  const nameOf = (id: string): string => nodes.find((node) => node.node === id)?.name ?? id;
  const sources = new Set(plan.chains.map((chain) => chain.source)).size;
  const who = counted(sources, "device");
  const verb = sources === 1 ? "trains" : "train";
  const own = sources === 1 ? "its own data" : "their own data";
  const copies = new Map(plan.copies.map((copy) => [copy.id, copy]));
  const firsts = plan.chains.map((chain) => copies.get(chain.stages[0]?.copy as never)?.to ?? 0);
  const average = sources > 1 ? " After each round the copies are averaged into one model." : "";
  if (plan.chains.every((chain) => chain.stages.length === 1)) {
    return `${who} ${verb} the whole model on ${own}.${average}`;
  }
  const low = Math.min(...firsts);
  const high = Math.max(...firsts);
  const count = low === high ? `${low}` : `${low} to ${high}`;
  const rest = plan.chains.flatMap((chain) =>
    chain.stages.slice(1).map((stage) => nameOf(copies.get(stage.copy)?.node ?? "?")),
  );
  const helpers = [...new Set(rest)];
  const others = `${listed(helpers)} ${helpers.length === 1 ? "trains" : "train"} the rest`;
  return (
    `${who} ${verb} the first ${count} of ${segments.length} segments of the model on ${own}, ` +
    `which never leave ${sources === 1 ? "it" : "them"}; ${others}.${average}`
  );
}

/** "segments 1–7 of 12", counted from 1; "all 12 segments". */
export function segmentsWords(from: number, to: number, of: number): string {
  if (from === 0 && to === of) return `all ${of} segments`;
  if (to - from === 1) return `segment ${to} of ${of}`;
  return `segments ${from + 1}–${to} of ${of}`;
}

/** A reason, which joins its parts with semicolons, as sentences. */
export const sentencesOf = (reason: string): string[] =>
  reason
    .split("; ")
    .filter((part) => part !== "")
    .map((part) => `${part.charAt(0).toUpperCase()}${part.slice(1)}.`);

/** "1 device", "4 devices". */
export const counted = (count: number, noun: string): string =>
  `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** "a", "a and b", "a, b and c"; long lists end with how many more there are. */
export function listed(names: readonly string[], max = 4): string {
  if (names.length <= 1) return names.join("");
  if (names.length > max + 1) {
    return `${names.slice(0, max).join(", ")} and ${names.length - max} more`;
  }
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** A rate in Mbit/s without its unit, in three digits: "0.21", "31.0", "180". */
export function mbitDigits(bytesPerMs: number): string {
  const mbit = mbitOfBytesPerMs(bytesPerMs);
  return mbit.toFixed(mbit < 9.995 ? 2 : mbit < 99.95 ? 1 : 0);
}

/** "0:07", "12:30", "1:02:30": time since a run began. */
export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const two = (value: number): string => String(value).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

/** "97 %", for shares of time. */
export const wholePercent = (share: number): string => `${Math.round(100 * share)} %`;

/** For a column of accuracies: "93.10 %", or "loss 0.2134" where there is no accuracy. */
export function measuredInCell(measured: Parameters<typeof measuredWords>[0]): string {
  const [what, value] = measuredWords(measured) ?? ["", unknown];
  return what === "loss" ? `loss ${value}` : value;
}

export const msOrUnknown = (ms: number | null): string =>
  ms === null || !Number.isFinite(ms) ? unknown : formatMs(ms);

/** A day and a time as the reader writes them; the text itself where it is no date. */
export function dateWords(iso: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  return date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}
