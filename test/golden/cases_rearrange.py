"""Operators that rearrange or repeat elements."""

import torch
import torch.nn.functional as F
from recording import OPERATORS, case, given, ints


def depth_to_space(a, x):
    b = a["blocksize"]
    if a.get("mode", "DCR") == "DCR":
        # PyTorch's channels go the other way: rest first, then the places within a block.
        n, c, h, w = x.shape
        x = x.reshape(n, b * b, c // (b * b), h, w).transpose(1, 2).reshape(n, c, h, w)
    return F.pixel_shuffle(x, b)


def space_to_depth(a, x):
    b = a["blocksize"]
    n, c, h, w = x.shape
    y = F.pixel_unshuffle(x, b)
    return y.reshape(n, c, b * b, h // b, w // b).transpose(1, 2).reshape(y.shape)


def triangle(a, x, k=None):
    diagonal = 0 if k is None else int(k)
    return x.triu(diagonal) if a.get("upper", 1) else x.tril(diagonal)


def running_sum(a, x, axis):
    dim = int(axis)
    if a.get("reverse"):
        x = x.flip(dim)
    y = x.cumsum(dim)
    if a.get("exclusive"):
        y = y - x
    return y.flip(dim) if a.get("reverse") else y


def turned(a, x, lengths):
    """Each sequence's first steps the other way round."""
    rows = a.get("batch_axis", 1) == 0
    y = x if rows else x.transpose(0, 1)
    parts = [torch.cat([row[:n].flip(0), row[n:]]) for row, n in zip(y, lengths.tolist())]
    y = torch.stack(parts)
    return y if rows else y.transpose(0, 1)


OPERATORS.update(
    {
        "Tile": lambda a, x, repeats: x.tile(repeats.tolist()),
        "DepthToSpace": depth_to_space,
        "SpaceToDepth": space_to_depth,
        "Trilu": triangle,
        "CumSum": running_sum,
        "ReverseSequence": turned,
        "GlobalMaxPool": lambda a, x: F.adaptive_max_pool2d(x, 1),
    }
)


def cases():
    x = {"x": given(2, 3, seed=1)}
    case("Tile", "Tile", {**x, "repeats": ints(2, 3)})
    for mode in ["DCR", "CRD"]:
        name = f"DepthToSpace {mode}"
        image = {"x": given(2, 8, 3, 2, seed=1)}
        case(name, "DepthToSpace", image, {"blocksize": 2, "mode": mode})
    case("SpaceToDepth", "SpaceToDepth", {"x": given(2, 3, 4, 6, seed=1)}, {"blocksize": 2})
    case("Trilu upper", "Trilu", {"x": given(2, 4, 5, seed=1)})
    lower = {"x": given(4, 4, seed=1), "k": ints(-1, shape=[])}
    case("Trilu lower", "Trilu", lower, {"upper": 0})
    for attributes in [{}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}]:
        inputs = {"x": given(3, 5, 2, seed=1), "axis": ints(1, shape=[])}
        case(f"CumSum {attributes}", "CumSum", inputs, attributes)
    sequences = {"x": given(4, 3, 2, seed=1), "lengths": ints(1, 4, 2)}
    case("ReverseSequence", "ReverseSequence", sequences)
    rows = {"x": given(3, 4, seed=1), "lengths": ints(0, 4, 2)}
    case("ReverseSequence of rows", "ReverseSequence", rows, {"batch_axis": 0, "time_axis": 1})
    case("GlobalMaxPool", "GlobalMaxPool", {"x": given(2, 3, 4, 5, seed=1)})
