"""Gradients of a model by PyTorch's autograd, for `edgeloom check`.

Takes a folder with `graph.json` (the nodes of an ONNX graph in the form of operator set 17) and
`values.safetensors` (input, targets, parameters, constants), computes the mean squared error in
float64 as PyTorch trains it (batch normalisation by the batch's statistics), and leaves
`gradients.safetensors` there. Then it does so again in float32, to tell how far rounding alone
carries. Prints one JSON object: the version, the loss and each gradient's rounding, or what is
missing.
"""

import json
import math
import struct
import sys
from pathlib import Path

import torch
import torch.nn.functional as F


class Missing(Exception):
    """An operator, or a form of it, that this script does not have."""


DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "I64": torch.int64,
    "I32": torch.int32, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}
INTEGERS = {7: torch.int64, 6: torch.int32, 3: torch.int8, 2: torch.uint8, 9: torch.bool}


def read_tensors(path):
    raw = bytearray(path.read_bytes())
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    values = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        dtype = DTYPES[entry["dtype"]]
        piece = raw[begin:end]
        flat = torch.frombuffer(piece, dtype=dtype) if piece else torch.zeros(0, dtype=dtype)
        values[name] = flat.reshape(entry["shape"])
    return values


def write_tensors(path, values):
    header, parts, offset = {}, [], 0
    for name, value in values.items():
        data = struct.pack(f"<{value.numel()}d", *value.detach().reshape(-1).tolist())
        header[name] = {"dtype": "F64", "shape": list(value.shape),
                        "data_offsets": [offset, offset + len(data)]}
        parts.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def ints(value):
    return [int(x) for x in value.reshape(-1).tolist()]


def windows(x, attributes, kernel):
    """Strides, dilations and paddings [before..., after...] of the spatial axes."""
    count = len(kernel)
    strides = attributes.get("strides", [1] * count)
    dilations = attributes.get("dilations", [1] * count)
    pads = attributes.get("pads", [0] * 2 * count)
    mode = attributes.get("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        total = []
        for size, k, s, d in zip(x.shape[2:], kernel, strides, dilations):
            total.append(max(0, (math.ceil(size / s) - 1) * s + d * (k - 1) + 1 - size))
        less, more = [t // 2 for t in total], [t - t // 2 for t in total]
        pads = less + more if mode == "SAME_UPPER" else more + less
    return strides, dilations, pads


def padded(x, pads, value=0.0):
    count = len(pads) // 2
    order = []
    for axis in reversed(range(count)):
        order += [pads[axis], pads[axis + count]]
    return F.pad(x, order, value=value) if any(order) else x


def conv(node, x, w, b=None):
    a = node["attributes"]
    strides, dilations, pads = windows(x, a, list(w.shape[2:]))
    function = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[w.dim() - 2]
    return function(padded(x, pads), w, b, strides, 0, dilations, a.get("group", 1))


def conv_transpose(node, x, w, b=None):
    a = node["attributes"]
    if "output_shape" in a or a.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise Missing("ConvTranspose by the shape of its output")
    strides, dilations, pads = windows(x, a, list(w.shape[2:]))
    count = w.dim() - 2
    function = {1: F.conv_transpose1d, 2: F.conv_transpose2d}[count]
    extra = a.get("output_padding", [0] * count)
    y = function(x, w, b, strides, 0, 0, a.get("group", 1), dilations)
    y = padded(y, [0] * count + list(extra))
    for i in range(count):
        y = y.narrow(2 + i, pads[i], y.shape[2 + i] - pads[i] - pads[count + i])
    return y


def max_pool(node, x):
    a = node["attributes"]
    kernel = a["kernel_shape"]
    strides, dilations, pads = windows(x, a, kernel)
    function = {1: F.max_pool1d, 2: F.max_pool2d}[len(kernel)]
    if len(node["outputs"]) > 1:
        raise Missing("MaxPool with indices")
    if a.get("ceil_mode", 0):
        count = len(kernel)
        if pads[:count] != pads[count:]:
            raise Missing("MaxPool with ceil_mode and unequal padding")
        return function(x, kernel, strides, pads[:count], dilations, ceil_mode=True)
    return function(padded(x, pads, -math.inf), kernel, strides, 0, dilations)


def average_pool(node, x):
    a = node["attributes"]
    kernel = a["kernel_shape"]
    strides, _, pads = windows(x, a, kernel)
    if a.get("ceil_mode", 0):
        raise Missing("AveragePool with ceil_mode")
    function = {1: F.avg_pool1d, 2: F.avg_pool2d}[len(kernel)]
    y = function(padded(x, pads), kernel, strides)
    if a.get("count_include_pad", 0) or not any(pads):
        return y
    return y / function(padded(torch.ones_like(x), pads), kernel, strides)


def batch_normalization(node, x, scale, bias, mean, variance):
    # Statistics that are frozen are used; others are measured, as in training.
    eps = node["attributes"].get("epsilon", 1e-5)
    if node["frozen"]:
        return F.batch_norm(x, mean, variance, scale, bias, False, 0.0, eps)
    return F.batch_norm(x, None, None, scale, bias, True, 0.0, eps)


def layer_normalization(node, x, scale, bias=None):
    a = node["attributes"]
    axis = a.get("axis", -1) % x.dim()
    y = F.layer_norm(x, x.shape[axis:], None, None, a.get("epsilon", 1e-5)) * scale
    return y if bias is None else y + bias


def gemm(node, a, b, c=None):
    at = node["attributes"]
    a = a.T if at.get("transA", 0) else a
    b = b.T if at.get("transB", 0) else b
    y = at.get("alpha", 1.0) * (a @ b)
    return y if c is None else y + at.get("beta", 1.0) * c


def pool_all(function):
    return lambda node, x: function(x, tuple(range(2, x.dim())), True)


def reduction(function):
    def reduce(node, x, axes=None):
        a = node["attributes"]
        given = ints(axes) if axes is not None else a.get("axes", [])
        if not given and a.get("noop_with_empty_axes", 0):
            return x
        return function(x, tuple(given) or tuple(range(x.dim())), bool(a.get("keepdims", 1)))
    return reduce


def reshape(node, x, shape):
    sizes = ints(shape)
    if not node["attributes"].get("allowzero", 0):
        sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return x.reshape(sizes)


def flatten(node, x):
    axis = node["attributes"].get("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), -1)


def squeeze(node, x, axes=None):
    return x.squeeze() if axes is None else x.squeeze(tuple(ints(axes)))


def unsqueeze(node, x, axes):
    rank = x.dim() + axes.numel()
    for axis in sorted(a % rank for a in ints(axes)):
        x = x.unsqueeze(axis)
    return x


def sliced(node, x, starts, ends, axes=None, steps=None):
    places = ints(axes) if axes is not None else range(starts.numel())
    strides = ints(steps) if steps is not None else [1] * starts.numel()
    for start, end, axis, step in zip(ints(starts), ints(ends), places, strides):
        chosen = range(*slice(start, end if step > 0 or end >= -x.shape[axis] else None, step)
                       .indices(x.shape[axis]))
        x = x.index_select(axis, torch.tensor(list(chosen), dtype=torch.int64))
    return x


def split(node, x, sizes=None):
    axis, count = node["attributes"].get("axis", 0), len(node["outputs"])
    size = math.ceil(x.shape[axis] / count)
    return x.split(ints(sizes) if sizes is not None else size, axis)


def gather(node, x, indices):
    axis = node["attributes"].get("axis", 0) % x.dim()
    flat = indices.long().reshape(-1)
    flat = torch.where(flat < 0, flat + x.shape[axis], flat)
    return x.index_select(axis, flat).reshape(
        x.shape[:axis] + indices.shape + x.shape[axis + 1 :])


def pad(node, x, pads, value=None, axes=None):
    mode = node["attributes"].get("mode", "constant")
    if axes is not None:
        raise Missing("Pad of some axes")
    sizes, rank = ints(pads), x.dim()
    if mode != "constant":
        for axis in range(rank):
            size = x.shape[axis]
            places = range(-sizes[axis], size + sizes[axis + rank])
            source = {
                "edge": lambda i: min(max(i, 0), size - 1),
                "wrap": lambda i: i % size,
                "reflect": lambda i: size - 1 - abs(size - 1 - i % max(1, 2 * size - 2)),
            }[mode]
            x = x.index_select(axis, torch.tensor([source(i) for i in places]))
        return x
    order = []
    for axis in reversed(range(rank)):
        order += [sizes[axis], sizes[axis + rank]]
    return F.pad(x, order, value=0.0 if value is None else float(value))


def shape_of(node, x):
    a = node["attributes"]
    return torch.tensor(list(x.shape)[a.get("start", 0) : a.get("end", None)], dtype=torch.int64)


def constant_of_shape(node, sizes):
    value = node["attributes"].get("value")
    number, dtype = (0.0, "F64") if value is None else (value["number"], value["dtype"])
    own = torch.get_default_dtype() if dtype == "F64" else DTYPES[dtype]
    return torch.full(ints(sizes), number, dtype=own)


ROUNDINGS = {
    "floor": math.floor, "ceil": math.ceil, "round_prefer_floor": lambda v: math.ceil(v - 0.5),
    "round_prefer_ceil": lambda v: math.floor(v + 0.5),
}


def resize(node, x, region=None, scales=None, sizes=None):
    """Axis by axis: the nearest element, or a mean of two."""
    a = node["attributes"]
    mode, place = a.get("mode", "nearest"), a.get("coordinate_transformation_mode", "half_pixel")
    if mode not in ("nearest", "linear") or place == "tf_crop_and_resize" or "axes" in a:
        raise Missing(f"Resize by {mode}, {place}")
    for axis in range(x.dim()):
        size = x.shape[axis]
        scale = scales[axis].item() if sizes is None else sizes[axis].item() / size
        count = math.floor(size * scale) if sizes is None else int(sizes[axis])
        if count == size and scale == 1:
            continue
        at = [i / scale if place == "asymmetric"
              else i * (size - 1) / max(1, count - 1) if place == "align_corners"
              else 0.0 if place == "pytorch_half_pixel" and count == 1
              else (i + 0.5) / scale - 0.5 for i in range(count)]
        if mode == "nearest":
            nearest = ROUNDINGS[a.get("nearest_mode", "round_prefer_floor")]
            chosen = [min(max(nearest(v), 0), size - 1) for v in at]
            x = x.index_select(axis, torch.tensor(chosen))
            continue
        inside = [min(max(v, 0), size - 1) for v in at]
        low = torch.tensor([math.floor(v) for v in inside])
        share = torch.tensor(inside, dtype=x.dtype) - low
        share = share.reshape([-1] + [1] * (x.dim() - axis - 1))
        high = (low + 1).clamp(max=size - 1)
        x = x.index_select(axis, low) * (1 - share) + x.index_select(axis, high) * share
    return x


def directions(node, x, w, r, b, cell, states):
    """Outputs [steps, directions, batch, hidden] of a recurrent network, and its last states."""
    a = node["attributes"]
    if {"activations", "clip", "activation_alpha", "activation_beta"} & a.keys() or a.get("layout"):
        raise Missing(f"{node['op']} with activations, clip or layout")
    if a.get("input_forget"):
        raise Missing(f"{node['op']} with coupled gates")
    all_outputs, last = [], []
    for d in range(w.shape[0]):
        reverse = a.get("direction", "forward") == "reverse" or d == 1
        hidden = r.shape[2]
        state = [torch.zeros(x.shape[1], hidden, dtype=x.dtype) if s is None else s[d]
                 for s in states]
        half = r.shape[1]
        bias = torch.zeros(2 * half, dtype=x.dtype) if b is None else b[d]
        outputs = [None] * x.shape[0]
        for t in reversed(range(x.shape[0])) if reverse else range(x.shape[0]):
            state = cell(x[t], state, w[d], r[d], bias[:half], bias[half:])
            outputs[t] = state[0]
        all_outputs.append(torch.stack(outputs))
        last.append(state)
    return [torch.stack(all_outputs, 1)] + [torch.stack(s) for s in zip(*last)]


def lstm(node, x, w, r, b=None, lengths=None, h=None, c=None, p=None):
    if lengths is not None or p is not None:
        raise Missing("LSTM with lengths or peepholes")

    def cell(x, state, w, r, wb, rb):
        i, o, f, g = (x @ w.T + state[0] @ r.T + wb + rb).chunk(4, 1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return [o.sigmoid() * c.tanh(), c]

    return directions(node, x, w, r, b, cell, [h, c])


def gru(node, x, w, r, b=None, lengths=None, h=None):
    if lengths is not None:
        raise Missing("GRU with lengths")
    after = node["attributes"].get("linear_before_reset", 0)

    def cell(x, state, w, r, wb, rb):
        (h,) = state
        xz, xr, xh = (x @ w.T + wb).chunk(3, 1)
        rz, rr, rh = r.chunk(3, 0)
        bz, br, bh = rb.chunk(3, 0)
        z, k = (xz + h @ rz.T + bz).sigmoid(), (xr + h @ rr.T + br).sigmoid()
        n = xh + (k * (h @ rh.T + bh) if after else (k * h) @ rh.T + bh)
        return [(1 - z) * n.tanh() + z * h]

    return directions(node, x, w, r, b, cell, [h])


def rnn(node, x, w, r, b=None, lengths=None, h=None):
    if lengths is not None:
        raise Missing("RNN with lengths")

    def cell(x, state, w, r, wb, rb):
        return [(x @ w.T + state[0] @ r.T + wb + rb).tanh()]

    return directions(node, x, w, r, b, cell, [h])


def unary(function):
    return lambda node, x: function(x)


def with_alpha(function, alpha):
    return lambda node, x: function(x, node["attributes"].get("alpha", alpha))


def clip(node, x, low=None, high=None):
    return x if low is None and high is None else x.clamp(low, high)


def hard_sigmoid(node, x):
    a = node["attributes"]
    return (a.get("alpha", 0.2) * x + a.get("beta", 0.5)).clamp(0, 1)


def gelu(node, x):
    return F.gelu(x, approximate=node["attributes"].get("approximate", "none"))


def fold(function):
    def all_of(node, first, *others):
        for other in others:
            first = function(first, other)
        return first
    return all_of


def divided(node, a, b):
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def group_normalization(node, x, scale, bias):
    a = node["attributes"]
    return F.group_norm(x, a["num_groups"], scale, bias, a.get("epsilon", 1e-5))


def l2(x, axes, keep):
    return (x * x).sum(axes, keep).sqrt()


def softmax(function):
    return lambda node, x: function(x, node["attributes"].get("axis", -1))


def cast(node, x):
    return x.to(INTEGERS.get(node["attributes"]["to"], torch.get_default_dtype()))


def arg_max(node, x):
    a = node["attributes"]
    return x.argmax(a.get("axis", 0), bool(a.get("keepdims", 1)))


OPS = {
    "Abs": unary(torch.abs), "Add": lambda n, a, b: a + b, "And": lambda n, a, b: a & b,
    "ArgMax": arg_max, "AveragePool": average_pool, "BatchNormalization": batch_normalization,
    "Cast": cast, "Ceil": unary(torch.ceil),
    "Celu": with_alpha(F.celu, 1.0), "Clip": clip,
    "Concat": lambda n, *xs: torch.cat(xs, n["attributes"]["axis"]),
    "ConstantOfShape": constant_of_shape, "Conv": conv, "ConvTranspose": conv_transpose,
    "Cos": unary(torch.cos), "Div": divided,
    "Einsum": lambda n, *xs: torch.einsum(n["attributes"]["equation"], *xs),
    "Elu": with_alpha(F.elu, 1.0), "Equal": lambda n, a, b: a == b, "Erf": unary(torch.erf),
    "Exp": unary(torch.exp), "Expand": lambda n, x, s: x * torch.ones(ints(s), dtype=x.dtype),
    "Flatten": flatten, "Floor": unary(torch.floor), "GRU": gru, "Gather": gather,
    "Gelu": gelu, "Gemm": gemm, "GlobalAveragePool": pool_all(torch.mean),
    "GlobalMaxPool": pool_all(torch.amax), "Greater": lambda n, a, b: a > b,
    "GreaterOrEqual": lambda n, a, b: a >= b, "GroupNormalization": group_normalization,
    "HardSigmoid": hard_sigmoid, "HardSwish": lambda n, x: x * (x / 6 + 0.5).clamp(0, 1),
    "Identity": unary(lambda x: x),
    "InstanceNormalization": lambda n, x, s, b: F.instance_norm(
        x, None, None, s, b, True, 0.0, n["attributes"].get("epsilon", 1e-5)),
    "LSTM": lstm, "LayerNormalization": layer_normalization,
    "LeakyRelu": with_alpha(F.leaky_relu, 0.01), "Less": lambda n, a, b: a < b,
    "LessOrEqual": lambda n, a, b: a <= b, "Log": unary(torch.log),
    "LogSoftmax": softmax(torch.log_softmax), "MatMul": lambda n, a, b: a @ b,
    "Max": fold(torch.maximum), "MaxPool": max_pool, "Min": fold(torch.minimum),
    "Mish": unary(F.mish), "Mul": lambda n, a, b: a * b, "Neg": unary(torch.neg),
    "Not": unary(torch.logical_not), "Or": lambda n, a, b: a | b,
    "PRelu": lambda n, x, s: torch.where(x < 0, s * x, x), "Pad": pad,
    "Pow": lambda n, a, b: a**b, "RNN": rnn,
    "Range": lambda n, a, b, c: torch.arange(a.item(), b.item(), c.item(), dtype=a.dtype),
    "Reciprocal": unary(torch.reciprocal), "ReduceL2": reduction(l2),
    "ReduceMax": reduction(torch.amax), "ReduceMean": reduction(torch.mean),
    "ReduceMin": reduction(torch.amin), "ReduceSum": reduction(torch.sum),
    "Relu": unary(torch.relu), "Reshape": reshape, "Resize": resize, "Selu": unary(F.selu),
    "Shape": shape_of,
    "Sigmoid": unary(torch.sigmoid), "Sin": unary(torch.sin),
    "Size": lambda n, x: torch.tensor(x.numel()), "Slice": sliced,
    "Softmax": softmax(torch.softmax), "Softplus": unary(F.softplus),
    "Softsign": unary(F.softsign), "Split": split, "Sqrt": unary(torch.sqrt),
    "Squeeze": squeeze, "Sub": lambda n, a, b: a - b, "Sum": fold(torch.add),
    "Tanh": unary(torch.tanh), "Tile": lambda n, x, r: x.repeat(ints(r)),
    "Transpose": lambda n, x: x.permute(n["attributes"].get("perm", range(x.dim() - 1, -1, -1))),
    "Unsqueeze": unsqueeze, "Where": lambda n, c, a, b: torch.where(c, a, b),
}


def missing(nodes):
    """Names of operators that this script lacks."""
    names = {node["op"] for node in nodes if node["op"] not in OPS}
    names -= {"Dropout", "If"}
    for node in nodes:
        for value in node["attributes"].values():
            if isinstance(value, dict) and "nodes" in value:
                names |= missing(value["nodes"])
    return names


def dropout(node, x, noise, ratio=None):
    """Drops by the noise that the model was trained with."""
    if noise is None:
        raise Missing("Dropout in a branch")
    share = 0.5 if ratio is None else ratio.item()
    return x * (noise >= share) / (1 - share)


def run(nodes, values):
    for node in nodes:
        inputs = [None if name == "" else values[name] for name in node["inputs"]]
        if node["op"] == "If":
            condition, around = inputs[0], inputs[1:]
            branch = node["attributes"]["then_branch" if condition.item() else "else_branch"]
            inside = dict(zip(branch["inputs"], around))
            run(branch["nodes"], inside)
            results = [inside[name] for name in branch["outputs"]]
        elif node["op"] == "Dropout":
            results = dropout(node, inputs[0], values.get(f"{node['name']}/noise_1"), *inputs[1:2])
        else:
            results = OPS[node["op"]](node, *inputs)
        if not isinstance(results, (list, tuple)):
            results = [results]
        for name, value in zip(node["outputs"], results):
            values[name] = value


def gradients_of(graph, tensors, dtype):
    """The loss and its gradients, all numbers of floating type in this one."""
    torch.set_default_dtype(dtype)
    values = {name: value.to(dtype) if value.is_floating_point() else value
              for name, value in tensors.items()}
    target = values.pop(graph["target"])
    trained = {name: values[name].detach().requires_grad_() for name in graph["trained"]}
    values.update(trained)
    run(graph["nodes"], values)
    loss = ((values[graph["output"]] - target) ** 2).mean()
    found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    return loss.item(), {
        name: torch.zeros_like(value) if gradient is None else gradient
        for (name, value), gradient in zip(trained.items(), found)
    }


def main():
    folder = Path(sys.argv[1])
    torch.set_num_threads(2)
    graph = json.loads((folder / "graph.json").read_text())
    report = {"version": torch.__version__}
    try:
        lacking = sorted(missing(graph["nodes"]))
        if lacking:
            raise Missing(", ".join(lacking))
        tensors = read_tensors(folder / "values.safetensors")
        report["loss"], gradients = gradients_of(graph, tensors, torch.float64)
        write_tensors(folder / "gradients.safetensors", gradients)
        _, rounded = gradients_of(graph, tensors, torch.float32)
        report["rounding"] = {name: (rounded[name].double() - gradient).abs().max().item()
                              for name, gradient in gradients.items()}
    except Missing as what:
        report["missing"] = str(what)
    print(json.dumps(report))


main()
