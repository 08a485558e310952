"""The largest elements and their indices; ties among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.rows import Row, Shape, function

IMAGE = ((2, 3, 4, 5),)
LINES = ((2, 5, 7),)
# A result that is the same for all orders of the elements would have no signal.
WEIGHTS = torch.linspace(-1, 2, 35).reshape(5, 7)


def find(
    id: str, body: Callable[[Tensor], Any], shapes: tuple[Shape, ...] = LINES, **more: Any
) -> Row:
    return Row(id, function(body), shapes, **more)


def tied(x: Tensor) -> Tensor:
    """Return a tensor with many ties: zeros."""
    return x.relu()


# fmt: off
ROWS = [
    find("argmax", lambda x: x.argmax(1), layers=("Slice", "Concat", "ArgMax", "Power", "Flatten")),
    find("argmax_of_equal", lambda x: tied(x).argmax(1),
         layers=("ReLU", "Slice", "Concat", "ArgMax", "Power", "Flatten")),
    find("argmax_keepdim", lambda x: x.argmax(-1, keepdim=True),
         layers=("Slice", "Concat", "ArgMax", "Power")),
    find("argmax_long", lambda x: x.argmax(2), shapes=((2, 3, 40),),
         layers=("InnerProduct", "ArgMax", "Power", "Flatten")),
    find("argmax_of_all", lambda x: x.argmax(),
         layers=("Flatten", "Reshape", "Convolution", "Reshape", "ArgMax", "Power", "Reshape"),
             fixed_batch=True),
    find("argmin", lambda x: x.argmin(1),
         layers=("Power", "Slice", "Concat", "ArgMax", "Power", "Flatten")),
    find("argmin_of_equal", lambda x: tied(x).argmin(2),
         layers=("ReLU", "Power", "Slice", "Concat", "ArgMax", "Power", "Flatten")),
    find("argmin_image", lambda x: x.argmin(1, True), shapes=IMAGE,
         layers=("Power", "Slice", "Concat", "ArgMax", "Power")),
    find("max_with_indices", lambda x: x.max(1),
         layers=("ArgMax", "Slice", "Concat", "ArgMax", "Power", "Flatten", "Flatten")),
    find("max_with_indices_of_equal", lambda x: tied(x).max(2, keepdim=True),
         layers=("ReLU", "ArgMax", "Slice", "Concat", "ArgMax", "Power")),
    find("max_values", lambda x: x.max(1).values, layers=("ArgMax", "Flatten")),
    find("max_places", lambda x: x.max(1)[1],
         layers=("Slice", "Concat", "ArgMax", "Power", "Flatten")),
    find("min_with_indices", lambda x: (-tied(x)).min(-1),
         layers=("ReLU", "Power", "Power", "ArgMax", "Power", "Slice", "Concat", "ArgMax",
             "Power", "Flatten", "Flatten")),
    find("topk", lambda x: x.topk(3, 1), layers=("ArgMax", "ArgMax")),
    find("topk_smallest", lambda x: x.topk(2, largest=False),
         layers=("Power", "ArgMax", "Power", "ArgMax")),
    find("topk_values", lambda x: x.topk(2, 1).values, layers=("ArgMax",)),
    find("topk_unsorted", lambda x: x.topk(2, sorted=False), refused="needs sorted=True"),
    find("sort", lambda x: x.sort(),
         layers=("Power", "ArgMax", "Power", "Slice", "Concat", "ArgMax", "Power")),
    find("sort_descending", lambda x: x.sort(1, descending=True),
         layers=("ArgMax", "Slice", "Concat", "ArgMax", "Power")),
    find("sort_stable", lambda x: tied(x).sort(stable=True, dim=2),
         layers=("ReLU", "Power", "ArgMax", "Power", "Slice", "Concat", "ArgMax", "Power")),
    find("sort_stable_descending", lambda x: tied(x).sort(stable=True, dim=1, descending=True),
         layers=("ReLU", "ArgMax", "Slice", "Concat", "ArgMax", "Power")),
    find("argsort", lambda x: tied(x).argsort(1),
         layers=("ReLU", "Power", "Slice", "Concat", "ArgMax", "Power")),
    find("msort", lambda x: x[0].msort(),
         layers=("DummyData", "Crop", "Flatten", "Power", "ArgMax", "Power")),
    find("kthvalue", lambda x: x.kthvalue(2, 1),
         layers=("Power", "ArgMax", "Power", "ArgMax", "Slice", "Slice", "Flatten", "Flatten",
             "Silence")),
    find("kthvalue_late", lambda x: x.kthvalue(6, -1, keepdim=True),
         layers=("ArgMax", "ArgMax", "Slice", "Slice", "Silence")),
    find("median", lambda x: x.median(2),
         layers=("Power", "ArgMax", "Power", "ArgMax", "Slice", "Slice", "Flatten", "Flatten",
             "Silence")),
    find("median_even", lambda x: x.median(1, keepdim=True), shapes=IMAGE,
         layers=("Power", "ArgMax", "Power", "ArgMax", "Slice", "Slice", "Silence")),
    find("median_of_all", lambda x: (x * WEIGHTS).median(),
         layers=("Scale", "Flatten", "Power", "ArgMax", "Power", "Slice", "Reshape",
             "Silence"), fixed_batch=True),
    find("quantile", lambda x: x.quantile(0.3, 1),
         layers=("Power", "ArgMax", "Power", "Reshape", "Convolution", "Reshape", "Flatten")),
    find("quantiles", lambda x: x.quantile(torch.tensor([0.1, 0.5, 0.9]), 2, keepdim=True),
         layers=("Power", "ArgMax", "Power", "InnerProduct", "Reshape", "Im2col", "Reshape",
             "Reshape")),
    find("quantile_nearest", lambda x: x.quantile(0.3, 2, interpolation="nearest"),
         layers=("Power", "ArgMax", "Power", "InnerProduct", "Flatten")),
    find("quantile_midpoint", lambda x: x.quantile(0.3, 2, interpolation="midpoint"),
         layers=("Power", "ArgMax", "Power", "InnerProduct", "Flatten")),
]
