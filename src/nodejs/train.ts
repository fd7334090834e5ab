/** Training in one process: a coordinator and one worker with all the data. Composition only. */
import { type RunId, runId } from "../base/ids.ts";
import { readSafetensors } from "../base/safetensors.ts";
import type { Model, Weights } from "../compile/graph.ts";
import type { SampleSource } from "../data/source.ts";
import { Coordinator } from "../run/coordinator/coordinator.ts";
import type { CoordinatorEnd } from "../run/coordinator/farewell.ts";
import type { Engine, Store } from "../run/host.ts";
import type { Job } from "../run/job.ts";
import { type JobFields, jobOf } from "../run/job-fields.ts";
import type { RunRecord } from "../run/metrics/record.ts";
import { RunFold, type RunSummary } from "../run/metrics/summary.ts";
import { loadHeldOut, loadTraining } from "./data-files.ts";
import { NativeEngine } from "./engine.ts";
import { environment } from "./environment.ts";
import { nodeHost, noStore } from "./host.ts";
import { checkFit } from "./measure.ts";
import { loadModel } from "./model-files.ts";
import { startOwnWorker } from "./own-worker.ts";
import { type RecordListener, recorder } from "./recording.ts";
import { completeFolder } from "./report.ts";
import { discardRunFolder, type RunFolder, runFolderAt } from "./run-folder.ts";
import { folderStore } from "./store.ts";

/** Which job to train; everything but the job may be left out. */
export interface TrainOptions {
  /**
   * What to train and how: the fields of a job file, or what `parseJob` gave. Paths in it are
   * relative to the working directory. Its planner and fleet do not matter here: one node trains
   * everything. It may leave out `model` or `data` where the options below bring them.
   */
  readonly job: Job | JobFields;
  /** The model to begin with; the one that the job names where absent. It is left as it is. */
  readonly model?: Model;
  /** Training samples; those that the job's `data` names where absent. */
  readonly train?: SampleSource;
  /**
   * Held-out samples, or null for none. Where absent: none when `train` is given, else those
   * that the job's `data` names.
   */
  readonly test?: SampleSource | null;
  /** Computes the numbers; it is closed at the end. A native engine where absent. */
  readonly engine?: Engine;
  /** Threads of the native engine where `engine` is absent; 1 where absent. */
  readonly threads?: number;
  /**
   * Where everything of the run goes (model, weights, plan, records, report): a new run folder, or
   * the path of one to be made. Nothing is saved where absent.
   */
  readonly folder?: string | RunFolder;
  /** The command line that starts the same run again, for its records. */
  readonly command?: string;
  /** Unix time in milliseconds from which the run's time counts; now where absent. */
  readonly startedAt?: number;
  /** Ends the run after the last committed round; the end is "interrupted" then. */
  readonly signal?: AbortSignal;
  /** Told everything that happens, in order. */
  readonly record?: RecordListener;
}

/** What came of training. */
export interface TrainResult {
  /** Whether it went through, was interrupted, or failed and why. */
  readonly end: CoordinatorEnd;
  /** Rounds, loss, accuracy, bytes and times, as the records told them. */
  readonly summary: RunSummary;
  /** The model with the weights of the last committed round. */
  readonly model: Model;
}

/**
 * Trains a job in this process, with all its data.
 * @example
 * const { summary, model } = await train({ job: { model: "mlp", data: "mnist", rounds: 3 } });
 * @returns also where training failed on the way: `end.reason` says so, and `model` holds what
 *   was committed before
 * @throws InputError on a wrong job or data that do not fit the model, ModelError on an untrainable model
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { asked, model, samples, test } = inputsOf(options);
  const folder = folderOf(options.folder, options.job);
  const startedAt = options.startedAt ?? Date.now();
  const fold = new RunFold();
  const note: RecordListener = (record) => fold.add(record);
  const broken = new AbortController();
  const listeners = [note, ...(options.record === undefined ? [] : [options.record])];
  const record = recorder(folder, startedAt, listeners, (text) => broken.abort(text));
  const trained = keepWeights(folder === null ? noStore : folderStore(folder.path));
  const engine = options.engine ?? new NativeEngine({ threads: options.threads ?? 1 });
  for (const { record: told } of folder?.earlier?.records ?? []) fold.add(told);
  if (folder?.earlier == null) {
    record(environment(options.command ?? process.argv.join(" "), new Date(startedAt)));
  }
  const run = folder?.run ?? runId(asked.name);
  const signal = AbortSignal.any([broken.signal, ...(options.signal ? [options.signal] : [])]);
  const { store } = trained;
  const parts = { run, model, train: samples, test, engine, store, signal, record, folder };
  try {
    const ended = await conduct(alone(asked), parts);
    const end = folder === null ? ended : await completeFolder(folder, ended);
    folder?.log.close();
    folder?.journal.close();
    const weights = trained.newest() ?? model.weights;
    return { end, summary: fold.summary, model: { graph: model.graph, weights } };
  } catch (error) {
    if (folder !== null) discardRunFolder(folder);
    throw error;
  } finally {
    await engine.close();
  }
}

interface Inputs {
  readonly asked: Job;
  readonly model: Model;
  readonly samples: SampleSource;
  readonly test: SampleSource | null;
}

/** What is trained, checked before anything is written. A folder that was brought along is taken back. */
function inputsOf(options: TrainOptions): Inputs {
  const here = process.cwd();
  try {
    const hasData = options.train !== undefined;
    const asked = jobOf(options.job, { model: options.model, hasData });
    const model = options.model ?? loadModel(asked, here);
    const samples = options.train ?? loadTraining(asked.data, here);
    const named = hasData ? null : loadHeldOut(asked.data, here);
    const test = options.test === undefined ? named : options.test;
    if (test !== null) checkFit(model, test, asked);
    return { asked, model, samples, test };
  } catch (error) {
    if (typeof options.folder === "object") discardRunFolder(options.folder);
    throw error;
  }
}

function folderOf(folder: string | RunFolder | undefined, job: Job | JobFields): RunFolder | null {
  if (folder === undefined) return null;
  return typeof folder === "string" ? runFolderAt(folder, `${JSON.stringify(job)}\n`) : folder;
}

/** The job for one node that holds everything. */
const alone = (job: Job): Job => ({
  ...job,
  planner: "local",
  fleet: {
    cellBytesPerMs: null,
    devices: [{ name: "local", duty: 1, ceilingBytesPerMs: null, memoryBytes: null }],
  },
});

interface Conducted {
  readonly run: RunId;
  readonly model: Model;
  readonly train: SampleSource;
  readonly test: SampleSource | null;
  readonly engine: Engine;
  readonly store: Store;
  readonly signal: AbortSignal;
  readonly folder: RunFolder | null;
  record(record: RunRecord): void;
}

/** Lets a coordinator and its only worker train the job to its end. */
function conduct(
  job: Job,
  { run, model, train, test, engine, store, signal, record, folder }: Conducted,
): Promise<CoordinatorEnd> {
  const { promise, resolve, reject } = Promise.withResolvers<CoordinatorEnd>();
  const token = "local";
  const coordinator = new Coordinator(
    nodeHost({ engine, train: null, test: null, store, record }),
    {
      run,
      job,
      model,
      tickets: new Map([[token, { kind: "device" }]]),
      edges: 0,
      ...(folder === null ? {} : { journal: folder.journal }),
      ...(folder?.earlier?.legacy === undefined ? {} : { legacy: folder.earlier.legacy }),
    },
    resolve,
  );
  startOwnWorker(
    coordinator,
    { name: "local", kind: "device", token, engine, train, test },
    reject,
  );
  const interrupt = (): void => {
    coordinator.interrupt(typeof signal.reason === "string" ? signal.reason : "interrupted");
  };
  if (signal.aborted) interrupt();
  signal.addEventListener("abort", interrupt, { once: true });
  return promise.finally(() => signal.removeEventListener("abort", interrupt));
}

/** A store that also remembers the newest weights given to it. */
function keepWeights(store: Store): { readonly store: Store; newest(): Weights | null } {
  let bytes: Uint8Array | null = null;
  return {
    store: {
      write(name, given, done) {
        if (name === "weights.safetensors") bytes = given;
        store.write(name, given, done);
      },
    },
    newest: () => (bytes === null ? null : readSafetensors(bytes).tensors),
  };
}
