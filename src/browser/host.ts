/** The browser's world of a peer: its clock, timers, chance, and an engine in a Web Worker. */
import { random } from "../base/random.ts";
import { timerOn } from "../base/timer.ts";
import type { SampleSource } from "../data/source.ts";
import { callbackData, callbackEngine } from "../engine/callbacks.ts";
import type { Engine, Host, Store } from "../run/host.ts";

export interface BrowserHostOptions {
  readonly engine: Engine;
  readonly train: SampleSource | null;
  readonly store: Store;
}

export function browserHost({ engine, train, store }: BrowserHostOptions): Host {
  const [seed = 0] = crypto.getRandomValues(new Uint32Array(1));
  return {
    now: () => performance.now(),
    after,
    random: random(seed),
    engine: callbackEngine(engine),
    train: train === null ? null : callbackData(train),
    test: null,
    store,
    // Browsers do not say what a page's workers and their WebAssembly take together.
    peakMemoryBytes: () => null,
    record: () => {},
  };
}

/** Calls `fire` once after so many milliseconds; the answer cancels it. */
const after = timerOn({
  now: () => performance.now(),
  set: (fire, ms) => setTimeout(fire, ms),
  clear: clearTimeout,
});

/** A store for peers that keep nothing. */
export const noStore: Store = {
  write: (_name, _bytes, done) => void after(0, () => done({ ok: true, value: null })),
};
