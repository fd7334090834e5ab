import { describe, expect, it } from "vitest";
import { type Decision, entryText, readJournal } from "./journal.ts";

const round = (number: number, files: Record<string, string>): string =>
  entryText(
    {
      type: "round",
      round: number,
      term: 1,
      learningRate: 0.1,
      ms: 1,
      loss: null,
      participants: [],
      dropped: [],
      nodes: [],
    },
    files,
  );
const measured = (rounds: number): string =>
  entryText({
    type: "evaluation",
    round: rounds,
    samples: 1,
    accuracy: null,
    loss: null,
    ms: 1,
    final: false,
  });
const resumed = (rounds: number): string =>
  entryText({ type: "resumed", round: rounds, term: 3, reason: "a test" } satisfies Decision);

const allWhole = (): boolean => true;
const wholeBut =
  (...damaged: string[]) =>
  (name: string): boolean =>
    !damaged.includes(name);

describe("a journal", () => {
  const entries = [round(0, { 0: "a" }), round(1, { 0: "b" }), measured(2)];

  it("says what was committed and measured, and which files are still needed", () => {
    expect(readJournal(entries, allWhole)).toMatchObject({
      committed: 2,
      examinedAt: 2,
      checkpoint: { 0: "b" },
      kept: new Set(["a", "b"]),
      loss: null,
    });
  });

  it("goes back before a damaged file, and what was measured after it is due again", () => {
    expect(readJournal(entries, wholeBut("b"))).toMatchObject({
      committed: 1,
      examinedAt: -1,
      checkpoint: { 0: "a" },
      loss: "b is damaged or missing",
    });
  });

  it("goes back to the beginning where the only round is damaged", () => {
    expect(readJournal(entries.slice(0, 1), wholeBut("a"))).toMatchObject({
      committed: 0,
      checkpoint: null,
      loss: "a is damaged or missing",
    });
  });

  it("needs what it went back to, and not what it took back", () => {
    const after = [...entries, resumed(1), round(1, { 0: "c" })];
    const past = readJournal(after, wholeBut("b"));
    expect(past).toMatchObject({ committed: 2, term: 3, loss: null });
    expect(past.kept).toEqual(new Set(["a", "c"]));
    expect(past.decisions).toHaveLength(after.length);
  });

  it("refuses where nothing is whole, and what it did not write", () => {
    expect(() => readJournal(entries, wholeBut("a", "b"))).toThrow(/b, which is damaged/);
    expect(() => readJournal(["{}"], allWhole)).toThrow(/entry 1: journal: got \{\}/);
    expect(() => readJournal(["{"], allWhole)).toThrow(/no JSON/);
  });
});
