"""Transposed convolutions; the operator itself is in cases_core.py."""

import cases_core  # noqa: F401
from recording import case, given


def transposed(name, x, w, attributes=None, bias=True):
    group = (attributes or {}).get("group", 1)
    inputs = {"x": given(*x, seed=1), "w": given(*w, seed=2)}
    if bias:
        inputs["b"] = given(w[1] * group, seed=3)
    case(f"ConvTranspose {name}, trained", "ConvTranspose", inputs, attributes)


def cases():
    transposed("plain", [2, 3, 4, 5], [3, 4, 3, 3])
    transposed("without bias", [2, 3, 4, 5], [3, 4, 3, 3], bias=False)
    transposed("1x1", [2, 3, 4, 5], [3, 4, 1, 1])
    transposed("stride 2", [2, 3, 4, 3], [3, 2, 4, 4], {"strides": [2, 2], "pads": [1, 1, 1, 1]})
    transposed("padded unevenly", [2, 2, 4, 5], [2, 3, 3, 3], {"pads": [1, 0, 0, 2]})
    transposed(
        "with output padding",
        [2, 2, 4, 3],
        [2, 3, 3, 3],
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    )
    transposed("dilated", [2, 2, 4, 4], [2, 3, 3, 2], {"dilations": [2, 3]})
    transposed("in groups", [2, 4, 4, 3], [4, 3, 3, 3], {"group": 2, "strides": [2, 2]})
    transposed("depthwise", [2, 4, 4, 3], [4, 1, 3, 3], {"group": 4, "pads": [1, 1, 1, 1]})
    transposed("in one dimension", [2, 3, 6], [3, 4, 3], {"strides": [2], "pads": [1, 1]})
    transposed("of many channels", [2, 3, 4, 4], [3, 12, 4, 4], {"strides": [2, 2]})
