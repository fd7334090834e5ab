/**
 * Readers for raw ONNX attributes. A rule names every attribute it understands,
 * with kind and default; anything else in the node is refused rather than ignored,
 * because an ignored attribute trains another model than the one that was given.
 */
import { ModelError } from "../../base/errors.ts";
import { type Attribute, type Attributes, isSubgraph, type Subgraph } from "../graph.ts";

/** Reads one attribute: its value in the node, undefined where absent. */
type Reader<T> = (name: string, value: Attribute | undefined) => T;

/**
 * Parses raw attributes by a table of readers and refuses names outside the table.
 * @throws ModelError naming the attribute, what it held and what is allowed.
 */
export function readAttributes<A>(raw: Attributes, readers: { [K in keyof A]: Reader<A[K]> }): A {
  for (const name of Object.keys(raw)) {
    if (!Object.hasOwn(readers, name)) {
      const allowed = Object.keys(readers).join(", ") || "none";
      throw new ModelError(`attribute ${name} is not supported; supported: ${allowed}`);
    }
  }
  const parsed: Partial<A> = {};
  for (const name of Object.keys(readers) as (keyof A & string)[]) {
    parsed[name] = readers[name](name, raw[name]);
  }
  return parsed as A;
}

const refused = (name: string, value: Attribute, allowed: string): never => {
  throw new ModelError(`attribute ${name}: got ${JSON.stringify(value)}; allowed: ${allowed}`);
};

const isNumbers = (value: Attribute): value is readonly number[] =>
  Array.isArray(value) && value.every((item) => typeof item === "number");

/** An integer within bounds. */
export const integer =
  (fallback: number, min = -Infinity, max = Infinity): Reader<number> =>
  (name, value = fallback) =>
    typeof value === "number" && Number.isInteger(value) && value >= min && value <= max
      ? value
      : refused(name, value, `an integer from ${min} to ${max}`);

/** An attribute without a default: absent gives null. */
export const optional =
  <T>(reader: Reader<T>): Reader<T | null> =>
  (name, value) =>
    value === undefined ? null : reader(name, value);

/** An integer without a default: absent gives null. */
export const optionalInteger: Reader<number | null> = optional(integer(0));

/** An attribute that must be there. */
export const required =
  <T>(reader: Reader<T>): Reader<T> =>
  (name, value) => {
    if (value === undefined) throw new ModelError(`attribute ${name} is missing`);
    return reader(name, value);
  };

/** 0 or 1 as a truth value. */
export const flag =
  (fallback: boolean): Reader<boolean> =>
  (name, value) =>
    value === undefined ? fallback : integer(0, 0, 1)(name, value) === 1;

/** Any number. */
export const float =
  (fallback: number): Reader<number> =>
  (name, value = fallback) =>
    typeof value === "number" ? value : refused(name, value, "a number");

/** A list of integers, or null where absent. */
export const integers: Reader<readonly number[] | null> = (name, value) => {
  if (value === undefined) return null;
  return isNumbers(value) && value.every(Number.isInteger)
    ? value
    : refused(name, value, "a list of integers");
};

/** A list of words, or null where absent. */
export const words: Reader<readonly string[] | null> = (name, value) => {
  if (value === undefined) return null;
  const isWords = Array.isArray(value) && value.every((item) => typeof item === "string");
  return isWords ? (value as readonly string[]) : refused(name, value, "a list of words");
};

/** One of a few words; the first is the default. */
export const word =
  <const T extends string>(...words: readonly [T, ...T[]]): Reader<T> =>
  (name, value = words[0]) =>
    (words as readonly Attribute[]).includes(value)
      ? (value as T)
      : refused(name, value, words.join(", "));

/** A graph. */
export const subgraph: Reader<Subgraph> = (name, value) => {
  if (value === undefined) throw new ModelError(`attribute ${name} is missing`);
  return isSubgraph(value) ? value : refused(name, value, "a graph");
};

/** For operators without attributes. */
export type NoAttributes = Record<never, never>;
export const noAttributes = (raw: Attributes): NoAttributes =>
  readAttributes<NoAttributes>(raw, {});

/** For operators that work along one axis. */
export interface AxisAttributes {
  readonly axis: number;
}
