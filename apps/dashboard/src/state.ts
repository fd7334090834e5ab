/**
 * What the whole page shares: where the reader is, the token, how the page
 * stands with its server, the list of runs, and the runs opened so far.
 */
import { effect, signal } from "@preact/signals";
import { RecordReader } from "edgeloom";
import { fetchRecords, fetchRuns, problemText, type RunList } from "./api.ts";
import { followLive, type LiveRun } from "./connection.ts";
import { type Route, routeOf, tokenIn } from "./route.ts";
import { RunModel } from "./run-model.ts";
import { store, stored } from "./stored.ts";

const tokenKey = "edgeloom-token";
/** How often the list is asked for while it is shown, or while no server answers. */
const listMs = 5000;
/** Past runs kept open: going back and forth between two is common. */
const keptRuns = 6;

export const route = signal<Route>({ view: "home" });
export const token = signal<string | null>(null);
/** Why the reader has to show a token; null while the token is good or was not tried. */
export const refusal = signal<string | null>(null);
export const runs = signal<RunList | null>(null);
/** Why there is no list, in words. */
export const listProblem = signal<string | null>(null);
export const live = signal<LiveRun | null>(null);

/** A past run: on its way, there, or why not. */
export type Opened =
  | { readonly kind: "loading" }
  | { readonly kind: "open"; readonly model: RunModel }
  | { readonly kind: "problem"; readonly text: string };

export const opened = signal<ReadonlyMap<string, Opened>>(new Map());

/** Takes the token from the address, out of sight, and begins. */
export function start(): void {
  const given = tokenIn(location.hash.startsWith("#token=") ? location.hash : " ");
  if (given !== null) history.replaceState(null, "", `${location.pathname}${location.search}#/`);
  route.value = routeOf(location.hash);
  addEventListener("hashchange", followHash);
  const known = given ?? stored("session", tokenKey);
  if (known === null) refusal.value = "";
  else enter(known);
  setInterval(() => {
    const isWanted = runs.peek() === null || route.peek().view === "runs";
    if (token.peek() !== null && isWanted && !document.hidden) refreshRuns();
  }, listMs);
  effect(() => openLive(runs.value, token.value));
}

/** A link with a token may also be pasted over the address of a page that is open. */
function followHash(): void {
  if (!location.hash.startsWith("#token=")) {
    route.value = routeOf(location.hash);
    return;
  }
  const given = tokenIn(location.hash);
  history.replaceState(null, "", `${location.pathname}${location.search}#/`);
  route.value = { view: "home" };
  if (given !== null) enter(given);
}

/** Shows a token to the server; kept for this tab where it is good. */
export async function enter(text: string): Promise<void> {
  live.peek()?.close();
  live.value = null;
  token.value = text;
  refusal.value = null;
  await refreshRuns();
}

export async function refreshRuns(): Promise<void> {
  const shown = token.peek();
  if (shown === null) return;
  const answer = await fetchRuns(shown);
  if (shown !== token.peek()) return;
  if (answer.ok) {
    store("session", tokenKey, shown);
    runs.value = answer.value;
    listProblem.value = null;
    return;
  }
  if (answer.problem === "token") return refuse(problemText(answer.problem));
  listProblem.value = problemText(answer.problem);
}

function refuse(why: string): void {
  token.value = null;
  refusal.value = why;
  store("session", tokenKey, null);
}

/** Follows the live run as soon as the list names one. */
function openLive(list: RunList | null, shown: string | null): void {
  if (list === null || list.live === null || shown === null || live.peek() !== null) return;
  live.value = followLive(shown);
}

/** Opens a past run unless it is open already. */
export async function openRun(run: string): Promise<void> {
  const shown = token.peek();
  const known = opened.peek().get(run);
  if (shown === null || known?.kind === "open" || known?.kind === "loading") return;
  keep(run, { kind: "loading" });
  const answer = await fetchRecords(shown, run);
  if (answer.ok) keep(run, { kind: "open", model: modelOf(run, answer.value) });
  else keep(run, { kind: "problem", text: problemText(answer.problem) });
}

function modelOf(run: string, text: string): RunModel {
  const reader = new RecordReader();
  const records = reader.takeFile(text);
  return RunModel.of(run, records, reader.notes);
}

function keep(run: string, state: Opened): void {
  const next = new Map(opened.peek());
  next.delete(run);
  next.set(run, state);
  for (const oldest of next.keys()) {
    if (next.size <= keptRuns) break;
    next.delete(oldest);
  }
  opened.value = next;
}
