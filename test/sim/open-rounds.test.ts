/** Rule R16: a round begins while what the one before it gave is on its way. A worker whose every word is written here. */
import { expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { chainId, copyId, nodeId, runId } from "../../src/base/ids.ts";
import type { Tensor } from "../../src/base/tensor.ts";
import type { Planner } from "../../src/plan/plan.ts";
import { Coordinator } from "../../src/run/coordinator/coordinator.ts";
import type { CoordinatorEnd } from "../../src/run/coordinator/farewell.ts";
import type { RunRecord } from "../../src/run/metrics/record.ts";
import { Channel } from "../../src/run/wire/channel.ts";
import { decodeCoordinatorFrame, type Tensors } from "../../src/run/wire/frame.ts";
import type { CoordinatorMessage, WorkerMessage } from "../../src/run/wire/messages.ts";
import { nullEngine } from "../../src/sim/engines.ts";
import { simHost } from "../../src/sim/host.ts";
import { simLinks } from "../../src/sim/link.ts";
import { World } from "../../src/sim/world.ts";
import { helloOf } from "./beside.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

const work = 6;
const [a, chain, copy] = [nodeId("a"), chainId("chain:a"), copyId("copy:a")];

/** One chain of one stage, whose schedule lets it say when it is done. */
const alone: Planner = ({ term, segments }) => ({
  term,
  planner: "by hand",
  objective: "round time",
  copies: [{ id: copy, node: a, from: 0, to: segments.length, mode: "train" }],
  chains: [
    {
      id: chain,
      source: a,
      stages: [{ copy, backward: "none" }],
      schedule: "window",
      window: 0,
      work,
    },
  ],
  groups: [{ members: [copy], policy: "average", when: "round" }],
  links: [],
  limits: [{ node: a, duty: 1 }],
  forecasts: [],
  reason: "by hand",
});

type Begin = CoordinatorMessage & { type: "begin" };
type Evaluate = CoordinatorMessage & { type: "evaluate" };

/** A run with one device, which does what the test says. */
function runWith(change: object = {}, testSamples = 0) {
  const world = new World();
  const job = smallJob({
    localBatches: work,
    rounds: 3,
    fleet: { devices: [{ name: "a" }] },
    ...change,
  });
  const node = present(
    smallFleet(job).find(({ name }) => name === "a"),
    "a device",
  );
  const records: RunRecord[] = [];
  const ends: CoordinatorEnd[] = [];
  const begins: { message: Begin; tensors: Tensors }[] = [];
  const evaluates: { message: Evaluate; tensors: Tensors }[] = [];
  const { batch } = job;
  const own = { seed: 1, batch, train: null, test: null, files: new Map<string, Uint8Array>() };
  const record = (told: RunRecord): void => void records.push(told);
  const host = (name: string) =>
    simHost(world, { ...own, name, profile: null, engine: nullEngine(), record });
  const coordinator = new Coordinator(
    host("coordinator"),
    {
      run: runId("open rounds"),
      job,
      model: smallModel(),
      tickets: new Map([["a", { kind: "device" }]]),
      edges: 0,
      patienceMs: 60_000,
      planner: alone,
    },
    (end) => ends.push(end),
  );
  const connect = (): Channel<CoordinatorMessage> => {
    const [near, far] = simLinks(world, { latencyMs: 1, bytesPerMs: null });
    coordinator.accept(far);
    const link: Channel<CoordinatorMessage> = new Channel(host("a"), near, {
      decode: decodeCoordinatorFrame,
      onMessage: ({ message, tensors }) => {
        if (message.type === "probe") link.send({ type: "profile", profile: node.profile });
        else if (message.type === "plan") link.send({ type: "ready", term: message.plan.term });
        else if (message.type === "begin") begins.push({ message, tensors });
        else if (message.type === "evaluate") evaluates.push({ message, tensors });
      },
      onClose: () => {},
    });
    link.send({ ...helloOf(node), testSamples });
    return link;
  };
  let channel = connect();
  const of = ({ message: { term, round } }: (typeof begins)[number]) => ({
    term,
    round,
    chain,
    copy,
    held: { forward: 1, backward: 0, update: 0, step: 0 },
    straight: [],
    bytesPerMs: null,
  });
  const say = (message: WorkerMessage, tensors?: ReadonlyMap<string, Tensor>): void =>
    channel.send(message, tensors);
  return {
    records,
    begins,
    evaluates,
    ends,
    /** Its link is cut, and made anew. */
    comesBack: async (): Promise<void> => {
      channel.cut("cut");
      await world.run(() => records.some(({ type }) => type === "left"));
      channel = connect();
    },
    committed: () => records.flatMap((one) => (one.type === "round" ? [one.round] : [])),
    later: async (ms: number): Promise<void> => {
      const untilMs = world.now() + ms;
      world.after(ms, () => {});
      await world.run(() => world.now() >= untilMs);
    },
    /** The copy of a round has trained all its batches, or some. */
    trained: (begin: (typeof begins)[number], steps = work): void =>
      say({ type: "progress", ...of(begin), steps, ahead: 0 }),
    /** It has measured what it was sent. */
    measured: ({ message: { round } }: (typeof evaluates)[number], correct: number): void =>
      say({ type: "evaluation", round, samples: 10, correct, loss: 1, ms: 5 }),
    /** What a round gave arrives. */
    brings: (begin: (typeof begins)[number], tensors: Tensors): void =>
      say(
        {
          type: "contribution",
          id: "x",
          ...of(begin),
          ...{ loss: 1, steps: work, passes: "", turns: [], computeMs: 1 },
          paced: { bytes: 0, ms: 0 },
          peakRssBytes: null,
        },
        tensors,
      ),
  };
}

/** What a round gives that began with these: there is nothing frozen, and momentum did not come. */
const moved = ({ tensors }: { tensors: Tensors }): Tensors =>
  new Map(
    [...tensors].flatMap(([name, value]) => [
      [name, value],
      [`momentum:${name}`, value],
    ]),
  );

test("R16: a round whose batches are all trained is followed by the next, which brings nothing", async () => {
  const run = runWith();
  await run.later(1000);
  const [first] = run.begins;
  const begun = present(first, "a first round");
  expect(begun.message).toMatchObject({ round: 0, keep: [] });
  run.trained(begun, work - 1);
  await run.later(100);
  expect(run.begins).toHaveLength(1);
  run.trained(begun);
  await run.later(100);
  const second = present(run.begins[1], "a second round");
  expect(second.message).toMatchObject({ round: 1, keep: [copy] });
  expect(second.tensors.size).toBe(0);
  expect(run.committed()).toEqual([]);
  // No third one, before the first is home.
  run.trained(second);
  await run.later(100);
  expect(run.begins).toHaveLength(2);
  run.brings(begun, moved(begun));
  await run.later(100);
  expect(run.committed()).toEqual([0]);
  const third = present(run.begins[2], "a third round");
  expect(third.message).toMatchObject({ round: 2, keep: [copy] });
  run.brings(second, moved(begun));
  // The last round is not followed by another.
  run.trained(third);
  await run.later(100);
  expect(run.committed()).toEqual([0, 1]);
  run.brings(third, moved(begun));
  await run.later(100);
  expect(run.committed()).toEqual([0, 1, 2]);
  expect(run.begins).toHaveLength(3);
  expect(run.ends.map(({ reason }) => reason)).toEqual(["finished"]);
  const spans = run.records.flatMap((one) => (one.type === "round" ? [one.ms] : []));
  const [firstMs = 0, ...rest] = spans;
  // A round's time is that since the one before it was committed, so that they add up.
  expect(firstMs).toBeGreaterThan(290);
  for (const ms of rest) expect(ms).toBeLessThan(210);
});

test("R16: without the older round the newer one is nothing", async () => {
  const run = runWith();
  await run.later(1000);
  const begun = present(run.begins[0], "a first round");
  run.trained(begun);
  await run.later(100);
  const second = present(run.begins[1], "a second round");
  run.brings(second, moved(begun));
  await run.later(100);
  expect(run.committed()).toEqual([]);
  expect(run.records.filter(({ type }) => type === "left")).toEqual([]);
  await run.comesBack();
  await run.later(1000);
  const again = present(run.begins[2], "a round once more");
  expect(again.message).toMatchObject({ round: 0, keep: [] });
  expect(again.tensors.size).toBe(begun.tensors.size);
});

test("R16: held-out data are measured beside the next round, with the weights of the one before", async () => {
  const run = runWith({ evaluate: { every: 1 } }, 10);
  const measured = () =>
    run.records.flatMap((one) => (one.type === "evaluation" ? [[one.round, one.accuracy]] : []));
  await run.later(1000);
  const begun = present(run.begins[0], "a first round");
  run.trained(begun);
  await run.later(100);
  const second = present(run.begins[1], "a second round");
  expect(run.evaluates).toEqual([]);
  run.brings(begun, moved(begun));
  await run.later(100);
  expect(run.committed()).toEqual([0]);
  const asked = present(run.evaluates[0], "a measurement");
  expect(asked.message.round).toBe(1);
  expect([...asked.tensors.keys()].sort()).toEqual([...begun.tensors.keys()].sort());
  // Another one is due after the second round, so the third waits for the first answer.
  run.trained(second);
  await run.later(100);
  expect(run.begins).toHaveLength(2);
  run.measured(asked, 4);
  await run.later(100);
  expect(measured()).toEqual([[1, 0.4]]);
  const third = present(run.begins[2], "a third round");
  run.brings(second, moved(begun));
  await run.later(100);
  run.measured(present(run.evaluates[1], "another measurement"), 6);
  run.trained(third);
  run.brings(third, moved(begun));
  await run.later(100);
  // The last one is of all that was trained, and the run ends with it.
  const last = present(run.evaluates[2], "the last measurement");
  expect(last.message).toMatchObject({ round: 3, samples: null });
  expect(run.ends).toEqual([]);
  run.measured(last, 9);
  await run.later(100);
  expect(measured()).toEqual([
    [1, 0.4],
    [2, 0.6],
    [3, 0.9],
  ]);
  expect(run.ends.map(({ reason }) => reason)).toEqual(["finished"]);
});

test("R16: who leaves while it measures, and comes back, is not waited for", async () => {
  const run = runWith({ evaluate: { every: 1 } }, 10);
  await run.later(1000);
  const begun = present(run.begins[0], "a first round");
  run.trained(begun);
  await run.later(100);
  run.brings(begun, moved(begun));
  await run.later(100);
  expect(run.evaluates).toHaveLength(1);
  await run.comesBack();
  await run.later(1000);
  // The second round begins anew, and the third behind it: the answer will never come.
  const second = present(run.begins.at(-1), "a second round");
  expect(second.message.round).toBe(1);
  run.trained(second);
  await run.later(100);
  expect(run.begins.at(-1)?.message.round).toBe(2);
});

test("R18: an update of what the coordinator has not got yet is its sender's fault", async () => {
  const run = runWith({ codec: { updates: "affine8" } });
  await run.later(1000);
  const begun = present(run.begins[0], "a first round");
  run.trained(begun);
  await run.later(100);
  // The second round's, before the first round's that it builds on.
  run.brings(present(run.begins[1], "a second round"), new Map());
  await run.later(100);
  const left = run.records.flatMap((one) => (one.type === "left" ? [one.reason] : []));
  expect(left).toEqual(["sent a contribution with fc1.weight, whose round before is not here"]);
  expect(run.committed()).toEqual([]);
});
