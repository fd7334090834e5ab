/** Training in one process: a coordinator and one worker with all the data. Composition only. */
import { runId } from "../base/ids.ts";
import type { Model } from "../compile/graph.ts";
import type { SampleSource } from "../data/source.ts";
import { Coordinator, type CoordinatorEnd } from "../run/coordinator/coordinator.ts";
import type { Engine, Store } from "../run/host.ts";
import type { Job } from "../run/job.ts";
import type { RunRecord } from "../run/metrics/record.ts";
import { nodeHost, noStore } from "./host.ts";
import { startOwnWorker } from "./own-worker.ts";
import { folderStore } from "./store.ts";

export interface TrainOptions {
  /** Its planner and fleet do not matter here: one node trains everything. */
  readonly job: Job;
  readonly model: Model;
  readonly train: SampleSource;
  readonly test: SampleSource | null;
  readonly engine: Engine;
  /** Folder for weights, model and plan; null keeps nothing. */
  readonly folder: string | null;
  /** Name of the run; the job's name where absent. */
  readonly run?: string;
  record?(record: RunRecord): void;
}

/** A training run in this process. */
export interface Training {
  readonly ended: Promise<CoordinatorEnd>;
  interrupt(text: string): void;
}

/** Starts training; the engine is closed at the end. @throws ModelError on an untrainable model. */
export function startTraining(options: TrainOptions): Training {
  const { engine, train, test } = options;
  const job: Job = {
    ...options.job,
    planner: "local",
    fleet: {
      cellBytesPerMs: null,
      devices: [{ name: "local", duty: 1, ceilingBytesPerMs: null, memoryBytes: null }],
    },
  };
  const store: Store = options.folder === null ? noStore : folderStore(options.folder);
  const { promise, resolve, reject } = Promise.withResolvers<CoordinatorEnd>();
  const token = "local";
  const coordinator = new Coordinator(
    nodeHost({
      engine,
      train: null,
      test: null,
      store,
      record: (record) => options.record?.(record),
    }),
    {
      run: runId(options.run ?? job.name),
      job,
      model: options.model,
      tickets: new Map([[token, { kind: "device" }]]),
      edges: 0,
    },
    resolve,
  );
  startOwnWorker(
    coordinator,
    { name: "local", kind: "device", token, engine, train, test },
    reject,
  );
  return {
    ended: promise.finally(() => engine.close()),
    interrupt: (text) => coordinator.interrupt(text),
  };
}
