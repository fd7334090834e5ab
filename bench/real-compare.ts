/** One plan on both sides: on real processes of this machine as their coordinator makes it, and then in virtual time. */
import {
  type Plan,
  type Planner,
  type PlanRequest,
  type Profile,
  parseJob,
  type TimedRecord,
} from "edgeloom";
import { type SimulationResult, simulate } from "edgeloom/sim";
import { tell } from "./bench.ts";
import { measuredCore } from "./measured.ts";
import { type RealRun, runReal } from "./real-run.ts";
import { asMeasured, lastPlan, realScene, type Scene, sharesOf } from "./real-scene.ts";

/** What to play. */
export interface Comparison {
  /** What a person would type for it. */
  readonly command: string;
  /** How it is called while it runs. */
  readonly name: string;
  readonly scene: Scene;
  /** What the job is, whatever the scenario says. */
  readonly jobFields: object;
  /** How fast a whole core is taken to be. */
  readonly core: Profile;
  /** Asked now and then on both sides: whether it is over. Times count from the first plan. */
  until(nowMs: number, records: readonly TimedRecord[]): boolean;
  /** Told what virtual time wants to be planned, and the plan that it is given. */
  onRequest?(plan: Plan, request: PlanRequest): void;
}

/** Rounds of a run that is left before its end. */
const endless = 1_000_000;

/** What the job of a scene is, without its fleet and without an end, and this machine's speed at it. */
export async function endlessJob(
  { fields }: Scene,
  change: object = {},
): Promise<{ readonly jobFields: object; readonly core: Profile }> {
  const { fleet: _fleet, traces: _traces, faults: _faults, ...own } = fields;
  const jobFields = { ...own, rounds: endless, evaluate: { every: endless }, ...change };
  tell("measuring this machine ...");
  return { jobFields, core: await measuredCore(parseJob(jobFields)) };
}

/** What came of it. */
export interface BothSides {
  /** The last one of the real coordinator. */
  readonly plan: Plan;
  readonly real: RealRun;
  readonly simulated: SimulationResult;
}

/**
 * Plays a scenario on real processes, and its last plan in virtual time with nodes as fast as their processes were found to be.
 * @throws InputError for one that this machine has too few cores for
 */
export async function onBothSides({
  command,
  name,
  scene,
  jobFields,
  core,
  until,
  onRequest,
}: Comparison): Promise<BothSides> {
  const { ready, job } = await realScene(scene, jobFields, core);
  const shares = sharesOf(ready, core);
  tell(`real processes, ${name} ...`);
  const real = await runReal({ command, job, scene: ready, shares, core, until });
  const plan = lastPlan(real.records);
  tell("the same plan in virtual time ...");
  const planner: Planner = (request) => {
    const given = { ...plan, term: request.term };
    onRequest?.(given, request);
    return given;
  };
  const nodes = asMeasured(ready.nodes, real, shares, core);
  const simulated = await simulate({ ...ready, nodes, planner, until });
  return { plan, real, simulated };
}
