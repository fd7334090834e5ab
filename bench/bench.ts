/** What every benchmark answers, and how it is printed: one JSON object, or a table for people. */
import { cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { InputError } from "edgeloom";

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

/** A ratio that has to reach a bound, or so great a part of it. */
export const atLeast = (name: string, value: number, goal: number, part = 1): Goal => ({
  name,
  value,
  goal,
  unit: "x, at least",
  met: value >= goal * part,
});

/** The worst of some values, none of which may pass a bound. */
export const atMost = (
  name: string,
  values: readonly number[],
  goal: number,
  unit: string,
): Goal => {
  const value = values.length === 0 ? null : Math.max(...values);
  return { name, value, goal, unit: `${unit}, at most`, met: value !== null && value <= goal };
};

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

/**
 * What stands behind flags, or what they mean where they are left out.
 * @throws InputError for any other argument
 */
export function optionsOf<T extends Readonly<Record<string, string>>>(
  args: readonly string[],
  defaults: T,
): T {
  const options = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [
      name,
      { type: "string", default: value } as const,
    ]),
  );
  try {
    return parseArgs({ args: [...args], options }).values as T;
  } catch (error) {
    const flags = Object.keys(defaults).map((name) => `--${name} VALUE`);
    const allowed = flags.length === 0 ? "none" : flags.join(", ");
    throw new InputError(
      { what: "arguments", received: args.join(" "), allowed },
      { cause: error },
    );
  }
}

/** @throws InputError for what is no whole number from 1 */
export function countOf(flag: string, text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new InputError({ what: flag, received: text, allowed: "a whole number from 1" });
}

/** What a flag gives as JSON, for a job to check. @throws InputError for what is no object */
export function fieldsOf(flag: string, text: string): object {
  try {
    const fields: unknown = JSON.parse(text);
    if (typeof fields === "object" && fields !== null) return fields;
  } catch {
    // Said below, as for any other value that is no object.
  }
  throw new InputError({ what: flag, received: text, allowed: 'an object, as {"cutMin":2}' });
}

/** Those of a list that are named, parted by commas. @throws InputError for a name that none has */
export function chosenOf<T>(
  flag: string,
  text: string,
  all: readonly T[],
  nameOf: (entry: T) => string,
): T[] {
  return text.split(",").flatMap((name) => {
    const found = all.filter((entry) => nameOf(entry) === name);
    if (found.length > 0) return found;
    const allowed = [...new Set(all.map(nameOf))].join(", ");
    throw new InputError({ what: flag, received: name, allowed });
  });
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
