/** How large the frames of a job can be: whatever is larger is refused before it is there. */
import { byteLength } from "../base/tensor.ts";
import type { SegmentCost } from "../compile/segment.ts";

/** What a message without tensors may come to: spans of activity, profiles of deep models. */
const messageBytesMax = 256 * 1024;
/** What the header says of one tensor, at most. */
const entryBytesMax = 2048;
/** What codecs remember of a row beside its values: key, slot and count of each tensor at a border. */
const rowBytesMax = 64;
/** What a contribution says of a turn, and of what went straight to and from a device, at most. */
const turnBytesMax = 8;
const straightBytesMax = 640;

const bytesOf = ({ outputs }: SegmentCost): number =>
  outputs.reduce((sum, output) => sum + byteLength(output), 0);

/** Features and labels, or gradients, at the model's widest border. */
function borderBytes(costs: readonly SegmentCost[]): number {
  const last = costs.at(-1);
  // A label is an int64, and no answer of the model has more of them than float32 values.
  const labels = last === undefined ? 0 : 2 * bytesOf(last);
  return Math.max(0, ...costs.map(bytesOf)) + labels;
}

const outputsOf = (costs: readonly SegmentCost[]): number =>
  costs.reduce((sum, { outputs }) => sum + outputs.length, 1);

/**
 * Largest frame, in bytes, that one worker sends another: what crosses a border between two stages, or
 * values of all parameters with their places, or all that is trained as a round begins.
 * @param parameters number of the parameters that are trained
 */
export function dataFrameBytesMax(costs: readonly SegmentCost[], parameters: number): number {
  const values = costs.reduce((sum, { parameterBytes }) => sum + parameterBytes, 0);
  const state = costs.reduce((sum, { stateBytes }) => sum + stateBytes, values);
  // A place takes a bit of a bitmap at most, a value 32.
  const parts = Math.ceil(values * (1 + 1 / 32)) + 8 * parameters;
  // Optimizers keep three tensors beside a parameter at most, and paddings are short.
  const tensors = outputsOf(costs) + 4 * parameters;
  const most = Math.max(parts, state, borderBytes(costs));
  return messageBytesMax + entryBytesMax * tensors + most;
}

/**
 * Largest frame, in bytes, that a worker sends: a contribution of the whole model, or what
 * crosses its widest border.
 * @param parameters number of the model's parameters
 * @param sharing devices that may share a copy, batches that each has in a round, and what codecs remember
 */
export function frameBytesMaxOf(
  costs: readonly SegmentCost[],
  parameters: number,
  sharing: {
    readonly devices: number;
    readonly batches: number;
    /** Samples of a batch, and of how many samples codecs remember something. */
    readonly batch: number;
    readonly samples: number;
  },
): number {
  const contribution = costs.reduce(
    (sum, { parameterBytes, stateBytes }) => sum + parameterBytes + stateBytes,
    0,
  );
  // Optimizers keep three tensors beside a parameter at most, codecs of updates make two parts of one, and
  // paddings are short.
  const tensors = 2 * 4 * parameters + outputsOf(costs);
  const shared = sharing.devices * (straightBytesMax + turnBytesMax * sharing.batches);
  // What codecs remember of features, of gradients, and of the borders on both sides of a stage.
  const rows = 2 * sharing.samples + 4 * sharing.batch;
  const memory = rows * (borderBytes(costs) / sharing.batch + rowBytesMax);
  const memories = 4 * 4 * outputsOf(costs);
  const header = messageBytesMax + shared + entryBytesMax * (tensors + memories);
  return header + Math.max(contribution + memory, borderBytes(costs));
}
