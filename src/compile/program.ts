/**
 * Stage programs: what an engine runs for one stage of a chain. A stage is a
 * run of consecutive segments; its programs are plain ONNX-shaped graphs whose
 * inputs and outputs ("ports") each carry a role, so that the worker binds them
 * to slots, links and data without knowing the model.
 */
import { present } from "../base/assert.ts";
import { ModelError } from "../base/errors.ts";
import { Hasher } from "../base/hash.ts";
import { bytesOf, type TensorType, zeros } from "../base/tensor.ts";
import { differentiate } from "./autodiff.ts";
import { GraphBuilder } from "./builder.ts";
import { type Graph, isTrained, type Parameter } from "./graph.ts";
import { emitLoss, type LossSpec, lossRule } from "./loss.ts";
import { scalar } from "./ops/gradients.ts";
import { emitUpdate, type OptimizerSpec, optimizerState } from "./optimizer.ts";
import { print } from "./print.ts";
import type { Crossing, NamedType, Segment } from "./segment.ts";
import { executableForm } from "./training-form.ts";
import { verify } from "./verify.ts";

/**
 * - `forward`: features in, noise, parameters -> features out, saved activations, moved buffers
 * - `backward`: gradients in, saved, noise, parameters -> parameter gradients, gradients out
 * - `update`: parameters, optimizer state, parameter gradients, learning rate -> parameters, state
 * - `step`: for the stage that holds the loss: features in, labels, noise, parameters, state,
 *   learning rate -> loss, parameters, state, gradients out. Where gradients accumulate over
 *   micro-batches it gives parameter gradients instead, and `update` moves the parameters.
 * - `evaluate`: feature in, labels, parameters -> loss, correct (whole model)
 */
export type ProgramKind = "forward" | "backward" | "update" | "step" | "evaluate";

/**
 * What a port carries.
 * - `feature`: activation that crosses a stage border (in: from upstream or data; out: to downstream)
 * - `columns`: the model's input once more, of which the node's own columns are looked at: drawn by
 *   a stage that is not the first, where parties hold different ones
 * - `labels`: targets, beside the feature
 * - `noise`: uniform numbers from 0 up to 1, the same for forward and backward of a batch
 * - `parameter`, `state`: the model's tensors and the optimizer's, named as in the model
 * - `saved`: activation kept between forward and backward of the same batch
 * - `gradient`: gradient of the feature at a border (in: from downstream; out: to upstream)
 * - `parameterGradient`: gradient of the parameter `of`; as an input of `backward` and `step`, the
 *   sum over the micro-batches so far, zeros for the first
 * - `learningRate`: float32 scalar
 * - `batchShare`: float32 scalar, where batches of several chains are summed: one over their number
 * - `loss`: float32 scalar, mean over the batch; `correct`: float32 scalar, count of right answers
 */
export type PortRole =
  | "feature"
  | "columns"
  | "labels"
  | "noise"
  | "parameter"
  | "state"
  | "saved"
  | "gradient"
  | "parameterGradient"
  | "learningRate"
  | "batchShare"
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
  /** A backward pass that computes forward once more although the job's other programs do not. */
  readonly replays?: boolean;
  readonly graph: Graph;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
}

/**
 * The programs of one stage. A stage with the loss has `step`, any other `forward` and, where
 * there is something to go back for, `backward`; `update` is there where no step moves the
 * parameters.
 */
export interface StagePrograms {
  readonly forward: Program | null;
  readonly backward: Program | null;
  readonly update: Program | null;
  readonly step: Program | null;
}

/** Parameters and optimizer state that a stage's programs take in: what it starts a round with. */
export const neededPorts = (programs: StagePrograms): Port[] => tensorPorts(programs, "inputs");

/** The ports of a role, in their order. */
export const portsOf = (ports: readonly Port[], role: Port["role"]): Port[] =>
  ports.filter((port) => port.role === role);

/** The one port of a role. */
export function portOf(ports: readonly Port[], role: Port["role"]): Port {
  return present(
    ports.find((port) => port.role === role),
    `a port of role ${role}`,
  );
}

/** Parameters and optimizer state that a stage's programs change: what it brings from a round. */
export const movedPorts = (programs: StagePrograms): Port[] => tensorPorts(programs, "outputs");

function tensorPorts(programs: StagePrograms, side: "inputs" | "outputs"): Port[] {
  const ports = new Map<string, Port>();
  for (const program of [programs.forward, programs.backward, programs.update, programs.step]) {
    for (const port of program?.[side] ?? []) {
      if (port.role === "parameter" || port.role === "state") ports.set(port.of, port);
    }
  }
  return [...ports.values()];
}

/** How a stage is trained. */
export interface TrainingSpec {
  readonly loss: LossSpec;
  readonly optimizer: OptimizerSpec;
  /**
   * Whether stages before the last compute their activations once more in backward instead of
   * saving them (Chen et al., "Training deep nets with sublinear memory cost", 2016): more work,
   * less memory. The last stage has nothing to save between programs.
   */
  readonly recompute?: boolean;
  /** Whether gradients are summed over as many batches as `update` is told, not `accumulate` of them. */
  readonly isMerged?: boolean;
  /** Whether others join in updates: `update` takes the mean gradient, and `step` gives sums, also of one batch. */
  readonly isJoined?: boolean;
}

/**
 * Emits the programs of the stage that holds segments [from, to) of a graph in its training form.
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
  if (to < segments.length) {
    return { ...stage.forwardAndBackward(), update: stage.update(), step: null };
  }
  const update = isSummed(spec) ? stage.update() : null;
  return { forward: null, backward: null, update, step: stage.step() };
}

/** Whether gradients are summed apart from the update. */
const isSummed = ({ optimizer, isMerged = false, isJoined = false }: TrainingSpec): boolean =>
  optimizer.accumulate > 1 || isMerged || isJoined;

const scalarType: TensorType = { dtype: "float32", shape: [] };

/** A program's input or output, named outside as inside where nothing else is said. */
export const port = (name: string, role: PortRole, type: TensorType, of = name): Port => ({
  name,
  role,
  of,
  dtype: type.dtype,
  shape: type.shape,
});

const gradientName = (of: string): string => `gradient of ${of}`;

class StageBuilder {
  readonly #name: string;
  readonly #graph: Graph;
  readonly #segments: readonly Segment[];
  readonly #from: number;
  readonly #to: number;
  readonly #spec: TrainingSpec;
  readonly #parameters: readonly Parameter[];
  readonly #trained: readonly Parameter[];
  readonly #noise: readonly NamedType[];
  readonly #inputs: readonly Crossing[];
  /** The model's input where the stage takes it again; it is one at most. */
  readonly #columns: readonly NamedType[];
  readonly #outputs: readonly Crossing[];

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
    this.#trained = this.#parameters.filter(isTrained);
    this.#noise = this.#segments.flatMap((segment) => segment.noise);
    this.#inputs = present(this.#segments[0], "a stage's first segment").inputs;
    const taken = this.#segments.flatMap((segment) => segment.taken?.input ?? []);
    this.#columns = from === 0 ? [] : taken.slice(0, 1);
    this.#outputs = present(this.#segments.at(-1), "a stage's last segment").outputs;
  }

  forwardAndBackward(): Pick<StagePrograms, "forward" | "backward"> {
    const builder = this.#withForward("stage");
    // Engines give no input back as an output, so what only passes through takes a step.
    const passed = this.#outputs.map((value) =>
      this.#inputs.some(({ name }) => name === value.name)
        ? builder.emit("Identity", [value.name])
        : value.name,
    );
    const forwardCount = builder.nodes.length;
    const arrived = this.#outputs.filter(({ hasGradient }) => hasGradient);
    const seeds = new Map(
      arrived.map((value) => [value.name, builder.input(gradientName(value.name), value)]),
    );
    const gradients = this.#differentiate(builder, seeds);
    const forwardNodes = builder.nodes.slice(0, forwardCount);
    const outputs = this.#gradientPorts(builder, gradients);
    const { recompute = false } = this.#spec;
    const backward = builder.graph(
      outputs.map(({ name }) => name),
      recompute ? builder.nodes : builder.nodes.slice(forwardCount),
    );
    const needed = new Set(backward.nodes.flatMap((node) => node.inputs));
    const saved = (recompute ? [] : forwardNodes)
      .flatMap((node) => node.outputs)
      .filter((name) => needed.has(name))
      .map((name) => port(name, "saved", builder.type(name)));
    const entering = this.#enteringPorts();
    const leaving = [
      ...this.#outputs.map((value, i) =>
        port(present(passed[i], value.name), "feature", value, value.name),
      ),
      ...saved,
      ...this.#bufferPorts(),
    ];
    const forward = this.#finish(
      "forward",
      builder.graph([...new Set(leaving.map(({ name }) => name))], forwardNodes),
      [...entering, ...this.#noisePorts(), ...this.#parameterPorts()],
      leaving,
    );
    if (outputs.length === 0) return { forward, backward: null };
    const isNeeded = ({ name }: Port): boolean => needed.has(name);
    const arriving = [
      ...arrived.map((value) => port(gradientName(value.name), "gradient", value, value.name)),
      ...entering.filter(isNeeded),
      ...saved,
      ...this.#noisePorts().filter(isNeeded),
      ...this.#parameterPorts().filter(isNeeded),
      ...this.#sumPorts(),
    ];
    return { forward, backward: this.#finish("backward", backward, arriving, outputs) };
  }

  /** Null where the stage has nothing to train. */
  update(): Program | null {
    if (this.#trained.length === 0) return null;
    const builder = new GraphBuilder(`${this.#name} update`);
    for (const parameter of this.#trained) builder.parameter(parameter.name, parameter);
    const gradients = this.#trained.map((parameter) =>
      port(
        builder.input(gradientName(parameter.name), parameter),
        "parameterGradient",
        parameter,
        parameter.name,
      ),
    );
    const { isMerged = false, isJoined = false, optimizer } = this.#spec;
    const share = isMerged ? builder.input(builder.free("batch_share"), scalarType) : null;
    const trained = this.#emitUpdates(builder, (parameter) => {
      const sum = gradientName(parameter);
      if (isJoined || !isSummed(this.#spec)) return sum;
      return builder.emit("Mul", [sum, share ?? scalar(builder, sum, 1 / optimizer.accumulate)]);
    });
    const shares = share === null ? [] : [port(share, "batchShare", scalarType)];
    const own = this.#trained.map((parameter) => port(parameter.name, "parameter", parameter));
    const graph = builder.graph(trained.leaving.map(({ name }) => name));
    return this.#finish(
      "update",
      graph,
      [...own, ...trained.arriving, ...shares, ...gradients],
      trained.leaving,
    );
  }

  step(): Program {
    const builder = this.#withForward("step");
    const output = present(this.#outputs[0], "a model's output").name;
    const labels = lossRule(this.#spec.loss).labels(builder.type(output));
    const labelsName = builder.input(builder.free("labels"), labels);
    const ends = { output, labels: labelsName };
    const { loss, seeds } = emitLoss(builder, this.#spec.loss, ends);
    const gradients = this.#differentiate(builder, seeds);
    const given = this.#gradientPorts(builder, gradients);
    const borders = given.filter(({ role }) => role === "gradient");
    const trained = !isSummed(this.#spec)
      ? this.#emitUpdates(builder, (parameter) =>
          present(gradients.get(parameter), `a gradient of ${parameter}`),
        )
      : {
          arriving: this.#sumPorts(),
          leaving: given.filter(({ role }) => role === "parameterGradient"),
        };
    const arriving = [
      ...this.#enteringPorts(),
      port(labelsName, "labels", labels),
      ...this.#noisePorts(),
      ...this.#parameterPorts(),
      ...trained.arriving,
    ];
    const leaving = [
      port(loss, "loss", builder.type(loss)),
      ...borders,
      ...trained.leaving,
      ...this.#bufferPorts(),
    ];
    const graph = builder.graph(leaving.map(({ name }) => name));
    return this.#finish("step", graph, arriving, leaving);
  }

  #withForward(purpose: string): GraphBuilder {
    const builder = new GraphBuilder(`${this.#name} ${purpose}`);
    for (const value of [...this.#inputs, ...this.#columns, ...this.#noise]) {
      builder.input(value.name, value);
    }
    for (const parameter of this.#parameters) builder.parameter(parameter.name, parameter);
    const used = new Set(
      this.#segments.flatMap(({ nodes }) => nodes.flatMap(({ inputs }) => inputs)),
    );
    for (const [name, value] of this.#graph.constants) {
      if (used.has(name)) builder.constant(value, name);
    }
    const added = new Set<string>();
    for (const node of this.#segments.flatMap(({ nodes }) => nodes)) {
      // What depends on noise or constants alone stands in each segment that uses it.
      if (!added.has(node.name)) builder.add(node);
      added.add(node.name);
    }
    return builder;
  }

  /** Gradients of the stage's trained parameters, and of what came in where they are asked for. */
  #differentiate(builder: GraphBuilder, seeds: ReadonlyMap<string, string>): Map<string, string> {
    const borders = this.#inputs.filter(({ hasGradient }) => hasGradient);
    const wanted = new Set([...this.#trained, ...borders].map(({ name }) => name));
    const gradients = differentiate(builder, seeds, wanted);
    for (const { name } of this.#trained) {
      if (!gradients.has(name)) throw new ModelError("no gradient reaches it", { node: name });
    }
    for (const border of borders) {
      const gradient = gradients.get(border.name) ?? builder.constant(zeros(border));
      const isGiven = [...seeds.values()].includes(gradient);
      gradients.set(border.name, isGiven ? builder.emit("Identity", [gradient]) : gradient);
    }
    return gradients;
  }

  /**
   * Ports of the gradients, which are added to the sums so far where they accumulate. Those of the border come in the
   * order of what came over it, as the stage before takes them: on the link they have no names.
   */
  #gradientPorts(builder: GraphBuilder, gradients: ReadonlyMap<string, string>): Port[] {
    const place = new Map(this.#inputs.map(({ name }, i) => [name, i]));
    const placeOf = ([of]: readonly [string, string]): number => place.get(of) ?? place.size;
    return [...gradients]
      .sort((a, b) => placeOf(a) - placeOf(b))
      .map(([of, name]) => {
        const type = builder.type(name);
        if (place.has(of)) return port(name, "gradient", type, of);
        if (!isSummed(this.#spec)) return port(name, "parameterGradient", type, of);
        const sum = builder.input(sumName(of), type);
        return port(builder.emit("Add", [sum, name]), "parameterGradient", type, of);
      });
  }

  /** The sums over the micro-batches so far; none where each batch is a step of its own. */
  #sumPorts(): Port[] {
    if (!isSummed(this.#spec)) return [];
    return this.#trained.map((parameter) =>
      port(sumName(parameter.name), "parameterGradient", parameter, parameter.name),
    );
  }

  /** What a batch comes in by: features, and what the stage draws of the input itself. */
  #enteringPorts(): Port[] {
    return [
      ...this.#inputs.map((value) => port(value.name, "feature", value)),
      ...this.#columns.map((value) => port(value.name, "columns", value)),
    ];
  }

  #noisePorts(): Port[] {
    return this.#noise.map((value) => port(value.name, "noise", value));
  }

  #parameterPorts(): Port[] {
    return this.#parameters.map((parameter) => port(parameter.name, "parameter", parameter));
  }

  /** Buffers with the value that this batch gives them. */
  #bufferPorts(): Port[] {
    const updates = new Map(this.#segments.flatMap((segment) => [...segment.updates]));
    return this.#parameters.flatMap((parameter) => {
      const moved = updates.get(parameter.name);
      return moved === undefined ? [] : [port(moved, "parameter", parameter, parameter.name)];
    });
  }

  /** Adds state and learning rate as inputs and one update per trained parameter. */
  #emitUpdates(
    builder: GraphBuilder,
    gradientOf: (parameter: string) => string,
  ): { arriving: Port[]; leaving: Port[] } {
    if (this.#trained.length === 0) return { arriving: [], leaving: [] };
    const learningRateName = builder.input(builder.free("learning_rate"), scalarType);
    const arriving = [port(learningRateName, "learningRate", scalarType)];
    const leaving: Port[] = [];
    for (const parameter of this.#trained) {
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

const sumName = (of: string): string => `sum of gradients of ${of}`;

/** Keeps the inputs that the ports name, orders them as the ports, and hashes the result. */
export function finish(
  kind: ProgramKind,
  from: number,
  to: number,
  graph: Graph,
  ports: { readonly inputs: readonly Port[]; readonly outputs: readonly Port[] },
): Program {
  const isParameter = (input: Port): boolean => input.role === "parameter";
  const exact: Graph = executableForm({
    ...graph,
    inputs: ports.inputs.filter((input) => !isParameter(input)),
    parameters: ports.inputs.filter(isParameter),
    // One value may leave by two ports: a sum passes one gradient to both of its terms.
    outputs: [...new Set(graph.outputs)],
  });
  verify(exact);
  const hasher = new Hasher().text(kind).text(print(exact));
  for (const { role, of, name } of [...ports.inputs, ...ports.outputs]) {
    hasher.text(`${role} ${of} ${name}`);
  }
  for (const value of exact.constants.values()) hasher.bytes(bytesOf(value));
  return { id: hasher.digest(), kind, from, to, graph: exact, ...ports };
}
