/**
 * The equations of recurrent cells, each written once, in terms of an
 * {@link Algebra}: emitting nodes and computing numbers are two of them. Equations
 * and the order of gates are those of the ONNX operators RNN, GRU and LSTM.
 */

/** Functions that a gate may go through. */
export const activationNames = ["Sigmoid", "Tanh", "Relu"] as const;
export type Activation = (typeof activationNames)[number];

export interface RecurrentAttributes {
  readonly direction: "forward" | "reverse" | "bidirectional";
  readonly hidden_size: number | null;
  /** Per direction as many names as the cell has functions; the cell's own where null. */
  readonly activations: readonly string[] | null;
  /** True where the first axis is the batch, not the steps. */
  readonly layout: boolean;
  /** GRU: the reset gate acts on the product with the state, as in cuDNN and PyTorch. */
  readonly linear_before_reset: boolean;
}

/** What a cell needs to know how to do with its values, whatever they are. */
export interface Algebra<V> {
  add(a: V, b: V): V;
  mul(a: V, b: V): V;
  /** 1 - a. */
  complement(a: V): V;
  activate(name: Activation, a: V): V;
  /** The state times the recurrence weights of gates [from, to), with those biases that stay apart. */
  recur(state: V, from: number, to: number): V;
  /** A value several gates wide, gate by gate. */
  gates(value: V): readonly V[];
  /** The peephole weight of a gate, where there is one. */
  peephole(index: number): V | null;
}

export interface Cell {
  /** Gates in a weight matrix. */
  readonly gates: number;
  /** Values carried from step to step: the hidden state, and LSTM's cell state. */
  readonly states: 1 | 2;
  readonly activations: readonly Activation[];
  /** Gates whose recurrence bias is not added to the input's: GRU's last one, reset afterwards. */
  readonly apart: (attributes: RecurrentAttributes) => number;
  /** One step; `x` is the input's product with the weights, biases included, all gates wide. */
  step<V>(
    algebra: Algebra<V>,
    x: V,
    state: readonly V[],
    functions: readonly Activation[],
    attributes: RecurrentAttributes,
  ): V[];
}

export const rnn: Cell = {
  gates: 1,
  states: 1,
  activations: ["Tanh"],
  apart: () => 0,
  step: (a, x, [h], [f = "Tanh"]) => [a.activate(f, a.add(x, a.recur(h as never, 0, 1)))],
};

/** Gates in the order update, reset, hidden. */
export const gru: Cell = {
  gates: 3,
  states: 1,
  activations: ["Sigmoid", "Tanh"],
  apart: ({ linear_before_reset }) => (linear_before_reset ? 1 : 0),
  step(a, x, [h], [f = "Sigmoid", g = "Tanh"], { linear_before_reset }) {
    type V = typeof x;
    const state = h as V;
    const [xz, xr, xh] = a.gates(x) as [V, V, V];
    const recurred = a.gates(a.recur(state, 0, linear_before_reset ? 3 : 2)) as [V, V, V?];
    const update = a.activate(f, a.add(xz, recurred[0]));
    const reset = a.activate(f, a.add(xr, recurred[1]));
    const inner =
      recurred[2] === undefined ? a.recur(a.mul(reset, state), 2, 3) : a.mul(reset, recurred[2]);
    const hidden = a.activate(g, a.add(xh, inner));
    return [a.add(a.mul(a.complement(update), hidden), a.mul(update, state))];
  },
};

/** Gates in the order input, output, forget, cell. */
export const lstm: Cell = {
  gates: 4,
  states: 2,
  activations: ["Sigmoid", "Tanh", "Tanh"],
  apart: () => 0,
  step(a, x, [h, c], [f = "Sigmoid", g = "Tanh", k = "Tanh"]) {
    type V = typeof x;
    const cell = c as V;
    const [i, o, forget, candidate] = a.gates(a.add(x, a.recur(h as V, 0, 4))) as [V, V, V, V];
    const seeing = (gate: V, index: number, state: V): V => {
      const weight = a.peephole(index);
      return weight === null ? gate : a.add(gate, a.mul(state, weight));
    };
    const kept = a.mul(a.activate(f, seeing(forget, 2, cell)), cell);
    const added = a.mul(a.activate(f, seeing(i, 0, cell)), a.activate(g, candidate));
    const next = a.add(kept, added);
    return [a.mul(a.activate(f, seeing(o, 1, next)), a.activate(k, next)), next];
  },
};
