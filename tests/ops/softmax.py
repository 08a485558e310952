"""softmax and its relatives."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.rows import Row, function

E, P = "Eltwise", "Power"
ROWS = [
    Row("softmax", lambda: nn.Softmax(1), ((2, 5),), ("Softmax",)),
    Row("softmax_last_axis", lambda: nn.Softmax(-1), layers=("Softmax",)),
    Row("softmax_torch", function(lambda x: torch.softmax(x, 2)), layers=("Softmax",)),
    Row(
        "softmax_half",
        function(lambda x: F.softmax(x, 1, dtype=torch.float16)),
        refused="needs a result in float32, got dtype torch.float16",
    ),
    Row("softmin", lambda: nn.Softmin(1), ((2, 5),), (P, "Softmax")),
    Row("log_softmax", lambda: nn.LogSoftmax(1), ((4, 5),), ()),
    Row("log_softmax_image", lambda: nn.LogSoftmax(1), layers=()),
    Row("log_softmax_last_axis", lambda: nn.LogSoftmax(-1), ((2, 3, 4),), layers=()),
    Row("log_softmax_far", function(lambda x: F.log_softmax(x * 100, 1)), ((4, 5),), layers=()),
    Row("log_softmax_torch", function(lambda x: torch.log_softmax(x, 1)), ((4, 5),), layers=()),
    Row("log_softmax_of_the_batch", lambda: nn.LogSoftmax(0), ((4, 5),),
        refused="needs a size that does not depend on the batch, got axis 0"),
    Row("logsumexp", function(lambda x: x.logsumexp(1)), ((4, 5),), layers=()),
    Row("logsumexp_axes", function(lambda x: x.logsumexp((2, 3), keepdim=True)), layers=()),
]  # fmt: skip
