"""The peer of bench/step.ts: the same models in PyTorch, one request per line.

A request {"model", "batch", "threads", "count"} is answered by the milliseconds of `count`
training steps (forward, backward, SGD with momentum), as a JSON list.
"""

import json
import sys
import time

import torch
from torch import nn


def lenet5():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def vgg_small():
    layers, cin = [], 3
    for channels in [32, 64, 128]:
        layers += [nn.Conv2d(cin, channels, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()]
        cin = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(cin, 10))


MODELS = {
    "lenet5": (lenet5, [1, 28, 28], 10),
    "vgg-small": (vgg_small, [3, 32, 32], 10),
}
SESSIONS = {}


def session(name, batch):
    if (name, batch) not in SESSIONS:
        make, shape, classes = MODELS[name]
        model = make().train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        x = torch.randn(batch, *shape)
        labels = torch.arange(batch) % classes
        SESSIONS[name, batch] = model, optimizer, x, labels
    return SESSIONS[name, batch]


def main():
    for line in sys.stdin:
        request = json.loads(line)
        torch.set_num_threads(request["threads"])
        model, optimizer, x, labels = session(request["model"], request["batch"])
        times = []
        for _ in range(request["count"]):
            started = time.perf_counter()
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), labels).backward()
            optimizer.step()
            times.append(1000 * (time.perf_counter() - started))
        print(json.dumps(times), flush=True)


main()
