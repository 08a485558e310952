"""Selections by computed masks: written back they are torch.where, anything else is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import caffe2fx
import fx2caffe
from caffe2fx.engines import Engine
from tests.rows import Function

Change = Callable[[Tensor, Tensor], object]


def changed(change: Change) -> Callable[[Tensor], Tensor]:
    """Return a function that applies a change to a copy of x, given the mask of its positives."""

    def function(x: Tensor) -> Tensor:
        y = x * 1
        result = change(y, x > 0)
        return result if isinstance(result, Tensor) else y

    return function


def of_rows(change: Change) -> Callable[[Tensor], Tensor]:
    """Return a function like that of `changed`, whose mask selects whole rows."""

    def function(x: Tensor) -> Tensor:
        y = x * 1
        change(y, x.sum(-1) > 0)
        return y

    return function


def added(y: Tensor, m: Tensor) -> None:
    y[m] += 3


def scaled(y: Tensor, m: Tensor) -> None:
    y[m] *= 2


def from_another(y: Tensor, m: Tensor) -> None:
    y[m] = 1.0 - y.tanh()[m]


def computed_twice(y: Tensor, m: Tensor) -> None:
    y[y > 0.5] = (y * 2)[y > 0.5]


def functions(y: Tensor, m: Tensor) -> None:
    y[m] = F.silu(y[m] - 1).clamp(-1, 1) * y[m]


def in_place(y: Tensor, m: Tensor) -> None:
    chosen = y[m]
    F.relu_(chosen.mul_(2).sub_(1))
    y[m] = chosen


def through_an_alias(y: Tensor, m: Tensor) -> None:
    chosen = y[m]
    chosen.detach().mul_(2)
    y[m] = chosen


def before_another_write(y: Tensor, m: Tensor) -> None:
    chosen = y[m]
    y.mul_(3)
    y[m] = chosen


def cast(y: Tensor, m: Tensor) -> None:
    y[m] = (y * 4)[m].int().float()


def of_row_values(y: Tensor, m: Tensor) -> None:
    y[m] *= torch.arange(1.0, 5.0)


def fills_rows(y: Tensor, m: Tensor) -> None:
    y[m] = torch.arange(1.0, 5.0)


def puts(y: Tensor, m: Tensor) -> None:
    y.index_put_((m,), y.exp()[m])


def divided(y: Tensor, m: Tensor) -> None:
    y[m] = 2 / y[m]


def of_view(x: Tensor) -> Tensor:
    y = x * 1
    part = y[:, 1]
    part[part > 0] -= 1
    return y


def of_constant(x: Tensor) -> Tensor:
    y = torch.zeros(x.shape[1:])
    m = x[0] > 0
    y[m] += 2
    return x * y


def of_integers(x: Tensor) -> Tensor:
    y, m = (x * 4).int(), x > 0
    y[m] = (x * 4.7)[m].int()
    return x * y


WRITTEN: dict[str, Callable[[Tensor], Tensor]] = {
    "added": changed(added),
    "scaled": changed(scaled),
    "from_another": changed(from_another),
    "computed_twice": changed(computed_twice),
    "functions": changed(functions),
    "in_place": changed(in_place),
    "through_an_alias": changed(through_an_alias),
    "before_another_write": changed(before_another_write),
    "cast": changed(cast),
    "puts": changed(puts),
    "divided": changed(divided),
    "masked_scatter": changed(lambda y, m: y.masked_scatter(m, y.tanh()[m])),
    "masked_scatter_": changed(lambda y, m: y.masked_scatter_(m, y.tanh()[m])),
    "masked_select": changed(lambda y, m: y.masked_scatter(m, torch.masked_select(y, m) + 1)),
    "two": changed(lambda y, m: y.index_put((m,), torch.maximum(y[m], (y * y)[m]))),
    "rows": of_rows(added),
    "row_functions": of_rows(functions),
    "row_values": of_rows(of_row_values),
    "fills_rows": of_rows(fills_rows),
    "of_view": of_view,
    "of_constant": of_constant,
    "of_integers": of_integers,
}


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", WRITTEN)
def test_written_back(name: str, caffe: Engine, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Function(WRITTEN[name]).eval()
    x = torch.randn(2, 3, 4)
    assert not fx2caffe.check(model, x)
    made = fx2caffe.export(model, x)
    report = made.verify(caffe.name)
    assert report.ok, str(report)
    assert not made.batch_is_fixed
    files = tmp_path / "n.prototxt", tmp_path / "n.caffemodel"
    made.save(*files)
    more = torch.randn(5, 3, 4)
    torch.testing.assert_close(caffe2fx.load(*files, batch=5)(more), model(more))


def written(x: Tensor, index: object, value: Tensor | float) -> Tensor:
    y = x * 1
    y[index] = value  # type: ignore[index]
    return y


ALL = slice(None)
BESIDE: dict[str, Callable[[Tensor], Tensor]] = {
    "columns": lambda x: written(x, (ALL, ALL, x[0, 0] > 0), -3.0),
    "columns_after_all": lambda x: written(x, (..., x[0, 0] > 0), x[:, :, :1]),
    "columns_of_one_row": lambda x: written(x, (ALL, -1, x[0, 0] > 0), x[0, 0, 0]),
    "columns_of_a_part": lambda x: written(x, (ALL, slice(0, 2), x[0, 0] > 0), x[:, :2, :1] * 2),
    "rows": lambda x: written(x, (ALL, x[0, :, 0] > 0), torch.arange(1.0, 5.0)),
    "rows_of_a_part": lambda x: written(x, (ALL, x[0, :, 0] > 0, slice(1, 3)), torch.ones(1, 2)),
    "rows_of_one_column": lambda x: written(x, (ALL, x[0, :, 0] > 0, 1), 5),
    "cells_of_one_sample": lambda x: written(x, (1, x[0] > 0), 5),
    "cells_of_each_sample": lambda x: written(x, (ALL, x[0] > 0), x[:, 0, :1] * 2),
    "a_row_of_samples": lambda x: written(x, (x[:, 0, 0] > 0, ..., 0), torch.ones(1, 3)),
    "with_a_new_axis": lambda x: written(x, (None, ALL, x[0, :, 0] > 0), 2.0),
}


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", BESIDE)
def test_written_beside_numbers_and_slices(name: str, caffe: Engine, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = Function(BESIDE[name]).eval(), torch.randn(2, 3, 4)
    made = fx2caffe.export(model, x)
    report = made.verify(caffe)
    assert report.ok, str(report)
    files = tmp_path / "n.prototxt", tmp_path / "n.caffemodel"
    made.save(*files)
    more = torch.randn(2, 3, 4)
    torch.testing.assert_close(caffe2fx.load(*files)(more), model(more))


NOT_WRITTEN: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "a_value_for_each": (
        lambda x: written(x, (ALL, ALL, x[0, 0] > -9), torch.arange(4.0)), "same for each element"
    ),
    "two_masks": (
        lambda x: written(x, (0, x[0, :, 0] > -9, x[0, 0].argsort() < 3), 1.0), "a mask alone"
    ),
    "indices": (lambda x: written(x, (ALL, x[0, :, 0] > 0, [1]), 1.0), "a mask alone"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_WRITTEN)
def test_not_written(name: str) -> None:
    torch.manual_seed(0)
    function, reason = NOT_WRITTEN[name]
    with pytest.raises(fx2caffe.UnsupportedError, match=reason):
        fx2caffe.export(Function(function).eval(), torch.randn(2, 3, 4))


def nested(y: Tensor, m: Tensor) -> None:
    chosen = y[m]
    chosen[chosen > 0.5] = 0
    y[m] = chosen


def sorted_(y: Tensor, m: Tensor) -> None:
    y[m] = y[m].sort()[0]


def by_the_largest(y: Tensor, m: Tensor) -> None:
    y[m] /= y[m].max()


def of_channels(y: Tensor, m: Tensor) -> None:
    y[m] = F.prelu(y[m], torch.arange(1.0, 5.0))


def changed_mask(y: Tensor, m: Tensor) -> None:
    chosen = y[m]
    m &= y < 0.5
    y[m] = chosen


def as_many(y: Tensor, m: Tensor) -> None:
    y[m] += torch.arange(float(y[m].shape[0]))


REFUSED: dict[str, Callable[[Tensor], object]] = {
    "another_mask": lambda x: x.index_put((x > 0,), x[x > -9]),
    "changed_mask": changed(changed_mask),
    "size": lambda x: x / x[x > 0].numel(),
    "length": lambda x: x / len(x[x > 0]),
    "shape": lambda x: x / x[x > 0].shape[0],
    "sum": lambda x: x * x[x > 0].sum(),
    "accumulated": lambda x: x.index_put((x > 0,), x[x > 0], accumulate=True),
    "nested": changed(nested),
    "sorted": changed(sorted_),
    "by_the_largest": changed(by_the_largest),
    "as_many": changed(as_many),
    "channels": of_rows(of_channels),
    "returned": lambda x: x[x > 0],
    "returned_later": lambda x: x[x > 0] * 2,
    "of_no_row": lambda x: x[x > 9] * 2,
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(fx2caffe.UnsupportedError, match="depends on the data"):
        fx2caffe.export(Function(REFUSED[name]).eval(), torch.randn(2, 3, 4))
