/**
 * Stage programs: what an engine runs for one stage of a chain. A stage is a
 * run of consecutive segments; its programs are plain ONNX-shaped graphs whose
 * inputs and outputs ("ports") each carry a role, so that the worker binds them
 * to slots, links and data without knowing the model.
 */
import { present } from "../base/assert.ts";
import { ModelError } from "../base/errors.ts";
import { Hasher } from "../base/hash.ts";
import { bytesOf, type TensorType } from "../base/tensor.ts";
import { differentiate } from "./autodiff.ts";
import { GraphBuilder } from "./builder.ts";
import type { Graph, Parameter } from "./graph.ts";
import { type LossName, losses } from "./loss.ts";
import { emitUpdate, type OptimizerSpec, optimizerState } from "./optimizer.ts";
import { print } from "./print.ts";
import { type Segment, segmentModel } from "./segment.ts";
import { verify } from "./verify.ts";

/**
 * - `forward`: feature in, parameters -> feature out, saved activations
 * - `backward`: gradient in, saved, parameters -> parameter gradients, gradient out (not for the first stage)
 * - `update`: parameters, optimizer state, parameter gradients, learning rate -> parameters, state
 * - `step`: for the stage that holds the loss: feature in, labels, parameters, state,
 *   learning rate -> loss, parameters, state, gradient out (not for the first stage)
 * - `evaluate`: feature in, labels, parameters -> loss, correct (whole model)
 */
export type ProgramKind = "forward" | "backward" | "update" | "step" | "evaluate";

/**
 * What a port carries.
 * - `feature`: activation that crosses a stage border (in: from upstream or data; out: to downstream)
 * - `labels`: targets, beside the feature
 * - `parameter`, `state`: trained tensors and the optimizer's tensors, named as in the model
 * - `saved`: activation kept between forward and backward of the same batch
 * - `gradient`: gradient of the feature at a border (in: from downstream; out: to upstream)
 * - `parameterGradient`: gradient of the parameter `of`
 * - `learningRate`: float32 scalar
 * - `loss`: float32 scalar, mean over the batch; `correct`: float32 scalar, count of right answers
 */
export type PortRole =
  | "feature"
  | "labels"
  | "parameter"
  | "state"
  | "saved"
  | "gradient"
  | "parameterGradient"
  | "learningRate"
  | "loss"
  | "correct";

/** A program's input or output. */
export interface Port extends TensorType {
  /** Name of the value in the program's graph. */
  readonly name: string;
  readonly role: PortRole;
  /**
   * The name outside the program, equal for the same thing across programs and
   * stages: the parameter, the state ("momentum:fc1.weight"), the value that
   * crosses a border. Updated parameters leave under the name they came in with.
   */
  readonly of: string;
}

/** One runnable graph. */
export interface Program {
  /** Content hash of graph and ports; engines cache compiled sessions by it. */
  readonly id: string;
  readonly kind: ProgramKind;
  /** Segments [from, to) that the program covers; profiles are looked up by them. */
  readonly from: number;
  readonly to: number;
  readonly graph: Graph;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
}

/** The programs of one stage. A stage with the loss has `step`; any other has the other three. */
export interface StagePrograms {
  readonly forward: Program | null;
  readonly backward: Program | null;
  readonly update: Program | null;
  readonly step: Program | null;
}

/** How a stage is trained. */
export interface TrainingSpec {
  readonly loss: LossName;
  readonly optimizer: OptimizerSpec;
}

/**
 * Emits the programs of the stage that holds segments [from, to) of a static graph.
 * The stage of the first segment computes no gradient for what comes before it;
 * the stage of the last one holds the loss.
 * @throws ModelError when an operator on the way has no gradient, or a parameter gets none
 */
export function stagePrograms(
  graph: Graph,
  segments: readonly Segment[],
  from: number,
  to: number,
  spec: TrainingSpec,
): StagePrograms {
  const stage = new StageBuilder(graph, segments, from, to, spec);
  return to === segments.length
    ? { forward: null, backward: null, update: null, step: stage.step() }
    : { ...stage.forwardAndBackward(), update: stage.update(), step: null };
}

/** The whole model with its loss and the count of right answers, for held-out data. */
export function evaluateProgram(graph: Graph, spec: Pick<TrainingSpec, "loss">): Program {
  const [input] = graph.inputs;
  const output = present(graph.outputs[0], "a model's output");
  const builder = new GraphBuilder(`${graph.name} evaluation`);
  const { name, dtype, shape } = present(input, "a model's input");
  const feature: TensorType = { dtype, shape: shape as readonly number[] };
  builder.input(name, feature);
  for (const parameter of graph.parameters) builder.parameter(parameter.name, parameter);
  for (const [constant, value] of graph.constants) builder.constant(value, constant);
  for (const node of graph.nodes) builder.add(node);
  const rule = losses[spec.loss];
  const labels = rule.labels(builder.type(output));
  const labelsName = builder.input(builder.free("labels"), labels);
  const { loss } = rule.loss(builder, output, labelsName);
  const correct = rule.correct(builder, output, labelsName);
  return finish("evaluate", 0, segmentModel(graph).length, builder.graph([loss, correct]), {
    inputs: [
      port(name, "feature", feature),
      port(labelsName, "labels", labels),
      ...graph.parameters.map((parameter) => port(parameter.name, "parameter", parameter)),
    ],
    outputs: [
      port(loss, "loss", builder.type(loss)),
      port(correct, "correct", builder.type(correct)),
    ],
  });
}

const scalarType: TensorType = { dtype: "float32", shape: [] };

const port = (name: string, role: PortRole, type: TensorType, of = name): Port => ({
  name,
  role,
  of,
  dtype: type.dtype,
  shape: type.shape,
});

class StageBuilder {
  readonly #name: string;
  readonly #graph: Graph;
  readonly #segments: readonly Segment[];
  readonly #from: number;
  readonly #to: number;
  readonly #spec: TrainingSpec;
  readonly #parameters: readonly Parameter[];
  readonly #input: Segment["input"];
  readonly #output: Segment["output"];

  constructor(
    graph: Graph,
    segments: readonly Segment[],
    from: number,
    to: number,
    spec: TrainingSpec,
  ) {
    this.#name = `${graph.name}[${from},${to})`;
    this.#graph = graph;
    this.#segments = segments.slice(from, to);
    this.#from = from;
    this.#to = to;
    this.#spec = spec;
    this.#parameters = this.#segments.flatMap((segment) => segment.parameters);
    this.#input = present(this.#segments[0], "a stage's first segment").input;
    this.#output = present(this.#segments.at(-1), "a stage's last segment").output;
  }

  forwardAndBackward(): Pick<StagePrograms, "forward" | "backward"> {
    const builder = this.#withForward("stage");
    const forwardCount = builder.nodes.length;
    const seedName = `gradient of ${this.#output.name}`;
    builder.input(seedName, this.#output);
    const gradients = this.#differentiate(builder, this.#output.name, seedName);
    const forwardNodes = builder.nodes.slice(0, forwardCount);
    const outputs = this.#gradientPorts(builder, gradients);
    const backward = builder.graph(
      outputs.map(({ name }) => name),
      builder.nodes.slice(forwardCount),
    );
    const needed = new Set(backward.nodes.flatMap((node) => node.inputs));
    for (const name of backward.outputs) needed.add(name);
    const saved = forwardNodes
      .flatMap((node) => node.outputs)
      .filter((name) => needed.has(name))
      .map((name) => port(name, "saved", builder.type(name)));
    const feature = port(this.#input.name, "feature", this.#input);
    const leaving = [port(this.#output.name, "feature", this.#output), ...saved];
    const forward = this.#finish(
      "forward",
      builder.graph([...new Set(leaving.map(({ name }) => name))], forwardNodes),
      [feature, ...this.#parameterPorts(() => true)],
      leaving,
    );
    if (outputs.length === 0) return { forward, backward: null };
    const arriving = [
      port(seedName, "gradient", this.#output, this.#output.name),
      ...(needed.has(feature.name) ? [feature] : []),
      ...saved,
      ...this.#parameterPorts((name) => needed.has(name)),
    ];
    return { forward, backward: this.#finish("backward", backward, arriving, outputs) };
  }

  /** Null where the stage has nothing to train. */
  update(): Program | null {
    if (this.#parameters.length === 0) return null;
    const builder = new GraphBuilder(`${this.#name} update`);
    for (const parameter of this.#parameters) builder.parameter(parameter.name, parameter);
    const gradients = this.#parameters.map((parameter) => {
      const name = `gradient of ${parameter.name}`;
      builder.input(name, parameter);
      return port(name, "parameterGradient", parameter, parameter.name);
    });
    const trained = this.#emitUpdates(builder, (parameter) => `gradient of ${parameter}`);
    const arriving = [...this.#parameterPorts(() => true), ...trained.arriving, ...gradients];
    const graph = builder.graph(trained.leaving.map(({ name }) => name));
    return this.#finish("update", graph, arriving, trained.leaving);
  }

  step(): Program {
    const builder = this.#withForward("step");
    const rule = losses[this.#spec.loss];
    const labels = rule.labels(builder.type(this.#output.name));
    const labelsName = builder.input(builder.free("labels"), labels);
    const { loss, gradient } = rule.loss(builder, this.#output.name, labelsName);
    const gradients = this.#differentiate(builder, this.#output.name, gradient);
    const borders = this.#gradientPorts(builder, gradients).filter(
      ({ role }) => role === "gradient",
    );
    const trained = this.#emitUpdates(builder, (parameter) =>
      present(gradients.get(parameter), `a gradient of ${parameter}`),
    );
    const arriving = [
      port(this.#input.name, "feature", this.#input),
      port(labelsName, "labels", labels),
      ...this.#parameterPorts(() => true),
      ...trained.arriving,
    ];
    const leaving = [port(loss, "loss", builder.type(loss)), ...borders, ...trained.leaving];
    const graph = builder.graph(leaving.map(({ name }) => name));
    return this.#finish("step", graph, arriving, leaving);
  }

  #withForward(purpose: string): GraphBuilder {
    const builder = new GraphBuilder(`${this.#name} ${purpose}`);
    builder.input(this.#input.name, this.#input);
    for (const parameter of this.#parameters) builder.parameter(parameter.name, parameter);
    const used = new Set(
      this.#segments.flatMap(({ nodes }) => nodes.flatMap(({ inputs }) => inputs)),
    );
    for (const [name, value] of this.#graph.constants) {
      if (used.has(name)) builder.constant(value, name);
    }
    for (const segment of this.#segments) for (const node of segment.nodes) builder.add(node);
    return builder;
  }

  /** Gradients of the stage's parameters, and of its input unless that is data. */
  #differentiate(builder: GraphBuilder, output: string, seed: string): Map<string, string> {
    const wanted = new Set(this.#parameters.map(({ name }) => name));
    if (this.#from > 0) wanted.add(this.#input.name);
    const gradients = differentiate(builder, new Map([[output, seed]]), wanted);
    for (const name of wanted) {
      if (!gradients.has(name)) throw new ModelError("no gradient reaches it", { node: name });
    }
    return gradients;
  }

  #gradientPorts(builder: GraphBuilder, gradients: ReadonlyMap<string, string>): Port[] {
    return [...gradients].map(([of, name]) => {
      const role = of === this.#input.name ? "gradient" : "parameterGradient";
      return port(name, role, builder.type(name), of);
    });
  }

  #parameterPorts(isNeeded: (name: string) => boolean): Port[] {
    return this.#parameters
      .filter(({ name }) => isNeeded(name))
      .map((parameter) => port(parameter.name, "parameter", parameter));
  }

  /** Adds state and learning rate as inputs and one update per parameter. */
  #emitUpdates(
    builder: GraphBuilder,
    gradientOf: (parameter: string) => string,
  ): { arriving: Port[]; leaving: Port[] } {
    const learningRateName = builder.input(builder.free("learning_rate"), scalarType);
    const arriving = [port(learningRateName, "learningRate", scalarType)];
    const leaving: Port[] = [];
    for (const parameter of this.#parameters) {
      const state = optimizerState(this.#spec.optimizer, parameter);
      for (const tensor of state) {
        builder.input(tensor.name, tensor);
        arriving.push(port(tensor.name, "state", tensor));
      }
      const updated = emitUpdate(builder, this.#spec.optimizer, {
        parameter: parameter.name,
        gradient: gradientOf(parameter.name),
        learningRate: learningRateName,
        state: state.map(({ name }) => name),
      });
      leaving.push(port(updated.parameter, "parameter", parameter, parameter.name));
      state.forEach((tensor, i) => {
        leaving.push(port(present(updated.state[i], "a state"), "state", tensor, tensor.name));
      });
    }
    return { arriving, leaving };
  }

  #finish(
    kind: ProgramKind,
    graph: Graph,
    inputs: readonly Port[],
    outputs: readonly Port[],
  ): Program {
    return finish(kind, this.#from, this.#to, graph, { inputs, outputs });
  }
}

/** Keeps the inputs that the ports name, orders them as the ports, and hashes the result. */
function finish(
  kind: ProgramKind,
  from: number,
  to: number,
  graph: Graph,
  ports: { readonly inputs: readonly Port[]; readonly outputs: readonly Port[] },
): Program {
  const isParameter = (input: Port): boolean => input.role === "parameter";
  const exact: Graph = {
    ...graph,
    inputs: ports.inputs.filter((input) => !isParameter(input)),
    parameters: ports.inputs.filter(isParameter),
    // One value may leave by two ports: a sum passes one gradient to both of its terms.
    outputs: [...new Set(graph.outputs)],
  };
  verify(exact);
  const hasher = new Hasher().text(kind).text(print(exact));
  for (const { role, of, name } of [...ports.inputs, ...ports.outputs]) {
    hasher.text(`${role} ${of} ${name}`);
  }
  for (const value of exact.constants.values()) hasher.bytes(bytesOf(value));
  return { id: hasher.digest(), kind, from, to, graph: exact, ...ports };
}
