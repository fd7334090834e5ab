"""Reductions over axes, and the largest and smallest elements."""

import torch
from cases_core import reduced
from recording import CASES, OPERATORS, case, given, ints


def product(x, dims, keep):
    for axis in sorted((d % x.dim() for d in dims), reverse=True):
        x = x.prod(axis, keep)
    return x


def position(f):
    def run(a, x):
        axis, keep = a.get("axis", 0), bool(a.get("keepdims", 1))
        if a.get("select_last_index"):
            return x.shape[axis] - 1 - f(x.flip(axis), axis, keep)
        return f(x, axis, keep)

    return run


def top(a, x, k):
    return torch.topk(x, int(k), a.get("axis", -1), bool(a.get("largest", 1)), True)


OPERATORS.update({
    "ArgMax": position(torch.argmax),
    "ArgMin": position(torch.argmin),
    "ReduceL1": reduced(lambda x, dims, keep: torch.linalg.vector_norm(x, 1, dims, keep)),
    "ReduceL2": reduced(lambda x, dims, keep: torch.linalg.vector_norm(x, 2, dims, keep)),
    "ReduceLogSum": reduced(lambda x, dims, keep: x.sum(dims, keep).log()),
    "ReduceLogSumExp": reduced(lambda x, dims, keep: x.logsumexp(dims, keep)),
    "ReduceMin": reduced(lambda x, dims, keep: x.amin(dims, keep)),
    "ReduceProd": reduced(product),
    "ReduceSumSquare": reduced(lambda x, dims, keep: (x * x).sum(dims, keep)),
    "TopK": lambda a, x, k: tuple(top(a, x, k)),
})


def cases():
    for op in [
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMin",
        "ReduceProd",
        "ReduceSumSquare",
    ]:
        shift = 2.0 if op == "ReduceLogSum" else 0.0
        x = {"x": given(2, 3, 4, seed=1, shift=shift)}
        case(f"{op} of all", op, x)
        case(f"{op} of all, dropped", op, x, {"keepdims": 0})
        case(f"{op} of an axis", op, x, {"axes": [1]})
        case(f"{op} of axes, dropped", op, x, {"axes": [0, -1], "keepdims": 0})

    tied = {"x": given(2, 3, 4, seed=1, levels=3, scale=1.0)}
    case("ReduceMin with ties", "ReduceMin", tied, {"axes": [0, 2], "keepdims": 0})
    case("ReduceL1 at zero", "ReduceL1", tied, {"axes": [2]})
    case("ReduceL2 of zeros", "ReduceL2", {"x": given(2, 3, seed=1, levels=1)}, {"axes": [1]})
    case("ReduceL2 with zeros", "ReduceL2", tied, {"axes": [2]})
    few = {"x": given(6, 4, seed=3, levels=5, scale=1.0)}
    case("ReduceProd with none, one and several zeros", "ReduceProd", few, {"axes": [1]})
    case("ReduceProd of all, with zeros", "ReduceProd", tied, {"keepdims": 0})
    large = {"x": given(3, 4, seed=1, scale=2.0**-3)}
    case("ReduceLogSumExp of large values", "ReduceLogSumExp", large, {"axes": [1]})

    for op in ["ArgMax", "ArgMin"]:
        x = {"x": given(2, 4, 3, seed=1)}
        case(f"{op} by default", op, x, wanted=[])
        case(f"{op} of a middle axis", op, x, {"axis": 1, "keepdims": 0}, wanted=[])
        ties = {"x": given(2, 6, seed=1, levels=2, scale=1.0)}
        case(f"{op}, the first of equals", op, ties, {"axis": -1}, wanted=[])
        last = {"axis": -1, "select_last_index": 1}
        case(f"{op}, the last of equals", op, ties, last, wanted=[])
    for name, shape, k, attributes in [
        ("by default", [3, 5], 2, {}),
        ("of all", [3, 5], 5, {}),
        ("of the smallest", [3, 5], 2, {"largest": 0}),
        ("of a middle axis", [2, 5, 3], 3, {"axis": 1}),
        ("in any order", [3, 5], 3, {"sorted": 0}),
    ]:
        inputs = {"x": given(*shape, seed=1), "k": ints(k)}
        node = {"op": "TopK", "inputs": ["x", "k"], "outputs": ["y", "i"], "attributes": attributes}
        entry = {"inputs": inputs, "nodes": [node], "wanted": ["x"]}
        CASES.append({"name": f"TopK {name}", **entry})
