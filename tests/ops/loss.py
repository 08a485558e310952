"""Losses between two tensors that a net computes or is fed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tests.rows import Row, function

TWO = ((2, 5, 7),) * 2
WEIGHTS = torch.linspace(0.5, 2, 35).reshape(1, 5, 7)
TARGET = torch.linspace(-1, 1.5, 35).reshape(1, 5, 7)


def pair(id: str, body: Callable[..., Any], **more: Any) -> Row:
    return Row(id, function(body), TWO, **more)


def each(id: str, body: Callable[..., Any], **more: Any) -> Row:
    return Row(id, function(body), ((1, 5, 7),), **{"fixed_batch": True, **more})


# fmt: off
L1_WEIGHTED = [
    pair("l1_loss_weighted", lambda x, y: F.l1_loss(x, y, weight=y.abs() + 1),
         layers=("AbsVal", "Power", "Eltwise", "AbsVal", "Eltwise", "Reduction", "Reduction",
                 "Power", "Eltwise")),
    each("l1_loss_by_weights", lambda x: F.l1_loss(x, TARGET, None, None, "none", WEIGHTS),
         layers=("Bias", "AbsVal", "Scale")),
]
ROWS = [
    *(L1_WEIGHTED if "weight" in inspect.signature(F.l1_loss).parameters else ()),
    Row("mse_loss", lambda: nn.MSELoss(), TWO, layers=("Eltwise", "Power", "Reduction")),
    pair("mse_loss_weighted", lambda x, y: F.mse_loss(x, y, weight=y.abs() + 1),
         layers=("AbsVal", "Power", "Eltwise", "Power", "Eltwise", "Reduction", "Reduction",
                 "Power", "Eltwise"), since="2.6"),
    each("mse_loss_by_weights", lambda x: F.mse_loss(x, TARGET, weight=WEIGHTS),
         layers=("Bias", "Power", "Scale", "Reduction", "Power"), since="2.6"),
    pair("mse_loss_of_each", lambda x, y: F.mse_loss(x, y, reduce=False),
         layers=("Eltwise", "Power")),
    Row("l1_loss", lambda: nn.L1Loss(reduction="sum"), TWO,
        layers=("Eltwise", "AbsVal", "Reduction")),
    pair("l1_loss_by_number", lambda x, y: torch.ops.aten.l1_loss(x, y, 0),
         layers=("Eltwise", "AbsVal")),
    Row("smooth_l1_loss", lambda: nn.SmoothL1Loss(beta=0.5), TWO,
         layers=("Eltwise", "AbsVal", "Power", "Power", "Eltwise", "Power", "Eltwise",
                 "Eltwise", "Power", "Reduction")),
    pair("smooth_l1_loss_sharp", lambda x, y: F.smooth_l1_loss(x, y, size_average=False, beta=0),
         layers=("Eltwise", "AbsVal", "Reduction")),
    pair("smooth_l1_loss_by_number",
         lambda x, y: torch.ops.aten.smooth_l1_loss(x, y, 0, 2.0),
         layers=("Eltwise", "AbsVal", "Power", "Power", "Eltwise", "Power", "Eltwise",
                 "Eltwise", "Power")),
    Row("huber_loss", lambda: nn.HuberLoss("none", delta=1.5), TWO,
         layers=("Eltwise", "AbsVal", "Power", "Power", "Eltwise", "Power", "Eltwise",
                 "Eltwise")),
    each("huber_loss_by_weights", lambda x: F.huber_loss(x, TARGET, weight=WEIGHTS),
         layers=("Bias", "AbsVal", "Power", "Power", "Eltwise", "Power", "Eltwise", "Eltwise",
                 "Scale", "Reduction"), since="2.6"),
    pair("soft_margin_loss", lambda x, y: F.soft_margin_loss(x, y),
         layers=("Eltwise", "Power", "AbsVal", "Power", "Exp", "ReLU", "Power", "Power",
                 "AbsVal", "Threshold", "Power", "Log", "Eltwise", "Eltwise", "Power",
                 "Eltwise", "Eltwise", "Reduction")),
    pair("binary_cross_entropy",
         lambda x, y: F.binary_cross_entropy(x.sigmoid(), y.sigmoid(), reduction="none"),
         layers=("Sigmoid", "Sigmoid", "Log", "Power", "Eltwise", "Power", "Power", "Power",
                 "AbsVal", "Threshold", "Power", "Log", "Eltwise", "Eltwise", "Power",
                 "Eltwise", "Power", "Eltwise", "Eltwise", "Eltwise", "Eltwise")),
    each("binary_cross_entropy_of_certain",
         lambda x: F.binary_cross_entropy((x > 0).float(), (TARGET > 0).float(), WEIGHTS,
                                          reduction="none"),
         layers=("Threshold", "Log", "Power", "Eltwise", "Power", "Power", "Power", "AbsVal",
                 "Threshold", "Power", "Log", "Eltwise", "Eltwise", "Power", "Eltwise", "Power",
                 "Eltwise", "Eltwise", "Scale", "Eltwise", "Scale")),
    Row("binary_cross_entropy_with_logits", lambda: nn.BCEWithLogitsLoss(), TWO,
         layers=("Power", "BNLL", "Power", "Eltwise", "Eltwise", "Eltwise", "Reduction")),
    pair("binary_cross_entropy_with_logits_more",
         lambda x, y: F.binary_cross_entropy_with_logits(
             x, y.sigmoid(), y.abs(), pos_weight=WEIGHTS[0, 0], reduction="none"),
         layers=("Sigmoid", "AbsVal", "Power", "BNLL", "Power", "Scale", "Eltwise", "Eltwise",
                 "Eltwise", "Eltwise", "Eltwise", "Eltwise")),
    each("binary_cross_entropy_with_logits_of_constants",
         lambda x: F.binary_cross_entropy_with_logits(x, TARGET.relu(), pos_weight=WEIGHTS),
         layers=("Power", "BNLL", "Power", "Scale", "Eltwise", "Scale", "Eltwise", "Eltwise",
                 "Reduction")),
    pair("binary_cross_entropy_by_number",
         lambda x, y: torch.binary_cross_entropy_with_logits(x, y, None, WEIGHTS[0], 0),
         layers=("Power", "BNLL", "Power", "Scale", "Eltwise", "Eltwise", "Eltwise", "Eltwise",
                 "Eltwise")),
    pair("kl_div", lambda x, y: nn.KLDivLoss(reduction="batchmean")(x, y.softmax(1)),
         layers=("Softmax", "AbsVal", "Threshold", "Eltwise", "Power", "Eltwise", "Log",
                 "Eltwise", "Eltwise", "Eltwise", "Reduction", "Reduction")),
    pair("kl_div_of_none", lambda x, y: F.kl_div(x, y.relu(), reduction="none"),
         layers=("ReLU", "AbsVal", "Threshold", "Eltwise", "Power", "Eltwise", "Log", "Eltwise",
                 "Eltwise", "Eltwise")),
    pair("kl_div_of_logarithms", lambda x, y: F.kl_div(x, y, reduction="sum", log_target=True),
         layers=("Exp", "Eltwise", "Eltwise", "Reduction")),
    each("kl_div_constant", lambda x: F.kl_div(x, TARGET.relu(), reduction="none"),
         layers=("Scale", "Power", "Bias"), fixed_batch=False),
]
# fmt: on
