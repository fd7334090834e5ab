/** What every benchmark answers, and how it is printed: one JSON object, or a table for people. */
import { cpus, totalmem } from "node:os";

/** A figure that an issue has asked for. */
export interface Goal {
  readonly name: string;
  /** What was measured; null where it could not be. */
  readonly value: number | null;
  /** The bound that was asked for. */
  readonly goal: number;
  readonly unit: string;
  readonly met: boolean;
}

/** A row of the table: texts and numbers by column. */
export type Row = Readonly<Record<string, string | number | null>>;

export interface BenchResult {
  readonly rows: readonly Row[];
  readonly goals: readonly Goal[];
  /** Versions of everything that was measured. */
  readonly versions: Readonly<Record<string, string>>;
  readonly seed: number;
  /** What was left out, and why. */
  readonly notes: readonly string[];
}

/** A benchmark: takes its own arguments, tells what it does on stderr, and answers. */
export interface Bench {
  readonly summary: string;
  run(args: readonly string[]): Promise<BenchResult>;
}

export const machine = (): string =>
  `${cpus().length} x ${cpus()[0]?.model.trim()}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ` +
  `${process.platform} ${process.arch}, Node.js ${process.versions.node}`;

/** Says what is under way, where it does not get into the result. */
export const tell = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

export function printTable({ rows, goals, versions, notes }: BenchResult): void {
  console.log(machine());
  console.log(
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", "),
  );
  console.log();
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cell = (value: string | number | null | undefined): string =>
    typeof value !== "number"
      ? (value ?? "-")
      : Number.isInteger(value)
        ? String(value)
        : value.toPrecision(4);
  const lines = [columns, ...rows.map((row) => columns.map((column) => cell(row[column])))];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => (line[i] ?? "").length)));
  for (const line of lines) {
    console.log(
      line
        .map((text, i) => text.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    );
  }
  console.log();
  for (const { name, value, goal, unit, met } of goals) {
    const measured = value === null ? "not measured" : value.toPrecision(4);
    console.log(`${met ? "met   " : "missed"}  ${name}: ${measured} (goal ${goal} ${unit})`);
  }
  for (const note of notes) console.log(`note: ${note}`);
}
