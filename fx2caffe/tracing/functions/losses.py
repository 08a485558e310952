"""Losses in one spelling: input, target, and the reduction by its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch.nn.functional as F
from torch.nn import _reduction

Respelled = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

FUNCTIONS = (
    "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss", "kl_div",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "nll_loss",
)  # fmt: skip
NUMBERED = ("none", "mean", "sum")  # ATen's reductions


def functional(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Respelled:
    """Respell a call whose reduction may be stated by the older size_average and reduce."""
    given = inspect.signature(function).bind(*args, **kwargs).arguments
    average, reduce = given.pop("size_average", None), given.pop("reduce", None)
    if average is not None or reduce is not None:
        given["reduction"] = _reduction.legacy_get_string(average, reduce, emit_warning=False)
    return function, (given.pop("input"), given.pop("target")), given


def _aten(function: Callable[..., Any], *names: str) -> Callable[..., Respelled]:
    """Return the respelling of an operator that has these parameters behind its target."""

    def respelled(input: Any, target: Any, *values: Any, **named: Any) -> Respelled:
        options = {**dict(zip(names, values, strict=False)), **named}
        options["reduction"] = NUMBERED[options.get("reduction", 1)]
        return function, (input, target), options

    return respelled


ATEN: Mapping[str, Callable[..., Respelled]] = MappingProxyType({
    "mse_loss": _aten(F.mse_loss, "reduction"),
    "l1_loss": _aten(F.l1_loss, "reduction"),
    "smooth_l1_loss": _aten(F.smooth_l1_loss, "reduction", "beta"),
    "huber_loss": _aten(F.huber_loss, "reduction", "delta"),
    "soft_margin_loss": _aten(F.soft_margin_loss, "reduction"),
    "kl_div": _aten(F.kl_div, "reduction", "log_target"),
    "binary_cross_entropy": _aten(F.binary_cross_entropy, "weight", "reduction"),
    "binary_cross_entropy_with_logits": _aten(
        F.binary_cross_entropy_with_logits, "weight", "pos_weight", "reduction"
    ),
    "cross_entropy_loss": _aten(
        F.cross_entropy, "weight", "reduction", "ignore_index", "label_smoothing"
    ),
    **dict.fromkeys(
        ("nll_loss", "nll_loss2d", "nll_loss_nd"),
        _aten(F.nll_loss, "weight", "reduction", "ignore_index"),
    ),
})  # fmt: skip
