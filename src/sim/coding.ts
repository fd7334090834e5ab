/**
 * What codecs take of a simulated machine's time. Peers code in no time of the world's, whatever numbers
 * their engine computes; where a machine says how fast it codes, that is made up for with the pass whose
 * tensors are coded.
 */
import type { NodeId } from "../base/ids.ts";
import type { Program } from "../compile/program.ts";
import type { SegmentCost } from "../compile/segment.ts";
import { borderBytes } from "../plan/border-bytes.ts";
import { decodeMs, encodeMs } from "../plan/coding.ts";
import type { Plan } from "../plan/plan.ts";

/** A machine that codes. */
export interface Coder {
  readonly node: NodeId;
  /** See `codingSpeed` in `plan/coding.ts`. */
  readonly speed: number;
  readonly segments: readonly SegmentCost[];
}

/** Milliseconds of coding that come with one run of a program under a plan. */
export function codingMsOf(plan: Plan, { node, speed, segments }: Coder, program: Program): number {
  const { kind, from, to } = program;
  const { features, gradients } = borderBytes(segments, "float32");
  const after = plan.links.find((link) => link.from === node);
  const before = plan.links.find((link) => link.to === node);
  let ms = 0;
  if (before !== undefined && from > 0) {
    const { codecUp, codecDown } = before;
    if (kind === "forward" || kind === "step") {
      ms += decodeMs(codecUp, features[from] as number, speed);
    }
    if (kind === "backward" || kind === "step") {
      ms += encodeMs(codecDown, gradients[from] as number, speed);
    }
  }
  if (after !== undefined && to < segments.length) {
    const { codecUp, codecDown } = after;
    if (kind === "forward") ms += encodeMs(codecUp, features[to] as number, speed);
    if (kind === "backward") ms += decodeMs(codecDown, gradients[to] as number, speed);
  }
  return ms;
}
