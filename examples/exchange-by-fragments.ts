/**
 * Three clusters over slow lines that exchange changes of weights: all at once every eight updates, and by fragments of the
 * model while they train on. Both happen in virtual time with the same number of updates; how fast this machine
 * computes is measured, and no weights are trained. Run it with:
 * npx node examples/exchange-by-fragments.ts
 */
import { builtInModel, type Job, type JobFields, parseJob, plan } from "edgeloom";
import { nullEngine, type SimNode, simulate } from "edgeloom/sim";

const jobOf = (exchange: NonNullable<JobFields["exchange"]>): Job =>
  parseJob({
    ...{ model: "vgg-small", data: { images: "cifar-10" }, planner: "micro-clouds" },
    ...{ batch: 8, localBatches: 96, rounds: 2, optimizer: { accumulate: 4 }, exchange },
    fleet: { devices: [{ name: "harbour" }, { name: "factory" }, { name: "station" }] },
  });

/** Lines of 4 Mbit/s each way, and ways to one another. */
const overLines = (nodes: readonly SimNode[]): SimNode[] =>
  nodes.map((node) => {
    if (node.kind !== "device") return node;
    const bytesPerMs = 500;
    const line = { upBytesPerMs: bytesPerMs, downBytesPerMs: bytesPerMs };
    const wire = { ...line, jitterMs: 0, loss: 0, cell: null };
    return { ...node, reachable: true, ceilingBytesPerMs: bytesPerMs, wire };
  });

const schemes = {
  "all at once": jobOf({ every: 8, codec: "affine8" }),
  "by fragments": jobOf({ every: 8, codec: "affine8", stream: { fragments: 4, mix: 0.5 } }),
};
const { nodes } = await plan({ job: schemes["all at once"] });
const seconds: number[] = [];
for (const [name, job] of Object.entries(schemes)) {
  const model = builtInModel(job.model, { seed: job.seed });
  const { records } = await simulate({ job, model, nodes: overLines(nodes), engine: nullEngine });
  for (const { record } of records) {
    if (record.type === "planned") console.log(`${name}: ${record.plan.reason}`);
    if (record.type === "round") seconds.push(record.ms / 1000);
  }
}
const [, whole = 0, , streamed = 0] = seconds;
const less = Math.round(100 * (1 - streamed / whole));
console.log(`a round: ${whole.toFixed(1)} s all at once, ${less} % less by fragments`);
