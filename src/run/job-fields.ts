/**
 * Jobs as programs write them: the fields of a job file as a typed object, so
 * that an editor completes and checks them. The types follow {@link Job}, so a
 * field that the schema gains is here as well.
 */
import type { Model } from "../compile/graph.ts";
import type { LossName, LossSpec } from "../compile/loss.ts";
import { type DataSpec, type Job, parseJob } from "./job.ts";
import type { Schedule, ScheduleName } from "./schedule.ts";

/** A device of the fleet as a job file describes it. */
export interface DeviceFields {
  /** Letters, digits, _ . - */
  readonly name: string;
  /** Share of one core that may be used, above 0 to 1; 1 where absent. */
  readonly duty?: number;
  /** Limit of its own link in Mbit/s; none where absent. */
  readonly ceilingMbit?: number;
  /** Memory that may be used, in MB; unlimited where absent. */
  readonly memoryMB?: number;
  /**
   * What a round may take of its energy, in joules, where that is limited; what computing takes, in watts, and
   * sending or receiving a megabyte, in joules, which is nothing where absent.
   */
  readonly energy?: {
    readonly watts: number;
    readonly joulesPerMB?: number;
    readonly joulesPerRound: number;
  };
}

/** The fleet as a job file describes it. */
export interface FleetFields {
  /** Radio cell that all devices share, in Mbit/s; null or absent where there is none. */
  readonly cellMbit?: number | null;
  /** The devices, or how many of them at full duty; 1 where absent. */
  readonly devices?: number | readonly DeviceFields[];
}

/**
 * A job as a job file has it; what is absent gets its default. `model` and `data`
 * have none: they are left out only where the program brings a model or samples itself.
 */
export interface JobFields
  extends Partial<
    Omit<
      Job,
      | "loss"
      | "optimizer"
      | "codec"
      | "pipeline"
      | "round"
      | "split"
      | "featureReplay"
      | "exchange"
      | "evaluate"
      | "fleet"
    >
  > {
  readonly loss?: LossName | (Partial<LossSpec> & Pick<LossSpec, "kind">);
  readonly optimizer?: Partial<Omit<Job["optimizer"], "schedule">> & {
    readonly schedule?: ScheduleName | Partial<Schedule>;
  };
  readonly codec?: Partial<Job["codec"]>;
  readonly pipeline?: Partial<Job["pipeline"]>;
  readonly round?: Partial<Job["round"]>;
  readonly split?: Partial<Job["split"]>;
  readonly featureReplay?: Partial<Job["featureReplay"]>;
  readonly exchange?: Partial<Job["exchange"]>;
  readonly evaluate?: Partial<Job["evaluate"]>;
  readonly fleet?: FleetFields;
}

/** What a program hands over instead of naming it in the job. */
interface Brought {
  readonly model?: Model | undefined;
  readonly hasData: boolean;
}

/** Stands in a job for samples that the program brings; nothing is read from there. */
const broughtData: DataSpec = { csv: "samples of the program" };

/** The checked job of what a program gives. @throws InputError as {@link parseJob} does */
export function jobOf(job: Job | JobFields, { model, hasData }: Brought): Job {
  if (isChecked(job)) return job;
  return parseJob({
    // Only a name in the job says what a model is made for: anything may be called "vae".
    ...(model === undefined || job.model !== undefined
      ? {}
      : { model: model.graph.name || "model", loss: "softmax-cross-entropy" }),
    ...(hasData ? { data: broughtData } : {}),
    ...job,
  });
}

const isChecked = (job: Job | JobFields): job is Job =>
  job.fleet !== undefined && "cellBytesPerMs" in job.fleet;
