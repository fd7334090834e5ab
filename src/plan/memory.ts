/** What a stage needs to hold while it trains: the memory that planners reckon with. */
import type { SegmentCost } from "../compile/segment.ts";

/**
 * Bytes that training segments [from, to) holds at its peak for one batch: parameters
 * with their gradients and optimizer state, the activations saved for backward, and
 * the activation that leaves. The engine's own working memory is not in it.
 *
 * @param outputBytes the leaving activation's bytes; 0 for a stage that holds the loss
 */
export function trainingBytes(
  segments: readonly SegmentCost[],
  from: number,
  to: number,
  outputBytes: number,
): number {
  let bytes = outputBytes;
  for (const segment of segments.slice(from, to)) {
    bytes += 2 * segment.parameterBytes + segment.stateBytes + segment.savedBytes;
  }
  return bytes;
}
