"""Sums, means, maxima and norms."""

from typing import Any

import torch
from torch import Tensor

from tests.rows import Row, function


def over(
    id: str, reduce: str, dim: object, *layers: str, keepdim: bool = False, **more: Any
) -> Row:
    """x.reduce(dim, keepdim)."""

    def body(x: Tensor) -> Tensor:
        result: Tensor = getattr(x, reduce)(dim=dim, keepdim=keepdim)
        return result

    return Row(f"{reduce}_{id}", function(body), layers=layers, **more)


CONV, P = "Convolution", "Power"
# What is the same for all orders of the numbers would have no signal.
WEIGHTS = torch.linspace(-1, 2, 64).reshape(8, 8)
VAR = ("Reduction", P, "Bias", "Reduction", P)
ROWS = [
    over("image", "mean", (2, 3), "Pooling", "Flatten"),
    over("image_keep", "mean", (2, 3), "Pooling", keepdim=True),
    over("image_reversed", "mean", (-1, -2), "Pooling", "Flatten"),
    over("last", "mean", -1, "Reduction"),
    over("last_keep", "mean", 3, "Reduction", "Reshape", keepdim=True),
    over("channels", "mean", 1, CONV, "Flatten"),
    over("channels_keep", "mean", 1, CONV, keepdim=True),
    over("rows", "mean", 2, "Reshape", CONV, "Reshape"),
    over("channels_and_rows", "mean", (1, 2), "Flatten", "Reshape", CONV, "Flatten"),
    over("channels_and_columns", "mean", (1, 3), "Reduction", "Reshape", CONV, "Flatten"),
    over("sample", "mean", (1, 2, 3), "Reduction"),
    over("rank_3", "mean", 1, "Reshape", CONV, "Flatten", shapes=((2, 5, 4),)),
    over("rank_2", "mean", 1, "Reduction", shapes=((4, 5),)),
    over("batch", "mean", 0, refused="needs a size that does not depend on the batch, got axis 0"),
    Row("mean_all", function(lambda x: (x * WEIGHTS).mean()), layers=("Scale", "Reduction")),
    Row("mean_half", function(lambda x: x.mean(1, dtype=torch.float16)),
        refused="needs a result in float32, got dtype torch.float16"),
    over("image", "sum", (2, 3), "Reduction"),
    over("last_keep", "sum", -1, "Reduction", "Reshape", keepdim=True),
    over("channels", "sum", 1, CONV, "Flatten"),
    over("channels_and_columns", "sum", (1, 3), "Reduction", "Reshape", CONV, "Flatten"),
    Row("sum_all", function(lambda x: (x * WEIGHTS).sum()), layers=("Scale", "Reduction")),
    over("channels_keep", "amax", 1, "ArgMax", keepdim=True),
    over("channels", "amax", 1, "ArgMax", "Flatten"),
    over("image", "amax", (2, 3), "Pooling", "Flatten"),
    over("image_keep", "amax", (2, 3), "Pooling", keepdim=True),
    over("channels_and_rows", "amax", (1, 2), "Flatten", "ArgMax", "Flatten"),
    over("rank_2", "amax", 1, "ArgMax", "Flatten", shapes=((4, 5),)),
    over("batch_keep", "amax", 0, "ArgMax", shapes=((4, 5),), keepdim=True),
    over("channels_keep", "amin", 1, P, "ArgMax", P, keepdim=True),
    Row("max_all", function(lambda x: (x * WEIGHTS).max()),
        layers=("Scale", "Flatten", "ArgMax", "Reshape")),
    Row("min_all", function(lambda x: (x * WEIGHTS).min()),
        layers=("Scale", P, "Flatten", "ArgMax", "Reshape", P)),
    Row("max_of_two", function(torch.max), ((2, 3), (2, 3)), ("Eltwise",)),
    Row("min_of_two", function(torch.min), ((2, 3), (2, 3)),
        (P, P, "Eltwise", P)),
    Row("max_with_indices", function(lambda x: x.max(1)[0]),
        refused="needs no indices, which torch.amax does not give, got dim 1"),
    Row("min_with_indices", function(lambda x: x.min(1)[0]),
        refused="needs no indices, which torch.amin does not give, got dim 1"),
    Row("norm", function(lambda x: x.norm(dim=-1)), layers=("Reduction", P)),
    Row("norm_channels", function(lambda x: x.norm(dim=1, keepdim=True)), layers=(P, CONV, P)),
    Row("norm_of_two_runs", function(lambda x: x.norm(dim=(1, 3))),
        layers=("Reduction", "Reshape", CONV, "Flatten", P)),
    Row("norm_1", function(lambda x: torch.linalg.vector_norm(x, 1, dim=(2, 3))),
        layers=("Reduction",)),
    Row("norm_1_channels", function(lambda x: x.norm(1, 1)), layers=("AbsVal", CONV, "Flatten")),
    Row("norm_infinity", function(lambda x: torch.linalg.vector_norm(x, float("inf"), dim=1)),
        layers=("AbsVal", "ArgMax", "Flatten")),
    Row("norm_3", function(lambda x: x.norm(3, 1)), refused="needs an order of 1, 2 or infinity"),
    Row("norm_nuclear", function(lambda x: torch.norm(x, "nuc", (2, 3))),
        refused="needs the norm of a vector, got p='nuc'"),
    Row("var", function(lambda x: x.var(-1)), layers=VAR),
    Row("var_biased", function(lambda x: x.var((2, 3), unbiased=False, keepdim=True)),
        layers=("Pooling", "Flatten", P, "Bias", "Reduction", "Reshape", P)),
    Row("var_correction", function(lambda x: torch.var(x, (1, 2, 3), correction=2)),
        layers=VAR),
    Row("var_of_one", function(lambda x: x.var(1)), ((2, 1, 4),),
        refused="needs more than 1.0 numbers to each result, got 1"),
    Row("std", function(lambda x: x.std((2, 3))),
        layers=("Pooling", "Flatten", P, "Bias", "Reduction", P, P)),
]  # fmt: skip
