"""Rows of extreme values: infinities, NaN, values too large to have fractions, and -0.

A result of NaN or infinity proves nothing to the verdict, so these are compared with torch element
by element.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

INF, NAN = float("inf"), float("nan")
ODD = torch.tensor([[0.0, -0.0, 1.0, -1.0, INF, -INF, 1e-40, -1e-40, 3e38, -3e38, 0.5, -0.5]])
WITH_NAN = torch.cat([ODD, torch.tensor([[NAN]])], 1)
HALVES = torch.arange(-500, 500).float()[None] / 2
LARGE = torch.cat(
    [HALVES, HALVES + 2**22, HALVES - 2**22, HALVES + 2**23, HALVES.round() * 2**20], 1
)
WHOLE = torch.randint(-(2**24), 2**24, (1, 500), generator=torch.Generator().manual_seed(0))
STEPS = torch.linspace(-150, 150, 2000)[None]
MIDDLES = torch.arange(-150, 150)[None] + 0.5
SIGNED = torch.linspace(-3, 3, 25)[None]
EMPTY = torch.tensor([False, True, False, False, True]).reshape(5, 1)
SQUARE = torch.linspace(-2, 2, 50).reshape(1, 2, 5, 5)

EDGES: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    **{name: (getattr(torch, name), LARGE) for name in ("round", "floor", "ceil", "trunc", "frac")},
    **{
        name: (getattr(torch, name), WITH_NAN)
        for name in ("isnan", "isinf", "isfinite", "isposinf", "isneginf", "nan_to_num")
    },
    "nan_to_num_all": (lambda x: torch.nan_to_num(x, 7.0, 8.0, -9.0), WITH_NAN),
    "count_nonzero_of_number": (lambda x: torch.count_nonzero(x.sum(), dim=-1), SIGNED),
    **{
        f"norm_{order}_of_number": (lambda x, p=order: torch.linalg.vector_norm(x[0, 2], p), SIGNED)
        for order in (1, 2, 3, INF, 0)
    },
    "cosine_similarity_of_numbers": (lambda x: F.cosine_similarity(x[0, 2], x[0, 9], 0), SIGNED),
    # In float64: where this is 180, float32 overflows in torch.
    "soft_margin_loss_far": (
        lambda x: F.soft_margin_loss(x * 60, torch.ones_like(x), reduction="none"), SIGNED.double()
    ),
    "normalize_number": (lambda x: F.normalize(x[0, 2], dim=0), SIGNED),
    "log_softmax_of_number": (lambda x: F.log_softmax(x[0, 2], 0) + x, SIGNED),
    **{
        f"{name}_{unbiased}": (
            lambda x, f=getattr(torch, name), u=unbiased: f(x[0] * torch.arange(25), u), SIGNED
        )
        for name in ("var", "std")
        for unbiased in (False, True)
    },
    **({"take_along_dim_from_the_end": (
        lambda x: x.take_along_dim(x.round().long().clamp(-3, 3), 1), SIGNED
    )} if torch.__version__ >= "2.8" else {}),
    **{
        f"{name}_of_numbers": (
            lambda x, f=getattr(torch, name): f([x[0, 2], x[0, 7]]), SIGNED
        )
        for name in ("hstack", "vstack", "dstack", "column_stack")
    },
    "fill_by_name": (lambda x: x.clone().fill_(value=2.5) + x, SIGNED),
    "copy_by_name": (lambda x: (x * 2).copy_(non_blocking=True, other=x.exp()), SIGNED),
    "not_itself": (lambda x: x != x, WITH_NAN),
    **{name: (getattr(torch, name), ODD) for name in ("sign", "signbit", "logical_not", "atan")},
    **{
        name: (lambda x, compare=getattr(torch, name): compare(x, ODD.flip(1)), ODD)
        for name in ("gt", "ge", "lt", "le", "eq", "ne")
    },
    **{
        f"{name}_number": (lambda x, compare=getattr(torch, name): compare(x, 0.0), ODD)
        for name in ("gt", "ge", "lt", "le", "eq", "ne")
    },
    **{
        f"fake_quantize_{scale}": (
            lambda x, s=scale: torch.fake_quantize_per_tensor_affine(x, s, 3, -128, 127),
            torch.cat([LARGE, HALVES / 8, STEPS * scale, MIDDLES * scale], 1),
        )
        for scale in (0.25, 0.1, 1 / 3)
    },
    "fake_quantize_channels": (
        lambda x: torch.fake_quantize_per_channel_affine(
            x, torch.tensor([0.25, 0.1, 1 / 3]), torch.tensor([3, -4, 0]).int(), 1, -128, 127
        ),
        torch.stack([MIDDLES * 0.25, MIDDLES * 0.1, MIDDLES / 3], 1),
    ),
    "floor_divide": (lambda x: x // 7, WHOLE),
    "floor_divide_negative": (lambda x: x // -41, WHOLE),
    "remainder": (lambda x: x % 10, WHOLE),
    "fmod": (lambda x: torch.fmod(x, -3), WHOLE),
    "div_trunc": (lambda x: torch.div(x, 1000, rounding_mode="trunc"), WHOLE),
    "remainder_of_whole_floats": (lambda x: x % 1, LARGE),
    "to_integers": (lambda x: x.long(), LARGE),
    "where_log": (lambda x: torch.where(x > 0, x.log(), 0.0), SIGNED),
    "where_log_last": (lambda x: torch.where(x <= 0, 0.5, x.log()), SIGNED),
    "where_log_infinite": (lambda x: torch.where(x <= 0, INF, x.log()), SIGNED),
    "where_two_risks": (lambda x: torch.where(x > 0, x.log(), (-x).sqrt()), SIGNED),
    "where_log_broadcast": (lambda x: torch.where(x > 0, x.log(), x[:, :1]), SIGNED),
    "where_safe_division": (lambda x: torch.where(x > 0, 1 / x.relu(), x), SIGNED),
    "masked_fill_infinite": (lambda x: x.masked_fill(x > 0, -INF), SIGNED),
    "masked_fill_empty_rows": (
        lambda x: x.masked_fill(EMPTY, -INF).softmax(-1).masked_fill(EMPTY, 0), SQUARE
    ),
    "pow_of_constants": (lambda x: x ** torch.arange(-1.0, 4.0).repeat(5), SIGNED),
    "pow_of_halves": (lambda x: x ** torch.tensor([0.5, 2.0, -2.0, 1.0, 0.0]).repeat(5), SIGNED),
    "pow_of_whole": (lambda x: x ** x.round(), SIGNED),
    "pow_of_integers": (lambda x: x ** x.long(), SIGNED),
    "pow_of_zeros": (lambda x: x.relu() ** (x > 1).float(), SIGNED),
    "pow_of_fractions": (lambda x: x ** (x * 0.75).flip(1), SIGNED),
    "entr": (torch.special.entr, SIGNED),
    "gelu": (torch.nn.functional.gelu, SIGNED * 1e9),
    "erf": (torch.erf, SIGNED * 1e9),
    "sin": (torch.sin, SIGNED * 1e5),
    "tan": (torch.tan, SIGNED * 1e4),
}  # fmt: skip
