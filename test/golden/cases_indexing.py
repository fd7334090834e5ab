"""Operators that read and write at indices, and padding by what stands elsewhere."""

import torch
import torch.nn.functional as F
from cases_core import padded
from recording import OPERATORS, case, given, ints


def lines(index, x, axis):
    """The indices of each line counted from 0."""
    return index % x.shape[axis]


def gather_elements(a, x, index):
    axis = a.get("axis", 0)
    return torch.gather(x, axis, lines(index, x, axis))


def scatter_elements(a, x, index, updates):
    axis = a.get("axis", 0)
    index = lines(index, x, axis)
    return (x.scatter_add if a.get("reduction") == "add" else x.scatter)(axis, index, updates)


def gather_slices(a, x, index):
    batch = a.get("batch_dims", 0)
    if batch == 0:
        return x[tuple(index.unbind(-1))]
    return torch.stack([gather_slices({"batch_dims": batch - 1}, *pair) for pair in zip(x, index)])


def scatter_slices(a, x, index, updates):
    add = a.get("reduction") == "add"
    return x.index_put(tuple(index.unbind(-1)), updates, accumulate=add)


def pad(a, x, pads):
    pads, rank = pads.tolist(), x.dim()
    mode = a.get("mode", "constant")
    if mode == "constant":
        return padded(x, pads)
    # PyTorch pads the last axes alone, by other names.
    kind = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}[mode]
    for axis in range(rank):
        y = x.movedim(axis, -1)
        flat = y.reshape(1, -1, y.shape[-1])
        flat = F.pad(flat, (pads[axis], pads[rank + axis]), mode=kind)
        x = flat.reshape(*y.shape[:-1], -1).movedim(-1, axis)
    return x


def one_hot(a, index, depth, values):
    depth, axis = int(depth), a.get("axis", -1)
    at = torch.where(index < 0, index + depth, index)
    hot = F.one_hot(at.clamp(max=depth), depth + 1)[..., :depth]
    hot = hot.movedim(-1, axis).to(values.dtype)
    return values[0] * (1 - hot) + values[1] * hot


OPERATORS.update(
    {
        "GatherElements": gather_elements,
        "ScatterElements": scatter_elements,
        "GatherND": gather_slices,
        "ScatterND": scatter_slices,
        "OneHot": one_hot,
        "Pad": pad,
    }
)


def cases():
    x = {"x": given(3, 4, seed=1)}
    rows = {"index": ints(0, -1, 2, 2, 0, 2, shape=[2, 3])}
    case("GatherElements", "GatherElements", {**x, **rows})
    columns = {"index": ints(3, 0, 0, -4, 1, 2, 2, 2, -1, 0, 1, 1, shape=[3, 4])}
    case("GatherElements of columns", "GatherElements", {**x, **columns}, {"axis": 1})
    updates = {"u": given(2, 3, seed=2)}
    case("ScatterElements adding", "ScatterElements", {**x, **rows, **updates}, {"reduction": "add"})
    apart = {"index": ints(0, -1, 2, 1, shape=[2, 2]), "u": given(2, 2, seed=2)}
    case("ScatterElements", "ScatterElements", {**x, **apart})
    case("ScatterElements of columns", "ScatterElements", {**x, **apart}, {"axis": -1})

    x = {"x": given(3, 4, 2, seed=1)}
    tuples = {"index": ints(0, 1, -1, 0, 0, 1, shape=[3, 2])}
    case("GatherND of slices", "GatherND", {**x, **tuples})
    case("GatherND of rows", "GatherND", {**x, "index": ints(0, 2, 0, -1, shape=[2, 2, 1])})
    batch = {"index": ints(1, 0, -1, 2, 0, 0, shape=[3, 2, 1])}
    case("GatherND in batches", "GatherND", {**x, **batch}, {"batch_dims": 1})
    case("ScatterND adding", "ScatterND", {**x, **tuples, "u": given(3, 2, seed=2)}, {"reduction": "add"})
    apart = {"index": ints(0, 1, -1, 2, shape=[2, 2]), "u": given(2, 2, seed=2)}
    case("ScatterND", "ScatterND", {**x, **apart})

    hot = {"index": ints(0, 3, -1, 7, 2, 1, shape=[2, 3]), "depth": ints(4), "v": given(2, seed=3)}
    case("OneHot", "OneHot", hot)
    case("OneHot along the first axis", "OneHot", hot, {"axis": 0})

    for mode in ["constant", "reflect", "edge", "wrap"]:
        x = {"x": given(2, 3, 4, 5, seed=1)}
        case(f"Pad by {mode}", "Pad", {**x, "pads": ints(0, 0, 2, 1, 0, 0, 1, 3)}, {"mode": mode})
        one = {"x": given(4, 3, seed=1), "pads": ints(2, 0, 0, 0)}
        case(f"Pad by {mode} at one end", "Pad", one, {"mode": mode})
