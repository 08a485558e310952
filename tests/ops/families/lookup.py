"""Functions that read and write at indices."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx import compat
from fx2caffe.ir import graph_functions
from tests.ops.families.base import Arguments, Random, Shape, broadcast, calls, family


def index(r: Random, shape: Shape) -> tuple[Any, ...]:
    """Draw an index for a tensor of that shape."""
    parts: list[Any] = []
    for size in shape[: r.number(0, len(shape))]:
        kind = r.choice("number", "slice", "slice", "all", "list", "mask")
        if kind == "number":
            parts.append(r.axis(size))
        elif kind == "slice":
            ends = (r.choice(None, r.number(-6, 6)) for _ in range(2))
            parts.append(slice(*ends, r.choice(None, 1, 2, 3)))
        elif kind == "list":
            parts.append(r.integers((r.choice(1, 2),), size, -size))
        elif kind == "mask":
            parts.append(torch.arange(size) == r.number(0, size - 1))
        else:
            parts.append(slice(None))
    if r.flag():
        parts.append(...)
    parts += [None] * r.number(0, 1)
    return tuple(parts)


@family(operator.getitem)
def _indexed(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    return (r.tensor(shape), index(r, shape)), {}


def _written(x: Tensor, parts: Any, value: Any) -> Tensor:
    x = x.clone()
    x[parts] = value
    return x


@calls(graph_functions.setitem, _written)
def _assigned(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    parts = index(r, shape)
    value = torch.zeros(shape)[parts]
    given = r.choice(2.5, r.tensor(value.shape), r.tensor(value.shape[1:]))
    return (r.tensor(shape), parts, given), {}


def _written_through_view(x: Tensor, axis: int, index: int, value: Tensor) -> Tensor:
    x = x.clone()
    x.transpose(0, -1).select(axis, index).mul_(value)
    return x


@calls(graph_functions.index_map, _written_through_view)
@calls(graph_functions.sample_map, _written_through_view)
def _view_written(r: Random) -> Arguments:
    shape = r.shape(2, 4, 3)
    axis = r.axis(len(shape))
    index = r.number(0, (*shape[-1:], *shape[1:-1], *shape[:1])[axis] - 1)
    return (r.tensor(shape), axis, index, r.tensor(())), {}


@family(torch.take_along_dim)
def _gathered(r: Random) -> Arguments:
    shape = r.shape(1, 3)
    axis = r.axis(len(shape))
    own = list(shape)
    own[axis] = r.number(1, 4)
    args = (r.tensor(shape), r.integers(own, shape[axis]))
    return (*args, axis), {}


@family(torch.gather)
def _gathered_first(r: Random) -> Arguments:
    (value, index, axis), options = _gathered(r)
    return (value, axis, index), options


@family(torch.scatter, torch.scatter_add)
def _scattered(r: Random) -> Arguments:
    shape = r.shape(1, 3)
    axis = r.axis(len(shape))
    own = [r.number(1, size) for size in shape]
    own[axis] = r.number(1, 3)
    indices = r.integers(own, shape[axis])
    return (r.tensor(shape), axis, indices, r.tensor(own)), {}


@family(torch.index_add, torch.index_copy)
def _added_rows(r: Random) -> Arguments:
    shape = list(r.shape(1, 4))
    axis = r.axis(len(shape))
    count = r.number(1, 4)
    indices = r.integers((count,), shape[axis])
    source = [*shape]
    source[axis] = count
    return (r.tensor(shape), axis, indices, r.tensor(source)), {}


@family(torch.index_fill)
def _filled_rows(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    return (r.tensor(shape), axis, r.integers((2,), shape[axis]), r.choice(0.0, -2.5)), {}


@family(torch.select_scatter)
def _put_slice(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    index = r.axis(shape[axis])
    part = torch.zeros(shape).select(axis, index)
    return (r.tensor(shape), r.tensor(part.shape), axis, index), {}


@family(torch.slice_scatter)
def _put_slices(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    start, stop = sorted(r.many(2, 0, shape[axis]))
    step = r.number(1, 2)
    own = list(shape)
    own[axis] = len(range(start, stop, step))
    return (r.tensor(shape), r.tensor(own), axis, start, stop, step), {}


@family(torch.index_select)
def _rows(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    return (r.tensor(shape), axis, r.integers((r.number(1, 4),), shape[axis])), {}


@family(F.one_hot)
def _one_hot(r: Random) -> Arguments:
    return (r.integers(r.shape(0, 3), 5), r.choice(5, 8)), {}


@family(F.embedding)
def _embedded(r: Random) -> Arguments:
    return (r.integers(r.shape(1, 3), 6), r.tensor((6, r.number(1, 4)))), {}


@family(torch.take)
def _take(r: Random) -> Arguments:
    value = r.tensor(r.shape(1, 3))
    return (value, r.integers(r.shape(0, 3), value.numel(), -value.numel())), {}


@family(torch.unravel_index)
def _unravelled(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    return (r.integers(r.shape(0, 3), math.prod(shape)), shape), {}


@family(torch.index_put, torch.ops.aten.index_put.default)
def _put(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    count, axes_ = r.number(1, 3), r.number(1, len(shape))
    several = r.flag()
    first = r.integers((count,), shape[0], -shape[0]) if several else torch.arange(shape[0])
    indices = (first, *(r.integers(first.shape, size, -size) for size in shape[1:axes_]))
    values = r.choice(r.tensor((len(first), *shape[axes_:])), r.tensor(()))
    return (r.tensor(shape), indices, values), {"accumulate": several}


@family(torch.scatter_reduce)
def _scattered_together(r: Random) -> Arguments:
    args, _ = _scattered(r)
    return (*args, r.choice("sum", "sum", "prod", "mean", "amax", "amin")), {
        "include_self": r.choice(True, True, False)
    }


@family(torch.masked_scatter)
def _put_in_mask(r: Random) -> Arguments:
    one, two = broadcast(r, 2)
    return (r.tensor(one), r.tensor(two, "mask"), r.tensor((256,))), {}


@family(F.embedding_bag)
def _bags(r: Random) -> Arguments:
    mode = r.choice("sum", "mean", "max")
    table = r.tensor((6, r.number(1, 4)))
    options = {"mode": mode, "padding_idx": r.choice(None, None, 2)}
    if r.flag():
        starts = torch.tensor([0, *sorted(r.many(r.number(0, 2), 0, 4))])
        return (r.integers((r.number(1, 6),), 6), table, starts), options
    words = r.integers(r.many(2, 1, 4), 6)
    if mode == "sum":
        options["per_sample_weights"] = r.choice(None, r.tensor(words.shape))
    return (words, table), options


def _first(function: Any) -> Any:
    """Return a function that gives the first result alone."""
    return lambda *args, **kwargs: function(*args, **kwargs)[0]


@calls(torch.embedding_bag, _first(torch.embedding_bag))
@calls(torch._embedding_bag, _first(torch._embedding_bag))
@calls(torch._embedding_bag_forward_only, _first(torch._embedding_bag_forward_only))
def _bags_of_export(r: Random) -> Arguments:
    mode, length = r.number(0, 2), r.number(1, 3)
    starts = r.choice(
        torch.arange(0, 3 * length, length), torch.tensor([0, *sorted(r.many(2, 0, 3 * length))])
    )
    table, words = r.tensor((6, r.number(1, 4))), r.integers((3 * length,), 6)
    given = r.tensor(words.shape) if mode == 0 and r.flag() else None
    return (table, words, starts, False, mode, False, given), {}


@family(compat.UNSAFE_MASKED_INDEX)
def _looked_up_in_mask(r: Random) -> Arguments:
    shape = r.shape(1, 3)
    count = r.number(1, 4)
    indices = [r.integers((count,), size + 2, -size) for size in shape[: r.number(1, len(shape))]]
    inside = [index < size for index, size in zip(indices, shape, strict=False)]
    mask = torch.stack(inside).all(0) & r.tensor((count,), "mask")
    mask = mask.reshape(count, *(1 for _ in shape[len(indices) :]))
    return (r.tensor(shape), mask, indices, r.choice(0.0, -1.5)), {}


@family(torch.index_reduce)
def _reduced_rows(r: Random) -> Arguments:
    args, _ = _added_rows(r)
    return (*args, r.choice("prod", "mean", "amax", "amin")), {"include_self": r.flag()}
