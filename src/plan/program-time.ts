/** Profiled time of programs: what planner, duty cycle and simulator all reckon with. */
import type { ProgramKind } from "../compile/program.ts";
import type { Profile, SegmentTime } from "./plan.ts";

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
