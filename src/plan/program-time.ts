/** Profiled time of programs: what planner, duty cycle and simulator all reckon with. */
import type { ProgramKind } from "../compile/program.ts";
import type { FleetNode, Profile, SegmentTime } from "./plan.ts";

/** A program as far as its time goes. */
export interface TimedProgram {
  readonly kind: ProgramKind;
  readonly from: number;
  readonly to: number;
  /** It computes forward once more, and the profile, measured of programs that do not, has no time for that. */
  readonly replays?: boolean;
}

/** A profile in which everything that is computed takes another time; handing over to the engine does not. */
export const scaledProfile = (
  { segments, runMs, callMs }: Profile,
  scale: (ms: number) => number,
): Profile => ({
  segments: segments.map(({ forwardMs, backwardMs, updateMs }) => ({
    forwardMs: scale(forwardMs),
    backwardMs: scale(backwardMs),
    updateMs: scale(updateMs),
  })),
  runMs: scale(runMs),
  callMs,
});

/** Milliseconds that one run computes at full speed. */
export function computeMs(profile: Profile, program: TimedProgram): number {
  let ms = profile.runMs;
  for (const segment of profile.segments.slice(program.from, program.to)) {
    ms += segmentMs(segment, program.kind);
    if (program.replays) ms += segment.forwardMs;
  }
  return ms;
}

/**
 * Milliseconds that one run holds a processor of the given duty: computing
 * stretches by 1 / duty, handing over to the engine and back does not.
 */
export const heldMs = (profile: Profile, program: TimedProgram, duty: number): number =>
  computeMs(profile, program) / duty + profile.callMs;

function segmentMs(time: SegmentTime, kind: ProgramKind): number {
  switch (kind) {
    case "forward":
    case "evaluate":
      return time.forwardMs;
    case "backward":
      return time.backwardMs;
    case "update":
      return time.updateMs;
    case "step":
      return time.forwardMs + time.backwardMs + time.updateMs;
  }
}

/** Milliseconds that segments take of a whole step, beside what every run costs. */
export const segmentsMs = (segments: readonly SegmentTime[]): number =>
  segments.reduce((sum, segment) => sum + segmentMs(segment, "step"), 0);

/** The time of one kind of program on a node: what every run costs, and sums over segments before each. */
export interface Held {
  readonly fixedMs: number;
  readonly sums: Float64Array;
}

/** Sums of held time before each segment; runs cost the same whatever they span. */
export function heldBy({ profile, duty }: FleetNode, kind: TimedProgram["kind"]): Held {
  const fixedMs = heldMs(profile, { kind, from: 0, to: 0 }, duty);
  const sums = new Float64Array(profile.segments.length + 1);
  let total = 0;
  for (let i = 0; i < profile.segments.length; i++) {
    total += segmentMs(profile.segments[i] as SegmentTime, kind) / duty;
    sums[i + 1] = total;
  }
  return { fixedMs, sums };
}

/** Milliseconds that a run of segments [from, to) holds its node: {@link heldMs} in constant time. */
export const msOf = ({ fixedMs, sums }: Held, from: number, to: number): number =>
  fixedMs + between(sums, from, to);

/** Sums of the first 0, 1, 2, ... values. */
export function sumsOf(values: readonly number[]): Float64Array {
  const sums = new Float64Array(values.length + 1);
  for (const [i, value] of values.entries()) sums[i + 1] = (sums[i] as number) + value;
  return sums;
}

/** The sum of values [from, to). */
export const between = (sums: Float64Array, from: number, to: number): number =>
  (sums[to] as number) - (sums[from] as number);
