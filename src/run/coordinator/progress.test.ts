import { describe, expect, test } from "vitest";
import { smallJob } from "../../../test/sim/small-job.ts";
import type { Participant } from "../metrics/record.ts";
import type { Decision } from "./journal.ts";
import { Progress } from "./progress.ts";

const job = smallJob({
  rounds: 4,
  localBatches: 10,
  optimizer: { learningRate: 1, schedule: { kind: "step", every: 1, factor: 0.5 } },
});
const round = (...steps: (number | undefined)[]) => ({
  participants: steps.map((some) => (some === undefined ? {} : { steps: some }) as Participant),
});

describe("the progress of a run", () => {
  test("is that of its rounds where none was ended early", () => {
    const progress = new Progress(job);
    for (let i = 0; i < 4; i++) {
      expect([progress.committed, progress.isOver, progress.learningRate]).toEqual([
        i,
        false,
        0.5 ** i,
      ]);
      progress.add(round(undefined));
    }
    expect([progress.committed, progress.isOver, progress.batchesLeft]).toEqual([4, true, 0]);
  });

  test("counts rounds of one device after the other as one, and the schedule follows", () => {
    const progress = new Progress(job);
    const one = { ...round(undefined), phases: 3 };
    for (let i = 0; i < 3; i++) progress.add(one);
    expect([progress.committed, progress.batchesLeft, progress.learningRate]).toEqual([3, 30, 0.5]);
    for (let i = 0; i < 9; i++) progress.add(one);
    expect([progress.committed, progress.isOver]).toEqual([12, true]);
  });

  test("counts a round that was ended early for what was trained, and the schedule follows", () => {
    const progress = new Progress(job);
    for (const steps of [3, 3, 4]) progress.add(round(steps));
    expect([progress.committed, progress.batchesLeft, progress.learningRate]).toEqual([3, 30, 0.5]);
    for (let i = 0; i < 3; i++) progress.add(round(undefined));
    expect([progress.committed, progress.isOver]).toEqual([6, true]);
  });

  test("goes on where a journal ends, without what was taken back", () => {
    const committed = (number: number, steps: number): Decision =>
      ({ type: "round", round: number, ...round(steps) }) as unknown as Decision;
    const decisions = [
      committed(0, 10),
      committed(1, 5),
      { type: "resumed", round: 1, term: 2, reason: "" } as const,
      committed(1, 4),
      committed(2, 10),
    ];
    const progress = new Progress(job, { decisions, committed: 2 });
    expect([progress.committed, progress.batchesLeft]).toEqual([2, 26]);
  });

  test("counts the chain that trained most", () => {
    const progress = new Progress(job);
    progress.add(round(2, undefined));
    expect(progress.batchesLeft).toBe(30);
  });
});
