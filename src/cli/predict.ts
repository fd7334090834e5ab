/** What the simulator expects of a plan on the fleet as it was measured. */
import { type Job, type Model, RunFold, type RunSummary } from "../index.ts";
import { hollowSamples, nullEngine, type SimNode, simulate } from "../sim.ts";

export interface RoundPrediction {
  /** Median virtual time of a round. */
  readonly roundMs: number;
}

/** Rounds simulated; they differ by nothing but the order of queueing at the server. */
const rounds = 3;

/** Runs the job's first rounds in virtual time with the profiles that the run has measured. */
export async function predictRound(
  job: Job,
  model: Model,
  summary: RunSummary,
): Promise<RoundPrediction> {
  const nodes = summary.nodes.flatMap((node): SimNode[] => {
    const measured = summary.profiles.find((profile) => profile.node === node.node);
    if (measured === undefined || node.left !== null) return [];
    const shape = model.graph.inputs[0]?.shape.slice(1) as number[];
    return [
      {
        name: node.name,
        kind: node.kind,
        duty: node.dutyAsked,
        profile: measured.profile,
        memoryBytes: node.memoryBytes,
        ceilingBytesPerMs: node.ceilingBytesPerMs,
        ...(node.energy === undefined ? {} : { energy: node.energy }),
        latencyMs: measured.latencyMs,
        train: node.samples === 0 ? null : hollowSamples(node.samples, shape, node.party),
        test: null,
      },
    ];
  });
  const devices = nodes
    .filter((node) => node.kind === "device")
    .map(({ name, duty, memoryBytes, ceilingBytesPerMs }) => ({
      name,
      duty,
      memoryBytes,
      ceilingBytesPerMs,
    }));
  const { records } = await simulate({
    job: { ...job, rounds, fleet: { ...job.fleet, devices } },
    model,
    nodes,
    engine: nullEngine,
  });
  const fold = new RunFold();
  for (const { record } of records) fold.add(record);
  return { roundMs: fold.summary.medianRoundMs ?? Number.NaN };
}
