/** Measures given weights on the node's held-out data, batch by batch. */
import { present } from "../../base/assert.ts";
import type { Tensor } from "../../base/tensor.ts";
import type { Program } from "../../compile/program.ts";
import type { Batch, Done, EngineAnswer, EngineRun, Host, Outcome, Slot } from "../host.ts";
import type { Tensors } from "../wire/frame.ts";
import type { WorkerModel } from "./worker-model.ts";

/** Samples per run; a smaller last batch gets a program of its own. */
const batchSize = 500;
const prefix = "evaluate|";

/** Sums over all samples measured; null where the null engine computes nothing. */
export interface Evaluation {
  readonly samples: number;
  readonly correct: number | null;
  /** Mean loss per sample. */
  readonly loss: number | null;
}

export class Evaluator {
  readonly #host: Host;
  readonly #model: WorkerModel;
  /** Counts evaluations: what one hears that is not the newest any more is void. */
  #newest = 0;
  #isBusy = false;

  constructor(host: Host, model: WorkerModel) {
    this.#host = host;
    this.#model = model;
  }

  /** Gives up what is under way and frees its slots at once, so that another one may begin. */
  stop(): void {
    this.#newest++;
    if (this.#isBusy) this.#host.engine.drop(prefix, () => {});
    this.#isBusy = false;
  }

  /**
   * Evaluates `weights` on the first `limit` held-out samples; all where null. One that is under
   * way is given up.
   */
  evaluate(weights: Tensors, limit: number | null, done: Done<Evaluation>): void {
    this.stop();
    this.#isBusy = true;
    const own = this.#newest;
    const isOver = (): boolean => this.#newest !== own;
    const end = (outcome: Outcome<Evaluation>): void => {
      this.stop();
      done(outcome);
    };
    const source = present(this.#host.test, "held-out data");
    const samples = Math.min(limit ?? source.samples, source.samples);
    const sizes = batchSizes(samples);
    const programs = new Map(sizes.map((size) => [size, this.#model.evaluation(size)]));
    const slots = new Map([...weights].map(([name, value]) => [prefix + name, value]));
    const sum = { correct: 0 as number | null, loss: 0 as number | null };
    let from = 0;
    const next = (): void => {
      const size = sizes.shift();
      if (size === undefined) {
        const loss = sum.loss === null ? null : sum.loss / samples;
        return end({ ok: true, value: { samples, correct: sum.correct, loss } });
      }
      const program = present(programs.get(size), "an evaluation program");
      source.slice(from, from + size, (batch) => {
        if (isOver()) return;
        if (!batch.ok) return end(batch);
        this.#host.engine.run(evaluationRun(program, batch.value), (outcome) => {
          if (isOver()) return;
          if (!outcome.ok) return end(outcome);
          sum.correct = plus(sum.correct, scalarOf(outcome.value, program, "correct"), 1);
          sum.loss = plus(sum.loss, scalarOf(outcome.value, program, "loss"), size);
          next();
        });
      });
      from += size;
    };
    this.#host.engine.load([...programs.values()], (loaded) => {
      if (isOver()) return;
      if (!loaded.ok) return end(loaded);
      this.#host.engine.write(slots, (written) => {
        if (isOver()) return;
        if (written.ok) next();
        else end(written);
      });
    });
  }
}

function batchSizes(samples: number): number[] {
  const sizes = Array<number>(Math.floor(samples / batchSize)).fill(batchSize);
  const rest = samples % batchSize;
  return rest === 0 ? sizes : [...sizes, rest];
}

function evaluationRun(program: Program, batch: Batch): EngineRun {
  const feeds = new Map<string, Slot | Tensor>();
  for (const port of program.inputs) {
    if (port.role === "feature") feeds.set(port.name, batch.features);
    else if (port.role === "labels") feeds.set(port.name, batch.labels);
    else feeds.set(port.name, prefix + port.of);
  }
  return {
    program: program.id,
    feeds,
    keep: new Map(),
    fetch: program.outputs.map((port) => port.name),
  };
}

function scalarOf(answer: EngineAnswer, program: Program, role: "loss" | "correct"): number | null {
  const port = program.outputs.find((candidate) => candidate.role === role);
  // Not every loss knows right from wrong.
  if (port === undefined) return null;
  const { data } = present(answer.outputs.get(port.name), role);
  return data === null ? null : Number(data[0]);
}

const plus = (sum: number | null, value: number | null, weight: number): number | null =>
  sum === null || value === null ? null : sum + value * weight;
