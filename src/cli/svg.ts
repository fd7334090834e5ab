/**
 * Plots as SVG files that need nothing else, in light and dark. The page draws on a canvas that lives; a
 * file has to stand still, so this is its own small drawing.
 */

/** Pixels: the whole picture, and the plot within. */
export const frame = { width: 720, height: 400, left: 56, right: 700, top: 76, bottom: 330 };

const style = `<style>
  text { font: 12px system-ui, sans-serif; fill: #59636e; }
  .title { font-weight: 600; font-size: 14px; fill: #1c2127; }
  .name { font-size: 10px; }
  .ground { fill: #fff; }
  .grid { stroke: #e3e7eb; }
  @media (prefers-color-scheme: dark) {
    text { fill: #9aa5b1; } .title { fill: #e8ecf0; } .ground { fill: #14181d; } .grid { stroke: #2a313a; }
  }
</style>`;

/** The text of a file with this title and what is drawn below it. */
export const picture = (title: string, drawn: readonly string[]): string =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${frame.width} ${frame.height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    style,
    `<rect class="ground" width="${frame.width}" height="${frame.height}"/>`,
    text(frame.left, 26, title, 'class="title"'),
    ...drawn,
    "</svg>\n",
  ].join("\n");

/** How a line looks. */
export interface Stroke {
  readonly color: string;
  readonly dash?: string;
}

const dashed = (dash: string | undefined): string =>
  dash === undefined ? "" : ` stroke-dasharray="${dash}"`;

/** A line through points, and a dot at each. */
export function curve({ color, dash }: Stroke, points: readonly (readonly number[])[]): string {
  const places = points.map((point) => point.join(" "));
  const dots = places.map((place) => `<path d="M${place}h0"/>`).join("");
  return (
    `<g fill="none" stroke="${color}"><path d="M${places.join("L")}" stroke-width="2"${dashed(dash)}/>` +
    `<g stroke-width="7" stroke-linecap="round">${dots}</g></g>`
  );
}

/** What a line means, in the row below the title. */
export const legend = (label: string, { color, dash }: Stroke, at: number): string =>
  `<path d="M${at} 48h22" stroke="${color}" stroke-width="2"${dashed(dash)}/>${text(at + 28, 52, label)}`;

/** A line across the plot at this height, with its value beside it. */
export const gridLine = (y: number, value: string): string =>
  `<path class="grid" d="M${frame.left} ${y}H${frame.right}"/>` +
  text(frame.left - 8, y + 4, value, 'text-anchor="end"');

export const text = (x: number, y: number, words: string, more = ""): string =>
  `<text x="${x}" y="${y}"${more && ` ${more}`}>${escaped(words)}</text>`;

/** Pixels to a tenth. */
export const round = (value: number): number => Math.round(10 * value) / 10;

const escaped = (words: string): string =>
  words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
