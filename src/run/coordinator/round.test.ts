import { describe, expect, it } from "vitest";
import { smallFleet, smallJob, smallModel } from "../../../test/sim/small-job.ts";
import { present } from "../../base/assert.ts";
import { type ChainId, type NodeId, nodeId } from "../../base/ids.ts";
import { cloneTensor, dense, float32, type Tensor } from "../../base/tensor.ts";
import { local } from "../../plan/local.ts";
import type { Plan } from "../../plan/plan.ts";
import type { ContributionMessage } from "../wire/messages.ts";
import { CompiledJob } from "./compiled-job.ts";
import { Round } from "./round.ts";
import { decideRound } from "./round-decision.ts";
import { TrainingState } from "./training-state.ts";

/** A round of two devices, a and b, that each train everything. */
function roundOfTwo() {
  const job = smallJob({ planner: "local" });
  const model = smallModel();
  const compiled = new CompiledJob(job, model);
  const state = new TrainingState(model, compiled);
  const nodes = smallFleet(job)
    .filter(({ name }) => name === "a" || name === "b")
    .map((node) => ({ ...node, id: nodeId(node.name), samples: 10 }));
  const [first, second] = nodes.map((node) => local(compiled.planRequest(3, [node])));
  const plan: Plan = {
    ...present(first, "a plan"),
    copies: [...present(first, "a plan").copies, ...present(second, "a plan").copies],
    chains: [...present(first, "a plan").chains, ...present(second, "a plan").chains],
  };
  const round = new Round(plan, {
    number: 5,
    startedMs: 0,
    learningRate: 0.1,
    interim: 2,
    ...{ deadlineMs: 1000, lastDeadlineMs: 1000, quorum: 1 },
    firstStepOf: () => 15,
  });
  const tensors = (change: (name: string, value: Tensor) => Tensor = (_name, value) => value) =>
    new Map(
      [...state.forSegments(plan.copies.filter(({ node }) => node === "a"))].flatMap(
        ([name, value]) => {
          // Momentum does not come with the first round, and is brought from it.
          const [own, momentum] = [cloneTensor(dense(value)), `momentum:${name}`];
          return [
            [name, change(name, own)],
            [momentum, change(momentum, cloneTensor(own))],
          ] as const;
        },
      ),
    );
  const message = (of: string, change: Partial<ContributionMessage> = {}): ContributionMessage => {
    const chain = plan.chains.find(({ source }) => source === of);
    return {
      type: "contribution",
      id: `3/5/${of}`,
      term: 3,
      round: 5,
      chain: chain?.id ?? "",
      copy: chain?.stages[0]?.copy ?? "",
      loss: 0.5,
      steps: 3,
      passes: "",
      turns: [],
      computeMs: 1,
      held: { forward: 0, backward: 0, update: 0, step: 1 },
      bytesPerMs: null,
      paced: { bytes: 0, ms: 0 },
      straight: [],
      peakRssBytes: null,
      ...change,
    };
  };
  const take = (from: string, sent: ContributionMessage, values = tensors()) =>
    round.take(nodeId(from), sent, (copy) => {
      const read = state.read(copy, values, (name) => state.committed(name));
      return typeof read === "string" ? read : { tensors: read, memory: new Map() };
    });
  return { round, take, message, tensors };
}

const samplesOf = (_node: NodeId): number => 10;

describe("a round takes a contribution", () => {
  it("R3: once from each chain, and is complete when all are in", () => {
    const { round, take, message } = roundOfTwo();
    expect(take("a", message("a"))).toBeNull();
    expect(take("a", message("a", { loss: 9 }))).toBeNull();
    expect(round.standing()).toMatchObject({ complete: 1, pending: 1, dropped: 0 });
    expect(take("b", message("b"))).toBeNull();
    expect(round.standing()).toMatchObject({ complete: 2, pending: 0 });
    expect(round.participants(samplesOf).map(({ node, loss }) => [node, loss])).toEqual([
      ["a", 0.5],
      ["b", 0.5],
    ]);
  });

  it("R29: on its way, which counts only where its node is lost, as of what all copies of the chain brought", () => {
    const { round, take, message } = roundOfTwo();
    const interim = { isInterim: true, steps: 2, loss: 7 } as const;
    expect(take("a", message("a", interim))).toBeNull();
    expect(round.standing()).toMatchObject({ complete: 0, pending: 2, dropped: 0 });
    const [a, b] = ["a", "b"].map((node) => message(node).chain as ChainId) as [ChainId, ChainId];
    expect([round.endEarly(b), round.hasEndedEarly]).toEqual([false, false]);
    expect([round.endEarly(a), round.hasEndedEarly]).toEqual([true, true]);
    expect(round.participants(samplesOf)).toMatchObject([{ node: "a", steps: 2, loss: 7 }]);
    // What comes of the whole round after that is void.
    expect(take("a", message("a"))).toBeNull();
    expect(round.participants(samplesOf)).toMatchObject([{ steps: 2, loss: 7 }]);
  });

  it("R29: on its way only when it was to bring something", () => {
    const { take, message } = roundOfTwo();
    const interim = (steps: number) => take("a", message("a", { isInterim: true, steps }));
    const wrong = (steps: number) => `${steps} batches of 3, where it was to bring every 2`;
    expect([0, 1, 3, 4].map(interim)).toEqual([0, 1, 3, 4].map(wrong));
  });

  it.each<[what: string, from: string, change: Partial<ContributionMessage>]>([
    ["of another term", "a", { term: 2 }],
    ["of another round", "a", { round: 4 }],
    ["for a chain that is not there", "a", { chain: "chain:z" }],
    ["for another's copy", "b", {}],
    ["for a copy of another chain", "a", { copy: "copy:b" }],
  ])("R3: and none %s", (_what, from, change) => {
    const { round, take, message } = roundOfTwo();
    expect(take(from, message("a", change))).toBeNull();
    expect(round.standing()).toMatchObject({ complete: 0, pending: 2 });
  });

  it("R4: and says what does not fit, without taking it", () => {
    const { round, take, message, tensors } = roundOfTwo();
    const wrong = tensors((name, value) => (name === "fc1.weight" ? float32([2], [0, 0]) : value));
    expect(take("a", message("a"), wrong)).toBe("fc1.weight as float32[2]");
    wrong.delete("fc1.weight");
    expect(take("a", message("a"), wrong)).toBe("no fc1.weight");
    expect(take("a", message("a"), tensors().set("more", float32([1], [0])))).toBe(
      "tensors of other segments",
    );
    expect(round.standing()).toMatchObject({ complete: 0, pending: 2 });
  });

  it("R5: and drops a chain whose numbers are not finite, with the reason", () => {
    const { round, take, message, tensors } = roundOfTwo();
    const spoilt = tensors((name, value) => {
      if (name === "fc2.bias" && value.data !== null) value.data[0] = Number.NaN;
      return value;
    });
    expect(take("a", message("a"), spoilt)).toBeNull();
    expect(take("b", message("b"))).toBeNull();
    expect(round.dropped()).toEqual([
      {
        chain: message("a").chain,
        reason: expect.stringMatching(/diverged: fc2\.bias of a is not finite/),
      },
    ]);
    expect(round.participants(samplesOf).map(({ node }) => node)).toEqual(["b"]);
  });
});

describe("the decision on a round", () => {
  const standing = {
    complete: 0,
    pending: 0,
    finished: 0,
    dropped: 0,
    diverged: 0,
    lastDropped: null,
    late: 0,
    quorum: 3,
    deadlineMs: 100,
    lastDeadlineMs: 200,
  };

  it.each([
    ["waits while a chain is at work", 50, { complete: 1, pending: 1 }, "wait"],
    ["commits when nobody is missing", 50, { complete: 2 }, "commit"],
    ["commits without the dropped", 50, { complete: 1, dropped: 1 }, "commit"],
    ["leaves the late behind at the deadline", 100, { complete: 3, pending: 1 }, "leave late"],
    ["waits for a quorum until the last one", 199, { complete: 2, pending: 2 }, "wait"],
    ["goes on without the late at the last one", 200, { complete: 1, pending: 1 }, "drop late"],
    ["waits beyond the last deadline for the first", 200, { pending: 2 }, "wait"],
    ["commits without who was left behind", 150, { complete: 3, late: 1 }, "commit"],
    ["drops who holds another one up", 200, { pending: 2, finished: 1 }, "drop late"],
    ["leaves who holds a quorum up", 100, { complete: 2, pending: 2, finished: 1 }, "leave late"],
    ["waits for what is shared by those in time", 200, { pending: 2, finished: 2 }, "wait"],
    ["gives up when all were dropped", 50, { dropped: 2 }, "give up"],
  ])("%s", (_what, nowMs, change, decision) => {
    expect(decideRound(nowMs, { ...standing, ...change }).decision).toBe(decision);
  });

  it("gives up with the reason of the last that was dropped", () => {
    const at = { ...standing, dropped: 2, lastDropped: "b left: its battery is empty" };
    expect(decideRound(0, at).reason).toContain("its battery is empty");
  });
});
