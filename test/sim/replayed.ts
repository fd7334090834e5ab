/** A simulated run against its log: one process that follows the log must come to the same weights, bit for bit. */
import { expect } from "vitest";
import { present } from "../../src/base/assert.ts";
import { readSafetensors } from "../../src/base/safetensors.ts";
import type { DenseTensor } from "../../src/base/tensor.ts";
import type { Model } from "../../src/compile/graph.ts";
import type { SampleSource } from "../../src/data/source.ts";
import type { Job } from "../../src/run/job.ts";
import type { RunRecord } from "../../src/run/metrics/record.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import { replay } from "../../src/sim/replay.ts";
import { shard, smallModel } from "./small-job.ts";

/** What a run has left behind. */
export interface Left {
  readonly records: readonly { readonly record: RunRecord }[];
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** What differs from a small job. */
export interface ReplayOptions {
  /** {@link smallModel} where absent. */
  readonly model?: Model;
  /** The shard of the job's device of that name where absent. */
  readonly samplesOf?: (node: string) => SampleSource;
}

/** @returns the weights that the run saved */
export async function expectReplayed(
  job: Job,
  { records, files }: Left,
  options: ReplayOptions = {},
): Promise<ReadonlyMap<string, DenseTensor>> {
  const sources = new Map(job.fleet.devices.map(({ name }, i) => [name, shard(i)]));
  const { model = smallModel(), samplesOf = (node) => present(sources.get(node), node) } = options;
  const expected = await replay({
    ...{ job, model, samplesOf, engine: interpreterEngine() },
    records: records.map(({ record }) => record),
  });
  const bytes = present(files.get("weights.safetensors"), "saved weights");
  const saved = readSafetensors(bytes).tensors;
  expect(saved.size).toBeGreaterThan(0);
  for (const [name, { data }] of saved) {
    expect(bytesOf(data), name).toEqual(bytesOf(present(expected.get(name), name).data));
  }
  return saved;
}

/** Bytes tell what numbers do not: signs of zeros, and kinds of NaN. */
const bytesOf = ({ buffer, byteOffset, byteLength }: DenseTensor["data"]) =>
  Buffer.from(buffer, byteOffset, byteLength);
