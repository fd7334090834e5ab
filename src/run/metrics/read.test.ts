import { describe, expect, it } from "vitest";
import { RunHistory } from "./history.ts";
import { RecordReader } from "./read.ts";
import { recordVersion } from "./record.ts";

const run = {
  atMs: 5,
  type: "run",
  version: recordVersion,
  run: "r",
  name: "demo",
  model: "lenet5",
  planner: "local",
  seed: 1,
  rounds: 3,
  batch: 32,
  localBatches: 4,
  parameters: 100,
  segments: ["a", "b"],
};
const cost = {
  node: "n",
  computeMs: 3,
  busyMs: 6,
  dutyAchieved: 0.5,
  bytesUp: 10,
  bytesDown: 20,
  bytesStraight: 0,
  straight: [],
  peakRssBytes: null,
};
const round = {
  atMs: 90,
  type: "round",
  round: 0,
  term: 1,
  learningRate: 0.1,
  ms: 50,
  loss: 0.7,
  participants: [],
  dropped: [],
  nodes: [cost],
};
const text = (...records: object[]): string =>
  records.map((record) => `${JSON.stringify(record)}\n`).join("");

function read(file: string) {
  const reader = new RecordReader();
  const records = reader.takeFile(file);
  const history = new RunHistory();
  for (const timed of records) history.add(timed);
  return { records, history, notes: reader.notes };
}

describe("reading records", () => {
  it("gives back what was written, with its time, and has nothing to note", () => {
    const whole = { ...cost, held: null, sending: { bytes: 8, ms: 2 }, receiving: null };
    const { records, notes } = read(text(run, { ...round, nodes: [whole] }));
    const { atMs, ...record } = run;
    expect(records[0]).toEqual({ atMs, record });
    expect(records[1]?.record).toMatchObject({ type: "round", nodes: [whole] });
    expect(notes).toEqual([]);
  });

  it("opens a run of version 1 and says what is missing", () => {
    const { name: _n, model: _m, planner: _p, localBatches: _l, ...old } = run;
    const { history, notes } = read(text({ ...old, version: 1 }, round));
    expect(history.started).toMatchObject({ model: "?", rounds: 3 });
    expect(history.rounds[0]?.nodes[0]).toMatchObject({ held: null, sending: null });
    expect(notes).toEqual([expect.stringContaining("older Edgeloom (record version 1")]);
  });

  it("opens a half-written run as far as it goes", () => {
    const file = text(run, round) + JSON.stringify(round).slice(0, 40);
    const { history, notes } = read(file);
    expect(history.rounds).toHaveLength(1);
    expect(notes).toEqual(["the last record is half written"]);
  });

  it("leaves out broken lines and unknown records, and counts them", () => {
    const file = `${text(run)}nonsense\n${text({ ...round, ms: "long" }, { atMs: 1, type: "dream" }, round)}`;
    const { history, notes } = read(file);
    expect(history.rounds).toHaveLength(1);
    expect(notes).toEqual([
      "records of unknown type left out: dream",
      "2 records could not be read",
    ]);
  });

  it("shows a run of a newer version as far as it understands it", () => {
    const { history, notes } = read(text({ ...run, version: recordVersion + 1, colour: "blue" }));
    expect(history.started?.model).toBe("lenet5");
    expect(notes[0]).toContain("newer Edgeloom");
  });
});
