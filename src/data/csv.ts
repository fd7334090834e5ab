/**
 * Comma-separated tables as data sets: numeric features, one column of labels, and keys where rows have them.
 * Fields are read as RFC 4180 describes them: quotes around a field keep commas
 * and line breaks in it, a doubled quote is a quote.
 */
import { InputError } from "../base/errors.ts";
import { type Dataset, datasetOf } from "./dataset.ts";

/** How to read a table. */
export interface CsvOptions {
  /** The label's column: its name in the header, else the last column; null for a table without labels, whose samples are of one class. */
  readonly label?: string | null;
  /** The column by which others know a row, by its name in the header; rows have no keys where absent. */
  readonly key?: string;
  /** Whether the first row holds names. Otherwise told by it having a feature that is no number. */
  readonly header?: boolean;
  /** Classes in the order of their numbers, as another table of the same task gave them. */
  readonly classNames?: readonly string[];
  /** Name of the file, for errors. */
  readonly where?: string;
}

interface Row {
  /** Line of the file where the row begins, 1-based. */
  readonly line: number;
  readonly fields: readonly string[];
}

/**
 * Reads a table; features are float32 [columns that are neither label nor key].
 *
 * Classes are the distinct labels: in numeric order when all are numbers, else
 * in the order of their UTF-16 code units.
 *
 * @throws InputError naming line and column of the first field that does not fit.
 */
export function csvDataset(bytes: Uint8Array, options: CsvOptions = {}): Dataset {
  const where = options.where ?? "csv";
  const rows = parseRows(decodeText(bytes, where), where);
  const first = rows[0];
  if (first === undefined) {
    throw new InputError({ what: "table", received: "no rows", allowed: "rows", where });
  }
  const header = (options.header ?? looksLikeHeader(first, options)) ? first.fields : null;
  const data = header === null ? rows : rows.slice(1);
  const columns = first.fields.length;
  const { label, key } = options;
  const labelColumn =
    label === null ? null : label === undefined ? columns - 1 : find("label", label, header, where);
  const keyColumn = key === undefined ? null : find("key", key, header, where);
  const apart = new Set([labelColumn, keyColumn].filter((column) => column !== null));
  const features = columns - apart.size;
  if (data.length === 0 || features < 1) {
    throw new InputError({
      what: "table",
      received: `${data.length} rows of ${columns} columns`,
      allowed: `at least 1 row with a feature${label === null ? "" : " and a label"}`,
      where,
    });
  }
  const values = new Float32Array(data.length * features);
  for (const [index, row] of data.entries()) {
    readFeatures(row, { where, header, columns, apart }, values, index * features);
  }
  const textsOf = (column: number): string[] =>
    data.map((row) => (row.fields[column] as string).trim());
  const table = { where, header, data };
  return datasetOf({
    kind: "csv",
    inputShape: [features],
    ...(labelColumn === null
      ? { classes: 1, labels: new Uint8Array(data.length) }
      : labelsOf(textsOf(labelColumn), labelColumn, table, options.classNames)),
    ...(keyColumn !== null && { keys: textsOf(keyColumn) }),
    copySample(index, target, offset) {
      target.set(values.subarray(index * features, (index + 1) * features), offset);
    },
  });
}

/** Classes by the texts of their column. */
function labelsOf(
  texts: readonly string[],
  column: number,
  table: { where: string; header: readonly string[] | null; data: readonly Row[] },
  classNames: readonly string[] = distinct(texts),
): Pick<Dataset, "classes" | "labels"> & { readonly classNames: readonly string[] } {
  const numbers = new Map(classNames.map((name, index) => [name, index]));
  const labels = Int32Array.from(texts, (text, index) => {
    const label = text === "" ? undefined : numbers.get(text);
    if (label !== undefined) return label;
    const allowed = text === "" ? "a class" : `one of ${classNames.slice(0, 20).join(", ")}`;
    const place = columnName(table.header, column);
    throw fieldProblem(table.where, table.data[index] as Row, place, text, allowed);
  });
  return { classes: classNames.length, classNames, labels };
}

function decodeText(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new InputError(
      { what: "table", received: "bytes that are not UTF-8", allowed: "UTF-8 text", where },
      { cause },
    );
  }
}

/** Splits text into rows of fields; empty lines are skipped. */
function parseRows(text: string, where: string): Row[] {
  const rows: Row[] = [];
  let line = 1;
  let at = 0;
  while (at < text.length) {
    const start = line;
    const fields: string[] = [];
    let quoted = false;
    for (;;) {
      if (text[at] === '"') {
        quoted = true;
        const field = quotedField(text, at, { where, line, column: fields.length + 1 });
        fields.push(field.value);
        line += field.lineBreaks;
        at = field.end;
      } else {
        let end = at;
        while (end < text.length && !",\r\n".includes(text[end] as string)) end++;
        fields.push(text.slice(at, end));
        at = end;
      }
      if (text[at] !== ",") break;
      at++;
    }
    if (text[at] === "\r") at++;
    if (text[at] === "\n") at++;
    line++;
    if (fields.length > 1 || fields[0] !== "" || quoted) rows.push({ line: start, fields });
  }
  return rows;
}

function quotedField(
  text: string,
  open: number,
  place: { where: string; line: number; column: number },
): { value: string; lineBreaks: number; end: number } {
  const problem = (received: string, allowed: string) =>
    new InputError({
      what: "quoted field",
      received,
      allowed,
      where: `${place.where}:${place.line}, column ${place.column}`,
    });
  let value = "";
  let at = open + 1;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote < 0) throw problem("no closing quote", "a quote at its end");
    value += text.slice(at, quote);
    at = quote + 1;
    if (text[at] !== '"') break;
    value += '"';
    at++;
  }
  if (at < text.length && !",\r\n".includes(text[at] as string)) {
    throw problem(`"${text[at]}" after the closing quote`, "a comma or the end of the line");
  }
  return { value, lineBreaks: value.split("\n").length - 1, end: at };
}

/** A number that float32 holds as a number. */
const isNumber = (text: string): boolean =>
  text.trim() !== "" && Number.isFinite(Math.fround(Number(text)));

/** A header is a first row with a name in it: the label's, or one where features have numbers. */
function looksLikeHeader(first: Row, options: CsvOptions): boolean {
  if (typeof options.label === "string" || options.key !== undefined) return true;
  return first.fields.slice(0, -1).some((field) => !isNumber(field));
}

function find(
  what: "label" | "key",
  column: string,
  header: readonly string[] | null,
  where: string,
): number {
  const index = header?.findIndex((name) => name.trim() === column) ?? -1;
  if (index >= 0) return index;
  throw new InputError({
    what: `${what} column`,
    received: column,
    allowed: header === null ? "no name, as the table has no header" : header.join(", "),
    where,
  });
}

const columnName = (header: readonly string[] | null, column: number): string =>
  header === null ? `column ${column + 1}` : `column ${column + 1} (${header[column]?.trim()})`;

const fieldProblem = (
  where: string,
  row: Row,
  column: string,
  received: string,
  allowed: string,
): InputError =>
  new InputError({
    what: column,
    received: `"${received}"`,
    allowed,
    where: `${where}:${row.line}`,
  });

function readFeatures(
  row: Row,
  table: {
    where: string;
    header: readonly string[] | null;
    columns: number;
    apart: ReadonlySet<number>;
  },
  target: Float32Array,
  offset: number,
): void {
  if (row.fields.length !== table.columns) {
    throw new InputError({
      what: "number of columns",
      received: String(row.fields.length),
      allowed: `${table.columns}, as in the first row`,
      where: `${table.where}:${row.line}`,
    });
  }
  let at = offset;
  for (const [column, field] of row.fields.entries()) {
    if (table.apart.has(column)) continue;
    if (!isNumber(field)) {
      throw fieldProblem(table.where, row, columnName(table.header, column), field, "a number");
    }
    target[at++] = Number(field);
  }
}

function distinct(texts: readonly string[]): string[] {
  const names = [...new Set(texts)].filter((text) => text !== "");
  return names.every(isNumber) ? names.sort((a, b) => Number(a) - Number(b)) : names.sort();
}
