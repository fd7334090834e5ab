"""What every recorder of reference values shares: drawn inputs, cases, and writing them down.

Inputs are not recorded: both sides compute them from a seed by integer arithmetic (`draw`).
"""

import json
import math
import pathlib

import torch

torch.set_default_dtype(torch.float64)
FOLDER = pathlib.Path(__file__).parent / "fixtures"


def hash32(index, seed):
    """A well-mixed 32-bit integer; the same as `hash` in golden.test.ts."""
    x = (index * 0x9E3779B1 + seed * 0x85EBCA6B + 0x27D4EB2F) & 0xFFFFFFFF
    x ^= x >> 15
    x = (x * 0x2C1B3C6D) & 0xFFFFFFFF
    x ^= x >> 12
    x = (x * 0x297A2D39) & 0xFFFFFFFF
    return x ^ (x >> 15)


def draw(spec):
    """The values of an input: (hash mod levels, centred) * scale + shift, exact in float32."""
    shape, levels = spec["shape"], spec["levels"]
    half = levels // 2
    numbers = [
        (hash32(i, spec["seed"]) % levels - half) * spec["scale"] + spec["shift"]
        for i in range(math.prod(shape))
    ]
    return torch.tensor(numbers, dtype=torch.float64).reshape(shape)


def given(*shape, seed, levels=4096, scale=2.0**-11, shift=0.0):
    """An input: by default 4096 levels from -1 up to 1."""
    return {"shape": list(shape), "seed": seed, "levels": levels, "scale": scale, "shift": shift}


def ints(*values, shape=None):
    """A constant of type int64."""
    return {
        "shape": [len(values)] if shape is None else list(shape),
        "dtype": "int64",
        "values": list(values),
    }


def floats(*values):
    """A constant of type float32."""
    return {"shape": [len(values)], "dtype": "float32", "values": list(values)}


# PyTorch's answer for each ONNX operator, by name: a function of its attributes and inputs.
OPERATORS = {}
# The cases of the family that is being recorded.
CASES = []


def case(name, op, inputs, attributes=None, wanted=None):
    """One operator on its own; `wanted` are the inputs whose gradients are recorded.

    Inputs that are None are absent.
    """
    names = ["" if spec is None else name for name, spec in inputs.items()]
    inputs = {name: spec for name, spec in inputs.items() if spec is not None}
    if wanted is None:
        wanted = [n for n in inputs if inputs[n].get("dtype") is None]
    nodes = [{"op": op, "inputs": names, "outputs": ["y"], "attributes": attributes or {}}]
    CASES.append({"name": name, "inputs": inputs, "nodes": nodes, "wanted": wanted})


def rounded(tensor):
    """Seven significant digits, a digit more than float32 can tell."""
    return [float(f"{v:.7g}") + 0.0 for v in tensor.detach().reshape(-1).tolist()]


def run_nodes(nodes, values):
    for node in nodes:
        inputs = [values[name] if name else None for name in node["inputs"]]
        results = OPERATORS[node["op"]](node["attributes"], *inputs)
        # An operator of several outputs answers with a tuple.
        results = results if isinstance(results, tuple) else (results,)
        values.update(zip(node["outputs"], results))


def record_case(entry):
    values = {}
    for name, spec in entry["inputs"].items():
        if "values" in spec:
            kind = {"int64": torch.int64, "float32": torch.float64}[spec["dtype"]]
            values[name] = torch.tensor(spec["values"], dtype=kind).reshape(spec["shape"])
        else:
            values[name] = draw(spec).requires_grad_(name in entry["wanted"])
    run_nodes(entry["nodes"], values)
    y = values["y"]
    weights = given(*y.shape, seed=99)
    if entry["wanted"]:
        (y * draw(weights)).sum().backward()
    return {
        **entry,
        "weights": weights,
        "output": {"shape": list(y.shape), "values": rounded(y)},
        "gradients": {name: rounded(values[name].grad) for name in entry["wanted"]},
    }


def save(name, entries):
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    (FOLDER / name).write_text(f"[\n{lines}\n]\n")
