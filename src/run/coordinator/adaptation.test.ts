import { describe, expect, test } from "vitest";
import { evenProfile, fleetNode } from "../../../test/fleets.ts";
import { chainId, copyId, nodeId } from "../../base/ids.ts";
import type { Plan, PlanRequest } from "../../plan/plan.ts";
import { type Forecasted, type Mover, movingMs, prompt } from "../../plan/replan.ts";
import { Adaptation } from "./adaptation.ts";

/** A phone and a cloud that train four segments, over a link of so many bytes a millisecond. */
function requestAt(bytesPerMs: number): PlanRequest {
  const home = { up: bytesPerMs, down: bytesPerMs };
  const nodes = [
    fleetNode("phone", evenProfile(4, 1), { coordinatorBytesPerMs: home }),
    fleetNode("cloud", evenProfile(4, 1)),
  ];
  const [from, to] = [nodeId("phone"), nodeId("cloud")];
  const way = { thereBytesPerMs: bytesPerMs, backBytesPerMs: bytesPerMs, latencyMs: 1 };
  const segments = [0, 1, 2, 3].map((index) => ({ index, parameterBytes: 5000, stateBytes: 5000 }));
  const fleet = { nodes, links: [{ from, to, ...way }], cellBytesPerMs: null };
  return { segments, fleet } as unknown as PlanRequest;
}

function planAt(cut: number): Plan {
  const copy = (name: string, from: number, to: number) => ({
    ...{ id: copyId(name), node: nodeId(name), from, to },
  });
  const copies = [copy("phone", 0, cut), copy("cloud", cut, 4)];
  return { copies, chains: [{ id: chainId("chain") }], links: [] } as unknown as Plan;
}

const cutOf = ({ copies }: Pick<Plan, "copies">): number => copies.at(-1)?.from ?? 0;

/** An early cut leaves the phone little to do, and sends much. */
function forecastOf(plan: Plan, request: PlanRequest): Forecasted {
  const [link] = request.fleet.links;
  const cut = cutOf(plan);
  const periodMs = 5 * cut + 4000 / cut / (link?.thereBytesPerMs ?? 1);
  return { periodMs, latencyMs: 2 * periodMs, homeMs: 0, roundMs: 100 * periodMs };
}

const mover: Mover = (plan, request, batches) => {
  const options = [1, 2, 3].map((cut) => {
    const next = planAt(cut);
    const moving = movingMs(plan.copies, next.copies, request);
    const forecast = forecastOf(next, request);
    return { layout: next, forecast, movingMs: moving, toPlan: () => next };
  });
  const totalMs = (option: (typeof options)[number]): number =>
    option.movingMs + batches * option.forecast.periodMs;
  const best = options.reduce((a, b) => (totalMs(b) < totalMs(a) ? b : a));
  return JSON.stringify(best.layout.copies) === JSON.stringify(plan.copies) ? null : best;
};

const fresh = (): Adaptation => new Adaptation(forecastOf, mover, prompt);

/** Considers once a second. @returns what it moves to, and when */
function considered(adaptation: Adaptation, plan: Plan, rates: readonly number[], fromS = 0) {
  for (const [s, rate] of rates.entries()) {
    const nowMs = 1000 * (fromS + s);
    if (!adaptation.isDue(nowMs)) continue;
    const move = adaptation.consider({ plan, request: requestAt(rate), left: 1e6, nowMs });
    if (move !== null) return { cut: cutOf(move.plan), s: fromS + s, reason: move.reason };
  }
  return null;
}

describe("one link that changes at once to another one", () => {
  test("is answered as soon as it was seen twice, where the move pays within the time that is left of the interval", () => {
    const rates = [...Array(20).fill(1000), ...Array(40).fill(20)];
    expect(considered(fresh(), planAt(1), rates)).toMatchObject({ cut: 3, s: 21 });
  });

  test("is not answered towards the end of an interval", () => {
    const adaptation = fresh();
    expect(considered(adaptation, planAt(1), [...Array(20).fill(1000), 20])).toBeNull();
    // Two seconds of what is taken for a minute are left.
    const late = { plan: planAt(1), request: requestAt(20), left: 1e6, nowMs: 77_000 };
    expect(adaptation.consider(late)).toBeNull();
  });
});

describe("a move that was decided", () => {
  test("is made while it still pays once nothing is under way", () => {
    const adaptation = fresh();
    considered(adaptation, planAt(1), [1000, 20, 20]);
    const choice = { plan: planAt(1), request: requestAt(20), nowMs: 4000 };
    expect(adaptation.stillPays(choice, planAt(3))).toBe(true);
    expect(adaptation.stillPays({ ...choice, request: requestAt(1000) }, planAt(3))).toBe(false);
  });
});

describe("a plan that is due whatever it saves", () => {
  const slow = { plan: planAt(1), request: requestAt(20), nowMs: 3000 };

  test("is a planner's where nothing has been considered", () => {
    expect(fresh().goOn(slow, planAt(1).copies)).toBeNull();
  });

  test("leaves segments where they are held, as far as the time that is left does not pay for more", () => {
    const adaptation = fresh();
    considered(adaptation, planAt(1), [1000, 1000]);
    const held = adaptation.goOn(slow, planAt(1).copies);
    expect(held && cutOf(held)).toBe(3);
    // Nearly a minute later there is time for a few batches only.
    const late = { ...slow, nowMs: 59_000 };
    const kept = adaptation.goOn(late, planAt(1).copies);
    expect(kept && cutOf(kept)).toBe(1);
    // Who has come back holds nothing, and is sent as little as it can be.
    const [, cloud] = planAt(2).copies;
    const again = adaptation.goOn({ ...late, plan: planAt(2) }, cloud ? [cloud] : []);
    expect(again && cutOf(again)).toBe(2);
  });
});
