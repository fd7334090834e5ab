/**
 * Measures what the features at each cut of a model tell of the pictures that went in, then plans a
 * fleet so that no device is cut where more can be told than is allowed. Run it with:
 * npx node examples/audit-and-plan.ts
 */
import { audit, leakFloor, parseJob, plan, planners, planRows } from "edgeloom";

const job = parseJob({
  model: "lenet5",
  data: "mnist",
  fleet: { cellMbit: 100, devices: [{ name: "gateway" }, { name: "phone", duty: 0.25 }] },
});

// An audit that means something takes more samples and all cuts: docs/audit.md.
const found = await audit({ job, cuts: [2, 5, 8, 11], samples: 300 });
for (const { cut, name, reconstruction, labelAccuracy } of found.cuts) {
  const r2 = reconstruction?.r2.toFixed(2);
  console.log(
    `cut ${cut}, after ${name}: R² ${r2}, ${(100 * labelAccuracy).toFixed(0)} % of labels`,
  );
}

const { cutMin, reason } = leakFloor(found, 0.5);
console.log(`least cut ${cutMin}: ${reason}`);

const split = planners["parallel-split"];
const { plan: planned, summary } = await plan({
  job,
  planner: (request) => split({ ...request, split: { ...request.split, cutMin } }),
});
for (const { name, keeps } of planRows(planned, summary)) console.log(`${name} keeps ${keeps}`);
