/** Writing to a terminal, or to a file that stands in for one. */
import { styleText } from "node:util";

const out = process.stdout;

// Whoever read our output has gone (`| head`): nobody is left to tell, and a run goes on.
out.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

/** True when a person watches: lines may be rewritten in place. */
export const isInteractive = out.isTTY === true;

let isLineOpen = false;

/** Prints a line that stays. */
export function say(text = ""): void {
  if (isLineOpen) out.write("\r\x1b[K");
  isLineOpen = false;
  out.write(`${text}\n`);
}

/** Replaces the last line on a terminal; does nothing where nobody watches. */
export function status(text: string): void {
  if (!isInteractive) return;
  out.write(`\r\x1b[K${text.slice(0, (out.columns ?? 80) - 1)}`);
  isLineOpen = true;
}

/** Prints one error line to stderr. */
export function fail(text: string): void {
  if (isLineOpen) out.write("\n");
  isLineOpen = false;
  process.stderr.write(`${paint("red", "error:", process.stderr)} ${text}\n`);
}

export const bold = (text: string): string => paint("bold", text);
export const dim = (text: string): string => paint("dim", text);

function paint(
  format: "bold" | "dim" | "red",
  text: string,
  stream: NodeJS.WriteStream = out,
): string {
  return styleText(format, text, { stream, validateStream: true });
}

/** A column of a table; numbers stand right. */
export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/** Lines of a table with columns as wide as their longest cell; the last one is not padded. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const widths = columns.map((column, i) =>
    Math.max(column.title.length, ...rows.map((row) => (row[i] ?? "").length)),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map((column, i) => {
        const cell = cells[i] ?? "";
        const width = widths[i] ?? 0;
        if (column.align === "right") return cell.padStart(width);
        return i === columns.length - 1 ? cell : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd();
  return [dim(line(columns.map((column) => column.title))), ...rows.map(line)];
}
