/**
 * Whether the gradients that a model is trained with are right: those of the training program on
 * the native engine against finite differences, which know nothing of gradient rules, and against
 * PyTorch, where this machine has it.
 *
 * Finite differences lie at kinks, so a parameter that seems wrong is looked at again at other
 * points: other data, and weights a little beside the model's. Only one that is wrong at every
 * point is off.
 */
import { present } from "../base/assert.ts";
import { ModelError } from "../base/errors.ts";
import { type Random, random } from "../base/random.ts";
import {
  cloneTensor,
  type DenseTensor,
  dense,
  elementCount,
  type Tensor,
  type TensorType,
  zeros,
} from "../base/tensor.ts";
import { differentiate } from "../compile/autodiff.ts";
import { GraphBuilder, pruned } from "../compile/builder.ts";
import { Differences } from "../compile/differences.ts";
import { type Graph, isTrained, type Model, type Weights } from "../compile/graph.ts";
import { lossSpec } from "../compile/loss.ts";
import { numbers, pack } from "../compile/ops/elements.ts";
import { isFloat } from "../compile/ops/inputs.ts";
import { optimizerSpec } from "../compile/optimizer.ts";
import { type Port, type Program, stagePrograms } from "../compile/program.ts";
import { trainingModel } from "../compile/training-model.ts";
import { type AutogradAnswer, autograd } from "./autograd.ts";
import { NativeEngine } from "./engine.ts";

/** What to check, and how closely. */
export interface CheckOptions {
  readonly model: Model;
  /** Samples; where absent 2, or as many as the model is fixed to. */
  readonly batch?: number;
  /**
   * Difference that is allowed, as a share of the gradient; 1e-3 where absent. More is where
   * PyTorch in float32 comes near it: see {@link ParameterCheck.rounding}.
   */
  readonly tolerance?: number;
  /** Seconds after which no further finite difference is begun; 60 where absent. */
  readonly seconds?: number;
  /** Command of a Python with PyTorch; null leaves PyTorch out. The variable PYTHON or python3 where absent. */
  readonly python?: string | null;
  /** Told before each parameter. */
  readonly progress?: (text: string) => void;
}

/** What was found of one parameter. */
export interface ParameterCheck {
  readonly name: string;
  /** Largest entry of its gradient. */
  readonly largest: number;
  /**
   * Difference of the derivative along a random direction from finite differences, as a share of
   * the gradient's norm; null where it was not measured.
   */
  readonly differences: number | null;
  /** Largest difference from PyTorch's gradient, as a share of that one's largest entry; null without. */
  readonly autograd: number | null;
  /** The same of PyTorch's own gradient in float32: what rounding alone does; null without. */
  readonly rounding: number | null;
  readonly verdict: "ok" | "off" | "not measured";
}

/** What was found of a model. */
export interface CheckResult {
  readonly parameters: readonly ParameterCheck[];
  /** Version of PyTorch and the difference of its loss from ours, or why it was left out. */
  readonly autograd:
    | { readonly version: string; readonly loss: number }
    | { readonly skipped: string };
  /** Whether something was measured, and no gradient, and not the loss, is off. */
  readonly isRight: boolean;
}

/** Points that are tried before a parameter is called off. */
const pointsMax = 3;
/** Two differences are not asked to agree more closely than this. */
const agreementMin = 1e-7;
/** Trajectories of rounding errors differ; so many times PyTorch's own may ours be. */
const spread = 8;
/** What counts as a gradient of nothing, as a share of the model's largest. */
const negligible = 1e-4;

/**
 * Checks the gradient of every trained parameter, of a mean squared error against random answers.
 * @throws ModelError where the model cannot be trained, or holds no weights
 */
export async function check(options: CheckOptions): Promise<CheckResult> {
  const { model, tolerance = 1e-3, seconds = 60, progress = () => {} } = options;
  const python = options.python === undefined ? (process.env.PYTHON ?? "python3") : options.python;
  const subject = new Subject(model, options.batch);
  const until = performance.now() + 1000 * seconds;
  const engine = new NativeEngine();
  try {
    const first = await subject.measure(engine, 0);
    progress("PyTorch");
    const comparison = compare(
      first,
      python === null
        ? { skipped: "not asked for" }
        : await autograd({ graph: model.graph, ...first }, python),
    );
    const allowed = (name: string): number =>
      Math.max(tolerance, spread * (comparison.parameters.get(name)?.rounding ?? 0));
    const found = new Map<string, number>();
    let pending = subject.nearestFirst(first.differences);
    for (let index = 0; index < pointsMax && pending.length > 0; index++) {
      if (performance.now() > until) break;
      const point = index === 0 ? first : await subject.measure(engine, index);
      for (const [i, name] of pending.entries()) {
        if (performance.now() > until) break;
        progress(`finite differences: parameter ${i + 1} of ${pending.length}, ${name}`);
        const off = differenceOf(point, name, random(index + 1).fork(name), allowed(name));
        if (off !== null) found.set(name, Math.min(off, found.get(name) ?? Infinity));
      }
      pending = pending.filter((name) => !((found.get(name) ?? Infinity) <= allowed(name)));
    }
    return verdicts(first, found, comparison, allowed);
  } finally {
    await engine.close();
  }
}

/** Inputs of a model with the gradients there. */
interface Point {
  /** Inputs, noise and parameters by name. */
  readonly values: ReadonlyMap<string, DenseTensor>;
  readonly target: DenseTensor;
  readonly loss: number;
  readonly gradients: ReadonlyMap<string, ArrayLike<number>>;
  readonly differences: Differences;
  /** Norm of the largest gradient. */
  readonly most: number;
}

const norm = (values: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0));

const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** How far a gradient is from finite differences; null where those give no answer. */
function differenceOf(
  { gradients, differences, most }: Point,
  name: string,
  draw: Random,
  tolerance: number,
): number | null {
  const gradient = present(gradients.get(name), name);
  const floor = negligible * most + Number.MIN_VALUE;
  for (let attempt = 0; attempt < 2; attempt++) {
    const direction = Array.from(gradient, () => (draw.below(2) === 0 ? -1 : 1));
    const expected = direction.reduce((sum, sign, i) => sum + sign * (gradient[i] as number), 0);
    const scale = norm(gradient) + floor;
    const slope = differences.along(
      name,
      direction,
      (a, b) => Math.abs(a - b) <= Math.max(tolerance / 4, agreementMin) * (scale + Math.abs(a)),
    );
    if (slope !== null) return Math.abs(slope - expected) / Math.max(scale, Math.abs(slope));
  }
  return null;
}

/** What PyTorch's gradients are beside ours. */
interface Comparison {
  readonly summary: CheckResult["autograd"];
  /** Shares of the largest entry of PyTorch's gradient. */
  readonly parameters: ReadonlyMap<string, { readonly off: number; readonly rounding: number }>;
}

function compare(point: Point, answer: AutogradAnswer): Comparison {
  if ("skipped" in answer) return { summary: answer, parameters: new Map() };
  const { version, gradients, rounding } = answer;
  const most = Math.max(0, ...[...gradients.values()].map((value) => largest(numbers(value))));
  const floor = negligible * most + Number.MIN_VALUE;
  const parameters = [...point.gradients].map(([name, gradient]) => {
    const other = numbers(present(gradients.get(name), name));
    const off = largest(Array.from(gradient, (value, i) => value - (other[i] ?? Number.NaN)));
    const scale = largest(other) + floor;
    return [name, { off: off / scale, rounding: (rounding[name] ?? 0) / scale }] as const;
  });
  const loss = Math.abs(point.loss - answer.loss) / (Math.abs(answer.loss) + Number.MIN_VALUE);
  return { summary: { version, loss }, parameters: new Map(parameters) };
}

function verdicts(
  point: Point,
  found: ReadonlyMap<string, number>,
  { summary, parameters: compared }: Comparison,
  allowed: (name: string) => number,
): CheckResult {
  const parameters = [...point.gradients].map(([name, gradient]): ParameterCheck => {
    const differences = found.get(name) ?? null;
    const autograd = compared.get(name)?.off ?? null;
    const rounding = compared.get(name)?.rounding ?? null;
    const measured = [differences, autograd].filter((off) => off !== null);
    const isOk = measured.every((off) => off <= allowed(name));
    const verdict = measured.length === 0 ? "not measured" : isOk ? "ok" : "off";
    return { name, largest: largest(gradient), differences, autograd, rounding, verdict };
  });
  const isLossRight = "skipped" in summary || summary.loss <= allowed("");
  const has = (verdict: string): boolean =>
    parameters.some((parameter) => parameter.verdict === verdict);
  return { parameters, autograd: summary, isRight: isLossRight && has("ok") && !has("off") };
}

/** A model as it is trained, to be measured at random points. */
class Subject {
  readonly #model: Model;
  readonly #program: Program;
  readonly #isCategorical: boolean;

  constructor(model: Model, batch: number | undefined) {
    const missing = model.graph.parameters.find(({ name }) => !model.weights.has(name));
    if (missing !== undefined) {
      throw new ModelError("the file holds no values of it, and a check needs them", {
        node: missing.name,
      });
    }
    const own = model.graph.inputs[0]?.shape[0];
    const samples = batch ?? (typeof own === "number" ? own : 2);
    const { graph, segments } = trainingModel(model.graph, { batch: samples, cutTensors: 1 });
    const { step } = stagePrograms(graph, segments, 0, segments.length, {
      loss: lossSpec("mean-squared-error"),
      // Gradients stay apart from updates where they accumulate.
      optimizer: optimizerSpec("sgd", { accumulate: 2 }),
    });
    this.#model = model;
    this.#program = present(step, "a step");
    this.#isCategorical = !isReached(graph);
  }

  /** Trained parameters, those with little to compute behind them first. */
  nearestFirst(differences: Differences): string[] {
    const trained = this.#model.graph.parameters.filter(isTrained).map(({ name }) => name);
    const counts = new Map(trained.map((name) => [name, differences.dependents(name).length]));
    return trained
      .filter((name) => this.#program.inputs.some(({ of }) => of === name))
      .sort((a, b) => (counts.get(a) ?? 0) - (counts.get(b) ?? 0));
  }

  /** Draws a point and computes its gradients; point 0 has the model's own weights. */
  async measure(engine: NativeEngine, index: number): Promise<Point> {
    const draw = random(index + 1);
    const weights = index === 0 ? this.#model.weights : beside(this.#model, draw.fork("weights"));
    const values = new Map<string, DenseTensor>();
    const feeds = new Map<string, Tensor>();
    for (const port of this.#program.inputs) {
      const value = this.#valueOf(port, weights, draw.fork(port.name));
      if (port.role !== "parameterGradient") values.set(port.name, value);
      feeds.set(port.name, cloneTensor(value));
    }
    await engine.load([this.#program]);
    const ports = this.#program.outputs.filter(({ role }) => role !== "parameter");
    const { outputs } = await engine.run({
      program: this.#program.id,
      feeds,
      keep: new Map(),
      fetch: [...new Set(ports.map(({ name }) => name))],
    });
    const output = (port: Port): DenseTensor => dense(present(outputs.get(port.name), port.name));
    const loss = present(
      ports.find(({ role }) => role === "loss"),
      "a loss",
    );
    const gradients = new Map(
      ports
        .filter(({ role }) => role === "parameterGradient")
        .map((port) => [port.of, numbers(output(port))]),
    );
    const labels = present(
      this.#program.inputs.find(({ role }) => role === "labels"),
      "labels",
    );
    const forward = { ...this.#program.graph, updates: new Map(), outputs: [loss.name] };
    return {
      values,
      target: present(values.get(labels.name), "labels"),
      loss: Number(output(loss).data[0]),
      gradients,
      differences: new Differences(pruned(forward), loss.name, values),
      most: Math.max(0, ...[...gradients.values()].map(norm)),
    };
  }

  #valueOf(port: Port, weights: Weights, draw: Random): DenseTensor {
    if (port.role === "parameter") return present(weights.get(port.of), port.of);
    if (port.role === "parameterGradient") return zeros(port);
    if (port.role === "noise") return filled(port, () => draw.uniform());
    // Numbers of words, or of classes: any table has a few rows.
    const isNumber = port.role === "feature" && this.#isCategorical;
    return filled(port, () => (isNumber ? draw.below(4) : draw.normal()));
  }
}

const filled = (type: TensorType, value: () => number): DenseTensor =>
  pack(type, Array.from({ length: elementCount(type.shape) }, value));

/** Weights a little beside the model's, so that no bias of 0 is a kink. */
function beside({ graph, weights }: Model, draw: Random): Weights {
  const trained = new Set(graph.parameters.filter(isTrained).map(({ name }) => name));
  return new Map(
    [...weights].map(([name, value]) => {
      if (!trained.has(name) || !isFloat(value.dtype)) return [name, value];
      const values = Array.from(numbers(value));
      const size = norm(values) / Math.sqrt(Math.max(1, values.length)) || 1;
      return [
        name,
        pack(
          value,
          values.map((one) => one + 0.02 * size * draw.normal()),
        ),
      ];
    }),
  );
}

/** Whether the output moves with the input; it does not where the input is numbers of words. */
export function isReached(graph: Graph): boolean {
  const builder = new GraphBuilder("reach");
  for (const { name, dtype, shape } of graph.inputs) {
    builder.input(name, { dtype, shape: shape as readonly number[] });
  }
  for (const parameter of graph.parameters) builder.parameter(parameter.name, parameter);
  for (const [name, value] of graph.constants) builder.constant(value, name);
  for (const node of graph.nodes) builder.add(node);
  const [output = ""] = graph.outputs;
  const input = present(
    graph.inputs.find(({ noise }) => !noise),
    "an input",
  ).name;
  const seed = builder.constant(filled(builder.type(output), () => 1));
  try {
    return differentiate(builder, new Map([[output, seed]]), new Set([input])).has(input);
  } catch (error) {
    // What stands before the first weight needs no gradient.
    if (error instanceof ModelError) return false;
    throw error;
  }
}
