"""softmax and its relatives."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.rows import Row, function


def _far(x: torch.Tensor) -> torch.Tensor:
    """Return probabilities of 0 in float32 in some samples, whose logarithm would be -inf."""
    return F.log_softmax(x * torch.tensor([1.0, 1.0, 1.0, 1.0, 200.0]), 1)


def _safe(x: torch.Tensor) -> torch.Tensor:
    """Return lines of -inf alone among others."""
    masked = x.masked_fill(torch.arange(5)[:, None] % 3 == 1, -torch.inf)
    return torch.ops.aten._safe_softmax(masked, -1)


E, P = "Eltwise", "Power"
BY_ROWS = ("ArgMax", "Flatten", P, "Bias", "Exp", "Reduction", "Log", P, "Bias")
ROWS = [
    Row("softmax", lambda: nn.Softmax(1), ((2, 5),), ("Softmax",)),
    Row("softmax_last_axis", lambda: nn.Softmax(-1), layers=("Softmax",)),
    Row("softmax_torch", function(lambda x: torch.softmax(x, 2)), layers=("Softmax",)),
    Row(
        "softmax_half",
        function(lambda x: F.softmax(x, 1, dtype=torch.float16)),
        refused="needs a result in float32, got dtype torch.float16",
    ),
    Row("softmin_lines", lambda: nn.Softmin(1), ((2, 5),), (P, "Softmax")),
    Row("softmax_safe", function(_safe), ((2, 5, 4),), since="2.5",
        layers=("Bias", "Power", "Threshold", "ArgMax", "Log", "Tile", "Eltwise", "Softmax",
            "Flatten", "Scale")),
    Row("softmax_safe_of_products",
        function(lambda x: torch.ops.aten._safe_softmax(x @ torch.eye(4).cumsum(0), -1)),
        ((2, 5, 4),), layers=("InnerProduct", "Softmax"), since="2.5"),
    Row("log_softmax", lambda: nn.LogSoftmax(1), ((4, 5),), BY_ROWS),
    Row("log_softmax_image", lambda: nn.LogSoftmax(1),
        layers=("ArgMax", "Tile", E, "Exp", "Convolution", "Log", "Tile", E)),
    Row("log_softmax_last_axis", lambda: nn.LogSoftmax(-1), ((2, 3, 4),), BY_ROWS),
    Row("log_softmax_far", function(_far), ((7, 5),), ("Scale", *BY_ROWS)),
    Row("log_softmax_torch", function(lambda x: torch.log_softmax(x, 1)), ((4, 5),), BY_ROWS),
    Row("log_softmax_of_the_batch", lambda: nn.LogSoftmax(0), ((4, 5),),
        ("ArgMax", "Flatten", "Power", "Bias", "Exp", "Reshape", "Convolution", "Reshape", "Log",
         "Flatten", "Power", "Bias"), fixed_batch=True),
    Row("logsumexp", function(lambda x: x.logsumexp(1)), ((4, 5),),
        (*BY_ROWS[:-2], "Reshape", E, "Flatten")),
    Row("logsumexp_axes", function(lambda x: x.logsumexp((2, 3), keepdim=True)),
        layers=("Pooling", *BY_ROWS[1:-2], "Reshape", E)),
]  # fmt: skip
