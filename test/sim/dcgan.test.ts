/**
 * A generator and a discriminator as one model, split across a device and a server: what is trained is what one
 * process trains, and no cut lets an image out.
 */
import { describe, expect, it } from "vitest";
import { random } from "../../src/base/random.ts";
import { trainingModel } from "../../src/compile/training-model.ts";
import { arrayDataset } from "../../src/data/arrays.ts";
import { SampleSource } from "../../src/data/source.ts";
import { builtInModel } from "../../src/models/models.ts";
import { NativeEngine } from "../../src/nodejs/engine.ts";
import { local } from "../../src/plan/local.ts";
import { parallelSplit } from "../../src/plan/parallel-split.ts";
import type { Planner } from "../../src/plan/plan.ts";
import { parseJob } from "../../src/run/job.ts";
import type { SimNode } from "../../src/sim/fleet.ts";
import { simulate } from "../../src/sim/simulate.ts";

const [size, width] = [12, 2];
const job = parseJob({
  ...{ model: "dcgan", modelOptions: { channels: 1, size, width }, data: "mnist" },
  ...{ batch: 4, rounds: 2, localBatches: 1, optimizer: { kind: "adam", beta1: 0.5 } },
  fleet: { devices: [{ name: "phone" }] },
});
const model = builtInModel("dcgan", { seed: 1, ...job.modelOptions });
const { segments } = trainingModel(model.graph, job);

/** Images of noise. */
function images(): SampleSource {
  const draw = random(1);
  const pixels = Array.from({ length: 10 * size * size }, () => draw.uniform());
  return new SampleSource(arrayDataset(pixels, Array(10).fill(0), { inputShape: [1, size, size] }));
}

function nodes(): SimNode[] {
  const times = { forwardMs: 1, backwardMs: 2, updateMs: 0.1 };
  const profile = { segments: segments.map(() => times), runMs: 0.02, callMs: 0.03 };
  const common = { duty: 1, profile, memoryBytes: null, ceilingBytesPerMs: null, latencyMs: 1 };
  return [
    { ...common, name: "phone", kind: "device", train: images(), test: null },
    { ...common, name: "edge", kind: "edge", train: null, test: images() },
  ];
}

async function trained(planner: Planner): Promise<Uint8Array | undefined> {
  const engine = () => new NativeEngine({ threads: 1 });
  const { end, files } = await simulate({ job, model, nodes: nodes(), planner, engine });
  expect(end.reason).toBe("finished");
  return files.get("weights.safetensors");
}

describe("two networks that play against each other, across a device and a server", () => {
  it("move as in one process, bit for bit, wherever they are cut", async () => {
    const alone = await trained(local);
    const first = segments.findIndex(({ parameters }) => parameters.length > 0) + 1;
    for (const cut of [first, first + 3]) {
      const planner: Planner = (request) => {
        const plan = parallelSplit(request);
        const copies = plan.copies.map((copy) =>
          copy.from === 0 ? { ...copy, to: cut } : { ...copy, from: cut },
        );
        return { ...plan, copies };
      };
      expect(await trained(planner)).toEqual(alone);
    }
  });

  it("are cut behind the first layer that has seen the images", () => {
    const first = segments.find(({ parameters }) => parameters.length > 0);
    const names = first?.parameters.map(({ name }) => name) ?? [];
    expect(names).toContain("discriminator.0.conv.weight");
    expect(names).toContain("generator.3.conv.weight");
    // A real image and a made one twice, each as what the layer makes of it.
    expect(first?.outputs.map(({ shape }) => shape)).toEqual([[3 * job.batch, width, 16, 16]]);
  });
});
