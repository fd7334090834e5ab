/**
 * Plans a job for a fleet of unequal devices, then lets the whole run happen in
 * virtual time, once as planned and once with a device that dies on the way. How
 * fast this machine computes is measured; no weights are trained. Run it with:
 * npx node examples/plan-and-simulate.ts
 */
import { builtInModel, formatBytes, formatMs, parseJob, plan, planRows, RunFold } from "edgeloom";
import { nullEngine, type SimFault, simulate } from "edgeloom/sim";

const job = parseJob({
  model: "lenet5",
  data: "mnist",
  rounds: 12,
  codec: { up: "float16", down: "float16" },
  fleet: {
    cellMbit: 100,
    devices: [
      { name: "gateway", duty: 1 },
      { name: "phone", duty: 0.25, ceilingMbit: 40 },
      { name: "watch", duty: 0.05, ceilingMbit: 5 },
    ],
  },
});

const { plan: planned, summary, nodes, predictedRoundMs } = await plan({ job });
for (const row of planRows(planned, summary)) {
  console.log(`${row.name} keeps the layers up to ${row.keeps}: ${row.reason}`);
}
console.log(`predicted round: ${formatMs(predictedRoundMs)}`);

async function rehearse(what: string, faults: readonly SimFault[]): Promise<void> {
  const model = builtInModel(job.model, { seed: job.seed });
  const { end, records, virtualMs } = await simulate({
    job,
    model,
    nodes,
    engine: nullEngine,
    faults,
  });
  const fold = new RunFold();
  for (const { record } of records) fold.add(record);
  const { rounds, bytesUp, bytesDown } = fold.summary;
  console.log(
    `${what}: ${end.reason}, ${rounds} rounds in ${formatMs(virtualMs)} of virtual time, ` +
      `${formatBytes(bytesUp)} up, ${formatBytes(bytesDown)} down`,
  );
}

await rehearse("as planned", []);
await rehearse("the watch dies", [{ kind: "crash", node: "watch", atMs: 4 * predictedRoundMs }]);
