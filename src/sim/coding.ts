/**
 * What codecs take of a simulated machine's time. Peers code in no time of the world's, whatever numbers
 * their engine computes; where a machine says how fast it codes, that is made up for with the pass whose
 * tensors are coded.
 */
import type { NodeId } from "../base/ids.ts";
import { mean } from "../base/statistics.ts";
import type { Program } from "../compile/program.ts";
import type { SegmentCost } from "../compile/segment.ts";
import { borderValues } from "../plan/border-bytes.ts";
import { decodeMs, encodeMs } from "../plan/coding.ts";
import type { LinkPlan, Plan } from "../plan/plan.ts";

/** A machine that codes. */
export interface Coder {
  readonly node: NodeId;
  /** See `codingSpeed` in `plan/coding.ts`. */
  readonly speed: number;
  readonly segments: readonly SegmentCost[];
}

/**
 * Milliseconds of coding that come with one run of a program under a plan. A program does not say which chain it
 * runs for: where several chains cross the node's borders with different codecs, it is their mean.
 */
export function codingMsOf(plan: Plan, coder: Coder, program: Program): number {
  const { node } = coder;
  const isOwn = new Set(
    plan.copies.flatMap(({ id, node: at, from, to }) =>
      at === node && from === program.from && to === program.to ? [id] : [],
    ),
  );
  const chains = plan.chains.filter(({ stages }) => stages.some(({ copy }) => isOwn.has(copy)));
  if (chains.length === 0) return 0;
  const links = chains.map(({ id }) => {
    const own = plan.links.filter(({ chain }) => chain === id);
    return {
      before: own.find(({ to }) => to === node),
      after: own.find(({ from }) => from === node),
    };
  });
  return mean(links.map((ends) => betweenMs(ends, coder, program)));
}

/** The links that a stage has to what is before and behind it. */
interface Ends {
  readonly before: LinkPlan | undefined;
  readonly after: LinkPlan | undefined;
}

function betweenMs({ before, after }: Ends, { speed, segments }: Coder, program: Program): number {
  const { kind, from, to } = program;
  const { features, gradients } = borderValues(segments);
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
