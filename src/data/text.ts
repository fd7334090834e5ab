/**
 * Texts as data sets: a sample is the numbers of a text's first words. Words get their numbers by
 * hashing (Weinberger et al., "Feature hashing for large scale multitask learning", 2009): no list
 * of words has to be made or agreed upon, so devices number words alike although nobody sees
 * another's texts.
 */
import { InputError } from "../base/errors.ts";
import { Hasher } from "../base/hash.ts";
import { type Dataset, datasetOf } from "./dataset.ts";

/** A text and its class, from 0. */
export interface LabelledText {
  readonly text: string;
  readonly label: number;
}

/** How texts become numbers. */
export interface TextOptions {
  /** Numbers that there are: 0 for none, words share those from 1. */
  readonly vocabulary: number;
  /** Words that are kept of each text; shorter texts are filled up with 0. */
  readonly length: number;
}

/** Words are runs of letters or digits; these signs count as words, since they tell of moods and prices. */
const wordPattern = /[\p{L}\p{N}]+|[!?$]/gu;

/** The words of a text, in lower case, at most so many. */
export function wordsOf(text: string, most = Number.POSITIVE_INFINITY): string[] {
  const words: string[] = [];
  for (const [word] of text.matchAll(wordPattern)) {
    if (words.length >= most) break;
    words.push(word.toLowerCase());
  }
  return words;
}

/** A word's number, 1 to vocabulary - 1: the same on every machine. */
export const wordNumber = (word: string, vocabulary: number): number =>
  1 + (Number.parseInt(new Hasher().text(word).digest().slice(0, 8), 16) % (vocabulary - 1));

/**
 * Texts as samples float32 [length].
 * @param classNames name per class
 * @throws InputError for a vocabulary that has no room for a word, or without texts
 */
export function textDataset(
  texts: readonly LabelledText[],
  classNames: readonly string[],
  { vocabulary, length }: TextOptions,
): Dataset {
  if (vocabulary < 2) {
    throw new InputError({
      what: "vocabulary",
      received: String(vocabulary),
      allowed: "2 or more: 0 is no word",
    });
  }
  if (texts.length === 0) {
    throw new InputError({ what: "texts", received: "none", allowed: "at least one" });
  }
  const known = new Map<string, number>();
  const numbers = new Int32Array(texts.length * length);
  for (const [sample, { text }] of texts.entries()) {
    for (const [place, word] of wordsOf(text, length).entries()) {
      let number = known.get(word);
      if (number === undefined) {
        number = wordNumber(word, vocabulary);
        known.set(word, number);
      }
      numbers[sample * length + place] = number;
    }
  }
  return datasetOf({
    kind: "texts",
    inputShape: [length],
    classes: classNames.length,
    classNames,
    labels: Int32Array.from(texts, ({ label }) => label),
    copySample: (index, target, offset) =>
      target.set(numbers.subarray(index * length, (index + 1) * length), offset),
  });
}

/** The text of a mail: headers, which name lists and dates, are left out. */
export function mailBody(mail: string): string {
  const end = /\r?\n\r?\n/.exec(mail);
  return end === null ? "" : mail.slice(end.index + end[0].length);
}

/** What two copies of a text have in common although spaces differ. */
const essence = (text: string): string => text.replace(/\s+/g, " ").trim();

/** Texts without those that occurred before, and without empty ones. */
export function distinctTexts<T extends { readonly text: string }>(
  texts: Iterable<T>,
  before: Iterable<T> = [],
): T[] {
  const seen = new Set<string>([""]);
  for (const { text } of before) seen.add(essence(text));
  const kept: T[] = [];
  for (const entry of texts) {
    const known = essence(entry.text);
    if (seen.has(known)) continue;
    seen.add(known);
    kept.push(entry);
  }
  return kept;
}

/** Whether a text is held out: one in five, by what it says, so that it is so on every machine. */
export const isHeldOut = (text: string): boolean =>
  Number.parseInt(new Hasher().text(essence(text)).digest().slice(0, 8), 16) % 5 === 0;
