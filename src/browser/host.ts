/** The browser's world of a peer: its clock, timers, chance, and an engine in a Web Worker. */
import { random } from "../base/random.ts";
import type { SampleSource } from "../data/source.ts";
import { callbackData, callbackEngine } from "../engine/callbacks.ts";
import type { Cancel, Engine, Host, Store } from "../run/host.ts";

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
function after(delayMs: number, fire: () => void): Cancel {
  const dueMs = performance.now() + delayMs;
  const wait = (leftMs: number): ReturnType<typeof setTimeout> =>
    // A delay beyond 31 bits is taken for none.
    setTimeout(onTimer, Math.min(Math.ceil(leftMs), 2 ** 31 - 1));
  const onTimer = (): void => {
    // Browsers blur clocks, and the timers' one is not the one that peers see.
    const leftMs = dueMs - performance.now();
    if (leftMs > 0) timer = wait(leftMs);
    else fire();
  };
  let timer = wait(delayMs);
  return () => clearTimeout(timer);
}

/** A store for peers that keep nothing. */
export const noStore: Store = {
  write: (_name, _bytes, done) => void after(0, () => done({ ok: true, value: null })),
};
