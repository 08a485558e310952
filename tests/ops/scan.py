"""Running sums, products and extremes; differences and integrals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.rows import Row, Shape, function

LINES = ((2, 5, 7),)
TWO = LINES * 2
GRID = torch.tensor([0.0, 1.0, 1.5, 3.0, 7.0])


def scan(id: str, body: Callable[..., Any], shapes: tuple[Shape, ...] = LINES, **more: Any) -> Row:
    return Row(id, function(body), shapes, **more)


def tied(x: Tensor) -> Tensor:
    """Return a tensor with many ties."""
    return x.clamp(-0.5, 0.5)


ROWS = [
    scan("cumsum", lambda x: x.cumsum(1), layers=("Reshape", "Convolution", "Reshape")),
    scan("cumsum_last", lambda x: x.cumsum(-1), layers=("InnerProduct",)),
    scan("cumsum_long", lambda x: x.cumsum(1), shapes=((2, 2100),),
         layers=("Slice", "Slice", "Eltwise", "Concat", "Slice", "Slice", "Eltwise", "Concat",
             "Slice", "Slice", "Eltwise", "Concat", "Slice", "Slice", "Eltwise", "Concat", "Slice",
             "Slice", "Eltwise", "Concat", "Slice", "Slice", "Eltwise", "Concat", "Slice", "Slice",
             "Eltwise", "Concat", "Slice", "Slice", "Eltwise", "Concat", "Slice", "Slice",
             "Eltwise", "Concat", "Slice", "Slice", "Eltwise", "Concat", "Slice", "Slice",
             "Eltwise", "Concat", "Slice", "Slice", "Eltwise", "Concat", "Silence")),
    scan("cumsum_of_halves", lambda x: x.cumsum(1, dtype=torch.float16),
         refused="needs a result in float32"),
    scan("cumprod", lambda x: x.cumprod(2),
         layers=("Slice", "Slice", "Eltwise", "Concat", "Slice", "Slice", "Eltwise", "Concat",
             "Slice", "Slice", "Eltwise", "Concat", "Silence")),
    scan("logcumsumexp", lambda x: (x * 30).logcumsumexp(1),
         layers=("Power", "Slice", "Slice", "Eltwise", "AbsVal", "Power", "BNLL", "Eltwise",
             "Eltwise", "Concat", "Slice", "Slice", "Eltwise", "AbsVal", "Power", "BNLL",
             "Eltwise", "Eltwise", "Concat", "Slice", "Slice", "Eltwise", "AbsVal", "Power",
             "BNLL", "Eltwise", "Eltwise", "Concat", "Silence")),
    scan("cummax", lambda x: tied(x).cummax(1),
         layers=("Power", "Eltwise", "Power", "Power", "Eltwise", "Power", "Reshape",
             "Pooling", "Slice", "Flatten", "Eltwise", "Threshold", "Power", "Scale", "Reshape",
             "Pooling", "Slice", "Flatten", "Power", "Silence")),
    scan("cummin", lambda x: tied(x).cummin(-1),
         layers=("Power", "Eltwise", "Power", "Power", "Eltwise", "Power", "Power", "Reshape",
             "Pooling", "Slice", "Reshape", "Eltwise", "Threshold", "Power", "Scale", "Reshape",
             "Pooling", "Slice", "Reshape", "Power", "Silence")),
    scan("diff", lambda x: x.diff(), layers=("Slice", "Slice", "Eltwise", "Silence")),
    scan("diff_twice", lambda x: x.diff(2, dim=1),
         layers=("Slice", "Slice", "Eltwise", "Slice", "Slice", "Eltwise", "Silence")),
    scan("diff_between", lambda x, y: x.diff(dim=2, prepend=y, append=y), shapes=TWO,
         layers=("Concat", "Slice", "Slice", "Eltwise", "Silence")),
    scan("trapezoid", lambda x: torch.trapezoid(x, dx=0.5), layers=("InnerProduct", "Flatten")),
    scan("trapezoid_places", lambda x: torch.trapezoid(x, GRID, dim=1),
         layers=("Reshape", "Convolution", "Reshape", "Flatten")),
    scan("trapezoid_traced_places", lambda x, y: torch.trapezoid(x, y, dim=1), shapes=TWO,
         layers=("Slice", "Slice", "Eltwise", "Slice", "Slice", "Eltwise", "Eltwise", "Reshape",
             "Convolution", "Flatten", "Silence")),
    scan("trapz", lambda x: torch.trapz(x, dim=1),
         layers=("Reshape", "Convolution", "Reshape", "Flatten")),
    scan("cumulative_trapezoid", lambda x: torch.cumulative_trapezoid(x, GRID, dim=1),
         layers=("Reshape", "Convolution", "Reshape")),
    scan("cumulative_trapezoid_traced", lambda x, y: torch.cumulative_trapezoid(x, y, dim=2),
         shapes=TWO,
         layers=("Slice", "Slice", "Eltwise", "Slice", "Slice", "Eltwise", "Eltwise",
             "InnerProduct", "Silence")),
    scan("gradient", lambda x: torch.gradient(x, dim=2, spacing=2.0), layers=("InnerProduct",)),
    scan("gradient_default", lambda x: torch.gradient(x, dim=2, spacing=None),
         layers=("InnerProduct",)),
    scan("gradient_places", lambda x: torch.gradient(x, spacing=(GRID,), dim=1, edge_order=2),
         layers=("Reshape", "Convolution", "Reshape")),
]  # fmt: skip
