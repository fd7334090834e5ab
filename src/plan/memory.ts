/** What a stage needs to hold while it trains: the memory that planners reckon with. */
import { byteLength } from "../base/tensor.ts";
import { type LinkCodecName, memoryBytes, rowsOf } from "../codec/link-codec.ts";
import type { SegmentCost } from "../compile/segment.ts";

/** What a stage's memory depends on beside its segments. */
export interface TrainingStage {
  readonly hasLoss: boolean;
  readonly recompute: boolean;
  readonly keepsBase?: boolean;
}

/** What compiling a stage and holding its sessions takes, whatever their size. */
const sessionBytes = 35e6;

/**
 * Bytes that training segments [from, to) takes at its peak for one batch, by how engines hold it
 * (`npm run bench -- memory` compares this with what processes take).
 *
 * Parameters and optimizer state are there three times: as they are, as the engine computes them
 * anew, and as it hands them over. A stage that holds the loss runs one program, whose saved
 * activations live inside of it. Any other stage has programs for forward, backward and update,
 * each with memory of its own. Gradients and saved activations are handed over between them, and
 * stay until those of the next batch are there: three of each. Activations come and go in sizes
 * of all kinds, and leave gaps as large again (measured, not derived).
 *
 * A stage that computes its activations once more in backward saves none: there they are once,
 * and the gaps.
 *
 * @param stage whether it is the last one, whether it recomputes, and whether it keeps what its rounds
 *   began with, as where differences travel home
 */
export function trainingBytes(
  segments: readonly SegmentCost[],
  from: number,
  to: number,
  { hasLoss, recompute, keepsBase = false }: TrainingStage,
): number {
  const held = keepsBase ? 4 : 3;
  const handed = hasLoss ? 1 : recompute ? 2 : 4;
  let [bytes, working] = [sessionBytes, 0];
  for (const segment of segments.slice(from, to)) {
    bytes += held * (segment.parameterBytes + segment.stateBytes) + handed * segment.savedBytes;
    if (!hasLoss) bytes += 3 * segment.parameterBytes;
    working = Math.max(working, segment.workingBytes);
  }
  return bytes + working;
}

/** How a stage before the last keeps the batches that are between its forward and backward pass. */
export interface PipelinedStage {
  readonly recompute: boolean;
  readonly backward: "stored" | "replay";
  /** Batches that it holds at once; 1 or more. */
  readonly inFlight: number;
  readonly keepsBase?: boolean;
  /** So many batches in a row see the same parameters, at least. */
  readonly batchesPerVersion: number;
}

/**
 * Bytes that a stage before the last takes in a pipeline: {@link trainingBytes} for one batch, and
 * for each further one in flight what waits for its gradient: saved activations, or only the input
 * where backward computes them anew. The source keeps no input: it draws a batch again by its number.
 *
 * With backward `stored`, the parameters of a batch's forward pass wait, too (weight stashing,
 * Narayanan et al., "PipeDream", SOSP 2019, section 3.3): between the oldest batch in flight and
 * the newest lie inFlight - 1 others, and an update for every `batchesPerVersion` of them.
 */
export function pipelinedBytes(
  segments: readonly SegmentCost[],
  from: number,
  to: number,
  { recompute, backward, inFlight, batchesPerVersion, keepsBase = false }: PipelinedStage,
): number {
  const isComputedAnew = recompute || backward === "replay";
  const bytes = trainingBytes(segments, from, to, {
    ...{ hasLoss: false, recompute: isComputedAnew, keepsBase },
  });
  let [waiting, parameters] = [0, 0];
  for (const { savedBytes, parameterBytes } of segments.slice(from, to)) {
    if (!isComputedAnew) waiting += savedBytes;
    parameters += parameterBytes;
  }
  if (isComputedAnew) {
    for (const value of segments[from - 1]?.outputs ?? []) waiting += byteLength(value);
  }
  const versions = backward === "stored" ? Math.ceil((inFlight - 1) / batchesPerVersion) : 0;
  return bytes + (inFlight - 1) * waiting + versions * parameters;
}

/**
 * Bytes that a device remembers of the features that it sends at a cut, which only codecs with a memory do:
 * of a batch, or of so many samples.
 * @param samples as in {@link PlanRequest.codecSamples}
 */
export function rememberedBytes(
  segments: readonly SegmentCost[],
  cut: number,
  { codec, samples }: { readonly codec: LinkCodecName; readonly samples: number | null },
): number {
  const outputs = cut === segments.length ? [] : (segments[cut - 1]?.outputs ?? []);
  return outputs.reduce((sum, value) => {
    const rows = Math.max(samples ?? 0, rowsOf(value));
    return sum + memoryBytes(codec, value, { rows }).sender;
  }, 0);
}
