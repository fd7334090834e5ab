/** The programs that a replay runs: those that the peers have compiled for the same segments. */
import type { Graph } from "../compile/graph.ts";
import { type StagePrograms, stagePrograms } from "../compile/program.ts";
import type { Segment } from "../compile/segment.ts";
import type { CopyPlan } from "../plan/plan.ts";
import { type Job, jobSpecOf } from "../run/job.ts";

/** Whether backward starts again from the features, and whether several chains' batches make an update. */
export interface Manner {
  readonly isReplayed: boolean;
  readonly isMerged: boolean;
  /** Batches to an update where they are not the job's, and whether others join in it. */
  readonly microBatches?: number;
  readonly isJoined?: boolean;
}

/** The programs of a copy's segments. */
export type Compile = (copy: CopyPlan, manner: Manner) => StagePrograms;

/** Stages of the same segments have the same programs, in every chain and plan. */
export function sharedPrograms(graph: Graph, segments: readonly Segment[], job: Job): Compile {
  const spec = jobSpecOf(job);
  const known = new Map<string, StagePrograms>();
  return ({ from, to }, { isReplayed, isMerged, isJoined = false, microBatches }) => {
    const recompute = isReplayed || spec.recompute;
    const accumulate = isJoined ? 1 : (microBatches ?? spec.optimizer.accumulate);
    const optimizer = { ...spec.optimizer, accumulate };
    const manner = { ...spec, recompute, isMerged, isJoined, optimizer };
    const key = [from, to, recompute, isMerged, isJoined, accumulate].join(" ");
    const programs = known.get(key) ?? stagePrograms(graph, segments, from, to, manner);
    known.set(key, programs);
    return programs;
  };
}
