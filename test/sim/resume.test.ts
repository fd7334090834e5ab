/**
 * A coordinator that is killed, at any step, and started again on its disk: the run goes on,
 * every round is committed once, and the weights are those of the committed log, although what rounds bring home is rounded
 * and codecs remember what they have lost.
 */
import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { runId } from "../../src/base/ids.ts";
import { Coordinator } from "../../src/run/coordinator/coordinator.ts";
import type { CoordinatorEnd } from "../../src/run/coordinator/farewell.ts";
import { readJournal } from "../../src/run/coordinator/journal.ts";
import type { Done, Host, Link } from "../../src/run/host.ts";
import type { RunRecord } from "../../src/run/metrics/record.ts";
import { Rejoiner } from "../../src/run/worker/rejoiner.ts";
import type { WorkerEnd } from "../../src/run/worker/worker-owner.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import type { SimNode } from "../../src/sim/fleet.ts";
import { simHost } from "../../src/sim/host.ts";
import { emptyDisk, legacyOn, type SimDisk, simJournal } from "../../src/sim/journal.ts";
import { simLinks } from "../../src/sim/link.ts";
import { World } from "../../src/sim/world.ts";
import { expectReplayed } from "./replayed.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

const codec = { up: "affine4+delta", down: "topk10+feedback", samples: 24, updates: "affine8" };
const job = smallJob({ rounds: 3, codec });
const nodes = smallFleet(job);
const patienceMs = 600_000;

/** One coordinator process; killed, it does nothing any more and all its links close. */
class Process {
  readonly coordinator: Coordinator;
  #isAlive = true;
  readonly #links: Link[] = [];

  /** @param fullFromMs from when on the disk takes no more */
  constructor(
    world: World,
    disk: SimDisk,
    files: Map<string, Uint8Array>,
    told: Told,
    fullFromMs: number,
  ) {
    const host = hostOf(world, null, files, (record) => {
      if (this.#isAlive) told.records.push(record);
    });
    const guarded: Host = {
      ...host,
      after: (delayMs, fire) => host.after(delayMs, () => this.#isAlive && fire()),
      store: {
        write: (name, bytes, done) =>
          host.store.write(name, bytes, (outcome) => this.#isAlive && done(outcome)),
      },
    };
    const legacy = legacyOn(disk);
    const journal = simJournal(world, disk, () => this.#isAlive);
    const refuse = (done: Done<never>): void =>
      void guarded.after(1, () => done({ ok: false, error: "no space left on device" }));
    const isFull = (): boolean => world.now() >= fullFromMs;
    this.coordinator = new Coordinator(
      guarded,
      {
        run: runId("resumed"),
        job,
        model: smallModel(),
        tickets: new Map(nodes.map((node) => [node.name, { kind: node.kind }])),
        edges: 1,
        journal: {
          append: (entry, done) => (isFull() ? refuse(done) : journal.append(entry, done)),
          keep: (parts, done) => (isFull() ? refuse(done) : journal.keep(parts, done)),
          release: (names) => journal.release(names),
        },
        ...(legacy === undefined ? {} : { legacy }),
        patienceMs,
      },
      (end) => this.#isAlive && told.ends.push(end),
    );
  }

  accept(link: Link): void {
    this.#links.push(link);
    this.coordinator.accept(link);
  }

  kill(): void {
    this.#isAlive = false;
    for (const link of this.#links) link.close();
  }
}

interface Told {
  readonly records: RunRecord[];
  readonly ends: CoordinatorEnd[];
}

const hostOf = (
  world: World,
  node: SimNode | null,
  files: Map<string, Uint8Array>,
  record: (record: RunRecord) => void,
): Host =>
  simHost(world, {
    name: node?.name ?? "coordinator",
    seed: 1,
    engine: interpreterEngine(),
    profile: node?.profile ?? null,
    batch: job.batch,
    train: node?.train ?? null,
    test: node?.test ?? null,
    files,
    record,
  });

/** Runs the job and kills the coordinator at these times; it is down for so long. */
async function runKilled(
  killsAtMs: readonly number[],
  downMs = 700,
  disturb: (workers: ReadonlyMap<string, Rejoiner>, world: World) => void = () => {},
  fullFromMs = Number.POSITIVE_INFINITY,
  disk: SimDisk = emptyDisk(),
) {
  const world = new World();
  const files = new Map<string, Uint8Array>();
  const writtenMs: number[] = [];
  const push = disk.entries.push.bind(disk.entries);
  disk.entries.push = (...entries) => {
    writtenMs.push(world.now());
    return push(...entries);
  };
  const told: Told = { records: [], ends: [] };
  const ends = new Map<string, WorkerEnd>();
  let process: Process | null = new Process(world, disk, files, told, fullFromMs);
  for (const atMs of killsAtMs) {
    world.at(atMs, () => {
      if (told.ends.length > 0) return;
      process?.kill();
      process = null;
    });
    world.at(atMs + downMs, () => {
      if (told.ends.length === 0) process ??= new Process(world, disk, files, told, fullFromMs);
    });
  }
  const open = (node: SimNode): Link | null => {
    if (process === null) return null;
    const [near, far] = simLinks(world, { latencyMs: node.latencyMs, bytesPerMs: null });
    process.accept(far);
    return near;
  };
  const workers = new Map<string, Rejoiner>();
  for (const node of nodes) {
    const dial = (done: Done<Link>): void => {
      world.at(world.now() + 1, () => {
        const value = open(node);
        done(value === null ? { ok: false, error: "nobody answers" } : { ok: true, value });
      });
    };
    const worker = new Rejoiner(
      hostOf(world, node, new Map(), () => {}),
      present(open(node), "a first link"),
      dial,
      {
        name: node.name,
        kind: node.kind,
        token: node.name,
        machine: node.name,
        duty: node.duty,
        memoryBytes: null,
        ceilingBytesPerMs: null,
        patienceMs,
      },
      { onEvent: () => {}, onEnd: (end) => ends.set(node.name, end) },
    );
    workers.set(node.name, worker);
  }
  disturb(workers, world);
  await world.run(
    () => (told.ends.length > 0 && ends.size === nodes.length) || world.now() > 1_000_000,
  );
  const past = readJournal(disk.entries, () => true);
  return {
    ...told,
    workers: ends,
    disk,
    files,
    decisions: past.decisions,
    writtenMs,
    endMs: world.now(),
  };
}

type Killed = Awaited<ReturnType<typeof runKilled>>;

const roundsOf = ({ decisions }: Pick<Killed, "decisions">): number[] =>
  decisions.flatMap((record) => (record.type === "round" ? [record.round] : []));

async function expectWhole(result: Killed): Promise<void> {
  expect(result.ends.map(({ reason }) => reason)).toEqual(["finished"]);
  expect(roundsOf(result)).toEqual([0, 1, 2]);
  expect([...result.workers.values()].map(({ reason }) => reason)).toEqual(
    nodes.map(() => "finished"),
  );
  const terms = result.decisions.flatMap((record) =>
    record.type === "planned" ? [record.plan.term] : [],
  );
  expect(terms).toEqual(terms.map((_, i) => i + 1));
  const records = result.decisions.map((record) => ({ record }));
  await expectReplayed(job, { records, files: result.files });
}

describe("a coordinator that is killed and started again", () => {
  it("R12, R27, J5, J6: goes on with the same run, whenever it was killed", {
    timeout: 120_000,
  }, async () => {
    const whole = await runKilled([]);
    await expectWhole(whole);
    const weightsOf = ({ files }: Killed) => files.get("weights.safetensors");
    const steps = 20;
    for (let i = 0; i < steps; i++) {
      const atMs = (whole.endMs * (i + 0.5)) / steps;
      const result = await runKilled([atMs]);
      await expectWhole(result).catch((error: unknown) => {
        throw new Error(`killed at ${atMs} ms`, { cause: error });
      });
      expect(weightsOf(result), `killed at ${atMs} ms`).toEqual(weightsOf(whole));
    }
  });

  it("commits once what was written down, whether anybody had heard of it or not", async () => {
    const whole = await runKilled([]);
    expect(whole.writtenMs.length).toBe(whole.decisions.length);
    for (const writtenMs of whole.writtenMs) {
      // Before the entry is durable, before the coordinator hears that it is, and after.
      for (const atMs of [writtenMs - 0.5, writtenMs + 0.5, writtenMs + 1.5]) {
        await expectWhole(await runKilled([atMs]));
      }
    }
  });

  it("may be killed again and again", async () => {
    const result = await runKilled([300, 1500, 2600, 3300, 4400, 5600], 400);
    await expectWhole(result);
    expect(result.records.filter(({ type }) => type === "resumed").length).toBeGreaterThan(3);
  });
});

describe("a disk that takes no more", () => {
  it("ends the run in words, with what was committed, and the run can be resumed", async () => {
    const whole = await runKilled([]);
    // The disk is full once the plan and the first round are on it, and empty again for the next process.
    const fullFromMs = (whole.writtenMs[1] ?? 0) + 50;
    const failed = await runKilled([], 0, () => {}, fullFromMs);
    expect(failed.ends).toEqual([
      { reason: "failed", text: expect.stringMatching(/cannot write down.*no space/) },
    ]);
    expect(roundsOf(failed)).toEqual([0]);
    const past = readJournal(failed.disk.entries, () => true);
    expect(past.committed).toBe(1);
    expect(past.end).toBeNull();
    await expectWhole(await runKilled([], 0, () => {}, Number.POSITIVE_INFINITY, failed.disk));
  });
});

describe("a worker that gives notice", () => {
  it("R13: finishes its round, is told to stop, and is in no further plan", async () => {
    const result = await runKilled([], 0, (workers, world) => {
      world.at(900, () => workers.get("b")?.giveNotice("its battery is low", 60_000));
    });
    expect(result.ends.map(({ reason }) => reason)).toEqual(["finished"]);
    expect(result.workers.get("b")).toEqual({ reason: "interrupted", text: "its battery is low" });
    const rounds = result.decisions.filter((record) => record.type === "round");
    expect(rounds.map(({ participants }) => participants.map(({ node }) => node))).toEqual([
      ["a", "b", "c"],
      ["a", "b", "c"],
      ["a", "c"],
    ]);
    expect(rounds.flatMap(({ dropped }) => dropped)).toEqual([]);
  });
});
