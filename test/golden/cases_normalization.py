"""Normalisation against torch.nn.functional."""

import torch.nn.functional as F
from recording import OPERATORS, case, given


def layer(a, x, w, b=None):
    axis = a.get("axis", -1) % x.dim()
    return F.layer_norm(x, x.shape[axis:], w, b, a.get("epsilon", 1e-5))


def batch(a, x, w, b, mean, var):
    # F.batch_norm gives no gradients of the statistics.
    w, b, mean, var = (v.reshape([-1] + [1] * (x.dim() - 2)) for v in (w, b, mean, var))
    return (x - mean) / (var + a.get("epsilon", 1e-5)).sqrt() * w + b


def rms(a, x, w):
    axis = a.get("axis", -1) % x.dim()
    return F.rms_norm(x, x.shape[axis:], w, a.get("epsilon", 1e-5))


OPERATORS.update(
    {
        "LayerNormalization": layer,
        "BatchNormalization": batch,
        "InstanceNormalization": lambda a, x, w, b: F.instance_norm(
            x, weight=w, bias=b, eps=a.get("epsilon", 1e-5)
        ),
        "GroupNormalization": lambda a, x, w, b: F.group_norm(
            x, a["num_groups"], w, b, a.get("epsilon", 1e-5)
        ),
        "RMSNormalization": rms,
        "LpNormalization": lambda a, x: F.normalize(x, a.get("p", 2), a.get("axis", -1), 0),
        "LRN": lambda a, x: F.local_response_norm(
            x, a["size"], a.get("alpha", 1e-4), a.get("beta", 0.75), a.get("bias", 1.0)
        ),
        "MeanVarianceNormalization": lambda a, x: (x - x.mean(a["axes"], True))
        / x.var(a["axes"], unbiased=False, keepdim=True).sqrt(),
    }
)


def cases():
    def one(op, name, shape, *weights, **attributes):
        inputs = {"x": given(*shape, seed=1)}
        for i, weight in enumerate(weights):
            # The last of five inputs is a variance.
            shift = {"shift": 1.5} if i == 3 else {}
            inputs["wbmv"[i]] = given(*weight, seed=2 + i, **shift)
        case(f"{op} {name}", op, inputs, attributes)

    one("LayerNormalization", "of the last axis", [3, 5, 8], [8], [8])
    one("LayerNormalization", "without bias", [3, 8], [8])
    one("LayerNormalization", "of two axes", [2, 4, 6], [4, 6], [4, 6], axis=-2, epsilon=1e-3)
    c = [3]
    one("BatchNormalization", "of images", [2, 3, 4, 5], c, c, c, c)
    one("BatchNormalization", "of vectors", [6, 3], c, c, c, c, epsilon=1e-3)
    one("BatchNormalization", "of sequences", [2, 3, 7], c, c, c, c)
    one("InstanceNormalization", "of images", [2, 3, 4, 5], c, c)
    one("InstanceNormalization", "of sequences", [2, 3, 7], c, c, epsilon=1e-3)
    one("GroupNormalization", "in two groups", [2, 6, 4, 3], [6], [6], num_groups=2)
    one("GroupNormalization", "in one group", [2, 3, 5], c, c, num_groups=1)
    one("RMSNormalization", "of the last axis", [3, 5, 8], [8])
    one("RMSNormalization", "of two axes", [2, 4, 6], [4, 6], axis=-2)
    one("LpNormalization", "by the L2 norm", [3, 5])
    one("LpNormalization", "by the L1 norm", [3, 5], axis=0, p=1)
    one("LRN", "over three channels", [2, 7, 4, 3], size=3, alpha=0.5)
    one("LRN", "over five channels", [1, 6, 5], size=5, alpha=0.3, beta=0.5, bias=2.0)
    one("MeanVarianceNormalization", "over images", [2, 3, 4, 5], axes=[0, 2, 3])
