/**
 * An audit as a picture: one SVG file that needs nothing else, in light and dark. The page draws on a
 * canvas that lives; a file has to stand still, so this is its own small drawing.
 */
import type { Audit, CutLeakage } from "../index.ts";

interface Line {
  readonly label: string;
  readonly color: string;
  readonly dash?: string;
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

/** Pixels: the whole picture, and the plot within. */
const [width, height] = [720, 400];
const [left, right, top, bottom] = [56, 700, 76, 330];

/** The picture as the text of an SVG file. */
export function leakagePlot({ model, codec, cuts, blind }: Audit, of: string): string {
  const first = cuts[0]?.cut ?? 0;
  const span = Math.max(1, (cuts.at(-1)?.cut ?? 0) - first);
  const x = (cut: number): number => round(left + ((cut - first) / span) * (right - left));
  const y = (value: number): number =>
    round(bottom - Math.min(1, Math.max(0, value)) * (bottom - top));
  const shown = lines.filter((line) => cuts.some((cut) => line.value(cut) !== null));
  const known = y(blind.labelAccuracy);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escaped(`What crosses the cuts of ${model}, ${of}`)}</title>`,
    style,
    `<rect class="ground" width="${width}" height="${height}"/>`,
    text(left, 26, `What crosses the cuts of ${model}, ${of}, codec ${codec}`, 'class="title"'),
    ...shown.map((line, i) => legend(line, left + 150 * i)),
    ...[0, 0.2, 0.4, 0.6, 0.8, 1].flatMap((value) => [
      `<path class="grid" d="M${left} ${y(value)}H${right}"/>`,
      text(left - 8, y(value) + 4, String(value), 'text-anchor="end"'),
    ]),
    `<path class="known" d="M${left} ${known}H${right}"/>`,
    text(right, known - 5, "labels, nothing seen", 'text-anchor="end"'),
    ...cuts.map(({ cut }) => text(x(cut), bottom + 18, String(cut), 'text-anchor="middle"')),
    ...cuts.map(({ cut, name }) => {
      const at = `class="name" text-anchor="end" transform="rotate(-35 ${x(cut)} ${bottom + 34})"`;
      return text(x(cut), bottom + 34, name.length > 16 ? `${name.slice(0, 15)}…` : name, at);
    }),
    ...shown.map((line) => curve(line, cuts, x, y)),
    "</svg>\n",
  ].join("\n");
}

const style = `<style>
  text { font: 12px system-ui, sans-serif; fill: #59636e; }
  .title { font-weight: 600; font-size: 14px; fill: #1c2127; }
  .name { font-size: 10px; }
  .ground { fill: #fff; }
  .grid { stroke: #e3e7eb; }
  .known { stroke: #2f9e5a; stroke-width: .75; opacity: .6; }
  @media (prefers-color-scheme: dark) {
    text { fill: #9aa5b1; } .title { fill: #e8ecf0; } .ground { fill: #14181d; } .grid { stroke: #2a313a; }
  }
</style>`;

function curve(
  { color, dash, value }: Line,
  cuts: readonly CutLeakage[],
  x: (cut: number) => number,
  y: (value: number) => number,
): string {
  const points = cuts.flatMap((cut) => {
    const at = value(cut);
    return at === null ? [] : [`${x(cut.cut)} ${y(at)}`];
  });
  const dots = points.map((point) => `<path d="M${point}h0"/>`).join("");
  return (
    `<g fill="none" stroke="${color}"><path d="M${points.join("L")}" stroke-width="2"` +
    `${dash === undefined ? "" : ` stroke-dasharray="${dash}"`}/>` +
    `<g stroke-width="7" stroke-linecap="round">${dots}</g></g>`
  );
}

const legend = ({ label, color, dash }: Line, at: number): string =>
  `<path d="M${at} 48h22" stroke="${color}" stroke-width="2"` +
  `${dash === undefined ? "" : ` stroke-dasharray="${dash}"`}/>${text(at + 28, 52, label)}`;

const text = (x: number, y: number, words: string, more = ""): string =>
  `<text x="${x}" y="${y}"${more && ` ${more}`}>${escaped(words)}</text>`;

const round = (value: number): number => Math.round(10 * value) / 10;

const escaped = (words: string): string =>
  words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
