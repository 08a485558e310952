"""Sums, means, maxima and norms."""

from typing import Any

import torch
from torch import Tensor

from tests.rows import Row, function


def over(
    id: str, reduce: str, dim: object, *layers: str, keepdim: bool = False, **more: Any
) -> Row:
    """Return the function x.reduce(dim, keepdim)."""

    def body(x: Tensor) -> Tensor:
        result: Tensor = getattr(x, reduce)(dim=dim, keepdim=keepdim)
        return result

    return Row(f"{reduce}_{id}", function(body), layers=layers, **more)


CONV, P = "Convolution", "Power"
# A result that is the same for all orders of the elements would have no signal.
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
    over("batch", "mean", 0, "Reshape", CONV, "Reshape", fixed_batch=True),
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
    Row("norm", function(lambda x: x.norm(dim=-1)), layers=("Reduction", P)),
    Row("norm_channels", function(lambda x: x.norm(dim=1, keepdim=True)), layers=(P, CONV, P)),
    Row("norm_of_two_runs", function(lambda x: x.norm(dim=(1, 3))),
        layers=("Reduction", "Reshape", CONV, "Flatten", P)),
    Row("norm_1", function(lambda x: torch.linalg.vector_norm(x, 1, dim=(2, 3))),
        layers=("Reduction",)),
    Row("norm_1_channels", function(lambda x: x.norm(1, 1)), layers=("AbsVal", CONV, "Flatten")),
    Row("norm_infinity", function(lambda x: torch.linalg.vector_norm(x, float("inf"), dim=1)),
        layers=("AbsVal", "ArgMax", "Flatten")),
    Row("norm_3", function(lambda x: x.norm(3, 1)),
        layers=("AbsVal", "Power", "Convolution", "Flatten", "Power")),
    Row("norm_half", function(lambda x: torch.linalg.vector_norm(x, 0.5, -1)),
        layers=("AbsVal", "Power", "Reduction", "Power")),
    Row("norm_0", function(lambda x: torch.linalg.vector_norm(x.relu(), 0, (1, 2))),
        layers=("ReLU", "AbsVal", "Threshold", "Flatten", "Reshape", "Convolution", "Flatten")),
    Row("norm_minus_infinity", function(lambda x: x.norm(float("-inf"), 1, True)),
        layers=("AbsVal", "Power", "ArgMax", "Power")),
    Row("linalg_norm", function(lambda x: torch.linalg.norm(x, dim=1)),
        layers=("Power", "Convolution", "Flatten", "Power")),
    Row("linalg_norm_of_matrices", function(lambda x: torch.linalg.norm(x, 1, (2, 3))),
        layers=("AbsVal", "Reshape", "Convolution", "Reshape", "ArgMax", "Flatten")),
    Row("matrix_norm", function(lambda x: torch.linalg.matrix_norm(x)),
        layers=("Reduction", "Power")),
    Row("matrix_norm_infinity",
        function(lambda x: torch.linalg.matrix_norm(x, float("inf"), (1, -1), True)),
        layers=("Reduction", "Reshape", "ArgMax")),
    Row("matrix_norm_smallest", function(lambda x: torch.linalg.matrix_norm(x, -1, (3, 1))),
        layers=("Reduction", "Reshape", "Power", "ArgMax", "Power", "Flatten")),
    Row("matrix_norm_2", function(lambda x: torch.linalg.matrix_norm(x, 2)),
        refused="needs a norm without singular values"),
    Row("renorm", function(lambda x: x.renorm(2, 1, 2.4)), ((2, 8, 3),),
        layers=("Reduction", "Reshape", "Convolution", "Reshape", "Power", "Power", "Power",
            "Threshold", "Eltwise", "Power", "Flatten", "Scale"), fixed_batch=True),
    Row("nansum", function(lambda x: x.nansum(1)), ((2, 5, 7),),
        layers=("Power", "Eltwise", "Power", "Eltwise", "Eltwise", "Reshape", "Convolution",
            "Flatten")),
    Row("nanmean", function(lambda x: x.nanmean(1)), refused="needs to count NaN"),
    Row("prod", function(lambda x: x.prod(1)), ((2, 5, 7),),
        layers=("Slice", "Eltwise", "Flatten")),
    Row("prod_keep", function(lambda x: x.prod(-1, keepdim=True)), ((2, 5, 7),),
        layers=("Slice", "Eltwise")),
    Row("prod_long", function(lambda x: (1 + x / 20).prod(2)), ((2, 3, 75),),
        layers=("Power", "Power", "Slice", "Eltwise", "Slice", "Eltwise", "Slice", "Eltwise",
            "Eltwise", "Flatten")),
    Row("prod_all", function(lambda x: (1 + x / 9).flatten(1).prod(1)), ((2, 3, 11),),
        layers=("Power", "Power", "Flatten", "Slice", "Eltwise", "Slice", "Eltwise", "Eltwise",
            "Flatten")),
    Row("any", function(lambda x: (x.relu() * 2).any(2)), ((2, 3, 3),),
        layers=("ReLU", "Power", "AbsVal", "Threshold", "ArgMax", "Flatten")),
    Row("all", function(lambda x: x.relu().all(2, keepdim=True)), ((4, 5, 2),),
        layers=("ReLU", "AbsVal", "Threshold", "Power", "ArgMax", "Power")),
    Row("count_nonzero", function(lambda x: torch.count_nonzero(x.relu(), (1, 3))),
        layers=("ReLU", "AbsVal", "Threshold", "Reduction", "Reshape", "Convolution",
            "Flatten")),
    Row("aminmax", function(lambda x: tuple(torch.aminmax(x, dim=1))),
        layers=("Power", "ArgMax", "Flatten", "Power", "ArgMax", "Flatten")),
    Row("var_mean", function(lambda x: torch.var_mean(x, (2, 3))),
        layers=("Pooling", "Flatten", "Power", "Bias", "Reduction", "Power", "Pooling",
            "Flatten")),
    Row("std_mean", function(lambda x: torch.std_mean(x, -1, keepdim=True)),
        layers=("Reduction", "Power", "Bias", "Reduction", "Reshape", "Power", "Power",
            "Reduction", "Reshape")),
    Row("trace", function(lambda x: x[0, 0].trace()),
        layers=("DummyData", "Crop", "Flatten", "Flatten", "Reshape", "Convolution", "Reshape",
            "Reduction")),
    Row("norm_nuclear", function(lambda x: torch.norm(x, "nuc", (2, 3))),
        refused="needs the norm of a vector, got p='nuc'"),
    Row("var", function(lambda x: x.var(-1)), layers=VAR),
    Row("var_biased", function(lambda x: x.var((2, 3), unbiased=False, keepdim=True)),
        layers=("Pooling", "Flatten", P, "Bias", "Reduction", "Reshape", P)),
    Row("var_correction", function(lambda x: torch.var(x, (1, 2, 3), correction=2)),
        layers=VAR),
    Row("var_of_one", function(lambda x: x.var(1)), ((2, 1, 4),),
        refused="needs more than 1.0 elements for each result, got 1"),
    Row("std", function(lambda x: x.std((2, 3))),
        layers=("Pooling", "Flatten", P, "Bias", "Reduction", P, P)),
]  # fmt: skip
