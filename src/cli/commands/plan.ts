/** `edgeloom plan`: the plan that a job's fleet would get, from a profile of this machine. */
import {
  explainSplit,
  formatMs,
  InputError,
  type LeakFloor,
  PlanError,
  type Planner,
  type PlannerName,
  type PlanRequest,
  planners,
} from "../../index.ts";
import { loadModel, plan, readyScenario, runScenario } from "../../nodejs.ts";
import { type JobFile, readJobFile, sayUnused } from "../job-file.ts";
import { type LeakFlags, leakLimit } from "../leak-limit.ts";
import { planLines } from "../run-reporter.ts";
import { bold, say } from "../terminal.ts";

/** Rounds simulated for a prediction of a scenario; they differ by nothing but the order of queueing. */
const rounds = 3;

/** What the command line says beside the job. */
interface PlanJobOptions extends LeakFlags {
  readonly json?: true;
  /** Whether to say what would change the round. */
  readonly explain?: true;
  /** Segments that devices keep at least. */
  readonly minCut?: number;
  /** What a server trains with, in place of what the job says. */
  readonly serverCopies?: string;
  /** Plans in place of the job's. */
  readonly planner?: string;
}

export async function planJob(path: string, options: PlanJobOptions): Promise<void> {
  const wanted = withPlanner(readJobFile(path), options.planner);
  const limit = leakLimit(options, wanted.job);
  const file = withCopies(withFloor(wanted, options.minCut, limit), options.serverCopies);
  sayUnused(file.scenario, "plan", ["fleet.nodes", "fleet.cells", "fleet.coordinator"]);
  const isPlain = file.scenario.fields.length === 0;
  const wish = wishOf(file, options);
  const {
    plan: planned,
    predictedRoundMs,
    summary,
  } = await (isPlain ? ofJob(file, wish?.planner) : ofScenario(file, wish?.planner));
  const whose = isPlain ? "this machine's profile" : "the scenario's fleet";
  say(bold(`Plan for ${whose} (${planned.planner})`));
  for (const line of planLines(planned, summary)) say(`  ${line}`);
  if (limit !== null) say(`  least cut ${limit.cutMin}: ${limit.reason}`);
  say();
  say(
    `Predicted round: ${formatMs(predictedRoundMs)} (simulator, ${summary.rounds} rounds, median)`,
  );
  const request = wish?.asked() ?? null;
  const answers = request !== null ? explainSplit(request) : undefined;
  for (const { question, answer } of answers ?? []) say(`\n${bold(question)}\n  ${answer}`);
  if (options.json) {
    const more = { ...(answers && { answers }), ...(limit && { leakFloor: limit }) };
    say(JSON.stringify({ plan: planned, predictedRoundMs, ...more }));
  }
}

/** The same job for another planner. @throws InputError where there is no such planner */
function withPlanner(file: JobFile, name: string | undefined): JobFile {
  if (name === undefined) return file;
  if (!Object.hasOwn(planners, name)) {
    const allowed = Object.keys(planners).join(", ");
    throw new InputError({ what: "--planner", received: name, allowed });
  }
  return withJob(file, { planner: name as PlannerName });
}

/** The same job with other copies on the server. @throws InputError where there are none such */
function withCopies(file: JobFile, serverCopies: string | undefined): JobFile {
  if (serverCopies === undefined) return file;
  if (serverCopies !== "each" && serverCopies !== "shared") {
    const [received, allowed] = [serverCopies, "each or shared"];
    throw new InputError({ what: "--server-copies", received, allowed });
  }
  return withJob(file, { split: { ...file.job.split, serverCopies } });
}

/** The same job with another floor, which leakage may raise. @throws InputError where the job's planner knows none */
function withFloor(file: JobFile, minCut: number | undefined, limit: LeakFloor | null): JobFile {
  if (minCut === undefined && limit === null) return file;
  requireParallelSplit(file, limit === null ? "--min-cut" : "--leak-max");
  const cutMin = Math.max(minCut ?? file.job.split.cutMin ?? 1, limit?.cutMin ?? 1);
  return withJob(file, { split: { ...file.job.split, cutMin } });
}

/** The same file with some of the job's fields replaced. */
function withJob(file: JobFile, fields: Partial<JobFile["job"]>): JobFile {
  const { job, scenario } = file;
  return {
    ...file,
    job: { ...job, ...fields },
    scenario: { ...scenario, job: { ...scenario.job, ...fields } },
  };
}

function requireParallelSplit({ job }: JobFile, what: string): void {
  if (job.planner === "parallel-split") return;
  throw new InputError({
    what,
    received: `a job with the planner ${job.planner}`,
    allowed: "a job with the planner parallel-split",
  });
}

/** A planner that remembers what it was asked; null where nobody wants an explanation. */
function wishOf(
  file: JobFile,
  { explain }: PlanJobOptions,
): { readonly planner: Planner; asked(): PlanRequest | null } | null {
  if (!explain) return null;
  requireParallelSplit(file, "--explain");
  let asked: PlanRequest | null = null;
  const planner: Planner = (request) => {
    asked = request;
    return planners["parallel-split"](request);
  };
  return { planner, asked: () => asked };
}

/** The devices of a plain job are taken as this machine at their duty. */
const ofJob = ({ job, folder }: JobFile, planner: Planner | undefined) =>
  plan({ job, model: loadModel(job, folder), ...(planner && { planner }) });

/** The fleet of a scenario as it is at the start, with nothing going wrong. */
async function ofScenario({ scenario, folder }: JobFile, planner: Planner | undefined) {
  const calm = { ...scenario, faults: [], traces: [], job: { ...scenario.job, rounds } };
  const ready = await readyScenario(calm, folder);
  const { summary, result } = await runScenario(calm, { ...ready, ...(planner && { planner }) });
  const { plan: planned, medianRoundMs } = summary;
  if (planned === null || medianRoundMs === null) throw new PlanError(result.end.text);
  return { plan: planned, predictedRoundMs: medianRoundMs, summary };
}
