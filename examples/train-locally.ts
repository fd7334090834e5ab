/**
 * Trains a small network on MNIST in this process, saves it, and measures it
 * again from the saved file. Run it with: npx node examples/train-locally.ts
 */
import { evaluate, loadHeldOutPath, openRun, train } from "edgeloom";

const folder = `runs/digits-${Date.now()}`;
const { end } = await train({
  job: { model: "mlp", data: "mnist", rounds: 6, localBatches: 50, batch: 64 },
  folder,
  record(record) {
    if (record.type === "round") console.log(`round ${record.round + 1}: loss ${record.loss}`);
  },
});

const test = loadHeldOutPath("mnist");
const { correct, samples } = await evaluate({ model: openRun(folder), test });
console.log(`${end.reason}: ${correct} of ${samples} right, saved in ${folder}`);
