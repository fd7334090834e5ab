/** What the commands that train hand on: a run that is ready to begin, or to be gone on with. */
import type { Job } from "../index.ts";
import type { loadHeldOut, Model, RunFolder } from "../nodejs.ts";

/** A run whose inputs are read and whose folder is there, new or of an earlier process. */
export interface RunInput {
  readonly job: Job;
  /** Folder that paths in the job are relative to. */
  readonly jobFolder: string;
  readonly model: Model;
  /** Held-out data; null for none. */
  readonly test: ReturnType<typeof loadHeldOut>;
  /** Made last of all: what is wrong with the rest leaves no folder behind. */
  readonly folder: RunFolder;
  /** Unix time in milliseconds from which the run's time counts. */
  readonly startedAt: number;
  /** The command that starts it again, for its records. */
  readonly command: string;
  /** Prints one JSON object as the last line. */
  readonly json?: true;
}
