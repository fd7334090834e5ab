/** `edgeloom plan`: the plan that a job's fleet would get, from a profile of this machine. */
import { formatMs, PlanError } from "../../index.ts";
import { loadModel, plan, readyScenario, runScenario } from "../../nodejs.ts";
import { type JobFile, readJobFile, sayUnused } from "../job-file.ts";
import { planLines } from "../run-reporter.ts";
import { bold, say } from "../terminal.ts";

/** Rounds simulated for a prediction of a scenario; they differ by nothing but the order of queueing. */
const rounds = 3;

export async function planJob(path: string, options: { json?: true }): Promise<void> {
  const file = readJobFile(path);
  sayUnused(file.scenario, "plan", ["fleet.nodes", "fleet.cells", "fleet.coordinator"]);
  const isPlain = file.scenario.fields.length === 0;
  const {
    plan: planned,
    predictedRoundMs,
    summary,
  } = await (isPlain ? ofJob(file) : ofScenario(file));
  const whose = isPlain ? "this machine's profile" : "the scenario's fleet";
  say(bold(`Plan for ${whose} (${planned.planner})`));
  for (const line of planLines(planned, summary)) say(`  ${line}`);
  say();
  say(
    `Predicted round: ${formatMs(predictedRoundMs)} (simulator, ${summary.rounds} rounds, median)`,
  );
  if (options.json) say(JSON.stringify({ plan: planned, predictedRoundMs }));
}

/** The devices of a plain job are taken as this machine at their duty. */
const ofJob = ({ job, folder }: JobFile) => plan({ job, model: loadModel(job, folder) });

/** The fleet of a scenario as it is at the start, with nothing going wrong. */
async function ofScenario({ scenario, folder }: JobFile) {
  const calm = { ...scenario, faults: [], traces: [], job: { ...scenario.job, rounds } };
  const { summary, result } = await runScenario(calm, await readyScenario(calm, folder));
  const { plan: planned, medianRoundMs } = summary;
  if (planned === null || medianRoundMs === null) throw new PlanError(result.end.text);
  return { plan: planned, predictedRoundMs: medianRoundMs, summary };
}
