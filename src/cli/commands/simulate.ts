/** `edgeloom simulate`: a whole run in virtual time, on the machines and with the trouble that a scenario describes. */
import { eventsOf, formatBytes, formatMs, mbitOfBytesPerMs } from "../../index.ts";
import { readyScenario, runScenario, type ScenarioResult } from "../../nodejs.ts";
import { faultText, type Scenario } from "../../sim.ts";
import { straightWords } from "../conclusion.ts";
import { exitCodeOf } from "../exit.ts";
import { readJobFile } from "../job-file.ts";
import { planLines } from "../run-reporter.ts";
import { bold, fail, say } from "../terminal.ts";

/** Plans of more chains than this are told by their reason alone. */
const chainsShown = 12;
/** Events told one by one; the rest is counted. */
const eventsShown = 20;

export async function simulateScenario(path: string, options: { json?: true }): Promise<void> {
  const { scenario, folder } = readJobFile(path);
  const ready = await readyScenario(scenario, folder);
  const startedMs = performance.now();
  const came = await runScenario(scenario, ready);
  const wallMs = performance.now() - startedMs;
  const { end } = came.result;
  if (options.json) say(JSON.stringify(jsonOf(scenario, came, wallMs)));
  else {
    tellPlans(came);
    tellRun(scenario, came);
    tellTrouble(scenario, came);
    say(`Simulated in ${formatMs(wallMs)}; the same file gives the same run`);
  }
  if (end.reason === "failed") fail(end.text);
  process.exitCode = exitCodeOf(end.reason);
}

function tellPlans({ plans, summary }: ScenarioResult): void {
  for (const { plan, reason, round } of plans) {
    say(bold(`Plan, term ${plan.term} (${plan.planner}; ${reason}), from round ${round + 1}`));
    const lines = plan.chains.length > chainsShown ? [plan.reason] : planLines(plan, summary);
    for (const line of lines) say(`  ${line}`);
    say();
  }
}

function tellRun({ nodes, job }: Scenario, { summary, result, price }: ScenarioResult): void {
  const { rounds, roundsAsked, medianRoundMs, bytesUp, bytesDown, bytesStraight } = summary;
  say(
    `${bold(`${rounds} of ${roundsAsked} rounds`)} of ${job.localBatches} batches on ${nodes.length} nodes, ` +
      `${formatMs(result.virtualMs)} of virtual time; a round took ${formatMs(medianRoundMs ?? Number.NaN)} (median)`,
  );
  const straight = straightWords(bytesStraight);
  say(`Devices sent ${formatBytes(bytesUp)} and received ${formatBytes(bytesDown)}${straight}`);
  if (price > 0) say(`Nodes cost ${price.toPrecision(3)} by their prices per hour`);
}

function tellTrouble({ faults }: Scenario, { result, calm }: ScenarioResult): void {
  if (faults.length > 0) say(bold("What goes wrong"));
  for (const fault of faults) say(`  ${faultText(fault)}`);
  const events = result.records.flatMap(({ atMs, record }) =>
    eventsOf(record)
      .filter(({ kind }) => kind === "left" || kind === "dropped")
      .map(({ text }) => `${formatMs(atMs)}: ${text}`),
  );
  if (events.length > 0) say(bold("What came of it"));
  for (const text of events.slice(0, eventsShown)) say(`  ${text}`);
  if (events.length > eventsShown) say(`  and ${events.length - eventsShown} more of the kind`);
  if (calm === null) return;
  const lostMs = result.virtualMs - calm.virtualMs;
  const more = lostMs >= 0 ? `${formatMs(lostMs)} longer` : `${formatMs(-lostMs)} shorter`;
  say(`Without that the run takes ${formatMs(calm.virtualMs)} (${calm.end}): it was ${more}`);
}

function jsonOf(scenario: Scenario, came: ScenarioResult, wallMs: number): object {
  const { result, summary, plans, price, calm } = came;
  return {
    end: result.end,
    rounds: summary.rounds,
    virtualMs: result.virtualMs,
    medianRoundMs: summary.medianRoundMs,
    bytesUp: summary.bytesUp,
    bytesStraight: summary.bytesStraight,
    bytesDown: summary.bytesDown,
    price,
    plans,
    nodes: summary.nodes.map((node) => ({
      ...node,
      ceilingMbit:
        node.ceilingBytesPerMs === null ? null : mbitOfBytesPerMs(node.ceilingBytesPerMs),
    })),
    roundsMs: result.records.flatMap(({ record }) => (record.type === "round" ? [record.ms] : [])),
    faults: scenario.faults.map(faultText),
    events: result.records.flatMap(({ atMs, record }) =>
      eventsOf(record).map((event) => ({ atMs, ...event })),
    ),
    calm,
    wallMs,
  };
}
