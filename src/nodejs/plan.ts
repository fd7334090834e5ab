/** What a job's fleet would do, from a profile of this machine: measured here, planned and simulated. */
import { PlanError } from "../base/errors.ts";
import type { Model } from "../compile/graph.ts";
import type { Plan, Planner } from "../plan/plan.ts";
import type { Engine } from "../run/host.ts";
import type { Job } from "../run/job.ts";
import { type JobFields, jobOf } from "../run/job-fields.ts";
import { partyAt } from "../run/job-parties.ts";
import { RunFold, type RunSummary } from "../run/metrics/summary.ts";
import { nullEngine } from "../sim/engines.ts";
import type { SimNode } from "../sim/fleet.ts";
import { hollowSamples } from "../sim/host.ts";
import { simulate } from "../sim/simulate.ts";
import { NativeEngine } from "./engine.ts";
import { profileModel } from "./measure.ts";
import { loadModel } from "./model-files.ts";

/** Rounds simulated for a prediction; they differ by nothing but the order of queueing. */
const rounds = 3;
/** Samples assumed per device: a plan does not depend on them. */
const samples = 1000;

/** Which job to plan. */
export interface PlanOptions {
  /** The job with its fleet: the fields of a job file, or what `parseJob` gave. It needs no `data`. */
  readonly job: Job | JobFields;
  /** The model; the one that the job names where absent. */
  readonly model?: Model;
  /** Measures this machine and stays open; a native engine of its own where absent. */
  readonly engine?: Engine;
  /** Plans in place of the one that the job names. */
  readonly planner?: Planner;
}

/** A plan and what may be expected of it. */
export interface PlanResult {
  readonly plan: Plan;
  /** Median time of a round in the simulator, with queueing at the server. */
  readonly predictedRoundMs: number;
  /** Nodes, segments and bytes of the rounds that were simulated. */
  readonly summary: RunSummary;
  /** The fleet as it was assumed, for simulations of one's own. */
  readonly nodes: readonly SimNode[];
}

/**
 * Plans a job for the fleet it describes. Devices are taken as this machine at
 * their duty, the edge server as this machine as it is; a real run probes each
 * node instead.
 * @example
 * const fleet = { cellMbit: 200, devices: [{ name: "phone", duty: 0.25 }, { name: "gateway" }] };
 * const { predictedRoundMs } = await plan({ job: { model: "lenet5", fleet } });
 * @throws InputError on a wrong job, ModelError on an untrainable model, PlanError where no plan
 *   satisfies the fleet's limits
 */
export async function plan(options: PlanOptions): Promise<PlanResult> {
  const job = jobOf(options.job, { model: options.model, hasData: true });
  const model = options.model ?? loadModel(job, process.cwd());
  const engine = options.engine ?? new NativeEngine();
  let nodes: readonly SimNode[];
  try {
    nodes = assumedNodes(job, model, await profileModel(job, model, engine));
  } finally {
    if (options.engine === undefined) await engine.close();
  }
  const { records, end } = await simulate({
    job: { ...job, rounds },
    model,
    nodes,
    engine: nullEngine,
    ...(options.planner === undefined ? {} : { planner: options.planner }),
  });
  const fold = new RunFold();
  for (const { record } of records) fold.add(record);
  const { summary } = fold;
  if (summary.plan === null || summary.medianRoundMs === null) throw new PlanError(end.text);
  return { plan: summary.plan, predictedRoundMs: summary.medianRoundMs, summary, nodes };
}

function assumedNodes(job: Job, model: Model, profile: SimNode["profile"]): SimNode[] {
  const inputShape = model.graph.inputs[0]?.shape.slice(1) as number[];
  const node = { profile, latencyMs: 0, test: null, memoryBytes: null, ceilingBytesPerMs: null };
  const devices = job.fleet.devices.map(
    (device, place): SimNode => ({
      ...node,
      ...device,
      kind: "device",
      train: hollowSamples(samples, inputShape, partyAt(job, place)),
    }),
  );
  if (job.planner === "local") return devices;
  return [...devices, { ...node, name: "edge", kind: "edge", duty: 1, train: null }];
}
