/**
 * How many bytes cross each cut, by codec. Shapes do not change while a job runs, and plans are thought
 * about batch by batch, so what has been counted for a model's segments is kept as long as they are.
 */
import { type LinkCodecName, linkWireBytes } from "../codec/link-codec.ts";
import type { SegmentCost } from "../compile/segment.ts";

/** Bytes of a batch's tensors by the cut that they cross; nothing before the first segment. */
export interface BorderBytes {
  readonly features: Float64Array;
  readonly gradients: Float64Array;
}

const counted = new WeakMap<readonly SegmentCost[], Map<LinkCodecName, BorderBytes>>();

/** Bytes on the wire, labels not counted. */
export function borderBytes(segments: readonly SegmentCost[], codec: LinkCodecName): BorderBytes {
  const known = counted.get(segments) ?? new Map<LinkCodecName, BorderBytes>();
  counted.set(segments, known);
  let bytes = known.get(codec);
  if (bytes === undefined) {
    bytes = count(segments, codec);
    known.set(codec, bytes);
  }
  return bytes;
}

function count(segments: readonly SegmentCost[], codec: LinkCodecName): BorderBytes {
  const features = new Float64Array(segments.length);
  const gradients = new Float64Array(segments.length);
  for (const { index, outputs } of segments.slice(0, -1)) {
    for (const value of outputs) {
      const bytes = linkWireBytes(codec, value);
      (features[index + 1] as number) += bytes;
      if (value.hasGradient) (gradients[index + 1] as number) += bytes;
    }
  }
  return { features, gradients };
}
