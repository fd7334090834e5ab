/** What `welcome` says of the job. */
import * as z from "zod/mini";
import { updateCodecNames } from "../../codec/update.ts";
import { lossNames } from "../../compile/loss.ts";
import { optimizerNames } from "../../compile/optimizer.ts";
import { stalenessNames } from "../staleness.ts";
import { columns } from "./schemas.ts";

/** What a worker must know of the job; the model's structure travels beside it as ONNX bytes. */
export const jobSpecSchema = z.strictObject({
  batch: z.int().check(z.positive()),
  cutTensors: z.int().check(z.positive()),
  recompute: z.boolean(),
  loss: z.strictObject({
    kind: z.enum(lossNames),
    classWeights: z.nullable(z.array(z.number())),
    labelSmoothing: z.number(),
    ignoreLabel: z.nullable(z.int()),
    delta: z.number(),
    temperature: z.number(),
    labelUnit: z.nullable(z.number()),
  }),
  optimizer: z.strictObject({
    kind: z.enum(optimizerNames),
    momentum: z.number(),
    nesterov: z.boolean(),
    beta1: z.number(),
    beta2: z.number(),
    alpha: z.number(),
    epsilon: z.number(),
    weightDecay: z.number(),
    clipValue: z.nullable(z.number()),
    clipNorm: z.nullable(z.number()),
    accumulate: z.int().check(z.positive()),
  }),
  seed: z.int(),
  /** How what is trained travels home. */
  updates: z.enum(updateCodecNames),
  /** Of how many samples codecs remember something; absent where their memory belongs to links. */
  samples: z.optional(z.int().check(z.positive())),
  staleness: z.optional(z.enum(stalenessNames)),
  /** Columns of the input that each party holds; absent where nodes hold all. */
  parties: z.optional(z.array(columns).check(z.minLength(2), z.maxLength(2))),
});
