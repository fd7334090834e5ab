import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InputError } from "../base/errors.ts";
import { rElement, readRValue, rNumbers, rStrings } from "./r-data.ts";

/** Writes as R does, as far as these tests need it: big-endian, version 3. */
class Writer {
  readonly #bytes: number[] = [];

  integer(value: number): this {
    for (const shift of [24, 16, 8, 0]) this.#bytes.push((value >> shift) & 0xff);
    return this;
  }

  real(value: number): this {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value);
    for (let i = 0; i < 8; i++) this.#bytes.push(view.getUint8(i));
    return this;
  }

  text(value: string): this {
    const bytes = new TextEncoder().encode(value);
    this.integer(9).integer(bytes.length);
    this.#bytes.push(...bytes);
    return this;
  }

  integers(values: readonly number[], flags = 0): this {
    this.integer(13 | flags).integer(values.length);
    for (const value of values) this.integer(value);
    return this;
  }

  strings(values: readonly (string | null)[]): this {
    this.integer(16).integer(values.length);
    for (const value of values) {
      if (value === null) this.integer(9).integer(-1);
      else this.text(value);
    }
    return this;
  }

  /** The beginning of a pair of a name and what follows. */
  named(name: string): this {
    return this.integer(0x402).integer(1).text(name);
  }

  file(): Uint8Array {
    const head = new Writer().integer(3).integer(0x040203).integer(0x030500).integer(5);
    const encoding = [...new TextEncoder().encode("UTF-8")];
    return Uint8Array.of(0x58, 0x0a, ...head.#bytes, ...encoding, ...this.#bytes);
  }
}

/** A data frame with a factor, a column of numbers with one missing, and a compact run of numbers. */
function table(): Uint8Array {
  const writer = new Writer().integer(19 | 0x200).integer(3);
  writer.integers([2, 1, 2], 0x200).named("levels").strings(["other", "great"]).integer(254);
  writer.integer(14).integer(3).real(0.5).real(Number.NaN).real(5);
  // Another form: its name (a list of a symbol), its state, its attributes.
  writer.integer(238).integer(2).integer(1).text("compact_intseq").integer(254);
  writer.integer(14).integer(3).real(3).real(10).real(1).integer(254);
  return writer.named("names").strings(["score", "rating", "row"]).integer(254).file();
}

describe("values of R", () => {
  test("a data frame has its columns: a factor as texts, numbers, runs", () => {
    const frame = readRValue(table(), "t");
    expect(rStrings(rElement(frame, "score", "t"))).toEqual(["great", "other", "great"]);
    expect(rNumbers(rElement(frame, "rating", "t"))).toEqual([0.5, Number.NaN, 5]);
    expect(rNumbers(rElement(frame, "row", "t"))).toEqual([10, 11, 12]);
    expect(() => rElement(frame, "stars", "t")).toThrow(/no "stars" among score, rating, row/);
  });

  test("what is missing in texts and whole numbers is told apart from what is there", () => {
    const texts = readRValue(new Writer().strings(["a", null, "ö"]).file(), "t");
    expect(texts.values).toEqual(["a", null, "ö"]);
    const numbers = readRValue(new Writer().integers([7, -(2 ** 31)]).file(), "t");
    expect(rNumbers(numbers)).toEqual([7, Number.NaN]);
  });

  test("files that are cut short or damaged are refused, never half read", () => {
    const whole = table();
    const isRefused = (bytes: Uint8Array): boolean => {
      try {
        readRValue(bytes, "t");
        return false;
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
        return true;
      }
    };
    for (let length = 0; length < whole.length; length++) {
      expect(isRefused(whole.subarray(0, length))).toBe(true);
    }
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, value) => {
        isRefused(whole.with(at, value));
      }),
    );
    const closure = new Writer().integer(3).integer(0).file();
    expect(isRefused(closure)).toBe(true);
  });
});
