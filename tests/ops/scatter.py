"""Elements written to indices."""

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


# fmt: off
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
    write("index_put_added_by_an_empty_mask",
          lambda x: x.index_put((torch.zeros(2).bool(),), torch.ones(()), True), layers=("Power",),
          fixed_batch=True),
    write("index_put_added_along_an_axis",
          lambda x, y: torch.ops.aten.index_put(x, [None, torch.tensor([1, 0, 1])], y, True),
          (*X, (2, 3, 5)),
          layers=("Power", "Flatten", "Flatten", "Concat", "InnerProduct", "Reshape", "Flatten",
              "Flatten", "Concat", "InnerProduct", "Reshape", "Eltwise")),
    write("masked_scatter", lambda x, y: x.masked_scatter(MASK, y), ((1, 4, 5), (1, 4, 5)),
          layers=("Flatten", "Flatten", "Concat", "InnerProduct", "Reshape"), fixed_batch=True),
    write("scatter", lambda x, y: x.scatter(1, SOME, y), (*X, (2, 2, 5)),
          layers=("Flatten", "Flatten", "Concat", "Reshape", "Convolution", "Reshape",
              "Reshape"), fixed_batch=True),
    write("scatter_number", lambda x: x.scatter(1, SOME, 0.25),
          layers=("Scale",), fixed_batch=True),
    write("scatter_into_number", lambda x: x[0, 0, 0].scatter(0, torch.tensor(0), 0.5) + x,
          refused="needs a tensor with axes"),
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
              "Flatten", "Power", "Power", "Eltwise", "Eltwise")),
    write("scatter_best", lambda x: torch.zeros_like(x).scatter_(1, x.argmax(1, True), 1.0),
          layers={"Slice": 1, "Concat": 1, "ArgMax": 2, "Power": 5, "Reshape": 4, "Pooling": 1,
                  "Flatten": 3, "Tile": 1, "Embed": 1, "Im2col": 1, "Eltwise": 2}),
    write("scatter_traced_numbers", lambda x, i, y: x.scatter(1, i, y), (*X, (2, 2, 5), (2, 2, 5)),
          below=(0, 4),
          layers=("Reshape", "Im2col", "Flatten", "Embed", "Reshape", "Im2col", "Flatten",
              "Scale", "ArgMax", "Tile", "Eltwise", "Threshold", "Power", "Eltwise", "Scale",
              "Reshape", "Convolution", "Reshape", "Im2col", "Flatten", "ArgMax", "Reshape",
              "Im2col", "Flatten", "Power", "Eltwise", "Eltwise")),
    write("scatter_traced_into_constant", lambda i, y: torch.zeros(2, 3).scatter(1, i, y),
          ((2, 5), (2, 5)), below=(3,),
          layers=("Embed", "Scale", "ArgMax", "Tile", "Eltwise", "Threshold", "Power", "Eltwise",
              "Scale", "Reshape", "Convolution", "Flatten"), fixed_batch=True),
    write("scatter_unpooled", lambda x: torch.zeros_like(x).flatten(2).scatter(
          2, x.flatten(2).argsort(-1)[..., :5], x.flatten(2)[..., :5]), ((2, 3, 4, 5),),
          layers={"Flatten": 4, "Power": 6, "InnerProduct": 1, "ArgMax": 3, "Slice": 2,
                  "Reshape": 4, "Pooling": 1, "Tile": 2, "Embed": 1, "Scale": 2,
                  "Eltwise": 4, "Threshold": 1, "Convolution": 1, "Silence": 1}),
    write("index_reduce_traced",
          lambda x, i, y: x.index_reduce(-1, i, y, "amax", include_self=False),
          (*X, (3,), (2, 4, 3)), below=(0, 5),
          layers=("Reshape", "Tile", "Tile", "Embed", "Scale", "Power", "Eltwise", "ArgMax",
              "Flatten", "ArgMax", "Flatten", "Power", "Eltwise", "Eltwise", "Eltwise"),
              fixed_batch=True),
    write("index_add_traced", lambda x, i, y: x.index_add(1, i, y), (*X, (3,), (2, 3, 5)),
          below=(0, 4),
          layers=("Reshape", "Im2col", "Flatten", "Reshape", "Embed", "Tile", "Scale",
              "Reshape", "Convolution", "Reshape", "Im2col", "Flatten", "Eltwise")),
]
ROWS = [*KNOWN, *COMPUTED]
