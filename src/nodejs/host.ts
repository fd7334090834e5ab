/** The Node.js world of a peer: real clock, timers, files and a native engine. */
import { createHash, randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { random } from "../base/random.ts";
import { timerOn } from "../base/timer.ts";
import type { SampleSource } from "../data/source.ts";
import { callbackData, callbackEngine } from "../engine/callbacks.ts";
import type { Engine, Host, Store } from "../run/host.ts";
import type { RunRecord } from "../run/metrics/record.ts";
import { dialPeer } from "./peer-sockets.ts";

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
    dial: dialPeer,
  };
}

/** Calls `fire` once after so many milliseconds; the answer cancels it. */
export const after = timerOn({
  now: () => performance.now(),
  set: (fire, ms) => setTimeout(fire, ms),
  clear: clearTimeout,
});

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
