"""Losses as ATen's operators have them: their reduction is a number, and follows the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch.nn.functional as F
from torch import Tensor

Respelled = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

_REDUCTIONS = ("none", "mean", "sum")


def _compared(function: Callable[..., Any], option: str = "") -> Callable[..., Respelled]:
    """Return the respelling of a loss that has at most one option, which comes last."""

    def respelled(
        input: Tensor, target: Tensor, reduction: int = 1, *value: Any, **named: Any
    ) -> Respelled:
        options = {**dict(zip((option,), value, strict=False)), **named}
        return function, (input, target), {"reduction": _REDUCTIONS[reduction], **options}

    return respelled


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: int = 1
) -> Respelled:
    options = {"weight": weight, "reduction": _REDUCTIONS[reduction]}
    return F.binary_cross_entropy, (input, target), options


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: int = 1,
) -> Respelled:
    options = {"weight": weight, "pos_weight": pos_weight, "reduction": _REDUCTIONS[reduction]}
    return F.binary_cross_entropy_with_logits, (input, target), options


LOSSES: Mapping[str, Callable[..., Respelled]] = MappingProxyType({
    "mse_loss": _compared(F.mse_loss),
    "l1_loss": _compared(F.l1_loss),
    "smooth_l1_loss": _compared(F.smooth_l1_loss, "beta"),
    "huber_loss": _compared(F.huber_loss, "delta"),
    "soft_margin_loss": _compared(F.soft_margin_loss),
    "kl_div": _compared(F.kl_div, "log_target"),
    "binary_cross_entropy": binary_cross_entropy,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
})  # fmt: skip
