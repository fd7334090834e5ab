/** `edgeloom plan`: the plan that a job's fleet would get, from a profile of this machine. */
import { formatMs, type Plan, PlanError, RunFold } from "../../index.ts";
import { loadModel, NativeEngine, profileModel } from "../../nodejs.ts";
import { nullEngine, type SimNode, simulate } from "../../sim.ts";
import { readJobFile } from "../job-file.ts";
import { planLines } from "../run-reporter.ts";
import { bold, say } from "../terminal.ts";

/** Rounds simulated for the prediction. */
const rounds = 3;
/** Samples assumed per device: a plan does not depend on them. */
const samples = 1000;

/**
 * Devices are taken as this machine at their duty, the edge server as this
 * machine as it is; a real run probes each node instead.
 */
export async function planJob(path: string, options: { json?: true }): Promise<void> {
  const { job, folder } = readJobFile(path);
  const model = loadModel(job.model, job.seed, folder);
  const engine = new NativeEngine({ threads: 1 });
  const profile = await profileModel(job, model, engine).finally(() => engine.close());
  const inputShape = model.graph.inputs[0]?.shape.slice(1) as number[];
  const node = { profile, latencyMs: 0, test: null, memoryBytes: null, ceilingBytesPerMs: null };
  const devices = job.fleet.devices.map(
    (device): SimNode => ({
      ...node,
      ...device,
      kind: "device",
      train: { samples, inputShape, classes: 0 },
    }),
  );
  const isLocal = job.planner === "local";
  const edge: SimNode = { ...node, name: "edge", kind: "edge", duty: 1, train: null };
  const { records, end } = await simulate({
    job: { ...job, rounds },
    model,
    nodes: isLocal ? devices : [...devices, edge],
    engine: nullEngine,
  });
  const fold = new RunFold();
  for (const { record } of records) fold.add(record);
  const { plan, medianRoundMs } = fold.summary;
  if (plan === null || medianRoundMs === null) throw new PlanError(end.text);
  show(plan, fold, medianRoundMs);
  if (options.json) say(JSON.stringify({ plan, predictedRoundMs: medianRoundMs }));
}

function show(plan: Plan, fold: RunFold, roundMs: number): void {
  say(bold(`Plan for this machine's profile (${plan.planner})`));
  for (const line of planLines(plan, fold.summary)) say(`  ${line}`);
  say();
  say(`Predicted round: ${formatMs(roundMs)} (simulator, ${rounds} rounds, median)`);
}
