/** A plot with its title, its legend in numbers, and its curves in words. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { useWidth } from "../parts/use-size.ts";
import { theme } from "../theme.ts";
import { unknown } from "../words.ts";
import { Chart, type ChartData, type ChartLine } from "./chart.ts";
import type { Values } from "./series.ts";
import { nearest, type TickKind } from "./ticks.ts";

/** How the places of the x axis are written. */
export interface XFormat {
  /** What it counts: "round", "time". */
  readonly name: string;
  readonly kind: TickKind;
  readonly format: (value: number) => string;
}

interface Props {
  readonly title: string;
  readonly hint: string;
  readonly lines: readonly ChartLine[];
  readonly data: ChartData;
  /** The curves in words. */
  readonly summary: string;
  readonly x: XFormat;
  readonly formatY: (value: number) => string;
  /** Writes the numbers on the axis; as `formatY` where it is not given. */
  readonly formatTick?: (value: number) => string;
  readonly yMin?: number;
  readonly yMax?: number;
  readonly height?: number;
}

/** Where the reader points, on the x axis of all plots alike. */
const cursor = signal<number | null>(null);

export function Plot(props: Props) {
  const { title, hint, lines, data, summary, x, formatY } = props;
  const { formatTick = formatY, yMin = null, yMax = null, height = 220 } = props;
  const [host, width] = useWidth();
  const canvas = useRef<HTMLCanvasElement>(null);
  const chart = useRef<Chart | null>(null);
  const look = `${theme.value} ${x.kind} ${lines.map((line) => line.label + line.color).join()}`;

  useEffect(() => {
    if (canvas.current === null || width === 0) return;
    const { kind: xKind, name: xName, format: formatX } = x;
    const options = { lines, width, height, xKind, xName, formatX, formatTick, yMin, yMax };
    const made = new Chart(canvas.current, options, data);
    chart.current = made;
    return () => {
      chart.current = null;
      made.close();
    };
  }, [width, look]);
  const at = cursor.value;
  useEffect(() => chart.current?.set(data, at), [data, at]);

  const index = at === null ? data.x.length - 1 : nearest(data.x, at);
  const place = data.x[index];
  return (
    <figure class="plot">
      <figcaption>
        <h3>{title}</h3>
        <p class="hint">
          {at === null || place === undefined ? hint : `${x.name} ${x.format(place)}`}
        </p>
      </figcaption>
      <ul class="legend">
        {lines.map((line, i) => (
          <li key={line.label}>
            <LineSample line={line} />
            {line.label} <b>{valueAt(data.ys[i] ?? [], index, formatY)}</b>
          </li>
        ))}
      </ul>
      <div ref={host} class="canvas" style={{ height: `${height}px` }} aria-hidden="true">
        <canvas
          ref={canvas}
          onMouseMove={({ offsetX }) => {
            cursor.value = chart.current?.placeAt(offsetX) ?? null;
          }}
          onMouseLeave={() => {
            cursor.value = null;
          }}
        />
      </div>
      <p class="unseen">{summary}</p>
    </figure>
  );
}

function LineSample({ line }: { line: ChartLine }) {
  return (
    <svg width="22" height="10" aria-hidden="true" style={{ color: `var(${line.color})` }}>
      <path
        d="M1 5h20"
        stroke="currentColor"
        stroke-width={line.width ?? 2}
        stroke-dasharray={line.dash?.join(" ")}
      />
      {line.isSparse && <circle cx="11" cy="5" r="3" fill="currentColor" />}
    </svg>
  );
}

/** The value at a place, or the newest before it. */
function valueAt(values: Values, at: number, format: (value: number) => string): string {
  for (let i = at; i >= 0; i--) {
    const value = values[i];
    if (value != null) return format(value);
  }
  return unknown;
}
