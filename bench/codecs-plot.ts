/** Accuracy against megabytes of codecs, as a picture: what bytes cost, and what memory changes. */
import { curve, frame, gridLine, legend, picture, round, text } from "../src/cli/svg.ts";

/** What one pair of codecs came to. */
export interface CodecOutcome {
  /** As in a job, or both ways apart: "affine8 up and topk10 down". */
  readonly name: string;
  /** Both ways. */
  readonly megabytes: number;
  /** Of held-out samples, from 0 to 1: the mean over seeds. */
  readonly accuracy: number;
}

const [plain, fed] = [{ color: "#2f7bd2" }, { color: "#d2552f", dash: "6 4" }];
const differing = { color: "#2f9e5b", dash: "2 3" };
const { left, right, top, bottom } = frame;

/** Whether any of both ways has error feedback. */
const isFed = ({ name }: CodecOutcome): boolean => name.includes("+feedback");

const strokeOf = (outcome: CodecOutcome) =>
  outcome.name.includes("+delta") ? differing : isFed(outcome) ? fed : plain;

/** The picture as the text of an SVG file. Codecs with and without feedback are joined by a line. */
export function codecsPlot(outcomes: readonly CodecOutcome[], of: string): string {
  const [least, most] = rangeOf(
    outcomes.map(({ megabytes }) => Math.log10(megabytes)),
    0.1,
  );
  const [low, high] = rangeOf(
    outcomes.map(({ accuracy }) => 100 * accuracy),
    0.5,
  );
  const x = (megabytes: number): number =>
    round(left + ((Math.log10(megabytes) - least) / (most - least)) * (right - left));
  const y = (percent: number): number =>
    round(bottom - ((percent - low) / (high - low)) * (bottom - top));
  const at = ({ megabytes, accuracy }: CodecOutcome) => [x(megabytes), y(100 * accuracy)];
  const step = Math.max(1, Math.ceil((high - low) / 8));
  const grid = Array.from(
    { length: Math.floor((high - low) / step) + 1 },
    (_, i) => Math.ceil(low) + i * step,
  ).filter((percent) => percent <= high);
  const ticks = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000].filter(
    (megabytes) => Math.log10(megabytes) >= least && Math.log10(megabytes) <= most,
  );
  return picture("Accuracy against what crosses the link", [
    legend("without memory", plain, left),
    legend("with error feedback", fed, left + 160),
    legend("with deltas", differing, left + 340),
    ...grid.map((percent) => gridLine(y(percent), `${percent} %`)),
    ...ticks.map((tick) => text(x(tick), bottom + 18, String(tick), 'text-anchor="middle"')),
    text((left + right) / 2, bottom + 40, `megabytes, both ways; ${of}`, 'text-anchor="middle"'),
    ...pairsOf(outcomes).map((pair) => curve({ color: "#9aa5b1", dash: "2 4" }, pair.map(at))),
    ...outcomes.map((outcome) => curve(strokeOf(outcome), [at(outcome)])),
    ...labelsOf(outcomes, at),
  ]);
}

/** The extremes, with room around them. */
function rangeOf(values: readonly number[], room: number): readonly [number, number] {
  return [Math.min(...values) - room, Math.max(...values) + room];
}

/** Each codec with feedback beside the same without. */
function pairsOf(outcomes: readonly CodecOutcome[]): CodecOutcome[][] {
  return outcomes.filter(isFed).flatMap((outcome) => {
    const name = outcome.name.replaceAll("+feedback", "").replace(", by sample", "");
    const same = outcomes.find((other) => other.name === name);
    return same === undefined ? [] : [[same, outcome]];
  });
}

/** Dots that cannot be told apart. */
const [sameX, sameY] = [6, 8];

/** Codecs by the place of their dots, those in one place together. */
function placed(
  outcomes: readonly CodecOutcome[],
  at: (outcome: CodecOutcome) => readonly number[],
): { readonly name: string; readonly x: number; readonly y: number }[] {
  const places: { readonly names: string[]; readonly x: number; readonly y: number }[] = [];
  for (const outcome of outcomes) {
    const [x = 0, y = 0] = at(outcome);
    const same = places.find(
      (place) => Math.abs(place.x - x) <= sameX && Math.abs(place.y - y) <= sameY,
    );
    if (same === undefined) places.push({ names: [outcome.name], x, y });
    else same.names.push(outcome.name);
  }
  return places.map(({ names, ...place }) => ({ ...place, name: names.join(", ") }));
}

/** Names beside the dots, moved down or up where another one is in their place. */
function labelsOf(
  outcomes: readonly CodecOutcome[],
  at: (outcome: CodecOutcome) => readonly number[],
): string[] {
  const [lineHeight, letterWidth] = [12, 5.5];
  const dots = placed(outcomes, at);
  const taken = dots.map(({ x, y }) => ({ from: x - 4, to: x + 4, y: y + 4 }));
  return dots.map(({ name, x, y }) => {
    const length = letterWidth * name.length;
    const from = Math.min(x + 8, right - length);
    const place = { from, to: from + length, y: y + 4 };
    // Above the frame is the legend.
    const isTaken = (): boolean =>
      place.y < top + lineHeight / 2 ||
      taken.some(
        (other) =>
          place.from < other.to &&
          other.from < place.to &&
          Math.abs(other.y - place.y) < lineHeight,
      );
    for (let tries = 1; isTaken(); tries++) place.y += tries % 2 === 0 ? -2 * tries : 2 * tries;
    taken.push(place);
    return text(round(place.from), round(place.y), name, 'class="name"');
  });
}
