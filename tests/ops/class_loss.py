"""Losses of scores against labels or shares of classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tests.rows import Row, function

LABELS = torch.tensor([2, 0])
WEIGHTS = torch.linspace(0.5, 2, 5)


def labelled(id: str, body: Callable[..., Any], **more: Any) -> Row:
    """Return a row of scores of 5 classes and their labels."""
    return Row(id, function(body), ((2, 5), (2,)), below=(0, 5), **more)


def of_pixels(id: str, body: Callable[..., Any], **more: Any) -> Row:
    return Row(id, function(body), ((2, 5, 3, 2), (2, 3, 2)), below=(0, 5), **more)


# fmt: off
ROWS = [
    Row("cross_entropy", lambda: nn.CrossEntropyLoss(), ((2, 5), (2,)), below=(0, 5),
         layers=("ArgMax", "Flatten", "Power", "Bias", "Exp", "Reduction", "Log", "Power",
                 "Bias", "Reshape", "Tile", "Bias", "AbsVal", "Threshold", "Power",
                 "Eltwise", "Reduction", "Power", "Reduction", "Reduction", "Power", "Eltwise")),
    labelled("cross_entropy_of_each", lambda x, t: F.cross_entropy(x, t, reduction="none"),
         layers=("ArgMax", "Flatten", "Power", "Bias", "Exp", "Reduction", "Log", "Power",
                 "Bias", "Reshape", "Tile", "Bias", "AbsVal", "Threshold", "Power",
                 "Eltwise", "Reduction", "Power")),
    labelled("cross_entropy_summed", lambda x, t: F.cross_entropy(x, t, size_average=False),
         layers=("ArgMax", "Flatten", "Power", "Bias", "Exp", "Reduction", "Log", "Power",
                 "Bias", "Reshape", "Tile", "Bias", "AbsVal", "Threshold", "Power",
                 "Eltwise", "Reduction", "Power", "Reduction")),
    labelled("cross_entropy_by_weights", lambda x, t: F.cross_entropy(x, t, WEIGHTS),
         layers=("ArgMax", "Flatten", "Power", "Bias", "Exp", "Reduction", "Log", "Power",
                 "Bias", "Reshape", "Tile", "Bias", "AbsVal", "Threshold", "Power", "Scale",
                 "Eltwise", "Reduction", "Power", "Reduction", "Reduction", "Power", "Eltwise")),
    labelled("cross_entropy_ignoring", lambda x, t: F.cross_entropy(x, t, ignore_index=3),
         layers=("ArgMax", "Flatten", "Power", "Bias", "Exp", "Reduction", "Log", "Power",
                 "Bias", "Reshape", "Tile", "Bias", "AbsVal", "Threshold", "Power",
                 "Eltwise", "Reduction", "Power", "Reduction", "Reduction", "Power", "Eltwise")),
    labelled("cross_entropy_smoothed",
             lambda x, t: F.cross_entropy(x, t, WEIGHTS, ignore_index=3, label_smoothing=0.2),
         layers=("ArgMax", "Flatten", "Power", "Bias", "Exp", "Reduction", "Log", "Power",
                 "Bias", "Reshape", "Tile", "Bias", "AbsVal", "Threshold", "Power",
                 "Reduction", "Power", "Power", "Bias", "Scale", "Scale", "Eltwise",
                 "Reduction", "Power", "Reduction", "Reduction", "Power", "Eltwise")),
    labelled("cross_entropy_by_number",
             lambda x, t: torch.ops.aten.cross_entropy_loss(x, t, WEIGHTS, 0, 1),
         layers=("ArgMax", "Flatten", "Power", "Bias", "Exp", "Reduction", "Log", "Power",
                 "Bias", "Reshape", "Tile", "Bias", "AbsVal", "Threshold", "Power", "Scale",
                 "Eltwise", "Reduction", "Power")),
    of_pixels("cross_entropy_of_pixels",
              lambda x, t: F.cross_entropy(x, t, ignore_index=255),
         layers=("ArgMax", "Tile", "Eltwise", "Exp", "Convolution", "Log", "Tile", "Eltwise",
                 "Reshape", "Tile", "Bias", "AbsVal", "Threshold", "Power", "Eltwise",
                 "Convolution", "Flatten", "Power", "Reduction", "Reduction", "Power",
                 "Eltwise")),
    of_pixels("cross_entropy_of_ignored",
              lambda x, t: F.cross_entropy(x, t.masked_fill(t > 2, -100), ignore_index=-100),
         layers=("Threshold", "Eltwise", "Eltwise", "ArgMax", "Tile", "Eltwise", "Exp",
                 "Convolution", "Log", "Tile", "Eltwise", "Reshape", "Tile", "Bias",
                 "AbsVal", "Threshold", "Power", "Eltwise", "Convolution", "Flatten", "Power",
                 "Reduction", "Reduction", "Power", "Eltwise")),
    of_pixels("cross_entropy_of_each_pixel",
              lambda x, t: F.cross_entropy(x, t, WEIGHTS, reduction="none"),
         layers=("ArgMax", "Tile", "Eltwise", "Exp", "Convolution", "Log", "Tile", "Eltwise",
                 "Reshape", "Tile", "Bias", "AbsVal", "Threshold", "Power", "Scale",
                 "Eltwise", "Convolution", "Flatten", "Power")),
    Row("cross_entropy_of_constants", function(lambda x: F.cross_entropy(x, LABELS, WEIGHTS)),
        ((2, 5),), fixed_batch=True,
         layers=("ArgMax", "Flatten", "Power", "Bias", "Exp", "Reduction", "Log", "Power",
                 "Bias", "Scale", "Reduction", "Power", "Reduction", "Power")),
    Row("cross_entropy_of_one", function(lambda x, t: F.cross_entropy(x, t[0])), ((5,), (1,)),
        below=(0, 5), fixed_batch=True,
         layers=("Reshape", "ArgMax", "Reshape", "Power", "Bias", "Exp", "Reduction", "Log",
                 "Power", "Bias", "Reshape", "Tile", "Bias", "AbsVal", "Threshold", "Power",
                 "Eltwise", "Reduction", "Power", "Power", "Reduction", "Power", "Eltwise")),
    Row("cross_entropy_of_shares", function(lambda x, t: F.cross_entropy(
        x, t.softmax(1), WEIGHTS, label_smoothing=0.1)), ((2, 5), (2, 5)),
         layers=("Softmax", "ArgMax", "Flatten", "Power", "Bias", "Exp", "Reduction", "Log",
                 "Power", "Bias", "Power", "Scale", "Eltwise", "Reduction", "Power",
                 "Reduction")),
    Row("cross_entropy_of_constant_scores", function(
        lambda t: F.cross_entropy(torch.arange(10.0).reshape(2, 5).sin(), t, reduction="none")),
        ((2,),), below=(5,), fixed_batch=True,
         layers=("Reshape", "Tile", "Bias", "AbsVal", "Threshold", "Power", "Scale",
                 "Reduction", "Power")),
    Row("cross_entropy_without_labels", function(
        lambda x: F.cross_entropy(x, LABELS * 0 + 3, WEIGHTS, ignore_index=3)),
        ((2, 5),), refused="needs a label that is not ignored for reduction='mean', got none"),
    labelled("nll_loss", lambda x, t: F.nll_loss(x, t),
         layers=("Reshape", "Tile", "Bias", "AbsVal", "Threshold", "Power", "Eltwise",
                 "Reduction", "Power", "Reduction", "Reduction", "Power", "Eltwise")),
    labelled("nll_loss_by_computed_weights", lambda x, t: F.nll_loss(x, t, x[0].exp()),
         layers=("DummyData", "Crop", "Flatten", "Exp", "Reshape", "Tile", "Bias", "AbsVal",
                 "Threshold", "Power", "Scale", "Eltwise", "Reduction", "Power", "Reduction",
                 "Reduction", "Power", "Eltwise")),
    labelled("nll_loss_by_number", lambda x, t: torch.ops.aten.nll_loss(x, t, None, 2, 3),
         layers=("Reshape", "Tile", "Bias", "AbsVal", "Threshold", "Power", "Eltwise",
                 "Reduction", "Power", "Reduction")),
    labelled("nll_loss_forward",
             lambda x, t: torch.ops.aten.nll_loss_forward(x, t, WEIGHTS, 1, -100)[0],
         layers=("Reshape", "Tile", "Bias", "AbsVal", "Threshold", "Power", "Scale",
                 "Eltwise", "Reduction", "Power", "Reduction", "Reduction", "Power", "Eltwise")),
    of_pixels("nll_loss2d_forward",
              lambda x, t: torch.ops.aten.nll_loss2d_forward(x, t, None, 0, 2)[0],
         layers=("Reshape", "Tile", "Bias", "AbsVal", "Threshold", "Power", "Eltwise",
                 "Convolution", "Flatten", "Power")),
]
# fmt: on
