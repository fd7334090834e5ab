/**
 * Recurrent networks: RNN, GRU and LSTM. No engine trains through them, so they are
 * written out step by step once the number of steps is known: one product for the
 * inputs of all steps, then per step one product for the state and the gates.
 *
 * The cells' equations are in `recurrent-cells.ts`; here one algebra emits nodes and
 * another computes numbers, for the reference kernel.
 */
import { ModelError } from "../../base/errors.ts";
import {
  type DenseTensor,
  elementCount,
  formatType,
  int64,
  type TensorType,
} from "../../base/tensor.ts";
import { flag, integer, readAttributes, word, words } from "./attributes.ts";
import { numbers, pack } from "./elements.ts";
import { integerList, reshaped, scalar, transposed } from "./gradients.ts";
import { inputType, inputValue, requireFloat, requireRank } from "./inputs.ts";
import {
  type Activation,
  type Algebra,
  activationNames,
  type Cell,
  gru,
  lstm,
  type RecurrentAttributes,
  rnn,
} from "./recurrent-cells.ts";
import type { InputTypes, LowerContext, OpRule } from "./rule.ts";

/** Everything settled about one node. */
interface Recurrence {
  readonly steps: number;
  readonly batch: number;
  readonly inputs: number;
  readonly hidden: number;
  /** False for a pass from the last step to the first. */
  readonly forward: readonly boolean[];
  readonly functions: readonly (readonly Activation[])[];
}

/** Inputs by their places; `P` and `initial_c` are LSTM's alone. */
const at = { X: 0, W: 1, R: 2, B: 3, lengths: 4, h: 5, c: 6, P: 7 } as const;

function recurrence(cell: Cell, inputs: InputTypes, attributes: RecurrentAttributes): Recurrence {
  const x = requireFloat(inputType(inputs, at.X));
  const [weight, recurrent] = [inputType(inputs, at.W), inputType(inputs, at.R)];
  for (const [type, what] of [
    [x, "X"],
    [weight, "W"],
    [recurrent, "R"],
  ] as const) {
    requireRank(type, 3, 3, what);
  }
  if (inputs[at.lengths]) {
    throw new ModelError("sequence_lens (input 4) is not supported: all sequences have all steps");
  }
  const { direction, layout, hidden_size } = attributes;
  const forward = direction === "bidirectional" ? [true, false] : [direction === "forward"];
  const [first, second, width] = x.shape as [number, number, number];
  const [steps, batch] = layout ? [second, first] : [first, second];
  const hidden = recurrent.shape[2] as number;
  const require = (index: number, shape: readonly number[], what: string): void => {
    const type = inputs[index];
    if (type === undefined || type === null || type.shape.join() === shape.join()) return;
    throw new ModelError(`${what} is ${formatType(type)}; allowed: shape [${shape}]`);
  };
  const directions = forward.length;
  const rows = cell.gates * hidden;
  const state = layout ? [batch, directions, hidden] : [directions, batch, hidden];
  require(at.W, [directions, rows, width], "W");
  require(at.R, [directions, rows, hidden], "R");
  require(at.B, [directions, 2 * rows], "B");
  require(at.h, state, "initial_h");
  require(at.c, state, "initial_c");
  require(at.P, [directions, 3 * hidden], "P");
  if (hidden_size !== null && hidden_size !== hidden) {
    throw new ModelError(`attribute hidden_size: got ${hidden_size}; allowed: ${hidden}, as in R`);
  }
  const functions = functionsOf(cell, attributes, directions);
  return { steps, batch, inputs: width, hidden, forward, functions };
}

function functionsOf(
  cell: Cell,
  { activations }: RecurrentAttributes,
  directions: number,
): (readonly Activation[])[] {
  const own = Array.from({ length: directions }, () => cell.activations).flat();
  const names = activations ?? own;
  const unknown = names.find((name) => !activationNames.some((known) => known === name));
  if (unknown !== undefined || names.length !== own.length) {
    throw new ModelError(
      `attribute activations: got [${names}]; allowed: ${own.length} of ${activationNames.join(", ")}`,
    );
  }
  const count = cell.activations.length;
  return Array.from(
    { length: directions },
    (_, i) => names.slice(i * count, (i + 1) * count) as Activation[],
  );
}

/** Emits a cell's nodes; `R` and `bias` are of one direction. */
function emitting(
  context: LowerContext<unknown>,
  hidden: number,
  weights: { readonly R: string; readonly apart: string | null; readonly P: string | null },
  gateCount: number,
): Algebra<string> {
  const { emit } = context;
  const rowsOf = (from: number, to: number): string => {
    if (from === 0 && to === gateCount) return weights.R;
    const bounds = [[from * hidden], [to * hidden], [0]].map((list) => integerList(context, list));
    return emit("Slice", [weights.R, ...bounds]);
  };
  const parts = new Map<string, string>();
  const part = (from: number, to: number): string => {
    const key = `${from}-${to}`;
    const known = parts.get(key) ?? rowsOf(from, to);
    parts.set(key, known);
    return known;
  };
  return {
    add: (a, b) => emit("Add", [a, b]),
    mul: (a, b) => emit("Mul", [a, b]),
    complement: (a) => emit("Sub", [scalar(context, a, 1), a]),
    activate: (name, a) => emit(name, [a]),
    recur: (state, from, to) => {
      const product = emit("Gemm", [state, part(from, to)], { transB: 1 });
      return weights.apart === null || to < gateCount
        ? product
        : emit("Add", [product, weights.apart]);
    },
    gates: (value) => {
      const count = (context.type(value).shape[1] as number) / hidden;
      if (count === 1) return [value];
      return context.emitAll("Split", [value], { axis: 1 }, count);
    },
    peephole: (index) => {
      if (weights.P === null) return null;
      const bounds = [[index * hidden], [(index + 1) * hidden], [0]];
      return emit("Slice", [weights.P, ...bounds.map((list) => integerList(context, list))]);
    },
  };
}

/** One direction's part of an input [directions, ...], without that axis. */
function ofDirection(context: LowerContext<unknown>, name: string, direction: number): string {
  const [directions = 1, ...rest] = context.type(name).shape;
  if (directions === 1) return reshaped(context, name, rest);
  const index = context.constant(int64([], [direction]));
  return context.emit("Gather", [name, index], { axis: 0 });
}

/** The biases of a direction: of the inputs with all that can be added at once, and what stays apart. */
function biases(
  context: LowerContext<unknown>,
  B: string,
  rows: number,
  apartRows: number,
): { readonly together: string; readonly apart: string | null } {
  const [ofInput, ofState] = context.emitAll("Split", [B], { axis: 0 }, 2) as [string, string];
  if (apartRows === 0) return { together: context.emit("Add", [ofInput, ofState]), apart: null };
  const sizes = integerList(context, [rows - apartRows, apartRows]);
  const [early, late] = context.emitAll("Split", [ofState, sizes], { axis: 0 }, 2);
  const pads = [
    [0, apartRows],
    [rows - apartRows, 0],
  ].map((list) => integerList(context, list));
  const padded = (value: string | undefined, i: number): string =>
    context.emit("Pad", [value as string, pads[i] as string]);
  return { together: context.emit("Add", [ofInput, padded(early, 0)]), apart: padded(late, 1) };
}

/** Writes one direction out; gives the hidden state of each step in order, and the last states. */
function writeOut(
  context: LowerContext<RecurrentAttributes>,
  cell: Cell,
  r: Recurrence,
  direction: number,
  x: string,
): { readonly outputs: readonly string[]; readonly last: readonly string[] } {
  const { steps, batch, hidden } = r;
  const rows = cell.gates * hidden;
  const apartRows = cell.apart(context.attributes) * hidden;
  const given = (index: number): string | null => context.inputs[index] || null;
  const own = (index: number): string | null => {
    const name = given(index);
    return name === null ? null : ofDirection(context, name, direction);
  };
  const B = own(at.B);
  const bias = B === null ? null : biases(context, B, rows, apartRows);
  const operands = [x, own(at.W) as string, ...(bias === null ? [] : [bias.together])];
  const projected = context.emit("Gemm", operands, { transB: 1 });
  const ofStep =
    steps === 1 ? [projected] : context.emitAll("Split", [projected], { axis: 0 }, steps);
  const weights = { R: own(at.R) as string, apart: bias?.apart ?? null, P: own(at.P) };
  const algebra = emitting(context, hidden, weights, cell.gates);
  const isBatchFirst = context.attributes.layout;
  const start = (index: number): string => {
    const name = given(index);
    if (name === null) {
      const { dtype } = context.type(x);
      return context.constant(
        pack({ dtype, shape: [batch, hidden] }, new Float64Array(batch * hidden)),
      );
    }
    return ofDirection(
      context,
      isBatchFirst ? transposed(context, name, [1, 0, 2]) : name,
      direction,
    );
  };
  let state = cell.states === 1 ? [start(at.h)] : [start(at.h), start(at.c)];
  const outputs = new Array<string>(steps);
  for (let i = 0; i < steps; i++) {
    const step = r.forward[direction] ? i : steps - 1 - i;
    const functions = r.functions[direction] ?? cell.activations;
    state = cell.step(algebra, ofStep[step] as string, state, functions, context.attributes);
    outputs[step] = state[0] as string;
  }
  return { outputs, last: state };
}

/** Joins the directions along an axis that each part gets. */
const stacked = (context: LowerContext<unknown>, parts: readonly string[], axis: number): string =>
  parts.length === 1 ? (parts[0] as string) : context.emit("Concat", parts, { axis });

function lower(context: LowerContext<RecurrentAttributes>, cell: Cell): string[] {
  const types = context.inputs.map((name) => (name === "" ? null : context.type(name)));
  const r = recurrence(cell, types, context.attributes);
  const { steps, batch, hidden } = r;
  const { layout } = context.attributes;
  const [given = ""] = context.inputs;
  const byStep = layout ? transposed(context, given, [1, 0, 2]) : given;
  const x = reshaped(context, byStep, [steps * batch, r.inputs]);
  const passes = r.forward.map((_, direction) => writeOut(context, cell, r, direction, x));
  // [steps * batch, hidden] per direction, then [steps, directions, batch, hidden].
  const sequences = passes.map(({ outputs }) =>
    reshaped(context, stacked(context, outputs, 0), [steps, 1, batch, hidden]),
  );
  const all = stacked(context, sequences, 1);
  const states = Array.from({ length: cell.states }, (_, i) => {
    const last = passes.map((pass) =>
      reshaped(context, pass.last[i] as string, [1, batch, hidden]),
    );
    const joined = stacked(context, last, 0);
    return layout ? transposed(context, joined, [1, 0, 2]) : joined;
  });
  return [layout ? transposed(context, all, [2, 0, 1, 3]) : all, ...states];
}

/** Computes a cell's numbers: values are [batch, gates * hidden] in row-major order. */
function computing(
  batch: number,
  hidden: number,
  weights: {
    readonly R: readonly number[];
    readonly apart: readonly number[];
    readonly P: readonly number[] | null;
  },
): Algebra<Float64Array> {
  const pairwise =
    (f: (a: number, b: number) => number) =>
    (a: Float64Array, b: Float64Array): Float64Array =>
      a.map((value, i) => f(value, b[i % b.length] as number));
  const activations: Record<Activation, (value: number) => number> = {
    Sigmoid: (value) => 1 / (1 + Math.exp(-value)),
    Tanh: Math.tanh,
    Relu: (value) => Math.max(0, value),
  };
  return {
    add: pairwise((a, b) => a + b),
    mul: pairwise((a, b) => a * b),
    complement: (a) => a.map((value) => 1 - value),
    activate: (name, a) => a.map(activations[name]),
    recur: (state, from, to) => {
      const rows = (to - from) * hidden;
      const result = new Float64Array(batch * rows);
      for (let n = 0; n < batch; n++) {
        for (let row = 0; row < rows; row++) {
          let sum = weights.apart[from * hidden + row] as number;
          for (let k = 0; k < hidden; k++) {
            const weight = weights.R[(from * hidden + row) * hidden + k] as number;
            sum += weight * (state[n * hidden + k] as number);
          }
          result[n * rows + row] = sum;
        }
      }
      return result;
    },
    gates: (value) => {
      const width = value.length / batch;
      return Array.from({ length: width / hidden }, (_, gate) =>
        Float64Array.from({ length: batch * hidden }, (_, i) => {
          const [n, k] = [Math.floor(i / hidden), i % hidden];
          return value[n * width + gate * hidden + k] as number;
        }),
      );
    },
    peephole: (index) =>
      weights.P === null
        ? null
        : Float64Array.from({ length: hidden }, (_, k) => weights.P?.[index * hidden + k] ?? 0),
  };
}

/** Weights of one direction as the kernel takes them; the biases as they act on input and state. */
function weightsOf(
  cell: Cell,
  values: readonly (DenseTensor | null)[],
  attributes: RecurrentAttributes,
  { forward, hidden }: Recurrence,
  direction: number,
) {
  const rows = cell.gates * hidden;
  const part = (index: number): readonly number[] | null => {
    const value = values[index];
    if (value === undefined || value === null) return null;
    const size = elementCount(value.shape) / forward.length;
    return Array.from(numbers(value)).slice(direction * size, (direction + 1) * size);
  };
  const B = part(at.B) ?? new Array<number>(2 * rows).fill(0);
  const firstApart = rows - cell.apart(attributes) * hidden;
  const ofState = B.slice(rows);
  return {
    W: part(at.W) ?? [],
    R: part(at.R) ?? [],
    P: part(at.P),
    bias: B.slice(0, rows).map((value, i) => value + (i < firstApart ? (ofState[i] ?? 0) : 0)),
    apart: ofState.map((value, i) => (i < firstApart ? 0 : value)),
  };
}

/** Where sample n of a direction lies in a state, in vectors of the hidden size. */
const placeOf = (r: Recurrence, layout: boolean, direction: number, n: number): number =>
  layout ? n * r.forward.length + direction : direction * r.batch + n;

/** Computes one direction: the hidden state of each step in order, and the last states. */
function pass(
  cell: Cell,
  values: readonly (DenseTensor | null)[],
  attributes: RecurrentAttributes,
  r: Recurrence,
  direction: number,
): { readonly outputs: readonly Float64Array[]; readonly last: readonly Float64Array[] } {
  const { steps, batch, hidden } = r;
  const { layout } = attributes;
  const rows = cell.gates * hidden;
  const x = numbers(inputValue(values, at.X));
  const weights = weightsOf(cell, values, attributes, r, direction);
  const algebra = computing(batch, hidden, weights);
  const start = (index: number): Float64Array => {
    const value = values[index];
    const from = value ? numbers(value) : null;
    return Float64Array.from({ length: batch * hidden }, (_, i) => {
      const place = placeOf(r, layout, direction, Math.floor(i / hidden));
      return from === null ? 0 : (from[place * hidden + (i % hidden)] as number);
    });
  };
  const projected = (step: number): Float64Array =>
    Float64Array.from({ length: batch * rows }, (_, i) => {
      const [n, row] = [Math.floor(i / rows), i % rows];
      const from = (layout ? n * steps + step : step * batch + n) * r.inputs;
      let sum = weights.bias[row] as number;
      for (let k = 0; k < r.inputs; k++) {
        sum += (x[from + k] as number) * (weights.W[row * r.inputs + k] as number);
      }
      return sum;
    });
  let state = cell.states === 1 ? [start(at.h)] : [start(at.h), start(at.c)];
  const outputs = new Array<Float64Array>(steps);
  for (let i = 0; i < steps; i++) {
    const step = r.forward[direction] ? i : steps - 1 - i;
    const functions = r.functions[direction] ?? cell.activations;
    state = cell.step(algebra, projected(step), state, functions, attributes);
    outputs[step] = state[0] as Float64Array;
  }
  return { outputs, last: state };
}

/** The reference kernel: the cell's own equations, one direction and one step after the other. */
function compute(
  cell: Cell,
  values: readonly (DenseTensor | null)[],
  attributes: RecurrentAttributes,
  types: readonly TensorType[],
): DenseTensor[] {
  const r = recurrence(cell, values, attributes);
  const { steps, batch, hidden } = r;
  const { layout } = attributes;
  const directions = r.forward.length;
  const y = new Float64Array(steps * directions * batch * hidden);
  const last = Array.from(
    { length: cell.states },
    () => new Float64Array(directions * batch * hidden),
  );
  r.forward.forEach((_, direction) => {
    const { outputs, last: states } = pass(cell, values, attributes, r, direction);
    for (let n = 0; n < batch; n++) {
      const vector = (value: Float64Array) => value.subarray(n * hidden, (n + 1) * hidden);
      outputs.forEach((output, step) => {
        const place = layout
          ? (n * steps + step) * directions + direction
          : (step * directions + direction) * batch + n;
        y.set(vector(output), place * hidden);
      });
      const place = placeOf(r, layout, direction, n);
      states.forEach((state, i) => {
        last[i]?.set(vector(state), place * hidden);
      });
    }
  });
  return [y, ...last].slice(0, types.length).map((data, i) => pack(types[i] as TensorType, data));
}

/** An operator of this family. */
function recurrent(cell: Cell): OpRule<RecurrentAttributes> {
  return {
    inputs: [3, cell.states === 2 ? 8 : 6],
    outputs: [1, 1 + cell.states],
    attributes: (raw) =>
      readAttributes<RecurrentAttributes>(raw, {
        direction: word("forward", "reverse", "bidirectional"),
        hidden_size: (name, value) => (value === undefined ? null : integer(1, 1)(name, value)),
        activations: words,
        layout: flag(false),
        linear_before_reset: flag(false),
      }),
    types: (inputs, attributes, _, outputs) => {
      const { steps, batch, hidden, forward } = recurrence(cell, inputs, attributes);
      const { dtype } = inputType(inputs, at.X);
      const { length } = forward;
      const { layout } = attributes;
      const all = layout ? [batch, steps, length, hidden] : [steps, length, batch, hidden];
      const state = layout ? [batch, length, hidden] : [length, batch, hidden];
      return [all, state, state].slice(0, outputs).map((shape) => ({ dtype, shape }));
    },
    flops: (inputs, _, attributes) => {
      const r = recurrence(cell, inputs, attributes);
      const product = 2 * cell.gates * r.hidden * (r.inputs + r.hidden);
      return r.forward.length * r.steps * r.batch * (product + 10 * r.hidden);
    },
    gradient: "it is written out step by step before",
    lower: (context) => lower(context, cell).slice(0, Math.max(1, context.outputs)),
    compute: (values, attributes, types) => compute(cell, values, attributes, types),
  };
}

/** Operators of this family. */
export const recurrentOps = { RNN: recurrent(rnn), GRU: recurrent(gru), LSTM: recurrent(lstm) };
