import { expect, test } from "vitest";
import { present } from "../../base/assert.ts";
import { chainId, copyId, nodeId } from "../../base/ids.ts";
import { type ExchangePlan, fullExchange } from "../../plan/exchange.ts";
import type { ContributionMessage } from "../wire/messages.ts";
import { type ChainBatches, stepsProblem } from "./contribution-checks.ts";

const copy = copyId("copy:a");
/** Four exchanges of two updates, each of three batches as planned. */
const chain: ChainBatches = {
  plan: {
    ...{ id: chainId("chain:a"), source: nodeId("a"), schedule: "serial", window: 0 },
    ...{ stages: [{ copy, backward: "none" }], work: 24, microBatches: 3 },
  },
  plannedWork: 24,
  dropped: null,
};
const dealt: ExchangePlan = { ...fullExchange, every: 2, inner: 1, topology: [] };
const paced: ExchangePlan = { ...dealt, computeMs: 100 };

const problem = (
  exchange: ExchangePlan,
  steps: number,
  batches?: readonly number[],
): string | null => {
  const took = batches === undefined ? {} : { took: [{ chain: "chain:a", batches }] };
  const message = { chain: "chain:a", steps, turns: [], ...took };
  return stepsProblem(copy, [chain], message as unknown as ContributionMessage, exchange);
};

test("R33: a member that computes for a time says what it took before each exchange", () => {
  expect(problem(paced, 20, [7, 6, 6, 1])).toBeNull();
  expect(problem(paced, 40, [10, 10, 10, 10])).toBeNull();
});

test.each([
  ["says nothing of it", 24, undefined],
  ["says less than it trained", 20, [6, 6, 6, 1]],
  ["says it of fewer exchanges", 18, [6, 6, 6]],
  ["says it of more", 24, [6, 6, 6, 5, 1]],
])("R33: it is wrong where it %s", (_what, steps, batches) => {
  expect(problem(paced, steps, batches)).toContain(`${steps} batches`);
});

test("any other member trains what is planned", () => {
  expect(problem(dealt, 24)).toBeNull();
  const wrong = present(problem(dealt, 20, [5, 5, 5, 5]), "a problem");
  expect(wrong).toBe("20 batches of the round's 24");
});
