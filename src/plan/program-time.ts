/** Profiled time of programs: what planner, duty cycle and simulator all reckon with. */
import type { ProgramKind } from "../compile/program.ts";
import type { Profile, SegmentTime } from "./plan.ts";

/** A program as far as its time goes. */
export interface TimedProgram {
  readonly kind: ProgramKind;
  readonly from: number;
  readonly to: number;
}

/** Milliseconds of one run at full speed, the call included. */
export function programMs(profile: Profile, program: TimedProgram): number {
  let ms = profile.callMs;
  for (const segment of profile.segments.slice(program.from, program.to)) {
    ms += segmentMs(segment, program.kind);
  }
  return ms;
}

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
