/** What a round takes of a copy that several chains share, and what it makes of it. */
import { describe, expect, it } from "vitest";
import { smallFleet, smallJob, smallModel } from "../../../test/sim/small-job.ts";
import { present } from "../../base/assert.ts";
import { type ChainId, nodeId } from "../../base/ids.ts";
import { cloneTensor, dense, type Tensor, tensor } from "../../base/tensor.ts";
import { splitFed } from "../../plan/equal-shares.ts";
import type { ContributionMessage } from "../wire/messages.ts";
import { CompiledJob } from "./compiled-job.ts";
import { Round } from "./round.ts";
import { TrainingState } from "./training-state.ts";

/** Devices a, b and c with 10, 20 and 30 samples, which share the server's copy; 3 batches each. */
function sharedRound() {
  const job = smallJob({ split: { serverCopies: "shared", merge: 2 } });
  const model = smallModel();
  const compiled = new CompiledJob(job, model);
  const state = new TrainingState(model, compiled);
  const samples = new Map([...["a", "b", "c"].entries()].map(([i, name]) => [name, 10 * (i + 1)]));
  const nodes = smallFleet(job).map((node) => ({
    ...{ ...node, id: nodeId(node.name) },
    samples: samples.get(node.name) ?? 0,
  }));
  const plan = splitFed(compiled.planRequest(3, nodes));
  const round = new Round(plan, {
    ...{ number: 0, startedMs: 0, learningRate: 0.1, quorum: 1, interim: null },
    ...{ deadlineMs: 100, lastDeadlineMs: 100, firstStepOf: () => 0 },
  });
  /** The copy of a node, with every value the same. */
  const take = (node: string, value: number, change: Partial<ContributionMessage> = {}) => {
    const copy = present(
      plan.copies.find((own) => own.node === node),
      node,
    );
    const chain = plan.chains.find(({ stages }) => stages.some((stage) => stage.copy === copy.id));
    const filled = (own: Tensor): Tensor =>
      tensor("float32", own.shape, (cloneTensor(dense(own)).data as Float32Array).fill(value));
    const tensors = new Map(
      [...state.forSegments([copy])].flatMap(([name, own]) => [
        [name, filled(own)] as const,
        [`momentum:${name}`, filled(own)] as const,
      ]),
    );
    const isShared = node === "edge";
    const message: ContributionMessage = {
      ...{ type: "contribution", id: node, term: 3, round: 0, chain: chain?.id ?? "" },
      ...{ copy: copy.id, loss: isShared ? 0.5 : null, passes: "", computeMs: 1 },
      ...{ steps: isShared ? 9 : 3, turns: isShared ? [0, 1, 2, 0, 1, 2, 0, 1, 2] : [] },
      held: { forward: 0, backward: 0, update: 0, step: 1 },
      ...{ bytesPerMs: null, paced: { bytes: 0, ms: 0 }, straight: [], peakRssBytes: null },
      ...change,
    };
    return round.take(nodeId(node), message, (own) => {
      const read = state.read(own, tensors, (name) => state.committed(name));
      return typeof read === "string" ? read : { tensors: read, memory: new Map() };
    });
  };
  const samplesOf = (node: string): number => samples.get(node) ?? 0;
  const committed = (name: string) => present(state.committed(name), name);
  const firstOf = (name: string): number =>
    Number(present(round.merge(samplesOf, committed).get(name), name).data?.[0]);
  return { round, plan, take, samplesOf, firstOf };
}

const chain = (name: string): ChainId => `chain:${name}` as ChainId;

describe("a copy that chains share", () => {
  it("R20: completes them all, and counts with all their samples", () => {
    const { round, plan, take, samplesOf, firstOf } = sharedRound();
    for (const [i, name] of ["a", "b", "c"].entries()) expect(take(name, i)).toBeNull();
    expect(round.standing()).toMatchObject({ complete: 0, pending: 3, finished: 3 });
    expect(take("edge", 7)).toBeNull();
    expect(round.standing()).toMatchObject({ complete: 3, pending: 0, finished: 0 });
    const participants = round.participants(samplesOf);
    expect(participants.map(({ loss }) => loss)).toEqual([0.5, 0.5, 0.5]);
    expect(new Set(participants.map(({ copies }) => copies[1])).size).toBe(1);
    expect(round.costs()).toHaveLength(4);
    expect(firstOf("fc1.weight")).toBeCloseTo((0 * 10 + 1 * 20 + 2 * 30) / 60, 6);
    expect(firstOf("fc3.weight")).toBe(7);
    const [shared] = plan.copies.filter(({ node }) => node === "edge");
    expect(round.turns()).toEqual([
      { copy: shared?.id, chains: [0, 1, 2, 0, 1, 2, 0, 1, 2], first: [0, 0, 0] },
    ]);
  });

  it("R20: keeps what a dropped chain has moved, without its weight and its own part", () => {
    const { round, take, samplesOf, firstOf } = sharedRound();
    round.drop(chain("b"), "b left");
    for (const [i, name] of ["a", "c"].entries()) expect(take(name, i)).toBeNull();
    expect(take("b", 9)).toBeNull();
    expect(take("edge", 7, { steps: 7, turns: [0, 1, 2, 0, 2, 0, 2] })).toBeNull();
    expect(round.standing()).toMatchObject({ complete: 2, pending: 0, dropped: 1 });
    expect(round.participants(samplesOf).map(({ node }) => node)).toEqual(["a", "c"]);
    expect(firstOf("fc1.weight")).toBeCloseTo(30 / 40, 6);
    expect(firstOf("fc3.weight")).toBe(7);
  });

  it.each<[string, Partial<ContributionMessage>, string]>([
    [
      "fewer of a chain's batches than it has",
      { steps: 8, turns: [0, 1, 2, 0, 1, 2, 0, 1] },
      "2 batches of chain:c's 3",
    ],
    [
      "more of them",
      { steps: 10, turns: [0, 1, 2, 0, 1, 2, 0, 1, 2, 2] },
      "4 batches of chain:c's 3",
    ],
    ["turns of nobody", { turns: [0, 1, 2, 0, 1, 2, 0, 1, 3] }, "a turn of chain 3 of 3"],
    ["another number of turns", { steps: 3 }, "3 batches in 9 turns"],
  ])("R20: is refused with %s", (_, change, problem) => {
    expect(sharedRound().take("edge", 1, change)).toBe(problem);
  });

  it("R5: takes all its chains out where a value is not finite", () => {
    const { round, take } = sharedRound();
    expect(take("edge", Number.NaN)).toBeNull();
    expect(round.standing()).toMatchObject({ dropped: 3, diverged: 3 });
  });

  it("R20: makes nobody late who waits only for those that are", () => {
    const { round, take } = sharedRound();
    take("a", 1);
    take("c", 1);
    expect(round.missing()).toEqual([chain("b")]);
    round.drop(chain("b"), "late");
    expect(round.missing()).toEqual([chain("a"), chain("c")]);
  });

  it("R6: is not lost with a device that has brought its own part, and is with its node", () => {
    const { round, take } = sharedRound();
    take("a", 1);
    expect(round.lostWith(nodeId("a"))).toEqual([]);
    expect(round.lostWith(nodeId("b"))).toEqual([chain("b")]);
    expect(round.lostWith(nodeId("edge"))).toEqual(["a", "b", "c"].map(chain));
  });
});
