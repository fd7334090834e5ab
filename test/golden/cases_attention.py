"""Attention: PyTorch's own where it has the form, else its definition."""

import torch
import torch.nn.functional as F
from recording import OPERATORS, case, given, ints


def attention(a, q, k, v, mask=None, past_k=None, past_v=None, lengths=None):
    flat = q.dim() == 3
    if flat:
        heads = [a["q_num_heads"], a["kv_num_heads"], a["kv_num_heads"]]
        q, k, v = (x.unflatten(2, (h, -1)).transpose(1, 2) for x, h in zip((q, k, v), heads))
    causal, cap = bool(a.get("is_causal")), a.get("softcap", 0.0)
    shared = q.shape[1] != k.shape[1]
    if not cap and mask is None and lengths is None:
        y = F.scaled_dot_product_attention(
            q, k, v, is_causal=causal, scale=a.get("scale"), enable_gqa=shared
        )
        return y.transpose(1, 2).flatten(2) if flat else y
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
    rows, keys = q.shape[2], k.shape[2]
    scores = q @ k.transpose(2, 3) * a.get("scale", q.shape[3] ** -0.5)
    if cap:
        scores = cap * torch.tanh(scores / cap)
    allowed = torch.ones(q.shape[0], 1, rows, keys, dtype=torch.bool)
    count = torch.full((q.shape[0],), rows) if lengths is None else lengths
    count = count.reshape(-1, 1, 1, 1)
    if lengths is not None:
        allowed = allowed & (torch.arange(keys) < count)
    if causal:
        allowed = allowed & (torch.arange(keys) <= torch.arange(rows)[:, None] + count - rows)
    if mask is not None and not mask.requires_grad:
        allowed = allowed & mask.bool()
    elif mask is not None:
        scores = scores + mask
    alive = allowed.any(-1, keepdim=True)
    scores = scores.masked_fill(~allowed & alive, -torch.inf)
    y = scores.softmax(-1) @ v * alive
    return y.transpose(1, 2).flatten(2) if flat else y


OPERATORS["Attention"] = attention


def cases():
    x = {"q": given(2, 2, 3, 4, seed=1), "k": given(2, 2, 4, 4, seed=2), "v": given(2, 2, 4, 3, seed=3)}
    case("Attention", "Attention", x)
    case("Attention with a scale", "Attention", x, {"scale": 1.5})
    case("Attention with a cap", "Attention", x, {"softcap": 0.5, "is_causal": 1})
    case("Attention causal", "Attention", x, {"is_causal": 1})
    numbers = {"mask": given(3, 4, seed=4)}
    case("Attention with a mask of numbers", "Attention", {**x, **numbers}, {"is_causal": 1})
    truth = {**given(2, 1, 3, 4, seed=5, levels=2, scale=1.0, shift=1.0), "dtype": "bool"}
    case("Attention with a mask of truths", "Attention", {**x, "truths": truth})
    case("Attention with a mask of truths, causal", "Attention", {**x, "truths": truth}, {"is_causal": 1})
    counts = {"mask": None, "pk": None, "pv": None, "lengths": ints(4, 2)}
    case("Attention of so many keys", "Attention", {**x, **counts})
    case("Attention of so many keys, causal", "Attention", {**x, **counts}, {"is_causal": 1})
    shared = {"q": given(2, 4, 3, 2, seed=1), "k": given(2, 2, 3, 2, seed=2), "v": given(2, 2, 3, 2, seed=3)}
    case("Attention of shared keys", "Attention", shared, {"is_causal": 1})
    flat = {"q": given(2, 3, 8, seed=1), "k": given(2, 4, 4, seed=2), "v": given(2, 4, 6, seed=3)}
    case("Attention of heads side by side", "Attention", flat, {"q_num_heads": 4, "kv_num_heads": 2})
