/**
 * The time line's canvas. Each stretch of work is painted once, into an
 * off-screen ring whose columns are points in time; a frame only copies the
 * part of the ring that is in view. So a frame costs the same with four nodes
 * and with sixty, and with many short stretches of work.
 */
import type { SpanKind, TimedSpan } from "edgeloom";
import { colorOf } from "../theme.ts";

/** Time in the ring beside what is in view: what is still to come, and room to clear it. */
const spareMs = 5_000;
const aheadMs = 2_000;

export interface StripLook {
  /** CSS pixels. */
  readonly width: number;
  readonly rowHeight: number;
  readonly rows: number;
  /** Time in view. */
  readonly windowMs: number;
}

/** Upper part of a row: work. Below it two thin lines: sending, receiving. */
const lanes = {
  work: { top: 0.14, height: 0.44 },
  sending: { top: 0.62, height: 0.13 },
  receiving: { top: 0.78, height: 0.13 },
} as const;

export class Strip {
  readonly #canvas: HTMLCanvasElement;
  readonly #ring = document.createElement("canvas");
  readonly #look: StripLook;
  readonly #ringMs: number;
  readonly #ratio = Math.min(devicePixelRatio, 2);
  readonly #colors: Readonly<Record<SpanKind, string>>;
  /** The newest stretch painted of each row. */
  readonly #painted: (TimedSpan | undefined)[] = [];
  #clearedToMs: number;

  constructor(canvas: HTMLCanvasElement, look: StripLook, nowMs: number) {
    this.#canvas = canvas;
    this.#look = look;
    this.#ringMs = look.windowMs + spareMs;
    this.#clearedToMs = nowMs + aheadMs;
    const height = look.rowHeight * look.rows * this.#ratio;
    canvas.width = Math.round(look.width * this.#ratio);
    canvas.height = height;
    this.#ring.width = Math.round((canvas.width * this.#ringMs) / look.windowMs);
    this.#ring.height = height;
    this.#colors = {
      forward: colorOf("--forward"),
      backward: colorOf("--backward"),
      update: colorOf("--update"),
      step: colorOf("--forward"),
      evaluate: colorOf("--evaluate"),
      sending: colorOf("--sending"),
      receiving: colorOf("--receiving"),
    };
  }

  /** Draws the window that ends at `nowMs`; `rows` holds each node's stretches in order of their ends. */
  draw(rows: readonly (readonly TimedSpan[])[], nowMs: number): void {
    const ring = this.#ring.getContext("2d");
    const view = this.#canvas.getContext("2d");
    if (ring === null || view === null) return;
    this.#clearAhead(ring, nowMs);
    for (const [row, spans] of rows.entries()) this.#paintNew(ring, spans, row, nowMs);
    view.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#copy(view, nowMs);
  }

  /** Pixels of the ring for a time, not wrapped. */
  #x(ms: number): number {
    return (ms / this.#ringMs) * this.#ring.width;
  }

  #clearAhead(ring: CanvasRenderingContext2D, nowMs: number): void {
    const toMs = nowMs + aheadMs;
    if (toMs <= this.#clearedToMs) return;
    const from = Math.max(this.#clearedToMs, toMs - this.#ringMs);
    this.#eachPart(from, toMs, (x, width) => ring.clearRect(x, 0, width, this.#ring.height));
    this.#clearedToMs = toMs;
  }

  #paintNew(
    ring: CanvasRenderingContext2D,
    spans: readonly TimedSpan[],
    row: number,
    nowMs: number,
  ): void {
    const last = this.#painted[row];
    const oldest = nowMs - this.#look.windowMs;
    let first = spans.length;
    while (first > 0) {
      const span = spans[first - 1];
      if (span === undefined || span === last || span.toMs < oldest) break;
      first--;
    }
    for (const span of spans.slice(first)) this.#paint(ring, span, row, oldest);
    this.#painted[row] = spans.at(-1);
  }

  #paint(ring: CanvasRenderingContext2D, span: TimedSpan, row: number, oldestMs: number): void {
    const height = this.#look.rowHeight * this.#ratio;
    const { kind } = span;
    const lane = kind === "sending" || kind === "receiving" ? lanes[kind] : lanes.work;
    const top = Math.round((row + lane.top) * height);
    const tall = Math.max(1, Math.round(lane.height * height));
    const toMs = Math.min(span.toMs, this.#clearedToMs);
    this.#eachPart(Math.max(span.fromMs, oldestMs), toMs, (x, width) => {
      ring.fillStyle = this.#colors[kind];
      ring.fillRect(x, top, width, tall);
      if (kind !== "step") return;
      // Forward and backward in one program: both colours.
      ring.fillStyle = this.#colors.backward;
      ring.fillRect(x, top + Math.ceil(tall / 2), width, Math.floor(tall / 2));
    });
  }

  /** The one or two pieces of the ring that hold a stretch of time. */
  #eachPart(fromMs: number, toMs: number, take: (x: number, width: number) => void): void {
    const size = this.#ring.width;
    const width = Math.min(this.#x(toMs) - this.#x(fromMs), size);
    if (!(width > 0)) return;
    const x = this.#x(fromMs) % size;
    const fits = Math.min(width, size - x);
    take(x, fits);
    if (width > fits) take(0, width - fits);
  }

  #copy(view: CanvasRenderingContext2D, nowMs: number): void {
    const { width, height } = this.#canvas;
    const size = this.#ring.width;
    // Whole pixels: a copy between pixels would blur.
    const from = (((Math.round(this.#x(nowMs)) - width) % size) + size) % size;
    const fits = Math.min(width, size - from);
    view.drawImage(this.#ring, from, 0, fits, height, 0, 0, fits, height);
    if (fits < width) {
      view.drawImage(this.#ring, 0, 0, width - fits, height, fits, 0, width - fits, height);
    }
  }
}
