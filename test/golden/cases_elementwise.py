"""Arithmetic, circular and hyperbolic functions, bounds, comparisons and logic."""

import functools

import torch
from recording import CASES, OPERATORS, case, floats, given, ints


def clip(a, x, low=None, high=None):
    """Bounds that need no gradient are numbers, whose ties PyTorch treats differently."""
    bounds = [b if b is None or b.requires_grad else b.item() for b in (low, high)]
    return x if bounds == [None, None] else torch.clamp(x, *bounds)


def mod(a, x, y):
    return torch.fmod(x, y) if a.get("fmod") else torch.remainder(x, y)


def infinite(a, x):
    found = torch.zeros_like(x, dtype=torch.bool)
    if a.get("detect_negative", 1):
        found |= x == -torch.inf
    if a.get("detect_positive", 1):
        found |= x == torch.inf
    return found


def folded(f):
    return lambda a, *xs: functools.reduce(f, xs)


UNARY = {
    "Abs": "abs",
    "Acos": "acos",
    "Acosh": "acosh",
    "Asin": "asin",
    "Asinh": "asinh",
    "Atan": "atan",
    "Atanh": "atanh",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Erf": "erf",
    "Floor": "floor",
    "IsNaN": "isnan",
    "Not": "logical_not",
    "Reciprocal": "reciprocal",
    "Round": "round",
    "Sin": "sin",
    "Sinh": "sinh",
    "Tan": "tan",
}
BINARY = {
    "And": "logical_and",
    "Equal": "eq",
    "Greater": "gt",
    "GreaterOrEqual": "ge",
    "Less": "lt",
    "LessOrEqual": "le",
    "Or": "logical_or",
    "Pow": "pow",
    "Xor": "logical_xor",
}

OPERATORS.update({
    **{op: lambda a, x, f=getattr(torch, name): f(x) for op, name in UNARY.items()},
    **{op: lambda a, x, y, f=getattr(torch, name): f(x, y) for op, name in BINARY.items()},
    "Clip": clip,
    "IsInf": infinite,
    "Max": folded(torch.maximum),
    "Mean": lambda a, *xs: sum(xs) / len(xs),
    "Min": folded(torch.minimum),
    "Mod": mod,
    "Sum": lambda a, *xs: sum(xs),
})


def number(value):
    """A constant scalar of type float32."""
    return {**floats(value), "shape": []}


def truths(*shape, seed):
    return {**given(*shape, seed=seed, levels=2, scale=1.0, shift=1.0), "dtype": "bool"}


def unary_cases():
    everywhere = "Abs Asinh Atan Ceil Cos Cosh Erf Floor Round Sin Sinh".split()
    for op in everywhere:
        case(op, op, {"x": given(3, 5, seed=1, scale=2.0**-9)})
    for op in ["Acos", "Asin", "Atanh", "Tan"]:
        case(op, op, {"x": given(3, 5, seed=1, scale=0.9 * 2.0**-11)})
    case("Acosh", "Acosh", {"x": given(3, 5, seed=1, shift=2.25)})
    case("Reciprocal", "Reciprocal", {"x": given(3, 5, seed=1, shift=-2.0)})
    case("Abs at zero", "Abs", {"x": given(3, 5, seed=1, levels=3, scale=1.0)})
    halves = given(3, 7, seed=1, levels=13, scale=0.5)
    for op in ["Round", "Floor", "Ceil"]:
        case(f"{op} of halves", op, {"x": halves})


def power_cases():
    base = given(2, 3, seed=1, shift=2.0)
    case("Pow of two tensors", "Pow", {"a": base, "b": given(2, 3, seed=2, scale=2.0**-10)})
    case("Pow with broadcast", "Pow", {"a": given(2, 1, seed=1, shift=2.0), "b": given(3, seed=2)})
    case("Pow of a fixed base", "Pow", {"a": number(2.0), "b": given(2, 3, seed=2)})
    for p in [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 2.25]:
        case(f"Pow to the fixed power {p}", "Pow", {"a": base, "b": number(p)})
    signed = given(3, 5, seed=1, levels=5, scale=1.0)
    for p in [0.0, 1.0, 2.0, 3.0]:
        case(f"Pow of any sign to {p}", "Pow", {"a": signed, "b": number(p)})
    case("Pow of any sign to integers", "Pow", {"a": signed, "b": ints(0, 1, 2, 3, 2)})
    # Base 0 with exponents 0, 1 and 2: both gradients are 0 or 1, none is undefined.
    zero = given(3, 4, seed=1, levels=1, scale=1.0)
    whole = given(3, 4, seed=2, levels=3, scale=1.0, shift=1.0)
    case("Pow of zero", "Pow", {"a": zero, "b": whole})


def extreme_cases():
    tied = lambda *shape, seed: given(*shape, seed=seed, levels=3, scale=1.0)
    for op in ["Max", "Min"]:
        pair = {"a": given(3, 4, seed=1), "b": given(3, 4, seed=2)}
        case(f"{op} of two", op, pair)
        case(f"{op} of one", op, {"a": given(3, 4, seed=1)})
        case(f"{op} with ties", op, {"a": tied(3, 4, seed=1), "b": tied(3, 4, seed=2)})
        case(f"{op} with a number", op, {"a": tied(3, 4, seed=1), "b": number(0.0)})
        several = {"a": tied(2, 3, 4, seed=1), "b": tied(3, 1, seed=2), "c": tied(4, seed=3)}
        case(f"{op} of three that broadcast, with ties", op, several)
        case(f"{op} of integers", op, {"a": ints(1, -2, 3), "b": ints(2)}, wanted=[])

    x = given(3, 5, seed=1, levels=9, scale=0.5)
    for name, bounds in [
        ("between numbers", {"low": number(-1.0), "high": number(1.5)}),
        ("from below", {"low": number(0.0)}),
        ("between trained bounds", {"low": given(seed=2), "high": given(seed=4, shift=1.0)}),
        (
            "between trained bounds that are met",
            {
                "low": given(seed=2, levels=1, shift=-1.0),
                "high": given(seed=3, levels=1, shift=1.0),
            },
        ),
        ("with a trained lower bound", {"low": given(seed=2, levels=1)}),
    ]:
        case(f"Clip {name}", "Clip", {"x": x, **bounds})
    CASES.append({
        "name": "Clip from above",
        "inputs": {"x": x, "high": number(1.0)},
        "nodes": [{"op": "Clip", "inputs": ["x", "", "high"], "outputs": ["y"], "attributes": {}}],
        "wanted": ["x"],
    })


def cases():
    unary_cases()
    power_cases()
    extreme_cases()
    for op in ["Sum", "Mean"]:
        case(f"{op} of one", op, {"a": given(2, 3, seed=1)})
        several = {"a": given(2, 1, 4, seed=1), "b": given(3, 1, seed=2), "c": given(seed=3)}
        case(f"{op} of three that broadcast", op, several)
    parts = {"a": given(3, 4, seed=1, scale=2.0**-8), "b": given(4, seed=2, shift=2.0)}
    case("Mod with the sign of the dividend", "Mod", parts, {"fmod": 1})
    whole = {"a": ints(7, -7, 7, -7), "b": ints(3, 3, -3, -3)}
    case("Mod of integers", "Mod", whole, wanted=[])
    case("Mod of integers, as C has it", "Mod", whole, {"fmod": 1}, wanted=[])

    few = {"levels": 3, "scale": 1.0}
    pair = {"a": given(3, 4, seed=1, **few), "b": given(4, seed=2, **few)}
    for op in ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]:
        case(op, op, pair, wanted=[])
    sides = {"a": truths(3, 4, seed=1), "b": truths(4, seed=2)}
    for op in ["And", "Or", "Xor"]:
        case(op, op, sides, wanted=[])
    case("Not", "Not", {"x": truths(3, 4, seed=1)}, wanted=[])

    # The logarithm of a negative number is none, that of 0 is minus infinity.
    for name, op, attributes in [
        ("IsNaN", "IsNaN", {}),
        ("IsInf", "IsInf", {}),
        ("IsInf, positive only", "IsInf", {"detect_negative": 0}),
        ("IsInf, negative only", "IsInf", {"detect_positive": 0}),
    ]:
        CASES.append({
            "name": name,
            "inputs": {"x": given(3, 4, seed=1, levels=3, scale=1.0)},
            "nodes": [
                {"op": "Log", "inputs": ["x"], "outputs": ["h"], "attributes": {}},
                {"op": op, "inputs": ["h"], "outputs": ["y"], "attributes": attributes},
            ],
            "wanted": [],
        })

    # An integer or a truth value on the way stops the gradient, another float type does not.
    for name, code in [("float64", 11), ("int32", 6), ("bool", 9)]:
        CASES.append({
            "name": f"Cast to {name} and back",
            "inputs": {"x": given(2, 3, seed=1), "w": given(2, 3, seed=2)},
            "nodes": [
                {"op": "Cast", "inputs": ["x"], "outputs": ["h"], "attributes": {"to": code}},
                {"op": "Cast", "inputs": ["h"], "outputs": ["f"], "attributes": {"to": 1}},
                {"op": "Mul", "inputs": ["f", "w"], "outputs": ["y"], "attributes": {}},
            ],
            "wanted": ["w"] if code != 11 else ["x", "w"],
        })
