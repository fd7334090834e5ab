/**
 * `npm run sim -- [--seeds N] [--from N] [--seed N]`: runs the swarm of test/swarm, seed after
 * seed, on every core. `--seed` runs one and tells what it drew and what happened. Exit code 1
 * where a seed fails; its number alone is enough to see it fail again.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { interpreterEngine } from "../src/sim/engines.ts";
import { firstSeed } from "../test/swarm/first-seed.ts";
import { runSeed, type SeedResult } from "../test/swarm/seed.ts";

/** What a thread says of each seed. */
type Told =
  | { readonly ok: true; readonly result: SeedResult }
  | { readonly ok: false; readonly seed: number; readonly error: string };

/** A thread takes every so many-th seed, so that all are done at about the same time. */
interface Share {
  readonly first: number;
  readonly end: number;
  readonly every: number;
}

async function tell(seed: number): Promise<Told> {
  try {
    return { ok: true, result: await runSeed(seed, interpreterEngine) };
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { ok: false, seed, error: text };
  }
}

async function work({ first, end, every }: Share): Promise<void> {
  for (let seed = first; seed < end; seed += every) parentPort?.postMessage(await tell(seed));
}

async function swarm(first: number, count: number): Promise<void> {
  const startedMs = performance.now();
  const threads = Math.min(availableParallelism(), count);
  const failed: number[] = [];
  const ends = new Map<string, number>();
  const sums = { rounds: 0, resumed: 0, takenBack: 0, events: 0, virtualMs: 0, faults: 0 };
  let windowBytes = 0;
  const take = (told: Told): void => {
    if (!told.ok) {
      failed.push(told.seed);
      console.error(
        `seed ${told.seed}: ${told.error}\n  again: npm run sim -- --seed ${told.seed}`,
      );
      return;
    }
    const { end, rounds, resumed, takenBack, events, virtualMs, faults, mostHeld } = told.result;
    const reason = end.replace(/:.*/s, "");
    ends.set(reason, (ends.get(reason) ?? 0) + 1);
    sums.rounds += rounds;
    sums.resumed += resumed;
    sums.takenBack += takenBack;
    windowBytes = Math.max(windowBytes, mostHeld.windowBytes);
    sums.events += events;
    sums.virtualMs += virtualMs;
    sums.faults += faults.length;
  };
  const workers = Array.from({ length: threads }, (_, i) => {
    const share: Share = { first: first + i, end: first + count, every: threads };
    const worker = new Worker(new URL(import.meta.url), { workerData: share });
    worker.on("message", take);
    return new Promise((resolve, reject) => worker.once("exit", resolve).once("error", reject));
  });
  await Promise.all(workers);
  const seconds = (performance.now() - startedMs) / 1000;
  const tally = [...ends].map(([reason, number]) => `${number} ${reason}`).join(", ");
  console.log(
    `${count} seeds in ${seconds.toFixed(1)} s: ${tally}; ${sums.faults} faults, ${sums.rounds} rounds, ` +
      `${sums.resumed} resumptions, ${sums.takenBack} rounds taken back, ` +
      `${(windowBytes / 1024).toFixed(0)} KiB under way at most, ` +
      `${sums.events} events in ${(sums.virtualMs / 3.6e6).toFixed(1)} h of virtual time`,
  );
  if (failed.length > 0) {
    console.error(`${failed.length} failed: ${failed.sort((a, b) => a - b).join(", ")}`);
    process.exitCode = 1;
  }
}

async function replayOne(seed: number): Promise<void> {
  const told = await tell(seed);
  if (told.ok) console.log(JSON.stringify(told.result, null, 2));
  else {
    console.error(told.error);
    process.exitCode = 1;
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "1000" },
      from: { type: "string" },
      seed: { type: "string" },
    },
  });
  const whole = (name: "seeds" | "from" | "seed"): number | null => {
    const text = values[name];
    if (text === undefined) return null;
    const value = Number(text);
    if (Number.isSafeInteger(value) && value >= 0) return value;
    throw new Error(`--${name}: got ${text}; allowed: a whole number`);
  };
  const one = whole("seed");
  if (one !== null) {
    console.log(`seed ${one}`);
    return await replayOne(one);
  }
  const given = whole("from");
  const { seed, from } = given === null ? firstSeed() : { seed: given, from: "--from" };
  const count = whole("seeds") ?? 1000;
  console.log(`${count} seeds from ${seed} (${from}), interpreter`);
  await swarm(seed, count);
}

if (isMainThread) await main();
else await work(workerData as Share);
