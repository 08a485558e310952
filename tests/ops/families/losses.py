"""Losses between two tensors."""

from __future__ import annotations

from typing import Any

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
