/**
 * How many bytes cross each cut, by codec. Shapes do not change while a job runs, and plans are thought
 * about batch by batch, so what has been counted for a model's segments is kept as long as they are.
 */

import { byteLength } from "../base/tensor.ts";
import { type LinkCodecName, linkWireBytes } from "../codec/link-codec.ts";
import type { SegmentCost } from "../compile/segment.ts";

/** Bytes of a batch's tensors by the cut that they cross; nothing before the first segment. */
export interface BorderBytes {
  readonly features: Float64Array;
  readonly gradients: Float64Array;
}

/**
 * What the head of a frame with a batch takes, which counts where links are shared out to a device of a
 * small model: what it says of the batch, and of each tensor (`docs/protocol.md`, W1).
 */
const headBytes = { message: 120, tensor: 80 };

const known = new WeakMap<readonly SegmentCost[], Map<LinkCodecName | "values", BorderBytes>>();

/** Bytes on the wire, heads of frames included, labels not counted. */
export function borderBytes(segments: readonly SegmentCost[], codec: LinkCodecName): BorderBytes {
  return kept(segments, codec, (values) => {
    if (values.length === 0) return 0;
    const tensors = values.map((value) => headBytes.tensor + linkWireBytes(codec, value));
    return tensors.reduce((sum, bytes) => sum + bytes, headBytes.message);
  });
}

/** Bytes of the values themselves, which is what codecs take their time for. */
export function borderValues(segments: readonly SegmentCost[]): BorderBytes {
  return kept(segments, "values", (values) =>
    values.reduce((sum, value) => sum + byteLength(value), 0),
  );
}

type Outputs = SegmentCost["outputs"];

function kept(
  segments: readonly SegmentCost[],
  as: LinkCodecName | "values",
  bytesOf: (values: Outputs) => number,
): BorderBytes {
  const counted = known.get(segments) ?? new Map<LinkCodecName | "values", BorderBytes>();
  known.set(segments, counted);
  let bytes = counted.get(as);
  if (bytes === undefined) {
    bytes = count(segments, bytesOf);
    counted.set(as, bytes);
  }
  return bytes;
}

function count(
  segments: readonly SegmentCost[],
  bytesOf: (values: Outputs) => number,
): BorderBytes {
  const features = new Float64Array(segments.length);
  const gradients = new Float64Array(segments.length);
  for (const { index, outputs } of segments.slice(0, -1)) {
    features[index + 1] = bytesOf(outputs);
    gradients[index + 1] = bytesOf(outputs.filter(({ hasGradient }) => hasGradient));
  }
  return { features, gradients };
}
