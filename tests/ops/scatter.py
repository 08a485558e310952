"""Numbers written to places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.rows import Row, Shape, function

X = ((2, 4, 5),)
SOME = torch.tensor([[[2, 0, 1, 1, 3]], [[0, 1, 2, 3, 0]]])
MASK = torch.arange(20).reshape(4, 5) % 3 == 0


def write(id: str, body: Callable[..., Any], shapes: tuple[Shape, ...] = X, **more: Any) -> Row:
    return Row(id, function(body), shapes, **more)


KNOWN = [
    write("select_scatter", lambda x, y: x.select_scatter(y, 1, 2), (*X, (2, 5)),
          layers=("Flatten", "Concat", "InnerProduct", "Reshape")),
    write("slice_scatter", lambda x, y: x.slice_scatter(y, 2, 1, 5, 2), (*X, (2, 4, 2)),
          layers=("Flatten", "Flatten", "Concat", "InnerProduct", "Reshape")),
    write("diagonal_scatter", lambda x, y: x.diagonal_scatter(y, 1, 1, 2), (*X, (2, 4)),
          layers=("Flatten", "Concat", "InnerProduct", "Reshape")),
    write("index_fill", lambda x: x.index_fill(1, torch.tensor([0, 3]), 0.5), layers=("Scale",)),
    write("index_copy", lambda x, y: x.index_copy(2, torch.tensor([4, 0]), y), (*X, (2, 4, 2)),
          layers=("Flatten", "Flatten", "Concat", "InnerProduct", "Reshape")),
    write("index_put", lambda x, y: x.index_put((torch.tensor([1, 0]), torch.tensor([0, 3])), y),
          (*X, (2, 5)),
          layers=("Flatten", "Flatten", "Concat", "Reshape", "Convolution", "Reshape",
              "Reshape"), fixed_batch=True),
    write("index_put_added", lambda x, y: x.index_put((torch.tensor([1, 0]),), y, True),
          (*X, (2, 4, 5)), refused="needs accumulate=False"),
    write("masked_scatter", lambda x, y: x.masked_scatter(MASK, y), ((1, 4, 5), (1, 4, 5)),
          layers=("Flatten", "Flatten", "Concat", "InnerProduct", "Reshape"), fixed_batch=True),
    write("scatter", lambda x, y: x.scatter(1, SOME, y), (*X, (2, 2, 5)),
          layers=("Flatten", "Flatten", "Concat", "Reshape", "Convolution", "Reshape",
              "Reshape"), fixed_batch=True),
    write("scatter_number", lambda x: x.scatter(1, SOME, 0.25),
          layers=("Scale",), fixed_batch=True),
    write("scatter_into_constant", lambda y: torch.zeros(2, 4, 5).scatter(1, SOME, y),
          ((2, 1, 5),),
          layers=("DummyData", "Flatten", "Flatten", "Concat", "Reshape", "Convolution",
              "Reshape", "Reshape"), fixed_batch=True),
    write("index_add", lambda x, y: x.index_add(1, torch.tensor([2, 0, 2]), y, alpha=0.5),
          (*X, (2, 3, 5)), layers=("Reshape", "Convolution", "Reshape", "Eltwise")),
    write("scatter_add", lambda x, y: x.scatter_add(1, SOME, y), (*X, (2, 2, 5)),
          layers=("Parameter", "Reshape", "Embed", "Slice", "Flatten", "Scale", "Reshape",
              "Convolution", "Reshape", "Im2col", "Flatten", "Eltwise", "Silence"),
              fixed_batch=True),
]
COMPUTED = [
    write("scatter_traced", lambda x, i: x.scatter(1, i, 0.5), (*X, (2, 2, 5)), below=(0, 4),
          layers=("Reshape", "Im2col", "Flatten", "Embed", "ArgMax", "Reshape", "Im2col",
              "Flatten", "Power", "Eltwise", "Power", "Eltwise")),
    write("scatter_best", lambda x: torch.zeros_like(x).scatter_(1, x.argmax(1, True), 1.0),
          layers=("Slice", "Concat", "ArgMax", "Power", "Reshape", "Embed", "ArgMax",
              "Reshape", "Im2col", "Flatten", "Power"), fixed_batch=True),
    write("scatter_traced_numbers", lambda x, i, y: x.scatter(1, i, y), (*X, (2, 2, 5), (2, 2, 5)),
          below=(0, 4), refused="needs a constant index"),
    write("scatter_add_traced", lambda x, i, y: x.scatter_add(2, i, y),
          (*X, (2, 4, 3), (2, 4, 3)), below=(0, 5),
          layers=("Embed", "Scale", "Reshape", "Convolution", "Reshape", "Eltwise")),
    write("scatter_reduce", lambda x, i, y: x.scatter_reduce(1, i, y, "sum"),
          (*X, (2, 2, 5), (2, 2, 5)), below=(0, 4),
          layers=("Reshape", "Im2col", "Flatten", "Embed", "Reshape", "Im2col", "Flatten",
              "Scale", "Reshape", "Convolution", "Reshape", "Im2col", "Flatten", "Eltwise")),
    write("scatter_reduce_largest", lambda x, i, y: x.scatter_reduce(1, i, y, "amax"),
          (*X, (2, 2, 5), (2, 2, 5)), below=(0, 4), refused="needs reduce='sum'"),
    write("index_add_traced", lambda x, i, y: x.index_add(1, i, y), (*X, (3,), (2, 3, 5)),
          below=(0, 4),
          layers=("Reshape", "Im2col", "Flatten", "Reshape", "Embed", "Tile", "Scale",
              "Reshape", "Convolution", "Reshape", "Im2col", "Flatten", "Eltwise")),
    write("index_copy_traced", lambda x, i, y: x.index_copy(1, i, y), (*X, (1,), (2, 1, 5)),
          below=(0, 4), refused="needs a constant index"),
]
ROWS = [*KNOWN, *COMPUTED]
