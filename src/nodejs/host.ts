/** The Node.js world of a peer: real clock, timers, files and a native engine. */
import { createHash, randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { messageOf } from "../base/errors.ts";
import { random } from "../base/random.ts";
import type { SampleSource } from "../data/source.ts";
import type {
  Batch,
  Cancel,
  DataSource,
  Done,
  Engine,
  Host,
  HostEngine,
  Store,
} from "../run/host.ts";
import type { RunRecord } from "../run/metrics/record.ts";

export interface NodeHostOptions {
  readonly engine: Engine;
  readonly train: SampleSource | null;
  readonly test: SampleSource | null;
  readonly store: Store;
  record(record: RunRecord): void;
}

export function nodeHost(options: NodeHostOptions): Host {
  return {
    now: () => performance.now(),
    after,
    random: random(randomInt(0x1_0000_0000)),
    engine: callbackEngine(options.engine),
    train: options.train === null ? null : callbackData(options.train),
    test: options.test === null ? null : callbackData(options.test),
    store: options.store,
    peakMemoryBytes,
    record: options.record,
  };
}

/** Calls `fire` once after so many milliseconds; the answer cancels it. */
export function after(delayMs: number, fire: () => void): Cancel {
  // setTimeout rounds down and takes a delay beyond 31 bits for none; a host never fires early.
  const timer = setTimeout(fire, Math.min(Math.ceil(delayMs), 2 ** 31 - 1));
  return () => clearTimeout(timer);
}

/** A store for peers that keep nothing. */
export const noStore: Store = {
  write: (_name, _bytes, done) => setImmediate(() => done({ ok: true, value: null })),
};

/** Peak resident memory of this process in bytes. */
export const peakMemoryBytes = (): number => process.resourceUsage().maxRSS * 1024;

/** A name for this machine that tells nothing else about it. */
export function machineName(): string {
  let identity = hostname();
  try {
    identity += readFileSync("/etc/machine-id", "utf8");
  } catch {
    // Not a systemd host: the host name has to do.
  }
  return createHash("sha256").update(identity).digest("hex").slice(0, 16);
}

function settle<T>(result: Promise<T>, done: Done<T>): void {
  result.then(
    (value) => done({ ok: true, value }),
    (error: unknown) => done({ ok: false, error: messageOf(error) }),
  );
}

function callbackEngine(engine: Engine): HostEngine {
  const nothing = (): null => null;
  return {
    description: engine.description,
    load: (programs, done) => settle(engine.load(programs).then(nothing), done),
    write: (values, done) => settle(engine.write(values).then(nothing), done),
    read: (slots, done) => settle(engine.read(slots), done),
    run: (run, done) => settle(engine.run(run), done),
    drop: (prefix, done) => settle(engine.drop(prefix).then(nothing), done),
  };
}

function callbackData(source: SampleSource): DataSource {
  const answer = (gather: () => Batch, done: Done<Batch>): void => {
    settle(new Promise<Batch>((resolve) => resolve(gather())), done);
  };
  return {
    samples: source.samples,
    inputShape: source.inputShape,
    classes: source.classes,
    classNames: source.classNames,
    batch: (key, done) => answer(() => source.batch(key), done),
    slice: (from, to, done) => answer(() => source.slice(from, to), done),
  };
}
