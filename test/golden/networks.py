"""The built-in models a second time, in PyTorch: torchvision's where it has them.

Names of parameters are those of the built-in models. Dropout is off.
Needs torch, torchvision and numpy.
"""

import math

import numpy
import torch
import torch.nn.functional as F
import torchvision.models as vision
from torch import nn


def uniform(shape, seed):
    """4096 levels from -1 up to 1: `draw` of recording.py, fast."""
    x = numpy.arange(math.prod(shape), dtype=numpy.uint64)
    mask = numpy.uint64(0xFFFFFFFF)
    x = (x * numpy.uint64(0x9E3779B1) + numpy.uint64((seed * 0x85EBCA6B + 0x27D4EB2F) & 0xFFFFFFFF)) & mask
    x ^= x >> numpy.uint64(15)
    x = (x * numpy.uint64(0x2C1B3C6D)) & mask
    x ^= x >> numpy.uint64(12)
    x = (x * numpy.uint64(0x297A2D39)) & mask
    x ^= x >> numpy.uint64(15)
    values = ((x % numpy.uint64(4096)).astype(numpy.float64) - 2048) / 2048
    return torch.from_numpy(values).reshape(shape)


class Named(nn.Module):
    """Modules by dotted names, which `nn.Sequential` does not take."""

    def __init__(self, modules, forward):
        super().__init__()
        for name, module in modules.items():
            *folders, last = name.split(".")
            at = self
            for folder in folders:
                if not hasattr(at, folder):
                    at.add_module(folder, nn.Module())
                at = getattr(at, folder)
            at.add_module(last, module) if isinstance(module, nn.Module) else at.register_parameter(last, module)
        self.found = modules
        self.run = forward

    def forward(self, x):
        return self.run(self.found, x)


def chain(*steps):
    """Modules in turn; a step without a name is a function."""
    modules = {name: module for name, module in steps if name}

    def run(_, x):
        for _, step in steps:
            x = step(x)
        return x

    return Named(modules, run)


def lenet5():
    pool, relu = nn.MaxPool2d(2), nn.ReLU()
    return chain(
        ("conv1", nn.Conv2d(1, 6, 5, padding=2)), ("", pool), ("", relu),
        ("conv2", nn.Conv2d(6, 16, 5)), ("", pool), ("", relu), ("", nn.Flatten()),
        ("fc1", nn.Linear(400, 120)), ("", relu), ("fc2", nn.Linear(120, 84)), ("", relu),
        ("fc3", nn.Linear(84, 10)),
    )  # fmt: skip


def mlp():
    return chain(
        ("", nn.Flatten()), ("fc1", nn.Linear(784, 256)), ("", nn.ReLU()),
        ("fc2", nn.Linear(256, 128)), ("", nn.ReLU()), ("fc3", nn.Linear(128, 10)),
    )  # fmt: skip


def vgg_small():
    steps, cin = [], 3
    for i, channels in enumerate([32, 64, 128]):
        steps += [(f"conv{2 * i + 1}", nn.Conv2d(cin, channels, 3, padding=1)), ("", nn.ReLU())]
        steps += [(f"conv{2 * i + 2}", nn.Conv2d(channels, channels, 3, padding=1))]
        steps += [("", nn.MaxPool2d(2)), ("", nn.ReLU())]
        cin = channels
    return chain(*steps, ("", nn.AdaptiveAvgPool2d(1)), ("", nn.Flatten()), ("fc", nn.Linear(128, 10)))


def vgg(make):
    features = make().features
    classifier = nn.Linear(512, 10)
    return Named(
        {"features": features, "classifier": classifier},
        lambda m, x: m["classifier"](m["features"](x).flatten(1)),
    )


def small_resnet(model):
    """For small images: one 3x3 convolution and no pooling before the blocks."""
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


def resnet20():
    from torchvision.models.resnet import BasicBlock, conv1x1

    modules = {"conv1": nn.Conv2d(3, 16, 3, padding=1, bias=False), "bn1": nn.BatchNorm2d(16)}
    cin = 16
    for stage, width in enumerate([16, 32, 64]):
        blocks = []
        for i in range(3):
            stride = 2 if stage > 0 and i == 0 else 1
            down = None
            if stride != 1:
                down = nn.Sequential(conv1x1(cin, width, stride), nn.BatchNorm2d(width))
            blocks.append(BasicBlock(cin, width, stride, down))
            cin = width
        modules[f"layer{stage + 1}"] = nn.Sequential(*blocks)
    modules["fc"] = nn.Linear(64, 10)

    def run(m, x):
        x = F.relu(m["bn1"](m["conv1"](x)))
        for stage in [1, 2, 3]:
            x = m[f"layer{stage}"](x)
        return m["fc"](x.mean((2, 3)))

    return Named(modules, run)


def mobilenetv2():
    model = vision.mobilenet_v2(num_classes=10, dropout=0.0)
    model.features[0][0].stride = (1, 1)
    model.features[2].conv[1][0].stride = (1, 1)
    return model


def mobilenetv3():
    model = vision.mobilenet_v3_large(num_classes=10, dropout=0.0)
    model.features[0][0].stride = (1, 1)
    model.features[2].block[1][0].stride = (1, 1)
    return model


class Attention(nn.Module):
    def __init__(self, width, heads, causal):
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.causal = heads, causal

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(y.transpose(1, 2).reshape(n, t, width))


class Block(nn.Module):
    def __init__(self, width, heads, causal):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, causal)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


def gpt():
    modules = {
        "tokens": nn.Embedding(256, 128),
        "positions": nn.Parameter(torch.zeros(64, 128)),
        "blocks": nn.Sequential(*[Block(128, 4, True) for _ in range(4)]),
        "norm": nn.LayerNorm(128),
        "head": nn.Linear(128, 256, bias=False),
    }
    return Named(modules, lambda m, x: m["head"](m["norm"](m["blocks"](m["tokens"](x) + m["positions"]))))


def vit():
    modules = {
        "patches": nn.Conv2d(3, 192, 4, 4),
        "positions": nn.Parameter(torch.zeros(64, 192)),
        "blocks": nn.Sequential(*[Block(192, 3, False) for _ in range(6)]),
        "norm": nn.LayerNorm(192),
        "head": nn.Linear(192, 10),
    }

    def run(m, x):
        x = m["patches"](x).flatten(2).transpose(1, 2) + m["positions"]
        return m["head"](m["norm"](m["blocks"](x)).mean(1))

    return Named(modules, run)


def textcnn():
    modules = {"embedding": nn.Embedding(5000, 128), "fc": nn.Linear(300, 2)}
    for i, kernel in enumerate([3, 4, 5]):
        modules[f"convs.{i}"] = nn.Conv1d(128, 100, kernel)

    def run(m, x):
        x = m["embedding"](x).transpose(1, 2)
        return m["fc"](torch.cat([F.relu(m[f"convs.{i}"](x)).amax(2) for i in range(3)], 1))

    return Named(modules, run)


class Bilstm(nn.Module):
    """PyTorch's LSTM with parameters in ONNX's form: gates input, output, forget, cell."""

    def __init__(self):
        super().__init__()
        self.embedding, self.fc = nn.Embedding(5000, 64), nn.Linear(128, 2)
        self.lstm = nn.Module()
        self.lstm.W = nn.Parameter(torch.zeros(2, 256, 64))
        self.lstm.R = nn.Parameter(torch.zeros(2, 256, 64))
        self.lstm.B = nn.Parameter(torch.zeros(2, 512))

    def forward(self, x):
        def turned(value):
            i, o, f, c = value.chunk(4)
            return torch.cat([i, f, c, o])

        weights = []
        for way in range(2):
            one = [self.lstm.W[way], self.lstm.R[way], *self.lstm.B[way].chunk(2)]
            weights += [turned(value) for value in one]
        words = self.embedding(x)
        zero = torch.zeros(2, len(x), 64, dtype=words.dtype)
        states, _, _ = torch.lstm(words, (zero, zero), weights, True, 1, 0.0, True, True, True)
        return self.fc(states.mean(1))


def har_cnn():
    steps, cin = [], 9
    for i, width in enumerate([64, 64, 128], 1):
        steps += [(f"conv{i}", nn.Conv1d(cin, width, 5, padding=2)), (f"bn{i}", nn.BatchNorm1d(width))]
        steps += [("", nn.ReLU()), ("", nn.MaxPool1d(2))]
        cin = width
    return chain(*steps, ("", nn.AdaptiveAvgPool1d(1)), ("", nn.Flatten()), ("fc", nn.Linear(128, 6)))


def ncf():
    tables = ["gmf.user", "gmf.item", "mlp.user", "mlp.item"]
    modules = {name: nn.Embedding(1000, 32) for name in tables}
    for i, (fin, fout) in enumerate([(64, 64), (64, 32), (32, 16)]):
        modules[f"mlp.{i}"] = nn.Linear(fin, fout)
    modules["fc"] = nn.Linear(48, 1)
    modules |= {name: nn.Embedding(1000, 1) for name in ["bias.user", "bias.item"]}

    def run(m, x):
        user, item = x[:, 0], x[:, 1]
        y = torch.cat([m["mlp.user"](user), m["mlp.item"](item)], 1)
        for i in range(3):
            y = F.relu(m[f"mlp.{i}"](y))
        logit = m["fc"](torch.cat([m["gmf.user"](user) * m["gmf.item"](item), y], 1))
        return logit + m["bias.user"](user) + m["bias.item"](item)

    return Named(modules, run)


def din():
    modules = {
        "items": nn.Embedding(1000, 32),
        "attention.0": nn.Linear(128, 36),
        "attention.1": nn.Linear(36, 1),
        "mlp.0": nn.Linear(64, 64),
        "mlp.1": nn.Linear(64, 32),
        "mlp.acts.0": nn.PReLU(),
        "mlp.acts.1": nn.PReLU(),
        "fc": nn.Linear(32, 1),
    }

    def run(m, x):
        items = m["items"](x)
        candidate, history = items[:, :1], items[:, 1:]
        wide = candidate.expand_as(history)
        pairs = torch.cat([history, wide, history - wide, history * wide], 2)
        weights = m["attention.1"](torch.sigmoid(m["attention.0"](pairs)))
        y = torch.cat([(weights * history).sum(1), candidate[:, 0]], 1)
        for i in range(2):
            y = m[f"mlp.acts.{i}"](m[f"mlp.{i}"](y))
        return m["fc"](y)

    return Named(modules, run)


def normal(shape, step, dtype=torch.float64):
    """Normally distributed numbers of two uniform ones each, as tests feed them."""
    size, turn = [(uniform(shape, 9000 + 2 * step + i) / 2 + 0.5).to(dtype) for i in range(2)]
    return torch.sqrt(-2 * torch.log(1 - size)) * torch.cos(2 * math.pi * turn)


class Vae(nn.Module):
    """Gives each sample's loss; noise is drawn as a test of the built-in model feeds it."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(784, 400)
        self.mean, self.logvar = nn.Linear(400, 20), nn.Linear(400, 20)
        self.decoder, self.image = nn.Linear(20, 400), nn.Linear(400, 784)
        self.step = 0

    def forward(self, x):
        x = x.flatten(1)
        seen = F.relu(self.encoder(x))
        mean, logvar = self.mean(seen), self.logvar(seen)
        noise = normal(list(mean.shape), self.step, x.dtype)
        self.step += 1
        logits = self.image(F.relu(self.decoder(mean + noise * torch.exp(logvar / 2))))
        pixels = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
        return (pixels + 0.5 * (mean**2 + logvar.exp() - logvar - 1).sum(1)) / x.shape[1]


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        layers, cin = [], 100
        for i, width in enumerate([256, 128, 64]):
            how = {} if i == 0 else {"stride": 2, "padding": 1}
            layer = nn.Module()
            layer.conv = nn.ConvTranspose2d(cin, width, 4, bias=False, **how)
            layer.bn = nn.BatchNorm2d(width)
            layers.append(layer)
            cin = width
        last = nn.Module()
        last.conv = nn.ConvTranspose2d(cin, 3, 4, 2, 1, bias=False)
        self.generator = nn.ModuleList([*layers, last])

    def forward(self, z):
        x = z.reshape(-1, 100, 1, 1)
        for layer in self.generator[:3]:
            x = F.relu(layer.bn(layer.conv(x)))
        return torch.tanh(self.generator[3].conv(x))


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        layers, cin = [], 3
        for i, width in enumerate([64, 128, 256]):
            layer = nn.Module()
            layer.conv = nn.Conv2d(cin, width, 4, 2, 1, bias=False)
            if i > 0:
                layer.bn = nn.BatchNorm2d(width)
            layers.append(layer)
            cin = width
        last = nn.Module()
        last.conv = nn.Conv2d(cin, 1, 4, bias=False)
        self.discriminator = nn.ModuleList([*layers, last])

    def forward(self, x):
        for layer in self.discriminator[:3]:
            x = layer.conv(x)
            x = F.leaky_relu(layer.bn(x) if hasattr(layer, "bn") else x, 0.2)
        return self.discriminator[3].conv(x).flatten(1)


IMAGE = [3, 32, 32]
# Network, batch, shape of a sample, number of words (None for real numbers), number of classes.
MODELS = {
    "lenet5": (lenet5, 8, [1, 28, 28], None, 10),
    "mlp": (mlp, 8, [1, 28, 28], None, 10),
    "vgg-small": (vgg_small, 8, IMAGE, None, 10),
    "vgg11": (lambda: vgg(vision.vgg11), 8, IMAGE, None, 10),
    "vgg19": (lambda: vgg(vision.vgg19), 4, IMAGE, None, 10),
    "resnet18": (lambda: small_resnet(vision.resnet18(num_classes=10)), 8, IMAGE, None, 10),
    "resnet20": (resnet20, 8, IMAGE, None, 10),
    "resnet50": (lambda: small_resnet(vision.resnet50(num_classes=10)), 8, IMAGE, None, 10),
    "mobilenetv2": (mobilenetv2, 8, IMAGE, None, 10),
    "mobilenetv3-large": (mobilenetv3, 8, IMAGE, None, 10),
    "vit": (vit, 8, IMAGE, None, 10),
    "textcnn": (textcnn, 8, [64], 5000, 2),
    "bilstm": (Bilstm, 8, [32], 5000, 2),
    "gpt": (gpt, 4, [64], 256, 256),
    "har-cnn": (har_cnn, 8, [9, 128], None, 6),
    "ncf": (ncf, 16, [2], 1000, 2),
    "din": (din, 16, [21], 1000, 2),
    "vae": (Vae, 8, [1, 28, 28], None, 10),
}
