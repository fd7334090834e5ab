/**
 * A plot of lines on a canvas, kept alive while its numbers change. It draws at
 * most once a frame, and out of view only now and then. Own code instead of a
 * library: what a run needs is small, and a library alone was a third of the page.
 */
import { onVisible } from "../parts/use-size.ts";
import { colorOf } from "../theme.ts";
import type { Mark, Table, Values } from "./series.ts";
import { nearest, scaled, type TickKind, ticksOf } from "./ticks.ts";

export interface ChartLine {
  readonly label: string;
  /** Name of a colour in style.css. */
  readonly color: string;
  /** Lengths of strokes and gaps; none for a solid line. */
  readonly dash?: readonly number[];
  /** Measured now and then: the points are drawn, and joined over the gaps. */
  readonly isSparse?: boolean;
  readonly width?: number;
}

export interface ChartOptions {
  readonly lines: readonly ChartLine[];
  /** CSS pixels. */
  readonly width: number;
  readonly height: number;
  readonly xKind: TickKind;
  /** What the x axis counts. */
  readonly xName: string;
  readonly formatX: (value: number) => string;
  /** Writes the numbers on the y axis. */
  readonly formatTick: (value: number) => string;
  /** Bounds of the y axis; null where the numbers decide. */
  readonly yMin: number | null;
  readonly yMax: number | null;
}

export interface ChartData extends Table {
  /** The x axis spans at least this. */
  readonly xMin: number;
  readonly xMax: number;
  readonly marks: readonly Mark[];
}

type Bounds = readonly [number, number];

interface Frame {
  readonly x: Bounds;
  readonly y: Bounds;
  /** Pixels of the plotting area. */
  readonly across: Bounds;
  readonly down: Bounds;
}

const padding = { left: 56, right: 14, top: 18, bottom: 24 } as const;
const font = "12px system-ui, 'DejaVu Sans', sans-serif";
/** How often a plot out of view draws: often enough for whoever scrolls or prints. */
const hiddenMs = 2_000;
/** Room that a number needs on an axis, in pixels. */
const tickRoom = { x: 64, y: 30 } as const;

export class Chart {
  readonly #context: CanvasRenderingContext2D | null;
  readonly #options: ChartOptions;
  readonly #colors: Readonly<Record<"text" | "grid" | "mark" | "ground", string>>;
  readonly #lineColors: readonly string[];
  readonly #stopWatching: () => void;
  #data: ChartData;
  /** The place that the reader points at, on the x axis. */
  #cursor: number | null = null;
  #isVisible = true;
  #isScheduled = false;
  #isClosed = false;

  constructor(canvas: HTMLCanvasElement, options: ChartOptions, data: ChartData) {
    const ratio = Math.min(devicePixelRatio, 2);
    canvas.width = Math.round(options.width * ratio);
    canvas.height = Math.round(options.height * ratio);
    this.#context = canvas.getContext("2d");
    this.#context?.scale(ratio, ratio);
    this.#options = options;
    this.#data = data;
    this.#colors = {
      text: colorOf("--muted"),
      grid: colorOf("--line"),
      mark: colorOf("--warn"),
      ground: colorOf("--panel"),
    };
    this.#lineColors = options.lines.map((line) => colorOf(line.color));
    this.#draw();
    this.#stopWatching = onVisible(canvas, (isVisible) => {
      this.#isVisible = isVisible;
      if (isVisible) this.#draw();
    });
  }

  set(data: ChartData, cursor: number | null): void {
    this.#data = data;
    this.#cursor = cursor;
    this.#schedule();
  }

  /** The place on the x axis under a pixel of the canvas. */
  placeAt(pixel: number): number {
    const { x, across } = this.#framed();
    return scaled(pixel, across, x);
  }

  close(): void {
    this.#isClosed = true;
    this.#stopWatching();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const draw = () => {
      this.#isScheduled = false;
      if (!this.#isClosed) this.#draw();
    };
    if (this.#isVisible) requestAnimationFrame(draw);
    else setTimeout(draw, hiddenMs);
  }

  #framed(): Frame {
    const { width, height, yMin, yMax } = this.#options;
    const { x, ys, xMin, xMax } = this.#data;
    const { left, right, top, bottom } = padding;
    return {
      x: [Math.min(x[0] ?? xMin, xMin), Math.max(x.at(-1) ?? xMax, xMax, xMin + 1)],
      y: yBounds(ys, yMin, yMax),
      across: [left, width - right],
      down: [height - bottom, top],
    };
  }

  #draw(): void {
    const context = this.#context;
    if (context === null) return;
    const { width, height, lines } = this.#options;
    const frame = this.#framed();
    context.clearRect(0, 0, width, height);
    this.#drawAxes(context, frame);
    this.#drawMarks(context, frame);
    context.save();
    context.lineJoin = "round";
    context.lineCap = "round";
    lines.forEach((line, i) => {
      context.strokeStyle = context.fillStyle = this.#lineColors[i] ?? "";
      context.lineWidth = line.width ?? 2;
      context.setLineDash([...(line.dash ?? [])]);
      drawLine(context, frame, this.#data.x, this.#data.ys[i] ?? [], line.isSparse ?? false);
    });
    context.restore();
    this.#drawCursor(context, frame);
  }

  #drawAxes(context: CanvasRenderingContext2D, { x, y, across, down }: Frame): void {
    const { xKind, xName, formatX, formatTick } = this.#options;
    const most = (size: number, room: number): number => Math.max(2, Math.floor(size / room));
    context.font = font;
    context.fillStyle = this.#colors.text;
    context.strokeStyle = this.#colors.grid;
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const value of ticksOf(...y, most(down[0] - down[1], tickRoom.y), "number")) {
      const at = Math.round(scaled(value, y, down)) + 0.5;
      stroke(context, across[0], at, across[1], at);
      context.fillText(formatTick(value), across[0] - 8, at);
    }
    context.textBaseline = "top";
    context.fillText(xName, across[0] - 8, down[0] + 7);
    context.textAlign = "center";
    for (const value of ticksOf(...x, most(across[1] - across[0], tickRoom.x), xKind)) {
      const at = Math.round(scaled(value, x, across)) + 0.5;
      stroke(context, at, down[0], at, down[0] + 4);
      context.fillText(formatX(value), at, down[0] + 7);
    }
  }

  /** A dashed line with a letter for each event; the text stands below the plots. */
  #drawMarks(context: CanvasRenderingContext2D, { x, across, down }: Frame): void {
    context.save();
    context.strokeStyle = context.fillStyle = this.#colors.mark;
    context.setLineDash([4, 3]);
    context.font = `600 ${font}`;
    context.textAlign = "center";
    context.textBaseline = "bottom";
    for (const mark of this.#data.marks) {
      const at = Math.round(scaled(mark.x, x, across)) + 0.5;
      stroke(context, at, down[0], at, down[1]);
      context.fillText(mark.letter, at, down[1] - 2);
    }
    context.restore();
  }

  #drawCursor(context: CanvasRenderingContext2D, { x, y, across, down }: Frame): void {
    if (this.#cursor === null) return;
    const i = nearest(this.#data.x, this.#cursor);
    const place = this.#data.x[i];
    if (place === undefined) return;
    const at = scaled(place, x, across);
    context.strokeStyle = this.#colors.text;
    context.lineWidth = 1;
    stroke(context, Math.round(at) + 0.5, down[0], Math.round(at) + 0.5, down[1]);
    this.#data.ys.forEach((values, line) => {
      const value = values[i];
      if (value == null) return;
      context.fillStyle = this.#lineColors[line] ?? "";
      context.strokeStyle = this.#colors.ground;
      context.lineWidth = 2;
      dot(context, at, scaled(value, y, down), 4.5);
      context.stroke();
    });
  }
}

function drawLine(
  context: CanvasRenderingContext2D,
  { x, y, across, down }: Frame,
  places: readonly number[],
  values: Values,
  isSparse: boolean,
): void {
  const points: [number, number][] = [];
  let isOpen = false;
  context.beginPath();
  places.forEach((place, i) => {
    const value = values[i];
    if (value == null) {
      // A gap in a line of every round is a round without a value; a sparse line goes on.
      isOpen &&= isSparse;
      return;
    }
    const point: [number, number] = [scaled(place, x, across), scaled(value, y, down)];
    if (isOpen) context.lineTo(...point);
    else context.moveTo(...point);
    isOpen = true;
    points.push(point);
  });
  context.stroke();
  if (!isSparse && points.length > 1) return;
  context.setLineDash([]);
  for (const [px, py] of points) dot(context, px, py, 3);
}

function stroke(context: CanvasRenderingContext2D, ...line: [number, number, number, number]) {
  context.beginPath();
  context.moveTo(line[0], line[1]);
  context.lineTo(line[2], line[3]);
  context.stroke();
}

function dot(context: CanvasRenderingContext2D, x: number, y: number, radius: number): void {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

/** Room above and below the values; a flat line gets room on both sides. */
function yBounds(ys: readonly Values[], yMin: number | null, yMax: number | null): Bounds {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const values of ys) {
    for (const value of values) {
      if (value === null) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return [yMin ?? 0, yMax ?? 1];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  const bottom = yMin ?? low - room;
  return [bottom, Math.max(yMax ?? high + room, bottom + 1e-9)];
}
