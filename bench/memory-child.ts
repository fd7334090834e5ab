/**
 * One process that trains a stage on made-up tensors for some steps and prints the peak of its
 * memory: argument 1 is {"model", "batch", "from", "to"} as JSON, or "null" for a process whose
 * engine holds an empty session.
 */
import {
  builtInModel,
  lossSpec,
  NativeEngine,
  optimizerSpec,
  type Port,
  type Program,
  stagePrograms,
  type Tensor,
  trainingModel,
} from "edgeloom";
import type { StageSubject } from "./memory.ts";

const steps = 12;
const stays = new Set(["parameter", "state", "saved", "parameterGradient"]);
const slotOf = ({ role, of }: Port): string => `${role} ${of}`;
const subject = JSON.parse(process.argv[2] ?? "null") as StageSubject | null;
const engine = new NativeEngine({ threads: 1 });
const programs = programsOf(subject ?? { model: "mlp", batch: 1, from: 0, to: null });
await engine.load(programs);
for (let step = 0; step < (subject === null ? 0 : steps); step++) {
  for (const program of programs) await run(program, step === 0);
}
console.log(process.resourceUsage().maxRSS * 1024);
await engine.close();

function programsOf({ model: name, batch, from, to, recompute = false }: StageSubject): Program[] {
  const model = builtInModel(name, { seed: 1, dropout: 0 });
  const { graph, segments } = trainingModel(model.graph, { batch, cutTensors: 1 });
  const { forward, backward, update, step } = stagePrograms(
    graph,
    segments,
    from,
    to ?? segments.length,
    {
      loss: lossSpec("softmax-cross-entropy"),
      optimizer: optimizerSpec("sgd", { momentum: 0.9 }),
      recompute,
    },
  );
  return [forward, backward, update, step].filter((program) => program !== null);
}

/** Runs a program with what stays in slots, and the rest fed and fetched, as a worker does. */
async function run(program: Program, isFirst: boolean): Promise<void> {
  const slots = new Map<string, Tensor>();
  const feeds = new Map<string, string | Tensor>();
  for (const port of program.inputs) {
    const isTensor = port.role === "parameter" || port.role === "state";
    if (isTensor && isFirst) slots.set(slotOf(port), filled(port));
    feeds.set(port.name, stays.has(port.role) ? slotOf(port) : filled(port));
  }
  await engine.write(slots);
  const kept = program.outputs.filter(({ role }) => stays.has(role));
  const fetch = program.outputs.filter(({ role }) => !stays.has(role)).map(({ name }) => name);
  const keep = new Map(kept.map((port) => [port.name, slotOf(port)]));
  // The stage's input waits in the engine for backward.
  if (program.kind === "forward") {
    const entering = program.inputs.filter(({ role }) => role === "feature");
    await engine.write(new Map(entering.map((port) => [`in ${port.of}`, filled(port)])));
  }
  if (program.kind === "backward") {
    for (const port of program.inputs) {
      if (port.role === "feature") feeds.set(port.name, `in ${port.of}`);
    }
  }
  await engine.run({ program: program.id, feeds, keep, fetch });
}

/** A tensor whose memory has been touched. */
function filled({ dtype, shape }: Port): Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  if (dtype === "int64") return { dtype, shape, data: new BigInt64Array(size) };
  return { dtype: "float32", shape, data: new Float32Array(size).fill(0.001) };
}
