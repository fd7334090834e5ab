"""Activation functions, with elements on their kinks."""

import torch
import torch.nn.functional as F
from recording import OPERATORS, case, given


def selu(a, x):
    alpha, gamma = a.get("alpha", 1.6732632423543772), a.get("gamma", 1.0507009873554805)
    return gamma * F.elu(x, alpha)


def prelu(a, x, slope):
    # Positive elements and the slope of 0 are as in F.prelu, which takes one slope per channel.
    return torch.where(x > 0, x, x * slope)


def hard_sigmoid(a, x):
    """As F.hardsigmoid, with any line: at both ends of it the slope is 0."""
    line = a.get("alpha", 0.2) * x + a.get("beta", 0.5)
    inside = (line > 0) & (line < 1)
    return torch.where(inside, line, line.detach().clamp(0, 1))


def shrink(a, x):
    bias, bound = a.get("bias", 0.0), a.get("lambd", 0.5)
    if bias == bound:
        return F.softshrink(x, bound)
    return F.hardshrink(x, bound)


OPERATORS.update({
    "Celu": lambda a, x: F.celu(x, a.get("alpha", 1.0)),
    "Elu": lambda a, x: F.elu(x, a.get("alpha", 1.0)),
    "Gelu": lambda a, x: F.gelu(x, approximate=a.get("approximate", "none")),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": lambda a, x: F.hardswish(x),
    "LeakyRelu": lambda a, x: F.leaky_relu(x, a.get("alpha", 0.01)),
    "Mish": lambda a, x: F.mish(x),
    "PRelu": prelu,
    "Selu": selu,
    "Shrink": shrink,
    "Softplus": lambda a, x: F.softplus(x),
    "Softsign": lambda a, x: F.softsign(x),
    "Swish": lambda a, x: x * torch.sigmoid(a.get("alpha", 1.0) * x),
    "ThresholdedRelu": lambda a, x: F.threshold(x, a.get("alpha", 1.0), 0.0),
})


def cases():
    x = given(3, 7, seed=1, scale=2.0**-9)
    large = given(3, 7, seed=1, scale=2.0**-5)
    # Steps of a half from -4 to 4, on which all kinks lie.
    steps = given(5, 7, seed=1, levels=17, scale=0.5)
    for op in ["Softplus", "Softsign", "HardSwish", "Mish", "Gelu", "Swish"]:
        case(op, op, {"x": x})
        case(f"{op} of large values", op, {"x": large})
    case("Gelu by tanh", "Gelu", {"x": x}, {"approximate": "tanh"})
    case("Gelu by tanh of large values", "Gelu", {"x": large}, {"approximate": "tanh"})
    case("Swish with a factor", "Swish", {"x": x}, {"alpha": 1.5})
    case("HardSwish on its kinks", "HardSwish", {"x": steps})
    case("HardSigmoid with the slope of PyTorch", "HardSigmoid", {"x": x}, {"alpha": 1 / 6})
    for op in ["LeakyRelu", "Elu", "Celu", "Selu", "ThresholdedRelu", "HardSigmoid"]:
        case(op, op, {"x": x})
        case(f"{op} on its kinks", op, {"x": steps})
        case(f"{op} with alpha", op, {"x": steps}, {"alpha": 0.25})
    case("Elu of large values", "Elu", {"x": large})
    case("Selu of large values", "Selu", {"x": large})
    case("Selu with gamma", "Selu", {"x": x}, {"alpha": 1.5, "gamma": 2.0})
    case("HardSigmoid with beta", "HardSigmoid", {"x": x}, {"alpha": 0.5, "beta": 0.25})
    case("ThresholdedRelu below zero", "ThresholdedRelu", {"x": steps}, {"alpha": -0.5})
    for name, slope in [
        ("one slope", [1]),
        ("a slope for each channel", [3, 1, 1]),
        ("a slope for each element", [2, 3, 2, 2]),
        ("a scalar slope", []),
    ]:
        signed = given(2, 3, 2, 2, seed=1, levels=5, scale=1.0)
        case(f"PRelu with {name}", "PRelu", {"x": signed, "slope": given(*slope, seed=2)})
    case("Shrink, hard", "Shrink", {"x": steps})
    case("Shrink, hard, with lambd", "Shrink", {"x": steps}, {"lambd": 1.5})
    case("Shrink, soft", "Shrink", {"x": steps}, {"lambd": 1.5, "bias": 1.5})
