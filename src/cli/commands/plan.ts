/** `edgeloom plan`: the plan that a job's fleet would get, from a profile of this machine. */
import { formatMs } from "../../index.ts";
import { loadModel, plan } from "../../nodejs.ts";
import { readJobFile } from "../job-file.ts";
import { planLines } from "../run-reporter.ts";
import { bold, say } from "../terminal.ts";

export async function planJob(path: string, options: { json?: true }): Promise<void> {
  const { job, folder } = readJobFile(path);
  const model = loadModel(job, folder);
  const { plan: planned, predictedRoundMs, summary } = await plan({ job, model });
  say(bold(`Plan for this machine's profile (${planned.planner})`));
  for (const line of planLines(planned, summary)) say(`  ${line}`);
  say();
  say(
    `Predicted round: ${formatMs(predictedRoundMs)} (simulator, ${summary.rounds} rounds, median)`,
  );
  if (options.json) say(JSON.stringify({ plan: planned, predictedRoundMs }));
}
