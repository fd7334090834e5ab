/**
 * Engines and samples as peers see them: the same calls, answered by callback.
 * What every world with real promises shares; virtual time has a driver instead.
 */
import { messageOf } from "../base/errors.ts";
import type {
  Batch,
  BatchKey,
  DataSource,
  Done,
  DrawnBatch,
  Engine,
  HostEngine,
} from "../run/host.ts";

/** Labelled samples that answer at once. */
export interface Samples extends Omit<DataSource, "batch" | "slice"> {
  batch(key: BatchKey): DrawnBatch;
  slice(from: number, to: number): Batch;
}

/**
 * Answers a promise by callback: a rejection becomes a failure in words, never an exception.
 * @returns a promise that is kept when it has been answered
 */
export function settle<T>(result: Promise<T>, done: Done<T>): Promise<void> {
  return result.then(
    (value) => done({ ok: true, value }),
    (error: unknown) => done({ ok: false, error: messageOf(error) }),
  );
}

export function callbackEngine(engine: Engine): HostEngine {
  const nothing = (): null => null;
  return {
    description: engine.description,
    load: (programs, done) => void settle(engine.load(programs).then(nothing), done),
    write: (values, done) => void settle(engine.write(values).then(nothing), done),
    read: (slots, done) => void settle(engine.read(slots), done),
    run: (run, done) => void settle(engine.run(run), done),
    drop: (prefix, done) => void settle(engine.drop(prefix).then(nothing), done),
  };
}

export function callbackData(samples: Samples): DataSource {
  const answer = <T extends Batch>(gather: () => T, done: Done<T>): void => {
    void settle(new Promise<T>((resolve) => resolve(gather())), done);
  };
  return {
    samples: samples.samples,
    inputShape: samples.inputShape,
    classes: samples.classes,
    classNames: samples.classNames,
    party: samples.party,
    batch: (key, done) => answer(() => samples.batch(key), done),
    slice: (from, to, done) => answer(() => samples.slice(from, to), done),
  };
}
