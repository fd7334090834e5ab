/**
 * Trains a model of its own on data of its own: points on two spirals, and a
 * network built here, written as an ONNX file and read back. A model from any
 * other tool is read in the same way. Run it with: npx node examples/custom-data-and-model.ts
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { arrayDataset, SampleSource, Sequential, train, writeOnnx } from "edgeloom";

/** Points on two spirals, turn by turn; the label says which one. */
function spirals(perClass: number, offset: number): SampleSource {
  const features: number[] = [];
  const labels: number[] = [];
  for (let i = 0; i < perClass; i++) {
    const radius = (i + offset) / perClass;
    for (const label of [0, 1]) {
      const angle = 6 * radius + Math.PI * label;
      features.push(radius * Math.cos(angle), radius * Math.sin(angle));
      labels.push(label);
    }
  }
  return new SampleSource(arrayDataset(features, labels, { inputShape: [2] }));
}

const folder = mkdtempSync(join(tmpdir(), "edgeloom-"));
const path = join(folder, "spirals.onnx");
const { graph, weights } = new Sequential("spirals", [2], 1)
  .linear("hidden1", 32)
  .relu("relu1")
  .linear("hidden2", 32)
  .relu("relu2")
  .linear("answer", 2)
  .model();
writeFileSync(path, writeOnnx(graph, { weights }));

const { end, summary, model } = await train({
  job: {
    name: "spirals",
    model: path,
    batch: 64,
    rounds: 20,
    localBatches: 50,
    optimizer: { learningRate: 0.1, schedule: "cosine" },
  },
  train: spirals(1000, 0),
  test: spirals(500, 0.5),
});
rmSync(folder, { recursive: true });

const parameters = [...model.weights.values()].reduce((sum, { data }) => sum + data.length, 0);
const percent = (100 * (summary.accuracy ?? 0)).toFixed(1);
console.log(`${end.reason}: ${parameters} parameters answer ${percent} % of new points right`);
