"""Losses between two tensors."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from tests.ops.families.base import Arguments, Family, Random, broadcast, family


def compared(
    *, target: str = "normal", input: str = "normal", **options: tuple[Any, ...]
) -> Family:
    """Draw two tensors of one shape, a reduction, and options."""

    def draw(r: Random) -> Arguments:
        shape = r.shape(1, 4)
        drawn = {name: r.choice(*values) for name, values in options.items()}
        reduction = r.choice("none", "mean", "sum")
        return (r.tensor(shape, input), r.tensor(shape, target)), {"reduction": reduction, **drawn}

    return draw


@family(F.mse_loss, F.l1_loss)
def _broadcast(r: Random) -> Arguments:
    one, two = broadcast(r, 2)
    return (r.tensor(one), r.tensor(two)), {"reduction": r.choice("none", "mean", "sum")}


family(F.smooth_l1_loss)(compared(beta=(1.0, 0.25, 0)))
family(F.huber_loss)(compared(delta=(1.0, 0.25)))
family(F.soft_margin_loss)(compared(target="halves"))
family(F.binary_cross_entropy)(compared(input="fraction", target="fraction"))
family(F.binary_cross_entropy_with_logits)(compared(input="unit", target="fraction"))


@family(F.kl_div)
def _divergence(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    of_logarithms = r.flag()
    target = r.tensor(shape, "normal" if of_logarithms else "positive")
    reduction = r.choice("none", "mean", "sum", "batchmean")
    return (r.tensor(shape), target), {"reduction": reduction, "log_target": of_logarithms}


def _classes(r: Random, many: bool = True) -> tuple[Any, Any, dict[str, Any]]:
    """Draw scores, labels, of which some are ignored, and options."""
    shape = r.shape(1, 3) if many else r.shape(1, 2)
    axis = min(1, len(shape) - 1)
    labels = r.integers((*shape[:axis], *shape[axis + 1 :]), shape[axis])
    options: dict[str, Any] = {"reduction": r.choice("none", "mean", "sum")}
    if r.flag():
        options["ignore_index"] = r.choice(0, 1, -1)
    if r.flag():
        options["weight"] = r.tensor((shape[axis],), "positive")
    return r.tensor(shape), labels, options


@family(F.nll_loss)
def _labels(r: Random) -> Arguments:
    scores, labels, options = _classes(r)
    return (scores, labels), options


@family(F.cross_entropy)
def _labels_or_shares(r: Random) -> Arguments:
    scores, labels, options = _classes(r)
    if r.flag():
        options.pop("ignore_index", None)
        labels = r.tensor(scores.shape, "fraction")
    return (scores, labels), {**options, "label_smoothing": r.choice(0.0, 0.1)}


@family(torch.ops.aten.nll_loss_forward.default)
def _numbered(r: Random) -> Arguments:
    scores, labels, options = _classes(r, many=False)
    rest = options.get("weight"), r.number(1, 2), options.get("ignore_index", -100)
    return (scores, labels, *rest), {}


@family(torch.ops.aten.nll_loss2d_forward.default)
def _numbered_pixels(r: Random) -> Arguments:
    shape = r.many(4, 1, 4)
    labels = r.integers((shape[0], *shape[2:]), shape[1])
    return (r.tensor(shape), labels, None, r.number(1, 2), r.choice(0, -100)), {}
