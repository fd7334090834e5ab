import { describe, expect, it } from "vitest";
import { InputError } from "../base/errors.ts";
import { random } from "../base/random.ts";
import { arrayDataset } from "../data/arrays.ts";
import { SampleSource } from "../data/source.ts";
import { Sequential } from "../models/layers.ts";
import { builtInModel } from "../models/models.ts";
import { interpreterEngine } from "../sim/engines.ts";
import { audit } from "./audit.ts";

/** Samples of twelve numbers that come from four, and of which class they are. */
function samplesOf(count: number): SampleSource {
  const draw = random(11);
  const pattern = Array.from({ length: 48 }, () => draw.normal());
  const features: number[] = [];
  const labels: number[] = [];
  for (let i = 0; i < count; i++) {
    const four = Array.from({ length: 4 }, () => draw.normal());
    for (let j = 0; j < 12; j++) {
      features.push(four.reduce((sum, value, k) => sum + value * (pattern[4 * j + k] ?? 0), 0));
    }
    labels.push((four[0] ?? 0) > 0 ? 1 : 0);
  }
  return new SampleSource(arrayDataset(features, labels, { inputShape: [12] }));
}

/** Wide, then so narrow that two of the four numbers are lost, then wide again. */
const model = new Sequential("waist", [12], 3)
  .linear("wide", 40)
  .linear("waist", 2)
  .linear("again", 30)
  .linear("answer", 2)
  .model();

const fields = { batch: 20, localBatches: 5, seed: 4 };
const run = (job: object, more: object = {}) =>
  audit({
    job: { ...fields, ...job },
    model,
    train: samplesOf(360),
    samples: 360,
    engine: interpreterEngine(),
    ...more,
  });

describe("an audit", () => {
  it("tells what each cut reveals, and that nothing comes back behind a waist", async () => {
    const found = await run({});
    expect(found).toMatchObject({ segments: 4, codec: "float32", auxiliary: 240, attacked: 120 });
    const [wide, waist, again] = found.cuts;
    expect(wide).toMatchObject({ cut: 1, name: "wide", values: 40, bytesPerSample: 160 });
    expect(wide?.reconstruction?.r2).toBeGreaterThan(0.999);
    expect(wide?.reconstruction?.ssim).toBeNull();
    const r2 = waist?.reconstruction?.r2 ?? 1;
    expect(r2).toBeGreaterThan(0.2);
    expect(r2).toBeLessThan(0.9);
    expect(again?.reconstruction?.r2).toBeCloseTo(r2, 3);
  });

  it("gives the same numbers again, and others for another seed", async () => {
    const first = await run({});
    expect(await run({})).toEqual(first);
    const other = await run({ seed: 5 });
    expect(other.cuts[1]?.reconstruction?.r2).not.toBe(first.cuts[1]?.reconstruction?.r2);
  });

  it("looks at the cuts that it is asked for, with what it finds there among all", async () => {
    const all = await run({});
    const { cuts } = await run({}, { cuts: [3, 1] });
    expect(cuts).toEqual([all.cuts[0], all.cuts[2]]);
  });

  it("sees what the codec lets through, in the bytes that it takes", async () => {
    const plain = await run({}, { cuts: [1] });
    const rounded = await run({ codec: { up: "affine4" } }, { cuts: [1] });
    const few = await run({ codec: { up: "topk1" } }, { cuts: [1] });
    const [a, b, c] = [plain, rounded, few].map(({ cuts }) => cuts[0]);
    expect(b?.bytesPerSample).toBeLessThan(0.4 * (a?.bytesPerSample ?? 0));
    expect(b?.reconstruction?.r2).toBeLessThan(a?.reconstruction?.r2 ?? 0);
    expect(b?.reconstruction?.r2).toBeGreaterThan(0.9);
    expect(c?.reconstruction?.r2).toBeLessThan(0.5);
  });

  it("finds nearly as much in the sketch that it keeps of very many features", async () => {
    const broad = new Sequential("broad", [12], 3).linear("wide", 9000).linear("answer", 2).model();
    const found = await audit({
      job: { ...fields, batch: 40 },
      model: broad,
      train: samplesOf(360),
      samples: 360,
      engine: interpreterEngine(),
    });
    const [wide] = found.cuts;
    expect(wide).toMatchObject({ values: 9000, bytesPerSample: 36_000 });
    expect(wide?.reconstruction?.r2).toBeGreaterThan(0.99);
  });

  it("tells samples apart along whichever axis they lie, and leaves words alone", async () => {
    // Each text is one word over and over, and its class says which: any mixing of samples would show.
    const draw = random(2);
    const texts = Array.from({ length: 120 }, () => draw.below(4));
    const words = texts.flatMap((word) => Array<number>(6).fill(1 + word));
    const train = new SampleSource(arrayDataset(words, texts, { inputShape: [6] }));
    const found = await audit({
      job: { model: "bilstm", batch: 6, modelOptions: { classes: 4, vocabulary: 8, length: 6 } },
      model: builtInModel("bilstm", { seed: 1, classes: 4, vocabulary: 8, length: 6 }),
      train,
      samples: 120,
      cuts: [1, 2],
      engine: interpreterEngine(),
    });
    for (const { reconstruction, labelAccuracy } of found.cuts) {
      expect(reconstruction).toBeNull();
      expect(labelAccuracy).toBe(1);
    }
    expect(found.blind.ssim).toBeNull();
    expect(found.blind.labelAccuracy).toBeLessThan(0.5);
  });

  it("refuses cuts that there are not, and samples that are too few", async () => {
    await expect(run({}, { cuts: [4] })).rejects.toThrow(/cuts: got 4; allowed: 1 to 3/);
    await expect(run({}, { samples: 39 })).rejects.toThrow(InputError);
    await expect(run({ batch: 200 })).rejects.toThrow(/360 of 360 in batches of 200/);
  });
});
