/**
 * One node's world in virtual time. Computation takes what the node's profile
 * says, whatever engine computes the numbers and however long that really takes.
 */
import { present } from "../base/assert.ts";
import type { Party } from "../base/party.ts";
import { random } from "../base/random.ts";
import { hollow } from "../base/tensor.ts";
import type { Program } from "../compile/program.ts";
import type { SampleSource } from "../data/source.ts";
import type { Profile } from "../plan/plan.ts";
import { computeMs } from "../plan/program-time.ts";
import type {
  DataSource,
  Done,
  DrawnBatch,
  Engine,
  Host,
  HostEngine,
  Link,
  PeerAddress,
  Store,
} from "../run/host.ts";
import type { RunRecord } from "../run/metrics/record.ts";
import { firstHalf } from "./journal.ts";
import type { Clock } from "./world.ts";

/** Samples of a simulated node: real ones, or a count and a shape for the null engine. */
export type SimSamples =
  | SampleSource
  | {
      readonly samples: number;
      readonly inputShape: readonly number[];
      readonly classes: number;
      readonly party?: Party | null;
    };

/** Samples without values: so many of a model's input, or of the columns of it that a party has. */
export function hollowSamples(
  samples: number,
  inputShape: readonly number[],
  party: Party | null = null,
): SimSamples {
  if (party === null) return { samples, inputShape, classes: 0 };
  return { samples, inputShape: [party.columns.length, ...inputShape.slice(1)], classes: 0, party };
}

export interface SimHostOptions {
  readonly name: string;
  readonly seed: number;
  /** Which start of its peer this is: chance is another one each time. 1 where absent. */
  readonly life?: number;
  readonly engine: Engine;
  /** Null for a peer that computes nothing, such as the coordinator. */
  readonly profile: Profile | null;
  /** Batch size that the profile was measured at. */
  readonly batch: number;
  readonly train: SimSamples | null;
  readonly test: SimSamples | null;
  readonly files: Map<string, Uint8Array>;
  /** How many times as long as the profile says computations take now; 1 where absent. */
  readonly slowness?: () => number;
  /** What coding takes with a run of a program; nothing where absent. */
  readonly codingMs?: (program: Program) => number;
  record(record: RunRecord): void;
  /** See {@link Host.dial}. */
  dial?(address: PeerAddress, done: Done<Link>): void;
}

export function simHost(clock: Clock, options: SimHostOptions): Host {
  const { dial } = options;
  return {
    ...(dial === undefined ? {} : { dial }),
    now: () => clock.now(),
    after: (delayMs, fire) => clock.after(Math.max(0, delayMs), fire),
    random: random(options.seed).fork(`${options.name} ${options.life ?? 1}`),
    engine: simEngine(clock, options),
    train: options.train === null ? null : simData(clock, options.train),
    test: options.test === null ? null : simData(clock, options.test),
    store: simStore(clock, options.files),
    peakMemoryBytes: () => null,
    record: (record) => options.record(record),
  };
}

/** The node computes one thing at a time; calls queue in order. */
function simEngine(
  clock: Clock,
  { engine, profile, batch, slowness = () => 1, codingMs = () => 0 }: SimHostOptions,
): HostEngine {
  const programs = new Map<string, Program>();
  let freeAtMs = 0;
  const inTurn = (durationMs: number): number => {
    freeAtMs = Math.max(clock.elapsed(), freeAtMs) + durationMs;
    return freeAtMs;
  };
  return {
    description: engine.description,
    isHollow: engine.isHollow ?? false,
    load(list, done) {
      for (const program of list) programs.set(program.id, program);
      clock.complete(
        inTurn(0),
        engine.load(list).then(() => null),
        done,
      );
    },
    write(values, done) {
      clock.complete(
        inTurn(0),
        engine.write(values).then(() => null),
        done,
      );
    },
    read(slots, done) {
      clock.complete(inTurn(0), engine.read(slots), done);
    },
    drop(prefix, done) {
      clock.complete(
        inTurn(0),
        engine.drop(prefix).then(() => null),
        done,
      );
    },
    run(run, done) {
      const own = present(profile, "a profile of a node that computes");
      const program = present(programs.get(run.program), "a loaded program");
      const ownMs = slowness() * scaled(program, batch) * computeMs(own, program);
      const answer = engine.run(run).then(({ outputs }) => ({ outputs, computeMs: ownMs }));
      const restMs = own.callMs + slowness() * codingMs(program);
      clock.complete(inTurn(ownMs + restMs), answer, done);
    },
  };
}

/** Evaluation runs larger batches than the profile was measured at. */
function scaled(program: Program, batch: number): number {
  if (program.kind !== "evaluate") return 1;
  const feature = program.inputs.find((port) => port.role === "feature");
  return (feature?.shape[0] ?? batch) / batch;
}

function simData(clock: Clock, samples: SimSamples): DataSource {
  const answer = (
    size: number,
    done: Done<DrawnBatch>,
    gather: (source: SampleSource) => DrawnBatch,
  ) => {
    const value = "batch" in samples ? gather(samples) : hollowBatch(samples.inputShape, size);
    clock.after(0, () => done({ ok: true, value }));
  };
  return {
    samples: samples.samples,
    inputShape: samples.inputShape,
    classes: samples.classes,
    classNames: "classNames" in samples ? samples.classNames : null,
    party: samples.party ?? null,
    batch: (key, done) => answer(key.size, done, (source) => source.batch(key)),
    slice: (from, to, done) =>
      answer(to - from, done, (source) => ({ ...source.slice(from, to), samples: [] })),
  };
}

function hollowBatch(inputShape: readonly number[], size: number): DrawnBatch {
  return {
    samples: [],
    features: hollow({ dtype: "float32", shape: [size, ...inputShape] }),
    labels: hollow({ dtype: "int64", shape: [size] }),
  };
}

/** How long the writing of a file takes. */
const writeMs = 1;

/** One file after the other: a crash leaves the old one, as a store promises, and half of the new one beside it. */
function simStore(clock: Clock, files: Map<string, Uint8Array>): Store {
  let freeAtMs = 0;
  return {
    write(name, bytes, done) {
      const beginsMs = Math.max(clock.elapsed(), freeAtMs);
      freeAtMs = beginsMs + writeMs;
      const part = `${name}.part`;
      clock.after(beginsMs - clock.elapsed(), () => files.set(part, firstHalf(bytes)));
      clock.after(freeAtMs - clock.elapsed(), () => {
        files.delete(part);
        files.set(name, bytes);
        done({ ok: true, value: null });
      });
    },
  };
}
