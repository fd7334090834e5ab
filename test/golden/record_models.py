"""Records ten training steps of every built-in model, of every optimizer, and every loss.

The networks are in networks.py. Both sides compute initial weights and
batches by the same integer arithmetic, so a fixture holds losses alone. Dropout is off.

    python test/golden/record_models.py                all models, optimizers and losses
    python test/golden/record_models.py resnet18 gpt   these models
    python test/golden/record_models.py optimizers losses

Needs torch, torchvision and numpy.
"""

import json
import math
import sys

import torch
import torch.nn.functional as F
from networks import IMAGE, MODELS, Discriminator, Generator, chain, normal, uniform
from recording import FOLDER, draw, given, hash32, rounded, save
from torch import nn

STEPS = 10
RATE = 0.01


def fnv(text):
    """FNV-1a; the same as `hash32` in src/base/random.ts."""
    value = 0x811C9DC5
    for character in text:
        value = ((value ^ ord(character)) * 0x01000193) & 0xFFFFFFFF
    return value


def initial(name, shape, norm):
    """The weight that a test gives to a parameter of this name; the same in models.test.ts."""
    values = uniform(shape, fnv(name))
    if name.endswith("running_mean"):
        return torch.zeros(shape)
    if name.endswith("running_var"):
        return torch.ones(shape)
    if len(shape) == 1:
        return values / 16 + (norm if name.endswith("weight") else 0)
    # Deep stacks of convolutions keep the size of what goes through; linear layers damp it.
    return values * math.sqrt((6 if len(shape) > 2 else 1) / math.prod(shape[1:]))


def fill(model, norm=1):
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if not name.endswith("num_batches_tracked"):
                value.copy_(initial(name, list(value.shape), norm))
    return model


# ------------------------------------------------------------------ batches and steps

# Scale of normalisations. In the deepest networks small differences grow from step to step, so much
# that PyTorch in float32 is 1e-2 away from PyTorch in float64; there it is smaller.
NORMS = {"resnet18": 0.25, "resnet50": 0.25, "mobilenetv2": 0.25, "mobilenetv3-large": 0.5, "dcgan": 0.25}


def batch(size, shape, words, classes, step, per_token):
    """The same as in models.test.ts."""
    values = uniform([size, *shape], 1000 + step)
    if words is None:
        x = values
    else:
        x = torch.tensor([hash32(i, 1000 + step) % words for i in range(values.numel())])
        x = x.reshape([size, *shape])
    count = size * (shape[0] if per_token else 1)
    labels = torch.tensor([hash32(i, 2000 + step) % classes for i in range(count)])
    return x, labels


def loss_of(name, output, labels, x):
    if name == "vae":
        return output.mean()
    if name in ["ncf", "din"]:
        return F.binary_cross_entropy_with_logits(output[:, 0], labels.double())
    return F.cross_entropy(output.flatten(0, -2), labels)


def train(name, precision):
    """Ten losses, and the number of parameters."""
    make, size, shape, words, classes = MODELS[name]
    model = fill(make().double().train(), NORMS.get(name, 1)).to(precision)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    losses = []
    for step in range(STEPS):
        x, labels = batch(size, shape, words, classes, step, name == "gpt")
        # Images of a variational autoencoder are between 0 and 1.
        x = x.abs() if name == "vae" else x
        x = x if words else x.to(precision)
        loss = loss_of(name, model(x), labels, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(f"{loss.item():.9g}"))
    return losses, sum(p.numel() for p in model.parameters())


def deviations(exact, near):
    """How far PyTorch in float32 has been from float64 up to each step, relative."""
    most, found = 0.0, []
    for a, b in zip(exact, near):
        most = max(most, abs(a - b) / abs(a))
        found.append(float(f"{most:.2g}"))
    return found


def record_model(name):
    _, size, shape, words, classes = MODELS[name]
    losses, count = train(name, torch.float64)
    float32 = deviations(losses, train(name, torch.float32)[0])
    print(name, count, losses, float32, flush=True)
    entry = {"name": name, "batch": size, "shape": shape, "words": words, "classes": classes}
    norm = NORMS.get(name, 1)
    rest = {"norm": norm, "learningRate": RATE, "parameters": count, "losses": losses}
    return {**entry, **rest, "float32": float32}


def train_dcgan(size, precision):
    """Alternating steps: the discriminator on real and made images, then the generator through it."""
    made = [fill(m.double().train(), NORMS["dcgan"]) for m in [Generator(), Discriminator()]]
    generator, discriminator = [m.to(precision) for m in made]
    steps = [torch.optim.SGD(m.parameters(), lr=RATE) for m in [discriminator, generator]]
    losses = []
    for step in range(STEPS):
        real, code = uniform([size, *IMAGE], 1000 + step), uniform([size, 100], 3000 + step)
        real, code = real.to(precision), code.to(precision)
        made = generator(code)
        judged = discriminator(torch.cat([real, made.detach()]))
        truth = torch.cat([torch.ones(size, 1), torch.zeros(size, 1)]).to(precision)
        first = F.binary_cross_entropy_with_logits(judged, truth)
        steps[0].zero_grad()
        first.backward()
        steps[0].step()
        second = F.binary_cross_entropy_with_logits(discriminator(generator(code)), truth[:size])
        steps[1].zero_grad()
        second.backward()
        steps[1].step()
        losses += [float(f"{loss.item():.9g}") for loss in [first, second]]
    return losses


def train_game(size, precision):
    """Both networks step at once, each along a loss of its own; codes are drawn as a test of the game feeds them."""
    made = [fill(m.double().train(), NORMS["dcgan"]) for m in [Generator(), Discriminator()]]
    generator, discriminator = [m.to(precision) for m in made]
    losses = []
    for step in range(STEPS):
        real = (2 * uniform([size, *IMAGE], 1000 + step).abs() - 1).to(precision)
        made = generator(normal([size, 100], step, precision))
        judged = [discriminator(x)[:, 0] for x in [real, made.detach(), made]]
        first = F.softplus(-judged[0]).mean() + F.softplus(judged[1]).mean()
        second = F.softplus(-judged[2]).mean()
        players = [(first, list(discriminator.parameters())), (second, list(generator.parameters()))]
        moves = [(p, torch.autograd.grad(loss, p, retain_graph=True)) for loss, p in players]
        with torch.no_grad():
            for parameters, gradients in moves:
                for parameter, gradient in zip(parameters, gradients):
                    parameter -= RATE * gradient
        losses.append(float(f"{first.item():.9g}"))
    return losses


def record_dcgan(name, run):
    size = 4
    losses = run(size, torch.float64)
    float32 = deviations(losses, run(size, torch.float32))
    print(name, losses, float32, flush=True)
    rest = {"norm": NORMS["dcgan"], "learningRate": RATE, "losses": losses, "float32": float32}
    return {"name": name, "batch": size, **rest}


# ------------------------------------------------------------------ optimizers

OPTIMIZERS = [
    ("sgd", {}, lambda p: torch.optim.SGD(p, lr=0.05)),
    ("sgd", {"momentum": 0.9, "weightDecay": 0.01}, lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01)),
    ("sgd", {"momentum": 0.9, "nesterov": True}, lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True)),
    ("adam", {}, lambda p: torch.optim.Adam(p, lr=0.05)),
    ("adam", {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-4, "weightDecay": 0.1}, lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1)),
    ("adamw", {"weightDecay": 0.1}, lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1)),
    ("rmsprop", {}, lambda p: torch.optim.RMSprop(p, lr=0.01)),
    ("rmsprop", {"alpha": 0.9, "momentum": 0.8, "weightDecay": 0.01}, lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, momentum=0.8, weight_decay=0.01)),
    ("sgd", {"clipValue": 0.001}, lambda p: torch.optim.SGD(p, lr=0.05)),
    ("sgd", {"clipNorm": 0.01}, lambda p: torch.optim.SGD(p, lr=0.05)),
    ("sgd", {"momentum": 0.9, "accumulate": 2}, lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
    ("adam", {"accumulate": 5}, lambda p: torch.optim.Adam(p, lr=0.05)),
]  # fmt: skip


def record_optimizer(kind, settings, make):
    model = fill(
        chain(("fc1", nn.Linear(20, 16)), ("", nn.Tanh()), ("fc2", nn.Linear(16, 4))).double()
    )
    optimizer = make(model.parameters())
    accumulate = settings.get("accumulate", 1)
    losses = []
    for step in range(STEPS):
        x, labels = batch(8, [20], None, 4, step, False)
        loss = F.cross_entropy(model(x), labels)
        (loss / accumulate).backward()
        if (step + 1) % accumulate == 0:
            if "clipValue" in settings:
                nn.utils.clip_grad_value_(model.parameters(), settings["clipValue"])
            for parameter in model.parameters():
                if "clipNorm" in settings:
                    nn.utils.clip_grad_norm_([parameter], settings["clipNorm"])
            optimizer.step()
            optimizer.zero_grad()
        losses.append(float(f"{loss.item():.9g}"))
    rate = optimizer.param_groups[0]["lr"]
    after = rounded(dict(model.named_parameters())["fc2.weight"])
    return {"kind": kind, "settings": settings, "learningRate": rate, "losses": losses, "after": after}


# ------------------------------------------------------------------ losses


def record_losses():
    entries = []

    def case(kind, settings, shape, labels, run, scale=2.0**-9):
        output = given(*shape, seed=7, scale=scale)
        target = draw(labels) if isinstance(labels, dict) else torch.tensor(labels)
        x = draw(output).requires_grad_()
        loss = run(x, target)
        loss.backward()
        entries.append(
            {
                "kind": kind,
                "settings": settings,
                "output": output,
                "labels": labels,
                "loss": float(f"{loss.item():.9g}"),
                "gradient": rounded(x.grad),
            }
        )

    classes = [hash32(i, 8) % 5 for i in range(6)]
    weights = [0.5, 1.0, 2.0, 0.25, 4.0]
    tensor = torch.tensor(weights, dtype=torch.float64)
    entropy = "softmax-cross-entropy"
    case(entropy, {}, [6, 5], classes, F.cross_entropy)
    case(entropy, {"classWeights": weights}, [6, 5], classes, lambda x, t: F.cross_entropy(x, t, tensor))
    case(entropy, {"labelSmoothing": 0.2}, [6, 5], classes, lambda x, t: F.cross_entropy(x, t, label_smoothing=0.2))
    everything = {"classWeights": weights, "labelSmoothing": 0.1, "ignoreLabel": classes[2]}
    case(entropy, everything, [6, 5], classes, lambda x, t: F.cross_entropy(x, t, tensor, ignore_index=classes[2], label_smoothing=0.1))
    case(entropy, {"ignoreLabel": -100}, [6, 5], [*classes[:4], -100, -100], F.cross_entropy)
    binary = "binary-cross-entropy"
    ones = [hash32(i, 9) % 2 for i in range(6)]
    case(binary, {}, [6, 1], ones, lambda x, t: F.binary_cross_entropy_with_logits(x[:, 0], t.double()))
    half = given(4, 3, seed=10, levels=1024, scale=2.0**-10, shift=0.5)
    case(binary, {}, [4, 3], half, F.binary_cross_entropy_with_logits)
    rows = given(4, 6, seed=11)
    case("mean-squared-error", {}, [4, 6], rows, F.mse_loss)
    case("mean-absolute-error", {}, [4, 6], rows, F.l1_loss)
    case("huber", {}, [4, 6], rows, F.huber_loss)
    case("huber", {"delta": 0.5}, [4, 6], rows, lambda x, t: F.huber_loss(x, t, delta=0.5))
    case("cosine", {}, [4, 6], rows, lambda x, t: (1 - F.cosine_similarity(x, t)).mean())
    shares = given(4, 6, seed=12, levels=1024, scale=2.0**-12, shift=0.15)
    case("kl-divergence", {}, [4, 6], shares, lambda x, t: F.kl_div(F.log_softmax(x, 1), t, reduction="batchmean"))

    def info_nce(temperature):
        def run(x, t):
            similarity = F.normalize(x) @ F.normalize(t).T / temperature
            return F.cross_entropy(similarity, torch.arange(len(x)))

        return run

    case("info-nce", {}, [4, 6], rows, info_nce(0.1))
    case("info-nce", {"temperature": 0.5}, [4, 6], rows, info_nce(0.5))
    case("mean-output", {}, [6], [0] * 6, lambda x, t: x.mean())
    return entries


if __name__ == "__main__":
    wanted = sys.argv[1:] or [*MODELS, "dcgan", "optimizers", "losses"]
    path = FOLDER / "models.json"
    known = {e["name"]: e for e in json.loads(path.read_text())} if path.exists() else {}
    for name in wanted:
        if name in MODELS:
            known[name] = record_model(name)
            save("models.json", [known[n] for n in MODELS if n in known])
        elif name == "dcgan":
            runs = [("alternating", train_dcgan), ("at once", train_game)]
            save("dcgan.json", [record_dcgan(*run) for run in runs])
        elif name == "optimizers":
            save("optimizers.json", [record_optimizer(*entry) for entry in OPTIMIZERS])
        elif name == "losses":
            save("loss-forms.json", record_losses())
