/**
 * `npm run bench -- NAME [--json] [options]`: measures, and prints a table or one
 * JSON object. A goal that is missed is printed as missed; the exit code says
 * only whether the benchmark ran.
 */
import { InputError } from "edgeloom";
import { type Bench, machine, printTable } from "./bench.ts";
import { codecs } from "./codecs.ts";
import { codecsAccuracy } from "./codecs-accuracy.ts";
import { coordinator } from "./coordinator.ts";
import { dcganBench } from "./dcgan.ts";
import { featureReplay } from "./feature-replay.ts";
import { featureReplayAccuracy } from "./feature-replay-accuracy.ts";
import { featureReplayContexts } from "./feature-replay-contexts.ts";
import { link } from "./link.ts";
import { memory } from "./memory.ts";
import { microClouds } from "./micro-clouds.ts";
import { microCloudsAccuracy } from "./micro-clouds-accuracy.ts";
import { microCloudsAttack } from "./micro-clouds-attack.ts";
import { microCloudsStreaming } from "./micro-clouds-streaming.ts";
import { parallelSplit } from "./parallel-split.ts";
import { parallelSplitAccuracy } from "./parallel-split-accuracy.ts";
import { parallelSplitMemory } from "./parallel-split-memory.ts";
import { pipeline } from "./pipeline.ts";
import { pipelineAccuracy } from "./pipeline-accuracy.ts";
import { planner } from "./planner.ts";
import { simulator } from "./simulator.ts";
import { step } from "./step.ts";
import { tasksBench } from "./tasks.ts";
import { web } from "./web.ts";

const benches: Readonly<Record<string, Bench>> = {
  codecs,
  "codecs-accuracy": codecsAccuracy,
  coordinator,
  dcgan: dcganBench,
  "feature-replay": featureReplay,
  "feature-replay-accuracy": featureReplayAccuracy,
  "feature-replay-contexts": featureReplayContexts,
  link,
  memory,
  "micro-clouds": microClouds,
  "micro-clouds-accuracy": microCloudsAccuracy,
  "micro-clouds-attack": microCloudsAttack,
  "micro-clouds-streaming": microCloudsStreaming,
  "parallel-split": parallelSplit,
  "parallel-split-accuracy": parallelSplitAccuracy,
  "parallel-split-memory": parallelSplitMemory,
  pipeline,
  "pipeline-accuracy": pipelineAccuracy,
  planner,
  simulator,
  step,
  tasks: tasksBench,
  web,
};

const [name = "", ...rest] = process.argv.slice(2);
const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
if (bench === undefined) {
  console.error(`usage: npm run bench -- NAME [--json] [options]; NAME is one of:`);
  for (const [known, { summary }] of Object.entries(benches))
    console.error(`  ${known}  ${summary}`);
  process.exitCode = 2;
} else {
  try {
    const result = await bench.run(rest.filter((arg) => arg !== "--json"));
    if (rest.includes("--json"))
      console.log(JSON.stringify({ bench: name, machine: machine(), ...result }));
    else printTable(result);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    console.error(`error: ${error.message}`);
    process.exitCode = 2;
  }
}
