"""Records what PyTorch computes, as reference for golden.test.ts.

Every case is a small graph of ONNX operators. Its loss is the sum of its output,
each element weighted by a number that is drawn like the inputs; recorded are the
output and the loss's gradient for each wanted input, in float64. An operator that has
no gradient is recorded with no input wanted. The cases of a family of operators stand in
`cases_FAMILY.py` and are recorded in `operators-FAMILY.json`.

`training.json` holds five steps of SGD of two small networks: the loss of each
step and samples of every parameter afterwards.

`exported-*.onnx` are one small network as PyTorch's two exporters write it, with
`exported.json` for what it answers.

PyTorch is not needed to run the tests. To record again, with the packages torch (2.x),
onnx and onnxscript installed:

    python test/golden/record.py               everything
    python test/golden/record.py core          the operators of one family
"""

import importlib
import math
import sys

import torch
import torch.nn.functional as F
from recording import CASES, FOLDER, draw, given, hash32, record_case, rounded, run_nodes, save

FAMILIES = [
    "core",
    "activation",
    "attention",
    "convolution",
    "einsum",
    "elementwise",
    "indexing",
    "normalization",
    "rearrange",
    "recurrent",
    "reduction",
    "resize",
]

# ------------------------------------------------------------------ cross-entropy and training


def record_losses():
    entries = []
    for name, n, classes, scale in [
        ("small logits", 5, 4, 2.0**-11),
        ("large logits", 4, 10, 2.0**-5),
        ("one sample", 1, 3, 2.0**-9),
        ("two classes", 6, 2, 2.0**-10),
    ]:
        logits = given(n, classes, seed=7, scale=scale)
        labels = [hash32(i, 8) % classes for i in range(n)]
        x = draw(logits).requires_grad_()
        loss = F.cross_entropy(x, torch.tensor(labels))
        loss.backward()
        entries.append(
            {
                "name": name,
                "logits": logits,
                "labels": labels,
                "loss": float(f"{loss.item():.9g}"),
                "correct": int((x.argmax(1) == torch.tensor(labels)).sum()),
                "gradient": rounded(x.grad),
            }
        )
    return entries


def conv_layer(name, cin, cout, k, pad, scale):
    return {
        "node": {"op": "Conv", "attributes": {"kernel_shape": [k, k], "pads": [pad] * 4}},
        "name": name,
        "w": [cout, cin, k, k],
        "b": [cout],
        "scale": scale,
    }


def dense_layer(name, fin, fout, scale):
    return {
        "node": {"op": "Gemm", "attributes": {"transB": 1}},
        "name": name,
        "w": [fout, fin],
        "b": [fout],
        "scale": scale,
    }


def plain(op, **attributes):
    return {"node": {"op": op, "attributes": attributes}}


POOL = plain("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
RELU = plain("Relu")
NETWORKS = [
    {
        "name": "lenet5",
        "input": [1, 28, 28],
        "classes": 10,
        "batch": 4,
        "rate": 0.05,
        "layers": [
            conv_layer("conv1", 1, 6, 5, 2, 2.0**-13),
            RELU,
            POOL,
            conv_layer("conv2", 6, 16, 5, 0, 2.0**-14),
            RELU,
            POOL,
            plain("Flatten"),
            dense_layer("fc1", 400, 120, 2.0**-15),
            RELU,
            dense_layer("fc2", 120, 84, 2.0**-14),
            RELU,
            dense_layer("fc3", 84, 10, 2.0**-14),
        ],
    },
    {
        "name": "small-vgg",
        "input": [3, 16, 16],
        "classes": 5,
        "batch": 4,
        "rate": 0.05,
        "layers": [
            conv_layer("conv1a", 3, 8, 3, 1, 2.0**-13),
            RELU,
            conv_layer("conv1b", 8, 8, 3, 1, 2.0**-13),
            RELU,
            POOL,
            conv_layer("conv2a", 8, 16, 3, 1, 2.0**-13),
            RELU,
            conv_layer("conv2b", 16, 16, 3, 1, 2.0**-14),
            RELU,
            POOL,
            plain("GlobalAveragePool"),
            plain("Flatten"),
            dense_layer("fc", 16, 5, 2.0**-12),
        ],
    },
]


def build(network):
    """Nodes and parameters of a network; seeds count up in the order of the layers."""
    nodes, parameters, value, seed = [], {}, "x", 100
    for index, layer in enumerate(network["layers"]):
        inputs = [value]
        if "name" in layer:
            for part in ["w", "b"]:
                name = f"{layer['name']}.{'weight' if part == 'w' else 'bias'}"
                parameters[name] = given(*layer[part], seed=seed, scale=layer["scale"])
                inputs.append(name)
                seed += 1
        value = f"v{index}"
        nodes.append({**layer["node"], "inputs": inputs, "outputs": [value]})
    nodes[-1]["outputs"] = ["y"]
    return nodes, parameters


STEPS, MOMENTUM, DECAY, KEPT = 5, 0.9, 1e-4, 48


def record_training(network):
    nodes, specs = build(network)
    weights = {name: draw(spec).requires_grad_() for name, spec in specs.items()}
    optimizer = torch.optim.SGD(
        weights.values(), lr=network["rate"], momentum=MOMENTUM, weight_decay=DECAY
    )
    losses = []
    for step in range(STEPS):
        x = draw(given(network["batch"], *network["input"], seed=1000 + step))
        labels = torch.tensor(
            [hash32(i, 2000 + step) % network["classes"] for i in range(network["batch"])]
        )
        values = {"x": x, **weights}
        run_nodes(nodes, values)
        loss = F.cross_entropy(values["y"], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(f"{loss.item():.9g}"))
    after = {}
    for name, weight in weights.items():
        flat = weight.detach().reshape(-1)
        kept = flat[:: max(1, math.ceil(len(flat) / KEPT))]
        after[name] = {
            "values": rounded(kept),
            "norm": float(f"{flat.norm().item():.9g}"),
            "largest": float(f"{flat.abs().max().item():.9g}"),
        }
    return {
        "name": network["name"],
        "input": network["input"],
        "classes": network["classes"],
        "batch": network["batch"],
        "learningRate": network["rate"],
        "momentum": MOMENTUM,
        "weightDecay": DECAY,
        "kept": KEPT,
        "nodes": nodes,
        "parameters": specs,
        "losses": losses,
        "after": after,
    }


class Exported(torch.nn.Module):
    """Small, but with what exporters differ in: dropout, flattening, the form of softmax."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 3, padding=1)
        self.dropout = torch.nn.Dropout(0.5)
        self.dense = torch.nn.Linear(32, 3)
        with torch.no_grad():
            for seed, parameter in enumerate(self.parameters(), 300):
                parameter.copy_(draw(given(*parameter.shape, seed=seed)))

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        return self.dense(self.dropout(x.flatten(1))).softmax(1)


def export_models():
    import onnx

    model, image = Exported().float().eval(), given(2, 1, 8, 8, seed=400)
    x = draw(image).float()
    named = {"input_names": ["image"], "output_names": ["scores"]}
    old = {
        "dynamo": False,
        "dynamic_axes": {"image": {0: "N"}},
        "do_constant_folding": False,
        "training": torch.onnx.TrainingMode.PRESERVE,
    }
    new = {"dynamo": True, "external_data": False}
    for opset, options in [(9, old), (11, old), (13, old), (18, new), (21, new)]:
        path = FOLDER / f"exported-{opset}.onnx"
        torch.onnx.export(model, (x,), path, opset_version=opset, **named, **options)
        proto = onnx.load(path)
        # Descriptions and metadata hold source lines and paths; nothing reads them.
        del proto.metadata_props[:]
        for part in [proto.graph, *proto.graph.node, *proto.graph.input, *proto.graph.value_info]:
            part.doc_string = ""
            del part.metadata_props[:]
        del proto.graph.value_info[:]
        onnx.save(proto, path)
    scores = model.double()(x.double())
    save("exported.json", [{"image": image, "scores": rounded(scores)}])


def record_family(family):
    CASES.clear()
    importlib.import_module(f"cases_{family}").cases()
    save(f"operators-{family}.json", [record_case(entry) for entry in CASES])


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in FAMILIES:
        importlib.import_module(f"cases_{name}")
    for family in sys.argv[1:] or FAMILIES:
        record_family(family)
    if len(sys.argv) == 1:
        save("losses.json", record_losses())
        save("training.json", [record_training(network) for network in NETWORKS])
        export_models()
