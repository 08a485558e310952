"""Activation functions, softmax and dropout."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.rows import Row, function


def _dropouts(x: torch.Tensor) -> torch.Tensor:
    for drop in (F.dropout, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout):
        x = drop(x, 0.3, training=False)
    return x.relu()


class Training(torch.nn.Module):
    """Dropout that runs whatever the mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, 0.3, training=True)


ROWS = [
    Row("relu", nn.ReLU, layers=("ReLU",)),
    Row("relu_in_place", lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(True)),
        layers=("Convolution", "ReLU")),
    Row("relu_method", function(lambda x: x.relu()), layers=("ReLU",)),
    Row("relu_method_in_place", function(lambda x: (x + 1).relu_()), layers=("Power", "ReLU")),
    Row("leaky_relu", lambda: nn.LeakyReLU(0.2), layers=("ReLU",)),
    Row("leaky_relu_zero", lambda: nn.LeakyReLU(0.0), layers=("ReLU",)),
    Row("softmax", lambda: nn.Softmax(1), ((2, 5),), ("Softmax",)),
    Row("softmax_last_axis", lambda: nn.Softmax(-1), layers=("Softmax",)),
    Row("softmax_torch", function(lambda x: torch.softmax(x, 2)), layers=("Softmax",)),
    Row(
        "softmax_half",
        function(lambda x: F.softmax(x, 1, dtype=torch.float16)),
        refused="needs a result in float32, got dtype torch.float16",
    ),
    Row("dropouts", function(_dropouts), layers=("ReLU",)),
    Row("dropout_1d", function(lambda x: F.dropout1d(x, 0.5, False).relu()), ((3, 4),),
        ("ReLU",)),
    Row("dropout_3d", function(lambda x: F.dropout3d(x, 0.5, False).relu()), layers=("ReLU",)),
    Row("dropout_training", lambda: Training(), refused="needs eval mode"),
    Row("dropout_alone", nn.Dropout, layers=("Power",)),
]  # fmt: skip
