/**
 * Reads values that R has serialised (XDR, versions 2 and 3, as "R Internals", section 1.8, describes
 * them): vectors, lists, factors and data frames, which is what packages with data hold. Functions
 * and environments are not read.
 */
import { InputError } from "../base/errors.ts";

/** A value of R; attributes hold its names, a factor's levels, a data frame's columns. */
export interface RValue {
  readonly values: readonly (number | string | null)[] | Float64Array | Int32Array | null;
  /** A list's elements; absent in vectors. */
  readonly elements?: readonly RValue[];
  readonly attributes: ReadonlyMap<string, RValue>;
}

/** R's types, by the codes that stand in its files. */
const codes = {
  symbol: 1,
  pairs: 2,
  environment: 4,
  characters: 9,
  logical: 10,
  integer: 13,
  real: 14,
  strings: 16,
  list: 19,
  compact: 238,
  pairsWithAttributes: 239,
  baseEnvironment: 241,
  emptyEnvironment: 242,
  namespace: 249,
  globalEnvironment: 253,
  nil: 254,
  reference: 255,
} as const;

const missingInteger = -(2 ** 31);

const nothing: RValue = { values: null, attributes: new Map() };

/**
 * Reads one serialised value.
 * @throws InputError for what is cut short or of a type that data do not need
 */
export function readRValue(bytes: Uint8Array, where: string): RValue {
  try {
    return new Reader(bytes, where).start();
  } catch (error) {
    // What a view refuses lies beyond the end.
    if (!(error instanceof RangeError)) throw error;
    throw problem("a value that is cut short", where);
  }
}

/** A named element of a list, the column of a data frame. @throws InputError where there is none */
export function rElement(list: RValue, name: string, where: string): RValue {
  const names = rStrings(list.attributes.get("names") ?? nothing);
  const found = list.elements?.[names.indexOf(name)];
  if (found !== undefined) return found;
  throw problem(`no "${name}" among ${names.join(", ")}`, where);
}

/** A column of texts, or of a factor's levels. */
export function rStrings({ values, attributes }: RValue): string[] {
  const levels = attributes.get("levels")?.values;
  if (levels === undefined) return Array.from(values ?? [], (value) => String(value ?? ""));
  return Array.from(values ?? [], (value) => String(levels?.[Number(value) - 1] ?? ""));
}

/** A column of numbers; where one is missing, NaN. */
export const rNumbers = ({ values }: RValue): number[] =>
  Array.from(values ?? [], (value) => (value === null ? Number.NaN : Number(value)));

const problem = (received: string, where: string): InputError =>
  new InputError({ what: "R data", received, allowed: "a serialised value of R", where });

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #where: string;
  readonly #references: RValue[] = [];
  #at = 0;

  constructor(bytes: Uint8Array, where: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#where = where;
  }

  start(): RValue {
    const [x, newline] = [this.#bytes[0], this.#bytes[1]];
    this.#at = 2;
    const version = this.#integer();
    if (x !== 0x58 || newline !== 0x0a || (version !== 2 && version !== 3)) {
      throw problem("another format", this.#where);
    }
    // The versions of R that wrote it and that can read it.
    this.#at += 8;
    if (version === 3) this.#text(this.#integer());
    return this.#item();
  }

  #item(): RValue {
    const flags = this.#integer();
    const code = flags & 0xff;
    const hasAttributes = (flags & 0x200) !== 0;
    switch (code) {
      case codes.nil:
      case codes.globalEnvironment:
      case codes.emptyEnvironment:
      case codes.baseEnvironment:
        return nothing;
      case codes.symbol:
        return this.#remember(this.#item());
      case codes.reference:
        return this.#references[(flags >> 8 || this.#integer()) - 1] ?? nothing;
      case codes.pairs:
      case codes.pairsWithAttributes:
        return this.#pairs(flags);
      case codes.characters: {
        const length = this.#integer();
        return { values: [length < 0 ? null : this.#text(length)], attributes: new Map() };
      }
      case codes.compact:
        return this.#compact();
      case codes.namespace:
        return this.#namespace();
      default:
        return this.#vector(code, hasAttributes);
    }
  }

  #vector(code: number, hasAttributes: boolean): RValue {
    const value = this.#plainVector(code, this.#length());
    return hasAttributes ? { ...value, attributes: this.#named(this.#item()) } : value;
  }

  #plainVector(code: number, length: number): RValue {
    const attributes = new Map<string, RValue>();
    switch (code) {
      case codes.logical:
      case codes.integer: {
        const values = Array.from({ length }, () => this.#integer());
        return { values: values.map((n) => (n === missingInteger ? null : n)), attributes };
      }
      case codes.real:
        return { values: Float64Array.from({ length }, () => this.#real()), attributes };
      case codes.strings: {
        const values = Array.from({ length }, () => this.#item().values?.[0] ?? null);
        return { values, attributes };
      }
      case codes.list:
        return {
          values: null,
          elements: Array.from({ length }, () => this.#item()),
          attributes,
        };
      default:
        throw problem(`a value of type ${code}`, this.#where);
    }
  }

  /** A list of pairs, as attributes are: names and values, to its end. */
  #pairs(first: number): RValue {
    const elements: RValue[] = [];
    const names: string[] = [];
    let flags = first;
    for (;;) {
      const code = flags & 0xff;
      if (code !== codes.pairs && code !== codes.pairsWithAttributes) break;
      if ((flags & 0x200) !== 0) this.#item();
      names.push((flags & 0x400) !== 0 ? String(this.#item().values?.[0] ?? "") : "");
      elements.push(this.#item());
      flags = this.#integer();
    }
    if ((flags & 0xff) !== codes.nil) throw problem("a list that does not end", this.#where);
    return {
      values: null,
      elements,
      attributes: new Map([["names", { values: names, attributes: new Map() }]]),
    };
  }

  #named(pairs: RValue): Map<string, RValue> {
    const names = rStrings(pairs.attributes.get("names") ?? nothing);
    return new Map(names.map((name, i) => [name, pairs.elements?.[i] ?? nothing]));
  }

  /** What R keeps in a form of its own: runs of whole numbers, and vectors with notes around them. */
  #compact(): RValue {
    const kind = String(this.#item().elements?.[0]?.values?.[0] ?? "");
    const state = this.#item();
    const attributes = this.#named(this.#item());
    if (kind === "compact_intseq" || kind === "compact_realseq") {
      const [length = 0, from = 0, by = 1] = rNumbers(state);
      const values = Float64Array.from({ length: this.#fitting(length) }, (_, i) => from + i * by);
      return { values, attributes };
    }
    const inner = state.elements?.[0];
    if (!kind.startsWith("wrap_") || inner === undefined) {
      throw problem(`a vector of the form "${kind}"`, this.#where);
    }
    return { ...inner, attributes: new Map([...inner.attributes, ...attributes]) };
  }

  #namespace(): RValue {
    this.#integer();
    const length = this.#length();
    for (let i = 0; i < length; i++) this.#item();
    return this.#remember(nothing);
  }

  #remember(value: RValue): RValue {
    this.#references.push(value);
    return value;
  }

  #length(): number {
    return this.#fitting(this.#integer());
  }

  /** A length that a file of this size may speak of, counting what R writes in short. */
  #fitting(length: number): number {
    if (Number.isInteger(length) && length >= 0 && length <= 16 * this.#bytes.length) return length;
    throw problem(`a vector of ${length} elements`, this.#where);
  }

  #integer(): number {
    this.#at += 4;
    return this.#view.getInt32(this.#at - 4);
  }

  #real(): number {
    this.#at += 8;
    return this.#view.getFloat64(this.#at - 8);
  }

  #text(length: number): string {
    const end = this.#at + length;
    if (length < 0 || end > this.#bytes.length) throw new RangeError("beyond the end");
    const text = new TextDecoder().decode(this.#bytes.subarray(this.#at, end));
    this.#at = end;
    return text;
  }
}
