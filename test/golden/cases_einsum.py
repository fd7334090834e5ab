"""Sums of products by labelled axes."""

import torch
from recording import OPERATORS, case, given

OPERATORS["Einsum"] = lambda a, *operands: torch.einsum(a["equation"], *operands)


def cases():
    for equation, *shapes in [
        ("i j -> j i", [3, 4]),
        ("ijk->j", [2, 3, 4]),
        ("a...z->...a", [2, 3, 2, 4]),
        ("ij,jk", [3, 4], [4, 2]),
        ("ba,ca", [3, 4], [2, 4]),
        ("bij,bjk->bik", [2, 3, 4], [2, 4, 2]),
        ("bqhd,bkhd->bhqk", [2, 3, 2, 4], [2, 4, 2, 4]),
        ("bhqk,bkhd->bqhd", [2, 2, 3, 4], [2, 4, 2, 4]),
        ("abc,cde->abde", [2, 3, 4], [4, 2, 3]),
        ("abcd,cde->abe", [2, 3, 2, 4], [2, 4, 3]),
        ("i,i->", [4], [4]),
        ("i,j->ji", [3], [4]),
        ("bi,bi->bi", [3, 4], [3, 4]),
        ("ijk,jl->li", [2, 3, 4], [3, 2]),
        ("...ij,...jk->...ik", [2, 1, 3, 4], [3, 4, 2]),
    ]:
        names = ["x", "y2"][: len(shapes)]
        inputs = {n: given(*s, seed=i + 1) for i, (n, s) in enumerate(zip(names, shapes))}
        case(f"Einsum {equation}", "Einsum", inputs, {"equation": equation})
