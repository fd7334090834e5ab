/** An audit as a picture. */
import type { Audit, CutLeakage } from "../index.ts";
import { curve, frame, gridLine, legend, picture, round, type Stroke, text } from "./svg.ts";

interface Line extends Stroke {
  readonly label: string;
  /** Null where it was not measured. */
  value(cut: CutLeakage): number | null;
}

const lines: readonly Line[] = [
  { label: "inputs, R²", color: "#d2552f", value: (cut) => cut.reconstruction?.r2 ?? null },
  {
    label: "inputs, SSIM",
    color: "#2f7bd2",
    dash: "6 4",
    value: (cut) => cut.reconstruction?.ssim ?? null,
  },
  { label: "labels told", color: "#2f9e5a", dash: "2 4", value: (cut) => cut.labelAccuracy },
];

const { left, right, top, bottom } = frame;

/** The picture as the text of an SVG file. */
export function leakagePlot({ model, codec, cuts, blind }: Audit, of: string): string {
  const first = cuts[0]?.cut ?? 0;
  const span = Math.max(1, (cuts.at(-1)?.cut ?? 0) - first);
  const x = (cut: number): number => round(left + ((cut - first) / span) * (right - left));
  const y = (value: number): number =>
    round(bottom - Math.min(1, Math.max(0, value)) * (bottom - top));
  const shown = lines.filter((line) => cuts.some((cut) => line.value(cut) !== null));
  const known = y(blind.labelAccuracy);
  return picture(`What crosses the cuts of ${model}, ${of}, codec ${codec}`, [
    ...shown.map((line, i) => legend(line.label, line, left + 150 * i)),
    ...[0, 0.2, 0.4, 0.6, 0.8, 1].map((value) => gridLine(y(value), String(value))),
    `<path d="M${left} ${known}H${right}" stroke="#2f9e5a" stroke-width=".75" opacity=".6"/>`,
    text(right, known - 5, "labels, nothing seen", 'text-anchor="end"'),
    ...cuts.map(({ cut }) => text(x(cut), bottom + 18, String(cut), 'text-anchor="middle"')),
    ...cuts.map(({ cut, name }) => {
      const at = `class="name" text-anchor="end" transform="rotate(-35 ${x(cut)} ${bottom + 34})"`;
      return text(x(cut), bottom + 34, name.length > 16 ? `${name.slice(0, 15)}…` : name, at);
    }),
    ...shown.map((line) =>
      curve(
        line,
        cuts.flatMap((cut) => {
          const value = line.value(cut);
          return value === null ? [] : [[x(cut.cut), y(value)]];
        }),
      ),
    ),
  ]);
}
