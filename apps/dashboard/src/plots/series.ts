/** From a run's history to the numbers of its curves: pure, and appended to where runs are long. */
import type { NodeRound, RoundPoint, RunHistory } from "edgeloom";
import type { NodeId } from "../run-model.ts";

/** What curves are drawn over: rounds committed, or seconds since the run started. */
export type Axis = "round" | "time";

export type Values = (number | null)[];

/** One curve: its own places and values. */
export interface Curve {
  readonly x: readonly number[];
  readonly y: Readonly<Values>;
}

/** Curves over one common row of places, as the plotting library wants them. */
export interface Table {
  readonly x: number[];
  readonly ys: Values[];
}

type Points = Pick<RunHistory, "rounds" | "evaluations">;

const secondsOf = (atMs: number): number => atMs / 1000;
const placeOfRound = ({ round, atMs }: RoundPoint, axis: Axis): number =>
  axis === "round" ? round + 1 : secondsOf(atMs);

/** Mean training loss by round. */
export const trainingLoss = ({ rounds }: Points, axis: Axis): Curve => ({
  x: rounds.map((point) => placeOfRound(point, axis)),
  y: rounds.map((point) => point.loss),
});

/** Accuracy or loss on held-out samples, wherever it was measured. */
export function measured({ evaluations }: Points, axis: Axis, what: "accuracy" | "loss"): Curve {
  return {
    x: evaluations.map(({ round, atMs }) => (axis === "round" ? round : secondsOf(atMs))),
    y: evaluations.map((point) => point[what]),
  };
}

/** Whether to expect an accuracy: none was measured yet, or one was. */
export const hasAccuracy = ({ evaluations }: Points): boolean =>
  evaluations.length === 0 || evaluations.some(({ accuracy }) => accuracy !== null);

/** Curves on one row of places; null where a curve has no value. Of two values at a place the later stays. */
export function joined(curves: readonly Curve[]): Table {
  const x = [...new Set(curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
  const at = new Map(x.map((place, i) => [place, i]));
  const ys = curves.map((curve) => {
    const row: Values = new Array(x.length).fill(null);
    curve.x.forEach((place, i) => {
      row[at.get(place) ?? 0] = curve.y[i] ?? null;
    });
    return row;
  });
  return { x, ys };
}

/** A place on the curves where something happened. */
export interface Mark {
  readonly x: number;
  /** "A", "B": stands at the line, and before the text below the plots. */
  readonly letter: string;
  readonly text: string;
}

/** Where a node left or the plan changed, after the first plan and before the end. */
export function marksOf(
  { rounds, events, plans }: Pick<RunHistory, "rounds" | "events" | "plans">,
  axis: Axis,
): Mark[] {
  const first = plans[0]?.atMs ?? Number.POSITIVE_INFINITY;
  const ended = events.find((event) => event.kind === "ended")?.atMs ?? Number.POSITIVE_INFINITY;
  const found: { round: number; atMs: number; texts: string[] }[] = [];
  const note = (atMs: number, text: string): void => {
    if (atMs <= first || atMs >= ended) return;
    const round = rounds.filter((point) => point.atMs <= atMs).length;
    const last = found.at(-1);
    // A leave and the plan that answers it are one mark.
    if (last !== undefined && round - last.round <= 1) last.texts.push(text);
    else found.push({ round, atMs, texts: [text] });
  };
  const changes = [
    ...events.filter((event) => event.kind === "left").map(({ atMs, text }) => ({ atMs, text })),
    ...plans.map(({ atMs, plan }) => ({ atMs, text: `new plan, term ${plan.term}` })),
  ].sort((a, b) => a.atMs - b.atMs);
  for (const { atMs, text } of changes) note(atMs, text);
  return found.map(({ round, atMs, texts }, i) => ({
    x: axis === "round" ? round : secondsOf(atMs),
    letter: letterOf(i),
    text: `after round ${round}: ${texts.join("; ")}`,
  }));
}

/** "A" to "Z", then "A1" and on. */
const letterOf = (i: number): string =>
  String.fromCharCode(65 + (i % 26)) + (i < 26 ? "" : String(Math.floor(i / 26)));

/** A figure of each node in each round, kept as rounds come so that long runs stay cheap. */
export class NodeCurves {
  readonly #read: (cost: NodeRound) => number | null;
  readonly #ids: ReadonlySet<NodeId> | null;
  readonly #byNode = new Map<NodeId, Values>();
  readonly lowest: Values = [];
  readonly median: Values = [];
  readonly highest: Values = [];
  #count = 0;

  /** @param ids nodes that lowest, median and highest are taken over; null for all */
  constructor(read: (cost: NodeRound) => number | null, ids: ReadonlySet<NodeId> | null) {
    this.#read = read;
    this.#ids = ids;
  }

  /** Takes the rounds that came since. */
  update(rounds: readonly RoundPoint[]): void {
    for (const { nodes } of rounds.slice(this.#count)) {
      const values: number[] = [];
      for (const cost of nodes) {
        const value = this.#read(cost);
        const row = this.#byNode.get(cost.node) ?? [];
        this.#byNode.set(cost.node, row);
        while (row.length < this.#count) row.push(null);
        row.push(value);
        if (value !== null && (this.#ids?.has(cost.node) ?? true)) values.push(value);
      }
      values.sort((a, b) => a - b);
      this.lowest.push(values[0] ?? null);
      this.median.push(values[Math.floor((values.length - 1) / 2)] ?? null);
      this.highest.push(values.at(-1) ?? null);
      this.#count++;
    }
  }

  /** A node's values, one for each round taken. */
  of(node: NodeId): Values {
    const row = this.#byNode.get(node) ?? [];
    while (row.length < this.#count) row.push(null);
    return row;
  }
}

/** A curve in a sentence, for those who do not see it. */
export function curveInWords(
  name: string,
  { x, y }: Curve,
  axis: Axis,
  format: (value: number) => string,
): string {
  const known = y.flatMap((value, i) => (value === null ? [] : [{ value, x: x[i] ?? 0 }]));
  const first = known[0];
  const last = known.at(-1);
  if (first === undefined || last === undefined) return `${name}: no values yet.`;
  const at = (place: number): string =>
    axis === "round" ? `round ${place}` : `${place.toFixed(0)} s`;
  if (known.length === 1) return `${name}: ${format(first.value)} at ${at(first.x)}.`;
  return (
    `${name}: from ${format(first.value)} at ${at(first.x)} ` +
    `to ${format(last.value)} at ${at(last.x)}.`
  );
}
