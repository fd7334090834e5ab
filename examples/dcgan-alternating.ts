/**
 * Trains the two networks of a GAN in turns: the discriminator on real and made images, then
 * the generator on what the discriminator makes of its images. The generator is seen through
 * the discriminator as one model that is cut at the image, so each part is a stage with
 * programs of its own. Run it with: npx node examples/dcgan-alternating.ts
 */
import {
  dcgan,
  loadHeldOutPath,
  lossSpec,
  NativeEngine,
  optimizerSpec,
  type Port,
  type Program,
  stagePrograms,
  type Tensor,
  trainingModel,
} from "edgeloom";

const [batch, steps, learningRate] = [16, 20, 2e-4];
const codeSize = 100;
const spec = {
  loss: lossSpec("binary-cross-entropy"),
  optimizer: optimizerSpec("adam", { beta1: 0.5 }),
};

const { discriminator, adversary } = dcgan({ seed: 1, channels: 1 });
const critic = trainingModel(discriminator.graph, { batch, cutTensors: 1 });
const both = trainingModel(adversary.graph, { batch, cutTensors: 1 });
const border = both.segments.findIndex(({ name }) => name.startsWith("discriminator")); // the image
const programs = {
  /** One step of the discriminator on images with labels. */
  judge: stagePrograms(critic.graph, critic.segments, 0, critic.segments.length, spec).step,
  /** Of the generator alone: codes to images, and back from the image's gradient. */
  ...stagePrograms(both.graph, both.segments, 0, border, spec),
  /** Through the discriminator, which stays as it is, to the image's gradient. */
  persuade: stagePrograms(both.graph, both.segments, border, both.segments.length, spec).step,
};

const engine = new NativeEngine({ threads: 1 });
const all = Object.values(programs).filter((program) => program !== null);
await engine.load(all);

// Both networks share one map of weights: parameters have the same names in all three models.
const weights = new Map([...adversary.weights, ...discriminator.weights]);
const start = new Map<string, Tensor>();
for (const { role, of, shape } of all.flatMap(({ inputs }) => inputs)) {
  const size = shape.reduce((product, n) => product * n, 1);
  if (role === "parameter") {
    const data = Float32Array.from(weights.get(of)?.data as Float32Array);
    start.set(`parameter ${of}`, { dtype: "float32", shape, data });
  } else if (role === "state") {
    start.set(`state ${of}`, { dtype: "float32", shape, data: new Float32Array(size) });
  }
}
await engine.write(start);

/** Where a value stays in the engine: what is saved for the way back may be a feature as well. */
const slotOf = ({ role, of }: Port): string => `${role === "saved" ? "feature" : role} ${of}`;

/** Runs a program; what it gives stays in the engine, but for the loss, which is handed back. */
async function run(program: Program | null, given: Record<string, string | Tensor>) {
  if (program === null) throw new Error("each stage here has this program");
  const rate: Tensor = { dtype: "float32", shape: [], data: Float32Array.of(learningRate) };
  const feeds = new Map<string, string | Tensor>();
  for (const port of program.inputs) {
    feeds.set(port.name, port.role === "learningRate" ? rate : (given[port.role] ?? slotOf(port)));
  }
  const keep = new Map<string, string>();
  let loss = "";
  for (const port of program.outputs) {
    if (port.role === "loss") loss = port.name;
    else keep.set(port.name, slotOf(port));
  }
  const fetch = loss === "" ? [] : [loss];
  const { outputs } = await engine.run({ program: program.id, feeds, keep, fetch });
  return Number(outputs.get(loss)?.data?.[0]);
}

const labels = (label: bigint): Tensor => {
  return { dtype: "int64", shape: [batch], data: new BigInt64Array(batch).fill(label) };
};
const normal = (): number =>
  Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
const codes = (): Tensor => {
  const data = Float32Array.from({ length: batch * codeSize }, normal);
  return { dtype: "float32", shape: [batch, codeSize], data };
};

const digits = loadHeldOutPath("mnist");
/** Digits of 28x28 in the middle of 32x32, from -1 to 1. */
function realImages(step: number): Tensor {
  const { data } = digits.slice(step * batch, (step + 1) * batch).features;
  const padded = new Float32Array(batch * 32 * 32).fill(-1);
  for (const [i, value] of (data as Float32Array).entries()) {
    const [image, row, column] = [Math.floor(i / 784), Math.floor(i / 28) % 28, i % 28];
    padded[image * 1024 + (row + 2) * 32 + column + 2] = 2 * value - 1;
  }
  return { dtype: "float32", shape: [batch, 1, 32, 32], data: padded };
}

const code = `feature ${both.segments[0]?.inputs[0]?.name}`;
const image = `feature ${both.segments[border]?.inputs[0]?.name}`;
for (let step = 0; step < steps; step++) {
  // The codes stay in the engine under their own name: the way back needs them again.
  await engine.write(new Map([[code, codes()]]));
  await run(programs.forward, {});
  const onReal = await run(programs.judge, { feature: realImages(step), labels: labels(1n) });
  const onMade = await run(programs.judge, { feature: image, labels: labels(0n) });
  const persuaded = await run(programs.persuade, { feature: image, labels: labels(1n) });
  await run(programs.backward, {});
  await run(programs.update, {});
  if (step % 5 !== 4) continue;
  const [d, g] = [(onReal + onMade) / 2, persuaded];
  console.log(`step ${step + 1}: discriminator ${d.toFixed(3)}, generator ${g.toFixed(3)}`);
}
await engine.close();
