/**
 * How well the jobs in `examples/tasks` do when they are trained across a device and a cloud: the same
 * peers and messages as on sockets, in virtual time, with real numbers. Held-out samples are looked at for
 * the figures alone: settings were chosen on parts of the training samples.
 */
import {
  type Job,
  loadModel,
  NativeEngine,
  planners,
  RunFold,
  type TimedRecord,
  version,
} from "edgeloom";
import { type SimNode, simulate } from "edgeloom/sim";
import { type Bench, chosenOf, countOf, type Goal, optionsOf, type Row, tell } from "./bench.ts";
import { fixedCut } from "./fixed-cut.ts";
import { measuredCore } from "./measured.ts";
import { mean } from "./statistics.ts";
import { deviceAndCloud, machinesOf, taskJob } from "./task-runs.ts";

/** What a task is to reach. */
interface Task {
  readonly name: string;
  /** Segments on the device: a fixed cut, so that every machine trains the same; null where the job's planner cuts. */
  readonly cut: number | null;
  readonly figure: Figure;
  readonly goal: number;
}

/** What is made of an evaluation. */
interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly isHigherBetter: boolean;
  of(evaluation: { readonly accuracy: number | null; readonly loss: number | null }): number;
}

const accuracy: Figure = {
  name: "accuracy",
  unit: "%",
  isHigherBetter: true,
  of: (evaluation) => 100 * (evaluation.accuracy ?? Number.NaN),
};

const rootError: Figure = {
  name: "RMSE",
  unit: "stars",
  isHigherBetter: false,
  of: ({ loss }) => Math.sqrt(loss ?? Number.NaN),
};

/** The model's loss is the negative bound for each pixel. */
const lowerBound: Figure = {
  name: "ELBO",
  unit: "nats",
  isHigherBetter: true,
  of: ({ loss }) => -28 * 28 * (loss ?? Number.NaN),
};

const tasks: readonly Task[] = [
  { name: "mnist", cut: 3, figure: accuracy, goal: 99 },
  { name: "fashion-mnist", cut: 3, figure: accuracy, goal: 91 },
  { name: "spam", cut: 3, figure: accuracy, goal: 98 },
  { name: "food-reviews", cut: 3, figure: accuracy, goal: 78 },
  { name: "movielens", cut: null, figure: rootError, goal: 0.882 },
  { name: "movielens-two-parties", cut: null, figure: rootError, goal: 0.882 },
  { name: "vae", cut: 3, figure: lowerBound, goal: -105 },
];

export const tasksBench: Bench = {
  summary:
    "what the jobs in examples/tasks reach across device and cloud [--only a,b] [--seeds N] [--first SEED] [--rounds N] [--data FOLDER]",
  async run(args) {
    const asked = optionsOf(args, { only: "", seeds: "3", first: "1", rounds: "", data: "." });
    const first = countOf("--first", asked.first);
    const seeds = Array.from({ length: countOf("--seeds", asked.seeds) }, (_, i) => first + i);
    const change = asked.rounds === "" ? {} : { rounds: countOf("--rounds", asked.rounds) };
    const chosen =
      asked.only === "" ? tasks : chosenOf("--only", asked.only, tasks, ({ name }) => name);
    const rows: Row[] = [];
    const goals: Goal[] = [];
    for (const task of chosen) {
      const values: number[] = [];
      const profile = await measuredCore(taskJob(task.name, { ...change, seed: first }));
      for (const seed of seeds) {
        const job = taskJob(task.name, { ...change, seed });
        const outcome = await train(task, job, machinesOf(job, profile, asked.data));
        values.push(outcome.value);
        rows.push(outcome.row);
      }
      goals.push(goalOf(task, values));
    }
    return {
      rows,
      goals,
      versions: { edgeloom: version },
      seed: first,
      notes: [
        `numbers by the native engine; times are virtual: ${deviceAndCloud}`,
        "batches go one after the other, so the numbers are those of one process",
      ],
    };
  },
};

function goalOf({ name, figure, goal }: Task, values: readonly number[]): Goal {
  const value = mean(values);
  const [met, bound] = figure.isHigherBetter
    ? [value >= goal, "at least"]
    : [value <= goal, "at most"];
  const unit = `${figure.unit}, ${bound}`;
  return { name: `${name}: ${figure.name}, mean of ${values.length}`, value, goal, unit, met };
}

/** Trains a task's job once. */
async function train(
  task: Task,
  job: Job,
  nodes: readonly SimNode[],
): Promise<{ readonly value: number; readonly row: Row }> {
  const model = loadModel(job, ".");
  tell(`${task.name}, seed ${job.seed}: ${job.rounds} rounds of ${job.localBatches} batches ...`);
  const { records, virtualMs } = await simulate({
    job,
    model,
    nodes,
    planner: task.cut === null ? planners[job.planner] : fixedCut(task.cut),
    engine: () => new NativeEngine({ threads: 1 }),
    until: teller(task),
  });
  const fold = new RunFold();
  for (const { record } of records) fold.add(record);
  const { bytesUp, bytesDown } = fold.summary;
  const value = finalOf(task, records);
  return {
    value,
    row: {
      task: task.name,
      model: job.model,
      seed: job.seed,
      [task.figure.name]: value,
      updates: job.rounds * job.localBatches,
      "MB up": bytesUp / 1e6,
      "MB down": bytesDown / 1e6,
      "virtual minutes": virtualMs / 60_000,
    },
  };
}

/** Says each evaluation as it comes; never stops the run. */
function teller({ figure }: Task): (nowMs: number, records: readonly TimedRecord[]) => boolean {
  let told = 0;
  return (_, records) => {
    for (; told < records.length; told++) {
      const record = records[told]?.record;
      if (record?.type !== "evaluation") continue;
      tell(`  after ${record.round} rounds: ${figure.name} ${figure.of(record).toFixed(4)}`);
    }
    return false;
  };
}

function finalOf({ figure }: Task, records: readonly TimedRecord[]): number {
  const last = records.findLast(
    ({ record }) => record.type === "evaluation" && record.final,
  )?.record;
  return last?.type === "evaluation" ? figure.of(last) : Number.NaN;
}
