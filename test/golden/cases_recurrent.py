"""Recurrent networks against torch.nn, whose gates are brought into ONNX's order."""

import torch
from recording import CASES, OPERATORS, case, given, ints

STEPS, BATCH, INPUTS, HIDDEN = 5, 3, 4, 3
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
# Gate i of ONNX is gate ORDER[i] of PyTorch: zrh against rzn, iofc against ifgo.
ORDER = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 3, 1, 2]}


def recurrent(op):
    def run(a, x, w, r, b=None, lengths=None, h=None, c=None):
        direction = a.get("direction", "forward")
        count = w.shape[0]
        hidden = r.shape[2]
        if direction == "reverse":
            x = x.flip(0)
        order = [g * hidden + i for g in sorted_gates(op) for i in range(hidden)]
        kind = {"RNN": torch.nn.RNN, "GRU": torch.nn.GRU, "LSTM": torch.nn.LSTM}[op]
        net = kind(x.shape[2], hidden, bias=b is not None, bidirectional=count == 2)
        values = {}
        for d, suffix in enumerate(["", "_reverse"][:count]):
            values[f"weight_ih_l0{suffix}"] = w[d][order]
            values[f"weight_hh_l0{suffix}"] = r[d][order]
            if b is not None:
                half = b.shape[1] // 2
                values[f"bias_ih_l0{suffix}"] = b[d][:half][order]
                values[f"bias_hh_l0{suffix}"] = b[d][half:][order]
        state = None if h is None else (h, c) if op == "LSTM" else h
        y, _ = torch.func.functional_call(net, values, (x, state))
        if direction == "reverse":
            y = y.flip(0)
        return y.reshape(x.shape[0], x.shape[1], count, hidden).transpose(1, 2)

    return run


def sorted_gates(op):
    """For each gate of PyTorch in turn, its place in ONNX's order."""
    return [ORDER[op].index(g) for g in range(GATES[op])]


OPERATORS.update({op: recurrent(op) for op in GATES})
OPERATORS["Split"] = lambda a, x, sizes: tuple(x.split(sizes.tolist(), a["axis"]))


def cases():
    CASES.append(
        {
            "name": "Split of which two parts are used",
            "inputs": {"x": given(2, 6, seed=1), "sizes": ints(2, 1, 3)},
            "nodes": [
                {
                    "op": "Split",
                    "inputs": ["x", "sizes"],
                    "outputs": ["a", "b", "c"],
                    "attributes": {"axis": 1},
                },
                {"op": "Mul", "inputs": ["c", "b"], "outputs": ["y"], "attributes": {}},
            ],
            "wanted": ["x"],
        }
    )
    for op, gates in GATES.items():
        # PyTorch's GRU resets after the product.
        more = {"linear_before_reset": 1} if op == "GRU" else {}
        for name, directions, attributes, bias in [
            ("forward", 1, {}, True),
            ("without biases", 1, {}, False),
            ("in reverse", 1, {"direction": "reverse"}, True),
            ("in both directions", 2, {"direction": "bidirectional"}, True),
        ]:
            rows = gates * HIDDEN
            inputs = {
                "x": given(STEPS, BATCH, INPUTS, seed=1),
                "w": given(directions, rows, INPUTS, seed=2),
                "r": given(directions, rows, HIDDEN, seed=3),
            }
            if bias:
                inputs["b"] = given(directions, 2 * rows, seed=4)
            case(f"{op} {name}", op, inputs, {"hidden_size": HIDDEN, **more, **attributes})
