/**
 * What every host promises, as a suite: Node.js, browsers, virtual time, and those to
 * come. Callbacks come on the peer's own thread, never before the call that registered
 * them has returned, and at most once.
 */
import { describe, expect } from "vitest";
import { float32, type Tensor, tensor } from "../../src/base/tensor.ts";
import { arrayDataset } from "../../src/data/arrays.ts";
import { SampleSource } from "../../src/data/source.ts";
import type { Done, EngineRun, Host, Outcome } from "../../src/run/host.ts";
import { addTo, arithmetic, program } from "./engine-programs.ts";
import { testsOn } from "./opened.ts";

/** A host for one test. */
export interface OpenHost {
  readonly host: Host;
  /** Lets time pass until something is so; on real clocks for a few seconds at most. */
  until(isSo: () => boolean): Promise<void>;
  end(): Promise<void>;
}

export interface HostTraits {
  /** Products of 512x512 matrices that keep the engine busy for a moment; 60 where absent. */
  readonly longProducts?: number;
  /** Milliseconds within which most timers of 1 ms come while the engine is busy; 5 where absent. */
  readonly timerMs?: number;
}

/** Training data of the host under test: six samples of two numbers. */
export const hostSamples = (): SampleSource =>
  new SampleSource(
    arrayDataset([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [0, 1, 2, 0, 1, 2], { inputShape: [2] }),
  );

/** @param open gives a host with {@link hostSamples}, an engine of its own and some store */
export function testHost(
  name: string,
  open: () => Promise<OpenHost>,
  { longProducts = 60, timerMs = 5 }: HostTraits = {},
): void {
  const withHost = testsOn(open);

  describe(`host ${name}`, () => {
    withHost("its clock never goes back", async ({ host, until }) => {
      let last = host.now();
      let backwards = 0;
      let reads = 0;
      const read = (): void => {
        for (let i = 0; i < 1_000; i++) {
          const now = host.now();
          if (now < last) backwards++;
          last = now;
        }
        reads++;
        if (reads < 20) host.after(1, read);
      };
      read();
      await until(() => reads === 20);
      expect([reads, backwards]).toEqual([20, 0]);
    });

    withHost("its timers are never early, and fire once each, later", async ({ host, until }) => {
      const delays = [0, 0.2, 1, 1.5, 3.7, 10, 16.6, 33.3, 50];
      const fired: { delayMs: number; tookMs: number; hadReturned: boolean }[] = [];
      for (let repeat = 0; repeat < 20; repeat++) {
        for (const delayMs of delays) {
          const fromMs = host.now();
          let hasReturned = false;
          host.after(delayMs, () => {
            fired.push({ delayMs, tookMs: host.now() - fromMs, hadReturned: hasReturned });
          });
          hasReturned = true;
        }
      }
      let isLater = false;
      await until(() => fired.length === 20 * delays.length);
      host.after(60, () => {
        isLater = true;
      });
      await until(() => isLater);
      expect(fired).toHaveLength(20 * delays.length);
      // What a clock shows is a sum of floats: its last bits may fall short.
      expect(fired.filter(({ delayMs, tookMs }) => tookMs < delayMs - 1e-6)).toEqual([]);
      expect(fired.every(({ hadReturned }) => hadReturned)).toBe(true);
    });

    withHost("a cancelled timer never fires, and cancelling is idle later", async (at) => {
      const { host, until } = at;
      const fired: string[] = [];
      const cancelled = host.after(5, () => fired.push("cancelled"));
      cancelled();
      const once = host.after(1, () => fired.push("once"));
      // Cancelled by another timer, at the very moment when both are due.
      let other = (): void => {};
      host.after(2, () => other());
      other = host.after(2, () => fired.push("other"));
      let isOver = false;
      host.after(40, () => {
        isOver = true;
      });
      await until(() => isOver);
      once();
      cancelled();
      expect(fired).toEqual(["once"]);
    });

    withHost("its engine carries out calls in order, without waiting", async ({ host, until }) => {
      const { engine } = host;
      const answers: string[] = [];
      let hasReturned = false;
      let early = 0;
      const note = (what: string): void => {
        if (!hasReturned) early++;
        answers.push(what);
      };
      const reads: Outcome<ReadonlyMap<string, Tensor>>[] = [];
      engine.load([arithmetic], ({ ok }) => note(`load ${ok}`));
      engine.write(new Map([["total", float32([3], [1, 2, 3])]]), ({ ok }) => note(`write ${ok}`));
      for (let i = 0; i < 5; i++) {
        const run = addTo("total", float32([3], [10, 10, 10]));
        engine.run(run, ({ ok }) => note(`run ${ok}`));
      }
      engine.read(["total"], (outcome) => {
        note(`read ${outcome.ok}`);
        reads.push(outcome);
      });
      engine.drop("tot", ({ ok }) => note(`drop ${ok}`));
      engine.read(["total"], ({ ok }) => note(`read ${ok}`));
      hasReturned = true;
      await until(() => answers.length === 10);
      expect(early).toBe(0);
      expect(answers).toEqual([
        ...["load true", "write true"],
        ...Array<string>(5).fill("run true"),
        ...["read true", "drop true", "read false"],
      ]);
      const value = succeeded(reads[0]).get("total");
      expect(Array.from(value?.data as Float32Array)).toEqual([51, 52, 53]);
    });

    withHost("a failing call is a value in words, and the next one goes on", async (at) => {
      const failure = await answer<unknown>(at, (done) => at.host.engine.read(["none"], done));
      expect(failure).toMatchObject({ ok: false, error: expect.stringContaining("none") });
      const next = await answer<null>(at, (done) => at.host.engine.load([arithmetic], done));
      expect(next).toEqual({ ok: true, value: null });
    });

    withHost("its data are a function of the key", async (at) => {
      const { train } = at.host;
      expect(train).not.toBeNull();
      if (train === null) return;
      expect([train.samples, train.inputShape, train.classes]).toEqual([6, [2], 3]);
      const key = { seed: 1, node: "here", step: 4, size: 4 };
      const [one, same, later] = await Promise.all(
        [key, { ...key }, { ...key, step: 5 }].map((each) =>
          answer<{ features: Tensor; labels: Tensor }>(at, (done) => train.batch(each, done)),
        ),
      );
      expect(succeeded(one)).toEqual(succeeded(same));
      expect(succeeded(one)).not.toEqual(succeeded(later));
      const slice = succeeded(
        await answer<{ features: Tensor }>(at, (done) => train.slice(1, 3, done)),
      );
      expect(Array.from(slice.features.data as Float32Array)).toEqual([2, 3, 4, 5]);
    });

    withHost("its store answers later, and once", async (at) => {
      const written = await answer<null>(at, (done) =>
        at.host.store.write("a/b.txt", new Uint8Array([1]), done),
      );
      expect(written).toEqual({ ok: true, value: null });
    });

    withHost("a long computation holds up neither timers nor heartbeats", async (at) => {
      const { host, until } = at;
      const long = longProgram(longProducts);
      await answer<null>(at, (done) => host.engine.load([long], done));
      let tookMs: number | null = null;
      const fromMs = host.now();
      host.engine.run(runOf(long), (outcome) => {
        expect(outcome.ok).toBe(true);
        tookMs = host.now() - fromMs;
      });
      const gaps: number[] = [];
      const beat = (): void => {
        const startedMs = host.now();
        host.after(1, () => {
          gaps.push(host.now() - startedMs);
          if (tookMs === null) beat();
        });
      };
      beat();
      await until(() => tookMs !== null);
      gaps.sort((one, other) => one - other);
      const share = gaps.filter((gap) => gap < timerMs).length / gaps.length;
      expect(tookMs, "milliseconds of computing").toBeGreaterThan(50);
      expect(share, `share of 1 ms timers that took less than ${timerMs} ms`).toBeGreaterThan(0.8);
      // A heartbeat every second, and a lease of ten, stand far beyond what is left.
      expect(gaps.at(-1), "longest gap").toBeLessThan((tookMs ?? 0) / 2);
    });
  });
}

/** Waits for a callback; a call that answers before it has returned, or twice, fails. */
async function answer<T>(
  { host, until }: OpenHost,
  call: (done: Done<T>) => void,
): Promise<Outcome<T>> {
  const answers: Outcome<T>[] = [];
  let hasReturned = false;
  call((outcome) => {
    expect(hasReturned, "the call had returned").toBe(true);
    answers.push(outcome);
  });
  hasReturned = true;
  await until(() => answers.length > 0);
  let isLater = false;
  host.after(5, () => {
    isLater = true;
  });
  await until(() => isLater);
  expect(answers).toHaveLength(1);
  return answers[0] as Outcome<T>;
}

function succeeded<T>(outcome: Outcome<T> | undefined): T {
  if (outcome === undefined || !outcome.ok) throw new Error(outcome?.error ?? "no answer");
  return outcome.value;
}

const square = { dtype: "float32", shape: [512, 512] } as const;

const longProgram = (products: number) =>
  program(`long ${products}`, { x: square, w: square }, (builder) => {
    let x = "x";
    for (let i = 0; i < products; i++) x = builder.emit("MatMul", [x, "w"]);
    return [x];
  });

function runOf({ id, graph }: ReturnType<typeof longProgram>): EngineRun {
  const feed = (): Tensor =>
    tensor("float32", square.shape, new Float32Array(512 * 512).fill(1 / 512));
  const feeds = new Map<string, Tensor>([
    ["x", feed()],
    ["w", feed()],
  ]);
  return { program: id, feeds, keep: new Map(), fetch: graph.outputs };
}
