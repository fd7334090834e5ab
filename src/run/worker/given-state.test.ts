import { describe, expect, it } from "vitest";
import { digestOf } from "../../base/sha256.ts";
import { float32, type Tensor } from "../../base/tensor.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Host } from "../host.ts";
import type { BeginMessage, StateMessage } from "../wire/messages.ts";
import { GivenState } from "./given-state.ts";

const at = { term: 2, round: 5 };
const whole = new Map<string, Tensor>([
  ["v", float32([2], [1, 2])],
  ["w", float32([1], [3])],
]);
const begin = {
  ...{ type: "begin", ...at },
  given: { copy: "copy:b", chain: "chain:a", names: ["w", "v"] },
} as unknown as BeginMessage;
const plan = { forecasts: [{ roundMs: 60_000 }] } as unknown as Plan;
const from = (chain: string, change = {}): StateMessage => ({
  ...{ type: "state", to: "b", ...at, step: 0, chain, stage: 0 },
  ...change,
});

function digest(tensors: readonly (Tensor | undefined)[]): string | null {
  let found: string | null = null;
  const all = tensors.filter((tensor) => tensor !== undefined);
  digestOf(
    all,
    (_ms, call) => call(),
    (value) => {
      found = value;
    },
  );
  return found;
}
const right = digest([whole.get("w"), whole.get("v")]);

/** A worker that waits for what a neighbour gives. */
function waiting() {
  const timers: { ms: number; call: () => void }[] = [];
  const asked: object[] = [];
  const started: (readonly string[])[] = [];
  const host = {
    after: (ms: number, call: () => void) => {
      if (ms === 0) call();
      else timers.push({ ms, call });
      return () => {};
    },
  } as unknown as Host;
  const given = new GivenState({
    host,
    lacks: (where) => asked.push(where),
    start: (_round, tensors) => started.push([...tensors.keys()]),
  });
  given.await(begin, plan);
  const told = (value: string | null = right) =>
    given.told({ type: "digest", ...at, digest: value });
  return { given, timers, asked, started, told };
}

describe("what a neighbour gives", () => {
  it("R32: is taken where it is what the coordinator has, whichever is known first", () => {
    const [one, other] = [waiting(), waiting()];
    one.told();
    one.given.take(from("chain:a"), new Map([...whole, ["other", float32([1], [0])]]));
    other.given.take(from("chain:a"), whole);
    expect(other.started).toEqual([]);
    other.told();
    for (const { started, asked, given } of [one, other]) {
      expect(started).toEqual([["w", "v"]]);
      expect(asked).toEqual([]);
      expect(given.isAwaited).toBe(false);
    }
  });

  it.each([
    ["other values", new Map([...whole, ["w", float32([1], [4])]])],
    ["only a part", new Map([["w", float32([1], [3])]])],
    ["nothing", new Map()],
  ])("R32: is had from the coordinator where it is %s", (_what, came) => {
    const { given, asked, started, told } = waiting();
    told();
    given.take(from("chain:a"), came);
    expect(asked).toEqual([at]);
    given.take(from("chain:a"), whole);
    expect(started).toEqual([]);
    given.sent(from("chain:b"), whole);
    expect(started).toEqual([["v", "w"]]);
  });

  it("R32: is had from the coordinator where who was to give it goes, or takes longer than a round", () => {
    const [gone, slow] = [waiting(), waiting()];
    gone.given.lost({ ...at, chain: "chain:c" });
    expect(gone.asked).toEqual([]);
    gone.given.lost({ ...at, chain: "chain:a" });
    expect(slow.timers.map(({ ms }) => ms)).toEqual([60_000]);
    slow.timers[0]?.call();
    slow.timers[0]?.call();
    for (const { asked } of [gone, slow]) expect(asked).toEqual([at]);
  });

  it("R32: is void of another round or another member, and where nobody asked the coordinator", () => {
    const { given, asked, started, told } = waiting();
    given.take(from("chain:c"), whole);
    given.take(from("chain:a", { round: 4 }), whole);
    given.take(from("chain:a", { term: 1 }), whole);
    given.sent(from("chain:b"), whole);
    told();
    expect([asked, started]).toEqual([[], []]);
    given.end();
    given.take(from("chain:a"), whole);
    expect([asked, started]).toEqual([[], []]);
  });
});
