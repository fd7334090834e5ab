import { describe, expect, test } from "vitest";
import { InputError } from "../base/errors.ts";
import { distinctTexts, isHeldOut, mailBody, textDataset, wordNumber, wordsOf } from "./text.ts";

describe("words", () => {
  test("are runs of letters and digits in lower case, and signs that tell of moods", () => {
    expect(wordsOf("Don't MISS: Ökostrom, only 9,99 $!! (really?)")).toEqual([
      "don",
      "t",
      "miss",
      "ökostrom",
      "only",
      "9",
      "99",
      "$",
      "!",
      "!",
      "really",
      "?",
    ]);
    expect(wordsOf("one two three four", 2)).toEqual(["one", "two"]);
  });

  test("have numbers that are the same on every machine, and none has that of no word", () => {
    // Written down once: models that were trained with them depend on them.
    expect(["great", "coffee", "ökostrom"].map((word) => wordNumber(word, 5000))).toEqual([
      770, 1355, 3022,
    ]);
    const numbers = Array.from({ length: 2000 }, (_, i) => wordNumber(`word${i}`, 10));
    expect([...new Set(numbers)].sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});

describe("texts as a data set", () => {
  const texts = [
    { text: "good good coffee", label: 1 },
    { text: "Bad coffee, very very very bad!", label: 0 },
  ];

  test("samples are the numbers of the first words, filled up with 0", () => {
    const data = textDataset(texts, ["bad", "good"], { vocabulary: 1000, length: 4 });
    const of = (word: string): number => wordNumber(word, 1000);
    const { features, labels } = data.gather([1, 0]);
    expect(features.shape).toEqual([2, 4]);
    expect([...(features.data as Float32Array)]).toEqual([
      of("bad"),
      of("coffee"),
      of("very"),
      of("very"),
      of("good"),
      of("good"),
      of("coffee"),
      0,
    ]);
    expect(labels.data).toEqual(BigInt64Array.of(0n, 1n));
    expect([data.classes, data.classNames]).toEqual([2, ["bad", "good"]]);
  });

  test("a vocabulary without room for words is refused, and so are no texts", () => {
    const options = { vocabulary: 1, length: 4 };
    expect(() => textDataset(texts, ["a", "b"], options)).toThrow(InputError);
    expect(() => textDataset([], ["a", "b"], { ...options, vocabulary: 9 })).toThrow(
      /texts: got none/,
    );
  });
});

describe("parts of a set of texts", () => {
  test("hold no text twice, whatever its spaces, and none that another part has", () => {
    const all = ["a b", "a  b\n", "c", "", " ", "d"].map((text) => ({ text }));
    expect(distinctTexts(all).map(({ text }) => text)).toEqual(["a b", "c", "d"]);
    expect(distinctTexts(all, [{ text: "c " }]).map(({ text }) => text)).toEqual(["a b", "d"]);
  });

  test("one text in five is held out, by what it says", () => {
    const texts = Array.from({ length: 5000 }, (_, i) => `mail number ${i}`);
    const share = texts.filter(isHeldOut).length / texts.length;
    expect(Math.abs(share - 0.2)).toBeLessThan(0.02);
    expect(isHeldOut("some  text ")).toBe(isHeldOut("some text"));
  });

  test("mails are without their headers", () => {
    expect(mailBody("Subject: win\r\nX-Spam: yes\r\n\r\nHello\n\nyou")).toBe("Hello\n\nyou");
    expect(mailBody("Subject: nothing follows")).toBe("");
  });
});
