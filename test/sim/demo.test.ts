import { expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { demoJob } from "../../src/cli/demo-job.ts";
import { builtInModel } from "../../src/models/models.ts";
import type { Profile } from "../../src/plan/plan.ts";
import { parseJob } from "../../src/run/job.ts";
import { nullEngine } from "../../src/sim/engines.ts";
import type { SimNode } from "../../src/sim/fleet.ts";
import { simulate } from "../../src/sim/simulate.ts";

/** LeNet-5 at batch 32 on one core of a server CPU: forward, backward, update of each segment. */
const measured: Profile = {
  segments: [
    [0.68, 0.6, 0.03],
    [0.14, 0.56, 0],
    [0.1, 0.12, 0],
    [0.57, 1.1, 0.05],
    [0.06, 0.24, 0],
    [0.04, 0.05, 0],
    [0.04, 0.04, 0],
    [0.06, 0.16, 0.15],
    [0.01, 0.02, 0],
    [0.03, 0.06, 0.06],
    [0.01, 0.02, 0],
    [0.02, 0.05, 0],
  ].map(([forwardMs = 0, backwardMs = 0, updateMs = 0]) => ({ forwardMs, backwardMs, updateMs })),
  runMs: 0.04,
  callMs: 0.18,
};

it("plans the demo with different cuts, and the server trains layers in every chain", async () => {
  const job = parseJob({ ...demoJob, rounds: 2 });
  const digits = { samples: 15_000, inputShape: [1, 28, 28], classes: 10 };
  const node = { profile: measured, latencyMs: 0.2, test: null, memoryBytes: null };
  const devices = job.fleet.devices.map(
    (device): SimNode => ({ ...node, ...device, kind: "device", train: digits }),
  );
  const edge: SimNode = {
    ...node,
    name: "edge",
    kind: "edge",
    duty: 1,
    ceilingBytesPerMs: null,
    train: null,
  };
  const model = builtInModel(job.model, { seed: job.seed });
  const { records } = await simulate({ job, model, nodes: [edge, ...devices], engine: nullEngine });
  const { plan } = present(
    records.map(({ record }) => record).find((record) => record.type === "planned"),
    "a plan",
  );
  const copies = plan.chains.map(({ stages }) =>
    stages.map(({ copy }) => plan.copies.find(({ id }) => id === copy)),
  );
  expect(copies).toHaveLength(4);
  expect(new Set(copies.map(([first]) => first?.to)).size).toBeGreaterThan(1);
  for (const [first, last] of copies) {
    expect(first?.node).not.toBe("edge");
    expect(last?.node).toBe("edge");
    expect(last?.to).toBe(measured.segments.length);
  }
  const shares = plan.links.map(({ bytesPerMs }) => bytesPerMs ?? 0);
  const total = shares.reduce((sum, share) => sum + share, 0);
  expect(total).toBeLessThanOrEqual(present(job.fleet.cellBytesPerMs, "a cell") * (1 + 1e-9));
});
