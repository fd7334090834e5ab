/** What a coordinator is given: a job, who may join, and what a predecessor has left (types only). */
import type { RunId } from "../../base/ids.ts";
import type { DenseTensor } from "../../base/tensor.ts";
import type { Planner } from "../../plan/plan.ts";
import type { Forecaster } from "../../plan/replan.ts";
import type { Journal } from "../host.ts";
import type { Job } from "../job.ts";
import type { Tickets } from "./admission.ts";
import type { Past } from "./journal.ts";
import type { StartModel } from "./training-state.ts";

/** What a coordinator that is no more has left to its successor. */
export interface Legacy {
  readonly past: Past;
  /** Tensors of the past's checkpoint, by name. */
  readonly tensors: ReadonlyMap<string, DenseTensor>;
}

export interface CoordinatorOptions {
  readonly run: RunId;
  readonly job: Job;
  /** The model as the run began with it. */
  readonly model: StartModel;
  /** Join tokens and what each allows. */
  readonly tickets: Tickets;
  /** Plans in place of the one that the job names. */
  readonly planner?: Planner;
  /** What its plans are judged by while they are in force; they are kept for as long as they work where absent. */
  readonly forecaster?: Forecaster;
  /** Edge servers that the run waits for, beside the job's devices. */
  readonly edges: number;
  /** Where decisions are written down; none where the run need not outlive this coordinator. */
  readonly journal?: Journal;
  /** The run goes on from here, on the same journal; a new run where absent. */
  readonly legacy?: Legacy;
  /**
   * Draws what two neighbours know each other by: a text that nobody can guess, another one each
   * time. Where absent nobody is introduced, and all data pass through the coordinator.
   */
  readonly drawSecret?: () => string;
  /** How long the run waits for nodes to come back when it cannot go on without; not at all where absent. */
  readonly patienceMs?: number;
}
