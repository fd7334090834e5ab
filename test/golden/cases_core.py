"""The operators of feed-forward networks: convolution, pooling, dense layers, element-wise, shapes."""

import math

import torch
import torch.nn.functional as F
from recording import CASES, OPERATORS, case, floats, given, ints

X = {"x": given(2, 3, 8, 7, seed=1)}


def padded(x, pads, value=0.0):
    """ONNX pads (all begins, then all ends) as PyTorch's (last axis first, begin and end)."""
    n = len(pads) // 2
    pairs = [p for axis in reversed(range(n)) for p in (pads[axis], pads[axis + n])]
    return F.pad(x, pairs, value=value)


def same_pads(x, kernel, strides, dilations, lower):
    pads = [[], []]
    for axis, size in enumerate(x.shape[2:]):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        total = max(0, (math.ceil(size / strides[axis]) - 1) * strides[axis] + reach - size)
        small = total // 2
        pads[0].append(total - small if lower else small)
        pads[1].append(small if lower else total - small)
    return pads[0] + pads[1]


def window(x, kernel, a):
    n = x.dim() - 2
    strides = a.get("strides", [1] * n)
    dilations = a.get("dilations", [1] * n)
    mode = a.get("auto_pad", "NOTSET")
    pads = a.get("pads", [0] * (2 * n))
    if mode.startswith("SAME"):
        pads = same_pads(x, kernel, strides, dilations, mode == "SAME_LOWER")
    return strides, dilations, pads


def conv(a, x, w, b=None):
    strides, dilations, pads = window(x, list(w.shape[2:]), a)
    f = F.conv1d if x.dim() == 3 else F.conv2d
    return f(padded(x, pads), w, b, strides, 0, dilations, a.get("group", 1))


def conv_transpose(a, x, w, b=None):
    strides, dilations, pads = window(x, list(w.shape[2:]), a)
    n = x.dim() - 2
    f = F.conv_transpose1d if n == 1 else F.conv_transpose2d
    extra = a.get("output_padding", [0] * n)
    # Cropping afterwards serves pads that differ between begin and end.
    y = f(x, w, b, strides, 0, extra, a.get("group", 1), dilations)
    for axis in range(n):
        y = y.narrow(axis + 2, pads[axis], y.shape[axis + 2] - pads[axis] - pads[axis + n])
    return y


def max_pool(a, x):
    kernel = a["kernel_shape"]
    strides, dilations, pads = window(x, kernel, a)
    f = F.max_pool1d if x.dim() == 3 else F.max_pool2d
    if a.get("ceil_mode"):
        n = len(kernel)
        return f(x, kernel, strides, pads[:n], dilations, ceil_mode=True)
    return f(padded(x, pads, -math.inf), kernel, strides, 0, dilations)


def average_pool(a, x):
    kernel = a["kernel_shape"]
    strides, _, pads = window(x, kernel, a)
    f = F.avg_pool1d if x.dim() == 3 else F.avg_pool2d
    n = len(kernel)
    include = bool(a.get("count_include_pad", 0))
    if a.get("ceil_mode"):
        return f(x, kernel, strides, pads[:n], ceil_mode=True, count_include_pad=include)
    sums = f(padded(x, pads), kernel, strides)
    if include:
        return sums
    return sums / f(padded(torch.ones_like(x), pads), kernel, strides)


def cast(a, x):
    """Float types keep the value, integers (6, 7) lose the fraction, truth values (9) the rest."""
    if a["to"] == 9:
        return (x != 0).double()
    return x.trunc().detach() if a["to"] in (6, 7) else x


def gemm(a, x, y, c=None):
    x = x.T if a.get("transA") else x
    y = y.T if a.get("transB") else y
    out = a.get("alpha", 1.0) * (x @ y)
    return out if c is None else out + a.get("beta", 1.0) * c


def reshape(a, x, shape):
    sizes = [
        x.shape[i] if d == 0 and not a.get("allowzero") else d for i, d in enumerate(shape.tolist())
    ]
    return x.reshape(sizes)


def slice_(a, x, starts, ends, axes=None, steps=None):
    axes = list(range(len(starts))) if axes is None else axes.tolist()
    steps = [1] * len(starts) if steps is None else steps.tolist()
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), axes, steps):
        index = torch.tensor(
            list(range(*slice(start, end, step).indices(x.shape[axis]))), dtype=torch.int64
        )
        x = x.index_select(axis, index)
    return x


def gather(x, indices, axis):
    picked = x.index_select(axis, (indices % x.shape[axis]).reshape(-1))
    return picked.reshape(x.shape[:axis] + indices.shape + x.shape[axis + 1 :])


def reduced(f):
    def run(a, x, axes=None):
        dims = axes.tolist() if axes is not None else a.get("axes", list(range(x.dim())))
        return f(x, dims, bool(a.get("keepdims", 1)))

    return run


OPERATORS.update({
    "Add": lambda a, x, y: x + y,
    "AveragePool": average_pool,
    "Cast": cast,
    "Concat": lambda a, *xs: torch.cat(xs, a["axis"]),
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Div": lambda a, x, y: x / y,
    "Exp": lambda a, x: x.exp(),
    "Expand": lambda a, x, shape: x.expand(torch.broadcast_shapes(x.shape, tuple(shape.tolist()))),
    "Flatten": lambda a, x: x.reshape(math.prod(x.shape[: a.get("axis", 1)]), -1),
    "Gather": lambda a, x, indices: gather(x, indices, a["axis"]),
    "Gemm": gemm,
    "GlobalAveragePool": lambda a, x: x.mean(list(range(2, x.dim())), keepdim=True),
    "Identity": lambda a, x: x,
    "Log": lambda a, x: x.log(),
    "LogSoftmax": lambda a, x: x.log_softmax(a.get("axis", -1)),
    "MatMul": lambda a, x, y: x @ y,
    "MaxPool": max_pool,
    "Mul": lambda a, x, y: x * y,
    "Neg": lambda a, x: -x,
    "ReduceMax": reduced(lambda x, dims, keep: x.amax(dims, keep)),
    "ReduceMean": reduced(lambda x, dims, keep: x.mean(dims, keep)),
    "ReduceSum": reduced(lambda x, dims, keep: x.sum(dims, keep)),
    "Relu": lambda a, x: x.relu(),
    "Reshape": reshape,
    "Sigmoid": lambda a, x: x.sigmoid(),
    "Sign": lambda a, x: x.sign(),
    "Slice": slice_,
    "Softmax": lambda a, x: x.softmax(a.get("axis", -1)),
    "Sqrt": lambda a, x: x.sqrt(),
    "Squeeze": lambda a, x, axes: x.reshape(
        [d for i, d in enumerate(x.shape) if i not in [k % x.dim() for k in axes.tolist()]]
    ),
    "Sub": lambda a, x, y: x - y,
    "Tanh": lambda a, x: x.tanh(),
    "Transpose": lambda a, x: x.permute(a.get("perm", list(reversed(range(x.dim()))))),
    "Unsqueeze": lambda a, x, axes: unsqueeze(x, axes.tolist()),
    "Where": lambda a, c, x, y: torch.where(c != 0, x, y),
})


def unsqueeze(x, axes):
    rank = x.dim() + len(axes)
    for axis in sorted(a % rank for a in axes):
        x = x.unsqueeze(axis)
    return x


def conv_case(name, x, w, attributes=None, bias=True):
    inputs = {"x": given(*x, seed=1), "w": given(*w, seed=2)}
    if bias:
        inputs["b"] = given(w[0], seed=3)
    case(f"Conv {name}", "Conv", inputs, attributes)


def cases():
    conv_case("3x3", [2, 3, 6, 7], [4, 3, 3, 3])
    conv_case("without bias", [2, 3, 6, 7], [4, 3, 3, 3], bias=False)
    conv_case("1x1", [2, 3, 5, 4], [4, 3, 1, 1])
    conv_case("padded", [2, 2, 6, 5], [3, 2, 3, 3], {"pads": [1, 1, 1, 1]})
    conv_case("padded unevenly", [2, 2, 6, 5], [3, 2, 3, 2], {"pads": [0, 1, 2, 0]})
    conv_case("stride 2", [2, 2, 8, 7], [3, 2, 3, 3], {"strides": [2, 2]})
    conv_case(
        "stride 2 with rows left over",
        [2, 2, 8, 8],
        [3, 2, 3, 3],
        {"strides": [2, 2], "pads": [1, 1, 1, 1]},
    )
    conv_case(
        "strides 3 and 2", [1, 2, 9, 8], [3, 2, 2, 3], {"strides": [3, 2], "pads": [1, 0, 0, 1]}
    )
    conv_case("dilated", [2, 2, 8, 9], [3, 2, 3, 3], {"dilations": [2, 3]})
    conv_case(
        "dilated, strided and padded",
        [2, 2, 9, 8],
        [3, 2, 3, 2],
        {"dilations": [2, 2], "strides": [2, 2], "pads": [2, 1, 1, 2]},
    )
    conv_case("in groups", [2, 4, 6, 5], [6, 2, 3, 3], {"group": 2, "pads": [1, 1, 1, 1]})
    conv_case("depthwise", [2, 4, 6, 5], [4, 1, 3, 3], {"group": 4, "pads": [1, 1, 1, 1]})
    conv_case(
        "depthwise with multiplier and stride",
        [2, 3, 7, 7],
        [6, 1, 3, 3],
        {"group": 3, "strides": [2, 2], "pads": [1, 1, 1, 1]},
    )
    conv_case(
        "SAME_UPPER", [2, 2, 6, 7], [3, 2, 4, 3], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}
    )
    conv_case(
        "SAME_LOWER", [2, 2, 6, 7], [3, 2, 4, 3], {"auto_pad": "SAME_LOWER", "strides": [2, 2]}
    )
    conv_case("in one dimension", [2, 3, 11], [4, 3, 3], {"strides": [2], "pads": [1, 0]})
    conv_case("with a kernel as large as the input", [3, 2, 4, 4], [5, 2, 4, 4])

    # Only emitted by the gradient of Conv so far, and without a gradient of its own.
    def transposed(name, x, w, attributes=None, group=1):
        inputs = {"x": given(*x, seed=1), "w": given(*w, seed=2), "b": given(w[1] * group, seed=3)}
        case(
            f"ConvTranspose {name}",
            "ConvTranspose",
            inputs,
            {**(attributes or {}), **({"group": group} if group > 1 else {})},
            wanted=[],
        )

    transposed("3x3", [2, 3, 4, 5], [3, 2, 3, 3])
    transposed(
        "strided and padded", [2, 3, 4, 4], [3, 2, 3, 3], {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    )
    transposed(
        "with output padding",
        [2, 3, 4, 4],
        [3, 2, 3, 3],
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    )
    transposed(
        "dilated, padded unevenly",
        [1, 2, 4, 4],
        [2, 3, 2, 3],
        {"dilations": [2, 1], "pads": [1, 0, 0, 1]},
    )
    transposed("in groups", [2, 4, 3, 4], [4, 2, 2, 2], {"strides": [2, 2]}, group=2)

    a, b = [4, 3], [3, 5]
    for name, flags in [
        ("", {}),
        (" transA", {"transA": 1}),
        (" transB", {"transB": 1}),
        (" transA transB", {"transA": 1, "transB": 1}),
    ]:
        sa = a[::-1] if flags.get("transA") else a
        sb = b[::-1] if flags.get("transB") else b
        case(
            f"Gemm{name}",
            "Gemm",
            {"a": given(*sa, seed=1), "b": given(*sb, seed=2), "c": given(5, seed=3)},
            {**flags, "alpha": 0.5, "beta": 2.0},
        )
    case("Gemm without C", "Gemm", {"a": given(4, 3, seed=1), "b": given(3, 5, seed=2)})
    case(
        "Gemm with a whole C",
        "Gemm",
        {"a": given(4, 3, seed=1), "b": given(3, 5, seed=2), "c": given(4, 5, seed=3)},
    )
    case(
        "Gemm with a column C",
        "Gemm",
        {"a": given(4, 3, seed=1), "b": given(3, 5, seed=2), "c": given(4, 1, seed=3)},
        {"beta": 0.5},
    )
    case(
        "Gemm with a scalar C",
        "Gemm",
        {"a": given(4, 3, seed=1), "b": given(3, 5, seed=2), "c": given(seed=3)},
    )

    for name, x, y in [
        ("of matrices", [4, 3], [3, 5]),
        ("in batches", [2, 4, 3], [2, 3, 5]),
        ("with a shared right side", [2, 4, 3], [3, 5]),
        ("with a shared left side", [4, 3], [2, 3, 5]),
        ("with broadcast batches", [2, 1, 4, 3], [5, 3, 2]),
        ("of a vector and a matrix", [3], [3, 5]),
        ("of a matrix and a vector", [2, 4, 3], [3]),
        ("of vectors", [3], [3]),
    ]:
        case(f"MatMul {name}", "MatMul", {"a": given(*x, seed=1), "b": given(*y, seed=2)})

    far = {"shift": 2.0}
    for op in ["Add", "Sub", "Mul", "Div"]:
        extra = far if op == "Div" else {}
        case(
            f"{op} of equal shapes",
            op,
            {"a": given(2, 3, seed=1), "b": given(2, 3, seed=2, **extra)},
        )
        case(
            f"{op} with broadcast",
            op,
            {"a": given(2, 3, 4, seed=1), "b": given(3, 1, seed=2, **extra)},
        )
        case(
            f"{op} with broadcast of both",
            op,
            {"a": given(2, 1, 4, seed=1), "b": given(3, 1, seed=2, **extra)},
        )
        case(f"{op} with a scalar", op, {"a": given(seed=1), "b": given(2, 3, seed=2, **extra)})

    for op in ["Neg", "Exp", "Sigmoid", "Tanh"]:
        case(op, op, {"x": given(3, 5, seed=1, scale=2.0**-9)})
    case("Relu", "Relu", {"x": given(3, 7, seed=1)})
    case("Relu at zero", "Relu", {"x": given(3, 7, seed=1, levels=3, scale=1.0)})
    case("Sign", "Sign", {"x": given(3, 5, seed=1)})
    for op in ["Log", "Sqrt"]:
        case(op, op, {"x": given(3, 5, seed=1, **far)})
    case("Cast to its own type", "Cast", {"x": given(2, 3, seed=1)}, {"to": 1})
    case(
        "Where with broadcast",
        "Where",
        {
            "c": {**given(2, 3, 1, seed=1, levels=2, scale=1.0, shift=1.0), "dtype": "bool"},
            "a": given(3, 4, seed=2),
            "b": given(2, 1, 4, seed=3),
        },
    )

    pool = lambda name, x, attributes, **spec: case(
        f"MaxPool {name}", "MaxPool", {"x": given(*x, seed=1, **spec)}, attributes
    )
    pool("2x2", [2, 3, 6, 8], {"kernel_shape": [2, 2], "strides": [2, 2]})
    pool(
        "2x2 with ties",
        [2, 3, 6, 8],
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        levels=3,
        scale=1.0,
    )
    pool(
        "2x2 of equal values",
        [1, 2, 4, 4],
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        levels=1,
        scale=1.0,
    )
    pool("with rows left over", [2, 2, 7, 5], {"kernel_shape": [2, 2], "strides": [2, 2]})
    pool("overlapping", [2, 2, 7, 7], {"kernel_shape": [3, 3], "strides": [2, 2]})
    pool(
        "overlapping with ties",
        [2, 2, 7, 7],
        {"kernel_shape": [3, 3], "strides": [2, 2]},
        levels=3,
        scale=1.0,
    )
    pool("stride 1 with ties", [1, 2, 5, 5], {"kernel_shape": [2, 2]}, levels=2, scale=1.0)
    pool("padded", [2, 2, 7, 8], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]})
    pool(
        "padded, all below zero",
        [1, 2, 4, 4],
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
        shift=-3.0,
    )
    pool(
        "padded unevenly",
        [2, 2, 6, 6],
        {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [0, 1, 1, 0]},
    )
    pool("with gaps", [2, 2, 8, 8], {"kernel_shape": [2, 2], "strides": [3, 3]})
    pool("dilated", [1, 2, 7, 7], {"kernel_shape": [2, 2], "dilations": [2, 2]})
    pool("ceil", [2, 2, 7, 6], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1})
    pool(
        "SAME_UPPER",
        [2, 2, 7, 7],
        {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    )
    pool("in one dimension", [2, 3, 9], {"kernel_shape": [3], "strides": [2]})
    pool("over the whole plane", [2, 3, 4, 5], {"kernel_shape": [4, 5]})

    mean = lambda name, x, attributes: case(
        f"AveragePool {name}", "AveragePool", {"x": given(*x, seed=1)}, attributes
    )
    mean("2x2", [2, 3, 6, 8], {"kernel_shape": [2, 2], "strides": [2, 2]})
    mean("overlapping", [2, 2, 7, 7], {"kernel_shape": [3, 3], "strides": [2, 2]})
    mean(
        "padded, counting only the input",
        [2, 2, 6, 7],
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    )
    mean(
        "padded, counting the padding",
        [2, 2, 6, 7],
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    )
    mean("with rows left over", [2, 2, 7, 5], {"kernel_shape": [2, 2], "strides": [2, 2]})
    case("GlobalAveragePool", "GlobalAveragePool", X)
    case("GlobalAveragePool in one dimension", "GlobalAveragePool", {"x": given(2, 3, 5, seed=1)})

    for axis in [0, 1, 2, 3]:
        case(f"Flatten at axis {axis}", "Flatten", {"x": given(2, 3, 4, seed=1)}, {"axis": axis})
    case("Reshape", "Reshape", {"x": given(2, 3, 4, seed=1), "shape": ints(4, 6)})
    case("Reshape with 0 and -1", "Reshape", {"x": given(2, 3, 4, seed=1), "shape": ints(0, -1)})
    case("Transpose", "Transpose", {"x": given(2, 3, 4, seed=1)}, {"perm": [2, 0, 1]})
    case("Transpose by default", "Transpose", {"x": given(2, 3, 4, seed=1)})
    case("Squeeze", "Squeeze", {"x": given(2, 1, 3, 1, seed=1), "axes": ints(1, -1)})
    case("Unsqueeze", "Unsqueeze", {"x": given(2, 3, seed=1), "axes": ints(0, 3)})
    case("Expand", "Expand", {"x": given(3, 1, seed=1), "shape": ints(2, 1, 4)})
    case(
        "Concat",
        "Concat",
        {"a": given(2, 3, seed=1), "b": given(2, 2, seed=2), "c": given(2, 1, seed=3)},
        {"axis": 1},
    )
    case(
        "Slice",
        "Slice",
        {"x": given(4, 6, seed=1), "starts": ints(1, -4), "ends": ints(3, 100), "axes": ints(0, 1)},
    )
    case(
        "Slice with steps",
        "Slice",
        {
            "x": given(4, 7, seed=1),
            "starts": ints(1),
            "ends": ints(7),
            "axes": ints(1),
            "steps": ints(2),
        },
        wanted=[],
    )
    case("Pad", "Pad", {"x": given(2, 3, seed=1), "pads": ints(1, 0, 0, 2)})

    case("ReduceSum of all", "ReduceSum", {"x": given(2, 3, 4, seed=1)}, {"keepdims": 0})
    case(
        "ReduceSum of axes",
        "ReduceSum",
        {"x": given(2, 3, 4, seed=1), "axes": ints(0, -1)},
        {"keepdims": 1},
    )
    case(
        "ReduceSum of an axis that is dropped",
        "ReduceSum",
        {"x": given(2, 3, 4, seed=1), "axes": ints(1)},
        {"keepdims": 0},
    )
    case(
        "ReduceMean of axes",
        "ReduceMean",
        {"x": given(2, 3, 4, seed=1)},
        {"axes": [0, 2], "keepdims": 0},
    )
    case("ReduceMean of all", "ReduceMean", {"x": given(2, 3, 4, seed=1)})

    case("ReduceMax", "ReduceMax", {"x": given(2, 3, 4, seed=1)}, {"axes": [1]})
    tied = given(2, 3, 4, seed=1, levels=3, scale=1.0)
    case("ReduceMax with ties", "ReduceMax", {"x": tied}, {"axes": [0, 2], "keepdims": 0})
    rows = {"x": given(5, 3, seed=1), "indices": ints(4, 0, 4, 1, 0, -1, shape=[2, 3])}
    case("Gather of rows, some repeatedly", "Gather", rows, {"axis": 0})
    columns = {"x": given(2, 4, 3, seed=1), "indices": ints(2, 2, 0)}
    case("Gather along a middle axis", "Gather", columns, {"axis": 1})
    enlarged = {"x": given(2, 2, 3, 4, seed=1), "roi": floats(), "scales": floats(1, 1, 2, 3)}
    modes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    case("Resize by whole factors", "Resize", enlarged, {"mode": "nearest", **modes})

    for op in ["Softmax", "LogSoftmax"]:
        case(f"{op} over the last axis", op, {"x": given(3, 5, seed=1, scale=2.0**-9)})
        case(
            f"{op} over a middle axis",
            op,
            {"x": given(2, 4, 3, seed=1, scale=2.0**-9)},
            {"axis": 1},
        )
        case(f"{op} of large values", op, {"x": given(3, 5, seed=1, scale=2.0**-3)})

    case("Identity", "Identity", {"x": given(2, 3, seed=1)})

    # A value that is read twice collects both gradients.
    CASES.append(
        {
            "name": "a value that is read twice",
            "inputs": {"x": given(2, 3, seed=1), "w": given(3, 3, seed=2)},
            "nodes": [
                {"op": "MatMul", "inputs": ["x", "w"], "outputs": ["h"], "attributes": {}},
                {"op": "Tanh", "inputs": ["h"], "outputs": ["t"], "attributes": {}},
                {"op": "MatMul", "inputs": ["t", "w"], "outputs": ["u"], "attributes": {}},
                {"op": "Add", "inputs": ["u", "x"], "outputs": ["y"], "attributes": {}},
            ],
            "wanted": ["x", "w"],
        }
    )
