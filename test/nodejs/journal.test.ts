/** The journal of a run on disk: what a crash, or a damaged disk, leaves of it. */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { safetensorsParts } from "../../src/base/safetensors.ts";
import { float32 } from "../../src/base/tensor.ts";
import { openJournal, type RunJournal } from "../../src/nodejs/journal.ts";
import { entryText } from "../../src/run/coordinator/journal.ts";
import type { Done, Outcome } from "../../src/run/host.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeloom-journal-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const answer = async <T>(ask: (done: Done<T>) => void): Promise<T> => {
  const outcome = await new Promise<Outcome<T>>(ask);
  if (!outcome.ok) throw new Error(outcome.error);
  return outcome.value;
};

const partsOf = (value: number): Uint8Array[] =>
  safetensorsParts(new Map([["w", float32([2], [value, value])]]));

/** Keeps the state after a round, and writes the round down. */
async function commit(journal: RunJournal, round: number): Promise<string> {
  const name = await answer<string>((done) => journal.keep(partsOf(round), done));
  const record = {
    type: "round" as const,
    round,
    term: 1,
    learningRate: 0.1,
    ms: 1,
    loss: null,
    participants: [],
    dropped: [],
    nodes: [],
  };
  await answer((done) => journal.append(entryText(record, { 0: name }), done));
  return name;
}

/** A journal of two committed rounds in a folder of its own, closed. */
async function twoRounds(name: string) {
  const run = join(folder, name);
  mkdirSync(run);
  const journal = openJournal(run);
  const names = [await commit(journal, 0), await commit(journal, 1)];
  journal.close();
  const pathOf = (file = ""): string => join(run, "checkpoints", `${file}.safetensors`);
  return { run, names, pathOf };
}

it("gives what was committed last, and opens for one process alone", async () => {
  const { run } = await twoRounds("plain");
  const journal = openJournal(run);
  expect(() => openJournal(run)).toThrow(/which another process has open/);
  const legacy = journal.legacy();
  expect(legacy?.past.committed).toBe(2);
  expect(legacy?.tensors.get("w")?.data).toEqual(Float32Array.of(1, 1));
  journal.close();
});

it("goes back before a damaged file, and keeps the same bytes anew when they come again", async () => {
  const { run, names, pathOf } = await twoRounds("damaged");
  writeFileSync(pathOf(names[1]), "not what its name says");
  const journal = openJournal(run);
  const legacy = journal.legacy();
  expect(legacy?.past).toMatchObject({ committed: 1, loss: `${names[1]} is damaged or missing` });
  expect(legacy?.tensors.get("w")?.data).toEqual(Float32Array.of(0, 0));
  // The round is done again, and comes to the same.
  expect(await commit(journal, 1)).toBe(names[1]);
  journal.close();
  const bytes = readFileSync(pathOf(names[1]));
  expect(createHash("sha256").update(bytes).digest("hex")).toBe(names[1]);
});

it("frees what nobody needs: half-written files and such as no entry speaks of", async () => {
  const { run, names, pathOf } = await twoRounds("crashed");
  writeFileSync(`${pathOf("ab")}.part`, "half");
  writeFileSync(pathOf("cd"), "left");
  const journal = openJournal(run);
  journal.legacy();
  journal.close();
  const kept = names.map((name) => `${name}.safetensors`);
  expect(readdirSync(join(run, "checkpoints")).sort()).toEqual(kept.sort());
});
