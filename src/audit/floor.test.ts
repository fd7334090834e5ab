import { describe, expect, it } from "vitest";
import { PlanError } from "../base/errors.ts";
import { leakFloor, type ScoredCut } from "./floor.ts";

const cutOf = (cut: number, r2: number | null): ScoredCut => ({
  cut,
  reconstruction: r2 === null ? null : { r2 },
});
const audit = (...scores: readonly number[]) => ({ cuts: scores.map((r2, i) => cutOf(i + 1, r2)) });

describe("the floor under cuts", () => {
  it("is the first cut within the bound where scores fall with depth", () => {
    expect(leakFloor(audit(0.9, 0.6, 0.3, 0.1), 0.3)).toEqual({
      cutMin: 3,
      reason: "from cut 3 on (R² 0.30) inputs come back with R² 0.3 at most; at cut 2 with 0.60",
    });
  });

  it("is the first cut of all where every one is within the bound", () => {
    const { cutMin, reason } = leakFloor(audit(0.2, -0.01), 0.3);
    expect(cutMin).toBe(1);
    expect(reason).toBe("all audited cuts keep to R² 0.3; inputs at cut 1 come back with 0.20");
  });

  it("lies behind every cut that scores too high, and says which shallower ones it passes over", () => {
    const { cutMin, reason } = leakFloor(audit(0.9, 0.2, 0.1, 0.5, 0.1), 0.3);
    expect(cutMin).toBe(5);
    expect(reason).toMatch(/at cut 4 with 0\.50; cuts 2, 3 score lower, but a deeper cut shows/);
  });

  it("is an audited cut, whatever stands between and in whichever order cuts come", () => {
    const cuts = [cutOf(7, 0.1), cutOf(2, 0.9), cutOf(5, 0.2)];
    expect(leakFloor({ cuts }, 0.3).cutMin).toBe(5);
  });

  it("does not exist where the deepest cut reveals too much", () => {
    expect(() => leakFloor(audit(0.9, 0.2, 0.4), 0.3)).toThrow(PlanError);
    expect(() => leakFloor(audit(0.9, 0.2, 0.4), 0.3)).toThrow(
      /cut, 3, .*least is cut 2 with 0\.20/,
    );
  });

  it("does not exist without reconstruction", () => {
    expect(() => leakFloor({ cuts: [cutOf(1, null)] }, 0.3)).toThrow(/no quantities/);
  });
});
