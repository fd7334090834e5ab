/**
 * A profile from a few measured blocks instead of every segment on every server, so that training starts
 * within seconds: a node computes all segments of a block at one rate, work by time (EdgeMove, WWW 2023,
 * bootstraps so; that its abstract calls the partition approximate is all that it says of how).
 *
 *   t(l) = t(block) * flops(l) / flops(block)     forward and backward, each by its own flops
 *   u(l) = u(block) * bytes(l) / bytes(block)     update, by bytes of parameters
 */
import { assert } from "../base/assert.ts";
import type { SegmentCost } from "../compile/segment.ts";
import type { Profile, SegmentTime } from "./plan.ts";

/** Consecutive segments that are measured together. */
export interface Block {
  readonly from: number;
  readonly to: number;
}

/** What was measured of a block: its times without what any run costs. */
export interface MeasuredBlock extends Block {
  readonly time: SegmentTime;
}

/**
 * Blocks of about equal flops that cover the model, each of one segment at least.
 * @param count how many, at most; fewer where the model has fewer segments
 */
export function coarseBlocks(segments: readonly SegmentCost[], count = 4): Block[] {
  assert(segments.length > 0 && count >= 1, "blocks need segments");
  const blocks: Block[] = [];
  let [from, own] = [0, 0];
  let left = sumOf(segments, flopsOf);
  for (const [i, segment] of segments.entries()) {
    own += flopsOf(segment);
    const after = segments.length - i - 1;
    const missing = Math.min(count, segments.length) - blocks.length;
    // The last block takes the rest; before, none takes more than leaves one for each to come.
    const isFull = missing > 1 && (own >= left / missing || after < missing);
    if (!isFull && after > 0) continue;
    blocks.push({ from, to: i + 1 });
    left -= own;
    [from, own] = [i + 1, 0];
  }
  return blocks;
}

/**
 * The whole profile that measured blocks give.
 * @param fixed what any run computes and waits beside its segments, measured apart
 */
export function approximateProfile(
  segments: readonly SegmentCost[],
  blocks: readonly MeasuredBlock[],
  fixed: Pick<Profile, "runMs" | "callMs">,
): Profile {
  const times: SegmentTime[] = [];
  for (const { from, to, time } of blocks) {
    assert(from === times.length && to > from, "blocks cover the model in order");
    const own = segments.slice(from, to);
    const forwards = shares(own, ({ forwardFlops }) => forwardFlops);
    const backwards = shares(own, ({ backwardFlops }) => backwardFlops);
    const updates = shares(own, ({ parameterBytes }) => parameterBytes);
    for (const i of own.keys()) {
      times.push({
        forwardMs: time.forwardMs * (forwards[i] as number),
        backwardMs: time.backwardMs * (backwards[i] as number),
        updateMs: time.updateMs * (updates[i] as number),
      });
    }
  }
  assert(times.length === segments.length, "blocks cover the whole model");
  return { segments: times, ...fixed };
}

const flopsOf = ({ forwardFlops, backwardFlops }: SegmentCost): number =>
  forwardFlops + backwardFlops;

/** Each segment's share of a block; equal ones where nothing tells them apart. */
function shares(segments: readonly SegmentCost[], of: (cost: SegmentCost) => number): number[] {
  const total = sumOf(segments, of);
  return segments.map((cost) => (total > 0 ? of(cost) / total : 1 / segments.length));
}

function sumOf(segments: readonly SegmentCost[], of: (cost: SegmentCost) => number): number {
  let total = 0;
  for (const cost of segments) total += of(cost);
  return total;
}
