"""Resizing: PyTorch's own interpolation where it has the form, else its definition by axes."""

import math

import torch
import torch.nn.functional as F
from recording import OPERATORS, case, floats, given, ints

ROUND = {
    "round_prefer_floor": lambda x: math.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: math.floor(x + 0.5),
    "floor": math.floor,
    "ceil": math.ceil,
}


def place(i, old, new, scale, mode):
    if mode == "asymmetric":
        return i / scale
    if mode == "align_corners":
        return 0.0 if new == 1 else i * (old - 1) / (new - 1)
    if mode == "pytorch_half_pixel" and new == 1:
        return 0.0
    return (i + 0.5) / scale - 0.5


def along(x, axis, new, scale, a):
    old = x.shape[axis]
    mode = a.get("coordinate_transformation_mode", "half_pixel")
    at = [place(i, old, new, scale, mode) for i in range(new)]
    if a.get("mode", "nearest") == "nearest":
        at = [float(ROUND[a.get("nearest_mode", "round_prefer_floor")](v)) for v in at]
    at = torch.tensor(at).clamp(0, old - 1)
    low = at.floor().long()
    share = (at - low).reshape([-1 if d == axis else 1 for d in range(x.dim())])
    high = (low + 1).clamp(max=old - 1)
    return x.index_select(axis, low) * (1 - share) + x.index_select(axis, high) * share


def native(x, a, sizes):
    """PyTorch's interpolation of images, where it has the same form."""
    form = (
        a.get("mode", "nearest"),
        a.get("coordinate_transformation_mode", "half_pixel"),
        a.get("nearest_mode", "round_prefer_floor"),
    )
    linear = "bilinear" if x.dim() == 4 else "linear"
    if form == ("nearest", "asymmetric", "floor"):
        return F.interpolate(x, sizes, mode="nearest")
    if form == ("nearest", "half_pixel", "round_prefer_ceil"):
        return F.interpolate(x, sizes, mode="nearest-exact")
    if form[:2] == ("linear", "half_pixel"):
        return F.interpolate(x, sizes, mode=linear, align_corners=False)
    if form[:2] == ("linear", "align_corners"):
        return F.interpolate(x, sizes, mode=linear, align_corners=True)
    return None


def resize(a, x, roi, scales, sizes=None):
    if sizes is not None:
        new = sizes.tolist()
        factors = [n / old for n, old in zip(new, x.shape)]
    else:
        factors = scales.tolist()
        new = [math.floor(f * old + 1e-9) for f, old in zip(factors, x.shape)]
    if sizes is not None and new[:2] == list(x.shape[:2]):
        y = native(x, a, new[2:])
        if y is not None:
            return y
    for axis, (n, f) in enumerate(zip(new, factors)):
        x = along(x, axis, n, f, a)
    return x


OPERATORS["Resize"] = resize

COORDINATES = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]


def cases():
    x = {"x": given(1, 2, 3, 4, seed=1)}
    for places in COORDINATES:
        for rounding in ROUND:
            attributes = {"coordinate_transformation_mode": places, "nearest_mode": rounding}
            resize_case(f"nearest {places} {rounding}", x, attributes, sizes=[1, 2, 5, 7])
        attributes = {"mode": "linear", "coordinate_transformation_mode": places}
        resize_case(f"linear {places}", x, attributes, sizes=[1, 2, 5, 7])
        resize_case(f"linear {places} by scales", x, attributes, scales=[1, 1, 1.5, 0.5])
        line = {"x": given(2, 2, 5, seed=1)}
        resize_case(f"linear {places} of sequences", line, attributes, sizes=[2, 2, 3])
    exact = {"nearest_mode": "round_prefer_ceil"}
    small = {"x": given(1, 2, 5, 6, seed=1)}
    resize_case("nearest smaller", small, exact, sizes=[1, 2, 2, 4])
    resize_case("linear smaller", small, {"mode": "linear"}, sizes=[1, 2, 2, 4])
    resize_case("by twice the size", x, {}, scales=[1, 1, 2, 2])


def resize_case(name, x, attributes, scales=None, sizes=None):
    form = {"scales": floats(*scales)} if scales else {"scales": None, "sizes": ints(*sizes)}
    case(f"Resize {name}", "Resize", {**x, "roi": None, **form}, attributes)
