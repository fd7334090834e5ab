/**
 * Milliseconds of one whole training step (forward, backward, update) of built-in
 * models: our native engine and PyTorch, in turns within one run, because
 * machines are noisy. Times are of one call, hand-over to the engine included.
 */
import {
  builtInModel,
  type DenseTensor,
  type Engine,
  lossSpec,
  type Model,
  NativeEngine,
  optimizerSpec,
  type Program,
  stagePrograms,
  type Tensor,
  trainingModel,
} from "edgeloom";
import {
  type Bench,
  type BenchResult,
  chosenOf,
  countOf,
  type Goal,
  optionsOf,
  type Row,
  tell,
} from "./bench.ts";
import { median } from "./statistics.ts";
import { type Torch, torch } from "./torch.ts";

/** A model with the batch it is measured at, and the most that a step may take of PyTorch's time. */
interface Subject {
  readonly name: string;
  readonly batch: number;
  readonly goal: number;
}

const subjects: readonly Subject[] = [
  { name: "lenet5", batch: 32, goal: 1.3 },
  { name: "vgg11", batch: 32, goal: 1.3 },
  { name: "resnet18", batch: 32, goal: 1.3 },
  { name: "mobilenetv2", batch: 32, goal: 2.5 },
  { name: "textcnn", batch: 32, goal: 1.3 },
  { name: "gpt", batch: 8, goal: 1.3 },
];

/** Turns of each side, and steps in a turn; the first turn warms up and is not counted. */
const turns = 6;
const stepsInTurn = 5;
const learningRate = 0.01;

export const step: Bench = {
  summary: "one training step of built-in models against PyTorch [--models a,b] [--threads 1,2]",
  async run(args) {
    const all = subjects.map(({ name }) => name).join(",");
    const given = optionsOf(args, { models: all, threads: "1,2" });
    const chosen = chosenOf("--models", given.models, subjects, ({ name }) => name);
    const threads = given.threads.split(",").map((text) => countOf("--threads", text));
    const peer = await torch();
    const rows: Row[] = [];
    const goals: Goal[] = [];
    for (const subject of chosen) {
      for (const count of threads) {
        tell(`${subject.name}, ${count} thread${count === 1 ? "" : "s"} ...`);
        const row = await measure(subject, count, peer);
        rows.push(row.row);
        goals.push(row.goal);
      }
    }
    await peer?.close();
    return resultOf(rows, goals, peer);
  },
};

function resultOf(rows: readonly Row[], goals: readonly Goal[], peer: Torch | null): BenchResult {
  const engine = new NativeEngine();
  const versions = {
    engine: engine.description.replace(/,.*/, ""),
    ...(peer === null ? {} : { PyTorch: peer.version }),
  };
  void engine.close();
  const notes =
    peer === null ? ["PyTorch is not there: python3 -c 'import torch' fails; set PYTHON"] : [];
  return { rows, goals, versions, seed: 1, notes };
}

async function measure(
  { name, batch, goal }: Subject,
  threads: number,
  peer: Torch | null,
): Promise<{ row: Row; goal: Goal }> {
  const model = builtInModel(name, { seed: 1, dropout: 0 });
  const engine = new NativeEngine({ threads });
  const started = performance.now();
  const program = stepProgram(model, batch);
  await engine.load([program]);
  const compileMs = performance.now() - started;
  const runStep = await stepper(engine, program, model);
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let turn = 0; turn < turns; turn++) {
    const own: number[] = [];
    for (let i = 0; i < stepsInTurn; i++) own.push(await runStep());
    const other = (await peer?.steps(name, batch, threads, stepsInTurn)) ?? [];
    if (turn === 0) continue;
    ours.push(...own);
    theirs.push(...other);
  }
  await engine.close();
  const ratio = theirs.length === 0 ? null : median(ours) / median(theirs);
  return {
    row: {
      model: name,
      batch,
      threads,
      "ours, median ms": median(ours),
      "ours, least ms": Math.min(...ours),
      "PyTorch, median ms": theirs.length === 0 ? null : median(theirs),
      "PyTorch, least ms": theirs.length === 0 ? null : Math.min(...theirs),
      ratio,
      "compile ms": compileMs,
    },
    goal: {
      name: `${name}, ${threads} thread(s): step time over PyTorch's`,
      value: ratio,
      goal,
      unit: "x, at most",
      met: ratio !== null && ratio <= goal,
    },
  };
}

/** The whole model's step as one program. */
export function stepProgram(model: Model, batch: number): Program {
  const { graph, segments } = trainingModel(model.graph, { batch, cutTensors: 1 });
  const { step: program } = stagePrograms(graph, segments, 0, segments.length, {
    loss: lossSpec("softmax-cross-entropy"),
    optimizer: optimizerSpec("sgd", { momentum: 0.9 }),
  });
  if (program === null) throw new Error("a whole model has a step");
  return program;
}

/** Puts weights and state into the engine; each call of the result runs one step and times it. */
export async function stepper(
  engine: Engine,
  program: Program,
  model: Model,
): Promise<() => Promise<number>> {
  const feeds = new Map<string, string | Tensor>();
  const keep = new Map<string, string>();
  const slots = new Map<string, Tensor>();
  for (const { name, role, of, dtype, shape } of program.inputs) {
    const size = shape.reduce((product, n) => product * n, 1);
    if (role === "parameter" || role === "state") {
      const weight = model.weights.get(of);
      const data = weight === undefined ? new Float32Array(size) : copyOf(weight);
      slots.set(of, { dtype: "float32", shape, data });
      feeds.set(name, of);
    } else if (role === "feature") {
      // Whole numbers, which are words where the model takes some, and pixels elsewhere.
      const data = Float32Array.from({ length: size }, (_, i) => (i * 7919) % 251);
      slots.set("feature", { dtype, shape, data } as Tensor);
      feeds.set(name, "feature");
    } else if (role === "labels") {
      const data = BigInt64Array.from({ length: size }, (_, i) => BigInt(i % 2));
      slots.set("labels", { dtype: "int64", shape, data });
      feeds.set(name, "labels");
    } else slots.set("rate", { dtype: "float32", shape: [], data: Float32Array.of(learningRate) });
    if (role === "learningRate") feeds.set(name, "rate");
  }
  for (const { name, role, of } of program.outputs) {
    if (role === "parameter" || role === "state") keep.set(name, of);
  }
  await engine.write(slots);
  const fetch = program.outputs.filter(({ role }) => role === "loss").map(({ name }) => name);
  return async () => {
    const started = performance.now();
    await engine.run({ program: program.id, feeds, keep, fetch });
    return performance.now() - started;
  };
}

const copyOf = ({ data }: DenseTensor): Float32Array<ArrayBuffer> =>
  Float32Array.from(data as Float32Array);
