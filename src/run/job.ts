/**
 * Jobs: what `job.yaml` may say, with defaults. One schema serves the command
 * line, the library and the simulator; `docs/jobs.md` describes every field.
 */
import * as z from "zod/mini";
import { present } from "../base/assert.ts";
import { InputError } from "../base/errors.ts";
import { namePattern } from "../base/ids.ts";
import { bytesPerMsOfMbit } from "../base/units.ts";
import { type CodecName, codecNames } from "../codec/codec.ts";
import { type LossName, lossNames } from "../compile/loss.ts";
import { type OptimizerName, optimizerNames } from "../compile/optimizer.ts";
import { type PlannerName, plannerNames } from "../plan/planners.ts";
import type { JobSpec } from "./wire/messages.ts";

const positiveInt = z.int().check(z.positive());
const positive = z.number().check(z.positive());

const dataSchema = z.union([
  z.literal("mnist"),
  z.strictObject({ idx: z.string() }),
  z.strictObject({ csv: z.string(), label: z.optional(z.string()), test: z.optional(z.string()) }),
  z.strictObject({
    images: z.string(),
    size: z.optional(z.tuple([positiveInt, positiveInt])),
    channels: z.optional(z.union([z.literal(1), z.literal(3)])),
  }),
]);

const deviceSchema = z.strictObject({
  name: z.string().check(z.regex(namePattern, "letters, digits, _ . -")),
  duty: z._default(z.number().check(z.positive(), z.maximum(1)), 1),
  ceilingMbit: z.optional(positive),
  memoryMB: z.optional(positive),
});

const codecField = z.enum(codecNames as [string, ...string[]]);

const jobSchema = z.strictObject({
  name: z._default(z.string().check(z.regex(namePattern, "letters, digits, _ . -")), "job"),
  model: z.string().check(z.minLength(1)),
  data: dataSchema,
  loss: z._default(z.enum(lossNames as [string, ...string[]]), "softmax-cross-entropy"),
  optimizer: z._default(
    z.strictObject({
      kind: z._default(z.enum(optimizerNames as [string, ...string[]]), "sgd"),
      learningRate: z._default(positive, 0.05),
      momentum: z._default(z.number().check(z.nonnegative(), z.lt(1)), 0.9),
      weightDecay: z._default(z.number().check(z.nonnegative()), 0),
      schedule: z._default(z.enum(["constant", "cosine"]), "constant"),
    }),
    { kind: "sgd", learningRate: 0.05, momentum: 0.9, weightDecay: 0, schedule: "constant" },
  ),
  batch: z._default(positiveInt, 32),
  rounds: z._default(positiveInt, 10),
  localBatches: z._default(positiveInt, 10),
  planner: z._default(z.enum(plannerNames as [string, ...string[]]), "parallel-split"),
  codec: z._default(
    z.strictObject({
      up: z._default(codecField, "float32"),
      down: z._default(codecField, "float32"),
    }),
    { up: "float32", down: "float32" },
  ),
  seed: z._default(z.int(), 1),
  evaluate: z._default(
    z.strictObject({
      every: z._default(positiveInt, 5),
      samples: z._default(z.nullable(positiveInt), null),
    }),
    { every: 5, samples: null },
  ),
  partition: z._default(z.strictObject({ alpha: positive }), { alpha: 0.5 }),
  fleet: z._default(
    z.strictObject({
      cellMbit: z._default(z.nullable(positive), null),
      devices: z._default(z.union([positiveInt, z.array(deviceSchema).check(z.minLength(1))]), 1),
    }),
    { cellMbit: null, devices: 1 },
  ),
});

type Parsed = z.infer<typeof jobSchema>;

/** A device of the fleet as the job describes it. */
export interface DeviceSpec {
  readonly name: string;
  readonly duty: number;
  readonly ceilingBytesPerMs: number | null;
  readonly memoryBytes: number | null;
}

/** A checked job with every default filled in. */
export interface Job extends Omit<Parsed, "loss" | "optimizer" | "planner" | "codec" | "fleet"> {
  readonly loss: LossName;
  readonly optimizer: Omit<Parsed["optimizer"], "kind"> & { readonly kind: OptimizerName };
  readonly planner: PlannerName;
  readonly codec: { readonly up: CodecName; readonly down: CodecName };
  readonly fleet: {
    /** The radio cell that all devices share; null where nothing but ceilings limits them. */
    readonly cellBytesPerMs: number | null;
    readonly devices: readonly DeviceSpec[];
  };
}

/** Where the samples of a job come from; see `docs/jobs.md`. */
export type DataSpec = Job["data"];

/**
 * Checks a job and fills in defaults.
 * @param locate says where a field stands ("job.yaml:7"), for the message; "job" where absent
 * @throws InputError naming the field, what was received and what is allowed
 */
export function parseJob(
  raw: unknown,
  locate: (path: readonly PropertyKey[]) => string = () => "job",
): Job {
  const result = jobSchema.safeParse(raw);
  if (!result.success) throw problemOf(raw, present(result.error.issues[0], "an issue"), locate);
  const { fleet, ...rest } = result.data;
  const devices =
    typeof fleet.devices === "number"
      ? Array.from({ length: fleet.devices }, (_, i) => ({ name: `device-${i + 1}`, duty: 1 }))
      : fleet.devices;
  refuseNames(devices, locate);
  return {
    ...(rest as Omit<Job, "fleet">),
    fleet: {
      cellBytesPerMs: fleet.cellMbit === null ? null : bytesPerMsOfMbit(fleet.cellMbit),
      devices: devices.map((device) => deviceSpec(device)),
    },
  };
}

/** The edge server that serve brings along has this name. */
const reservedName = "edge";

function refuseNames(
  devices: readonly { readonly name: string }[],
  locate: (path: readonly PropertyKey[]) => string,
): void {
  const names = devices.map(({ name }) => name);
  const wrong = names.findIndex((name, i) => name === reservedName || names.indexOf(name) < i);
  if (wrong < 0) return;
  throw new InputError({
    what: `fleet.devices.${wrong}.name`,
    received: JSON.stringify(names[wrong]),
    allowed: `a name of its own for each device, and not "${reservedName}", the server's`,
    where: locate(["fleet", "devices", wrong, "name"]),
  });
}

function deviceSpec(device: z.infer<typeof deviceSchema>): DeviceSpec {
  const { name, duty, ceilingMbit, memoryMB } = device;
  return {
    name,
    duty,
    ceilingBytesPerMs: ceilingMbit === undefined ? null : bytesPerMsOfMbit(ceilingMbit),
    memoryBytes: memoryMB === undefined ? null : memoryMB * 1e6,
  };
}

/** Turns the first schema issue into one message about one field. */
function problemOf(
  raw: unknown,
  issue: z.core.$ZodIssue,
  locate: (path: readonly PropertyKey[]) => string,
): InputError {
  const path =
    issue.code === "unrecognized_keys" ? [...issue.path, issue.keys[0] ?? ""] : issue.path;
  const value = path.reduce<unknown>(
    (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
    raw,
  );
  return new InputError({
    what: path.length === 0 ? "job" : path.join("."),
    received: value === undefined ? "nothing" : JSON.stringify(value),
    allowed: issue.code === "unrecognized_keys" ? `no such field here` : issue.message,
    where: locate(path),
  });
}

/** What a worker must know of the job. */
export const jobSpecOf = (job: Job): JobSpec => ({
  batch: job.batch,
  loss: job.loss,
  optimizer: {
    kind: job.optimizer.kind,
    momentum: job.optimizer.momentum,
    weightDecay: job.optimizer.weightDecay,
  },
  seed: job.seed,
});

/**
 * Learning rate of a round, 0-based. Cosine annealing goes from the job's rate to
 * 0 at the end (Loshchilov and Hutter, "SGDR", 2017, without restarts). The
 * coordinator computes it and sends it: Math.cos differs between machines.
 */
export function learningRateAt(job: Job, round: number): number {
  const { learningRate, schedule } = job.optimizer;
  switch (schedule) {
    case "constant":
      return learningRate;
    case "cosine":
      return (learningRate * (1 + Math.cos((Math.PI * round) / job.rounds))) / 2;
  }
}
