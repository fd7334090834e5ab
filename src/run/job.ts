/**
 * Jobs: what `job.yaml` may say, with defaults. One schema serves the command
 * line, the library and the simulator; `docs/jobs.md` describes every field.
 */
import * as z from "zod/mini";
import { present } from "../base/assert.ts";
import { InputError } from "../base/errors.ts";
import { namePattern } from "../base/ids.ts";
import { bytesPerMsOfMbit } from "../base/units.ts";
import { type LinkCodecName, linkCodecNames, memoryKind } from "../codec/link-codec.ts";
import { type UpdateCodecName, updateCodecNames } from "../codec/update.ts";
import { type LossName, type LossSpec, lossNames, lossSpec } from "../compile/loss.ts";
import {
  type OptimizerName,
  type OptimizerSpec,
  optimizerNames,
  optimizerSpec,
} from "../compile/optimizer.ts";
import { builtInLoss, builtInOptions, checkModelOptions, isBuiltIn } from "../models/catalog.ts";
import { type ModelChoices, vocabularyDefault } from "../models/options.ts";
import { harmlessCodecs } from "../plan/feature-replay.ts";
import type { EnergyLimit } from "../plan/plan.ts";
import { type PlannerName, plannerNames } from "../plan/planners.ts";
import { refuseGrowth } from "./growth.ts";
import { exchangeDefaults, exchangeSchema } from "./job-exchange.ts";
import { joinSchema, refuseJoins } from "./job-join.ts";
import { partiesSchema, refuseParties, sharingParties } from "./job-parties.ts";
import { refuseStream } from "./job-stream.ts";
import { type Schedule, scheduleDefaults, scheduleNames } from "./schedule.ts";
import { stalenessNames, stalenessOf } from "./staleness.ts";
import type { JobSpec } from "./wire/messages.ts";

const positiveInt = z.int().check(z.positive());
const positive = z.number().check(z.positive());

const dataSchema = z.union([
  z.enum(["mnist", "fashion-mnist"]),
  z.strictObject({ idx: z.string() }),
  z.strictObject({
    csv: z.string(),
    label: z.optional(z.string()),
    key: z.optional(z.string()),
    test: z.optional(z.string()),
  }),
  z.strictObject({
    images: z.string(),
    size: z.optional(z.tuple([positiveInt, positiveInt])),
    channels: z.optional(z.union([z.literal(1), z.literal(3)])),
  }),
  z.strictObject({
    text: z.string(),
    vocabulary: z._default(positiveInt, vocabularyDefault),
    length: z._default(positiveInt, 64),
  }),
  z.strictObject({
    ratings: z.literal("movielens"),
    split: z._default(z.enum(["random", "newest"]), "random"),
    history: z._default(z.int().check(z.nonnegative()), 0),
  }),
]);

/** What a device may spend, as people write it; see {@link EnergyLimit}. */
export const energySchema = z.strictObject({
  watts: positive,
  joulesPerMB: z._default(z.number().check(z.nonnegative()), 0),
  joulesPerRound: positive,
});

const deviceSchema = z.strictObject({
  name: z.string().check(z.regex(namePattern, "letters, digits, _ . -")),
  duty: z._default(z.number().check(z.positive(), z.maximum(1)), 1),
  ceilingMbit: z.optional(positive),
  memoryMB: z.optional(positive),
  energy: z.optional(energySchema),
});

const upField = z.enum(linkCodecNames, `one of ${linkCodecNames.join(", ")}`);
// Deltas are between values of one sample, and who sends gradients does not know of which they are.
const downCodecs = linkCodecNames.filter((name) => memoryKind(name) !== "delta");
const downField = z.enum(downCodecs, `one of ${downCodecs.join(", ")}`);
const updatesField = z.enum(updateCodecNames, `one of ${updateCodecNames.join(", ")}`);

const rate = z.number().check(z.nonnegative(), z.lt(1));
const nonnegative = z.number().check(z.nonnegative());

const lossName = z.enum(lossNames as [string, ...string[]]);
const lossSchema = z.union([
  lossName,
  z.strictObject({
    kind: lossName,
    classWeights: z.optional(z.nullable(z.array(nonnegative))),
    labelSmoothing: z.optional(rate),
    ignoreLabel: z.optional(z.nullable(z.int())),
    delta: z.optional(positive),
    temperature: z.optional(positive),
    labelUnit: z.optional(positive),
  }),
]);

const scheduleName = z.enum(scheduleNames as [string, ...string[]]);
const scheduleSchema = z.union([
  scheduleName,
  z.strictObject({
    kind: z._default(scheduleName, "constant"),
    every: z.optional(positiveInt),
    factor: z.optional(positive),
    warmup: z.optional(z.int().check(z.nonnegative())),
  }),
]);

const optimizerSchema = z.strictObject({
  kind: z._default(z.enum(optimizerNames as [string, ...string[]]), "sgd"),
  learningRate: z.optional(positive),
  momentum: z.optional(rate),
  nesterov: z.optional(z.boolean()),
  beta1: z.optional(rate),
  beta2: z.optional(rate),
  alpha: z.optional(rate),
  epsilon: z.optional(positive),
  weightDecay: z.optional(nonnegative),
  clipValue: z.optional(z.nullable(positive)),
  clipNorm: z.optional(z.nullable(positive)),
  accumulate: z.optional(positiveInt),
  schedule: z._default(scheduleSchema, "constant"),
});

const modelOptionsSchema = z.strictObject({
  classes: z.optional(positiveInt),
  channels: z.optional(positiveInt),
  size: z.optional(positiveInt),
  dropout: z.optional(rate),
  vocabulary: z.optional(positiveInt),
  length: z.optional(positiveInt),
  width: z.optional(positiveInt),
});

const pipelineSchema = z.strictObject({
  schedule: z._default(z.enum(["window", "1f1b", "gpipe"]), "window"),
  window: z._default(z.nullable(z.int().check(z.nonnegative(), z.maximum(64))), null),
  backward: z._default(z.enum(["stored", "replay"]), "stored"),
  probe: z._default(z.enum(["blocks", "segments"]), "blocks"),
  staleness: z._default(z.nullable(z.enum(stalenessNames)), null),
});

const upList = z.array(upField).check(z.minLength(1));
const downList = z.array(downField).check(z.minLength(1));
const splitSchema = z.strictObject({
  cutMin: z._default(positiveInt, 1),
  mayKeepAll: z._default(z.boolean(), false),
  mayShareFreely: z._default(z.boolean(), false),
  labels: z._default(z.enum(["at-server", "at-home"]), "at-server"),
  up: z._default(z.nullable(upList), null),
  down: z._default(z.nullable(downList), null),
  serverCopies: z._default(z.enum(["each", "shared"]), "each"),
  merge: z._default(z.nullable(positiveInt), null),
});

const roundSchema = z.strictObject({
  quorum: z._default(z.number().check(z.positive(), z.maximum(1)), 1),
  deadline: z._default(z.number().check(z.minimum(1)), 1.5),
  late: z._default(z.enum(["drop", "fold"]), "drop"),
  batches: z._default(z.enum(["equal", "proportional"]), "equal"),
  interim: z._default(z.nullable(positiveInt), null),
  join: z.optional(joinSchema),
});

const featureReplayDefaults = {
  ...{ up: [...harmlessCodecs], down: [...harmlessCodecs] },
  ...{ msPerMB: 0, msPerJoule: 0 },
};
const featureReplaySchema = z.strictObject({
  up: z._default(upList, featureReplayDefaults.up),
  down: z._default(downList, featureReplayDefaults.down),
  msPerMB: z._default(nonnegative, featureReplayDefaults.msPerMB),
  msPerJoule: z._default(nonnegative, featureReplayDefaults.msPerJoule),
});

const jobSchema = z.strictObject({
  name: z._default(z.string().check(z.regex(namePattern, "letters, digits, _ . -")), "job"),
  model: z.string().check(z.minLength(1)),
  modelOptions: z._default(modelOptionsSchema, {}),
  data: dataSchema,
  loss: z.optional(lossSchema),
  optimizer: z._default(optimizerSchema, { kind: "sgd", schedule: "constant" }),
  frozen: z._default(z.array(z.string()), []),
  parties: z.optional(partiesSchema),
  cutTensors: z._default(positiveInt, 1),
  recompute: z._default(z.boolean(), false),
  batch: z._default(positiveInt, 32),
  rounds: z._default(positiveInt, 10),
  localBatches: z._default(positiveInt, 10),
  round: z._default(roundSchema, {
    ...{ quorum: 1, deadline: 1.5, late: "drop" as const, batches: "equal" as const },
    interim: null,
  }),
  planner: z._default(z.enum(plannerNames as [string, ...string[]]), "parallel-split"),
  pipeline: z._default(pipelineSchema, {
    ...{ schedule: "window" as const, window: null },
    ...{ backward: "stored" as const, probe: "blocks" as const, staleness: null },
  }),
  split: z._default(splitSchema, {
    ...{ cutMin: 1, mayKeepAll: false, mayShareFreely: false, up: null, down: null },
    ...{ labels: "at-server" as const, serverCopies: "each" as const, merge: null },
  }),
  featureReplay: z._default(featureReplaySchema, featureReplayDefaults),
  exchange: z._default(exchangeSchema, exchangeDefaults),
  codec: z._default(
    z.strictObject({
      up: z._default(upField, "float32"),
      down: z._default(downField, "float32"),
      updates: z._default(updatesField, "float32"),
      samples: z._default(z.nullable(positiveInt), null),
    }),
    { up: "float32", down: "float32", updates: "float32", samples: null },
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
  /** What it may spend, where that is limited. */
  readonly energy?: EnergyLimit;
}

/** A checked job with every default filled in. */
export interface Job
  extends Omit<Parsed, "modelOptions" | "loss" | "optimizer" | "planner" | "codec" | "fleet"> {
  /** What is chosen of a built-in model; none for a file. */
  readonly modelOptions: ModelChoices;
  readonly loss: LossSpec;
  readonly optimizer: OptimizerSpec & {
    readonly learningRate: number;
    readonly schedule: Schedule;
  };
  readonly planner: PlannerName;
  readonly codec: {
    readonly up: LinkCodecName;
    readonly down: LinkCodecName;
    /** How what is trained travels home: as it is (float32), or as differences. */
    readonly updates: UpdateCodecName;
    /** Of how many samples the codecs of features remember something; null where memory belongs to the link. */
    readonly samples: number | null;
  };
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
  if (!result.success) throw issueError(raw, present(result.error.issues[0], "an issue"), locate);
  const { fleet, loss, optimizer, modelOptions, ...rest } = result.data;
  const devices =
    typeof fleet.devices === "number"
      ? Array.from({ length: fleet.devices }, (_, i) => ({ name: `device-${i + 1}`, duty: 1 }))
      : fleet.devices;
  refuseNames(devices, locate);
  const job: Job = {
    ...(rest as Omit<Job, "fleet" | "loss" | "optimizer" | "modelOptions">),
    modelOptions: stated(modelOptions),
    loss: lossOf(loss ?? defaultLoss(rest.model)),
    optimizer: optimizerOf(optimizer),
    fleet: {
      cellBytesPerMs: fleet.cellMbit === null ? null : bytesPerMsOfMbit(fleet.cellMbit),
      devices: devices.map((device) => deviceSpec(device)),
    },
  };
  const refusals = [refuseConflicts, refuseJoins, refuseGrowth, refuseParties, refuseStream];
  for (const refuse of refusals) refuse(job, locate);
  return job;
}

/** The fields that are there, for spreading over defaults. */
const stated = <T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;

/** What a built-in model is made for; of files, most are classifiers. */
const defaultLoss = (model: string): LossName =>
  isBuiltIn(model) ? builtInLoss(model) : "softmax-cross-entropy";

function lossOf(loss: NonNullable<Parsed["loss"]>): LossSpec {
  const { kind, ...given } = typeof loss === "string" ? { kind: loss } : loss;
  return lossSpec(kind as LossName, stated(given));
}

/** What a learning rate and a momentum are where the job does not say. */
const optimizerRates: {
  readonly [K in OptimizerName]: { learningRate: number; momentum: number };
} = {
  sgd: { learningRate: 0.05, momentum: 0.9 },
  adam: { learningRate: 0.001, momentum: 0 },
  adamw: { learningRate: 0.001, momentum: 0 },
  rmsprop: { learningRate: 0.001, momentum: 0 },
};

function optimizerOf(optimizer: Parsed["optimizer"]): Job["optimizer"] {
  const { schedule, kind: name, learningRate, ...given } = optimizer;
  const kind = name as OptimizerName;
  const { kind: shape, ...rest } = typeof schedule === "string" ? { kind: schedule } : schedule;
  return {
    ...optimizerSpec(kind, { momentum: optimizerRates[kind].momentum, ...stated(given) }),
    learningRate: learningRate ?? optimizerRates[kind].learningRate,
    schedule: { ...scheduleDefaults(shape as Schedule["kind"]), ...stated(rest) },
  };
}

/** Fields that can only be wrong together. */
function refuseConflicts(job: Job, locate: (path: readonly PropertyKey[]) => string): void {
  const { model, modelOptions, data, optimizer, localBatches, split } = job;
  checkModelOptions(model, modelOptions, (option) =>
    locate(option === null ? ["modelOptions"] : ["modelOptions", option]),
  );
  refuseWords({ model, modelOptions, data }, locate);
  refuseMemory(job, locate);
  const { nesterov, momentum, accumulate } = optimizer;
  if (nesterov && (momentum === 0 || optimizer.kind !== "sgd")) {
    throw new InputError({
      what: "optimizer.nesterov",
      received: `true with ${optimizer.kind} and momentum ${momentum}`,
      allowed: "sgd with a momentum above 0",
      where: locate(["optimizer", "nesterov"]),
    });
  }
  if (split.labels === "at-home" && split.serverCopies === "shared") {
    throw new InputError({
      what: "split.labels",
      received: "at-home with serverCopies shared",
      allowed: "at-home with serverCopies each, since a copy that devices share holds the loss",
      where: locate(["split", "labels"]),
    });
  }
  if (localBatches % accumulate !== 0) {
    throw new InputError({
      what: "optimizer.accumulate",
      received: `${accumulate} with localBatches ${localBatches}`,
      allowed: "a divisor of localBatches, so that a round ends with a step",
      where: locate(["optimizer", "accumulate"]),
    });
  }
}

/** Deltas belong to samples, and a batch's samples are remembered together. */
function refuseMemory(
  { batch, codec, split, featureReplay }: Job,
  locate: (path: readonly PropertyKey[]) => string,
): void {
  const { samples } = codec;
  const asked = [codec.up, ...(split.up ?? []), ...featureReplay.up];
  const delta = asked.find((name) => memoryKind(name) === "delta");
  const isTooFew = samples !== null && samples < batch;
  if (!isTooFew && (delta === undefined || samples !== null)) return;
  throw new InputError({
    what: "codec.samples",
    received: samples === null ? `nothing with ${delta}` : `${samples} with batch ${batch}`,
    allowed: `the number of samples that are remembered, ${batch} or more`,
    where: locate(["codec", "samples"]),
  });
}

/** Words of the data must be among those that the model has a row for. */
function refuseWords(
  { model, modelOptions, data }: Pick<Job, "model" | "modelOptions" | "data">,
  locate: (path: readonly PropertyKey[]) => string,
): void {
  if (typeof data === "string" || !("vocabulary" in data) || !isBuiltIn(model)) return;
  const { vocabulary = vocabularyDefault } = modelOptions;
  if (!builtInOptions(model).includes("vocabulary") || data.vocabulary <= vocabulary) return;
  throw new InputError({
    what: "data.vocabulary",
    received: `${data.vocabulary} for ${model}, which has a vocabulary of ${vocabulary}`,
    allowed: `at most that (the job may say modelOptions: { vocabulary: ${data.vocabulary} })`,
    where: locate(["data", "vocabulary"]),
  });
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
  const { name, duty, ceilingMbit, memoryMB, energy } = device;
  return {
    name,
    duty,
    ceilingBytesPerMs: ceilingMbit === undefined ? null : bytesPerMsOfMbit(ceilingMbit),
    memoryBytes: memoryMB === undefined ? null : memoryMB * 1e6,
    ...(energy === undefined ? {} : { energy: energyLimit(energy) }),
  };
}

/** A limit as planners reckon with it. */
export const energyLimit = ({
  watts,
  joulesPerMB,
  joulesPerRound,
}: z.infer<typeof energySchema>): EnergyLimit => ({
  computeWatts: watts,
  joulesPerByte: joulesPerMB / 1e6,
  joulesPerRound,
});

/** The same as people write it. */
export const energyFields = ({
  computeWatts,
  joulesPerByte,
  joulesPerRound,
}: EnergyLimit): z.infer<typeof energySchema> => ({
  watts: computeWatts,
  joulesPerMB: joulesPerByte * 1e6,
  joulesPerRound,
});

/** One message about one field, of a schema's first issue. */
export function issueError(
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
  cutTensors: job.cutTensors,
  recompute: job.recompute,
  loss: job.loss,
  optimizer: optimizerSpecOf(job),
  seed: job.seed,
  updates: job.codec.updates,
  ...(job.codec.samples === null ? {} : { samples: job.codec.samples }),
  ...(stalenessOf(job) === "divided" && { staleness: "divided" as const }),
  ...(sharingParties(job) !== null && { parties: job.parties }),
});

/** The optimizer's settings without the learning rate, which comes with each round. */
function optimizerSpecOf({ optimizer }: Job): OptimizerSpec {
  const { learningRate: _, schedule: __, ...spec } = optimizer;
  return spec;
}
