/** Recurrent operators in every form, and Split, of which they are made. */
import { type Check, list } from "../gradients.ts";

const [steps, batch, inputs, hidden] = [3, 2, 3, 2];
const gatesOf = { RNN: 1, GRU: 3, LSTM: 4 } as const;

/** Shapes of X, W, R and B for so many directions. */
const shapes = (op: keyof typeof gatesOf, directions = 1): number[][] => {
  const rows = gatesOf[op] * hidden;
  return [
    [steps, batch, inputs],
    [directions, rows, inputs],
    [directions, rows, hidden],
    [directions, 2 * rows],
  ];
};
const state = [1, batch, hidden];
const hiddenSize = { hidden_size: hidden };

export function recurrentGradients(check: Check): void {
  check("Split", "into equal parts", [[4, 3]], {}, 2);
  check("Split", "into listed parts", [[2, 5], list(1, 3, 1)], { axis: 1 }, 3);
  check("Split", "into parts of which the last is smaller", [[5, 2]], { num_outputs: 2 }, 2);

  for (const op of ["RNN", "GRU", "LSTM"] as const) {
    const outputs = op === "LSTM" ? 3 : 2;
    check(op, "with all its outputs", shapes(op), hiddenSize, outputs);
    check(op, "without biases", shapes(op).slice(0, 3), hiddenSize);
    check(op, "in reverse", shapes(op), { ...hiddenSize, direction: "reverse" }, outputs);
    check(
      op,
      "in both directions",
      shapes(op, 2),
      { ...hiddenSize, direction: "bidirectional" },
      outputs,
    );
    const given = op === "LSTM" ? [null, state, state] : [null, state];
    check(op, "from a given state", [...shapes(op), ...given], hiddenSize, outputs);
    const [x = [], ...weights] = shapes(op);
    const byBatch = [[x[1] as number, x[0] as number, x[2] as number], ...weights];
    check(op, "with the batch first", byBatch, { ...hiddenSize, layout: 1 }, outputs);
  }
  check(
    "GRU",
    "that resets after the product",
    shapes("GRU"),
    { ...hiddenSize, linear_before_reset: 1 },
    2,
  );
  check("GRU", "of one step", [[1, batch, inputs], ...shapes("GRU").slice(1)], hiddenSize, 2);
  check("RNN", "with another function", shapes("RNN"), { ...hiddenSize, activations: ["Sigmoid"] });
  const peepholes = [...shapes("LSTM"), null, state, state, [1, 3 * hidden]];
  check("LSTM", "with peepholes", peepholes, hiddenSize, 3);
}
