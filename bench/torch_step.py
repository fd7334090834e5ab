"""The peer of bench/step.ts: the same models in PyTorch, one request per line.

A request {"model", "batch", "threads", "count"} is answered by the milliseconds of `count`
training steps (forward, backward, SGD with momentum), as a JSON list.
"""

import json
import pathlib
import sys
import time

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "test" / "golden"))

from networks import MODELS  # noqa: E402

SESSIONS = {}


def session(name, batch):
    if (name, batch) not in SESSIONS:
        torch.set_default_dtype(torch.float32)
        make, _, shape, words, classes = MODELS[name]
        model = make().train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        x = torch.randn(batch, *shape) if words is None else torch.randint(words, [batch, *shape])
        labels = torch.arange(model(x).flatten(0, -2).shape[0]) % classes
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
            F.cross_entropy(model(x).flatten(0, -2), labels).backward()
            optimizer.step()
            times.append(1000 * (time.perf_counter() - started))
        print(json.dumps(times), flush=True)


main()
