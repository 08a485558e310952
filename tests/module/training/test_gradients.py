"""The gradients of every row of every layer, of the meaning and of the module, are Caffe's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from zlib import crc32

import pytest
import torch
from torch import Tensor, nn

from caffe2fx.errors import EngineError
from caffe2fx.files.prototxt import text_of
from caffe2fx.layers import BatchNorm, Input, Parameter, Pooling
from caffe2fx.layers.pooling import LOWEST
from caffe2fx.module.save import weights_of
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.verdict.maps.measures import alone_limit, difference, largest
from tests.layers.row import Row
from tests.layers.test_rows import FAMILIES, slug
from tests.module.training.real import Blobs, ask

# Caffe has no backward for these, and their values have no gradient either; that of Python
# is the user's.
WITHOUT_GRADIENT = frozenset({"Accuracy", "ArgMax", "Python", "Threshold"})
# Bottoms that are numbers of classes or rows, or marks: Caffe aborts if a gradient is asked for.
VALUES = {
    "BatchReindex": (1,), "ContrastiveLoss": (2,), "Embed": (0,), "Filter": (-1,),
    "HingeLoss": (1,), "InfogainLoss": (1, 2), "LSTM": (1,), "LSTMUnit": (2,),
    "MultinomialLogisticLoss": (1,), "RNN": (1,), "SigmoidCrossEntropyLoss": (1,),
    "SoftmaxWithLoss": (1,),
}  # fmt: skip
RECURRENT = frozenset({"LSTM", "LSTMUnit", "RNN"})


def has_gradient(row: Row) -> bool:
    if not row.bottoms or not row.tops or row.layer.type in WITHOUT_GRADIENT:
        return False
    return not has_empty_window(row)


def has_empty_window(row: Row) -> bool:
    """Return whether Caffe's MAX pooling would write its gradient before the first element."""
    tops = row.meaning(inputs(row)) if isinstance(row.layer, Pooling) else ()
    return any(bool((top == LOWEST).any()) for top in tops)


def inputs(row: Row) -> list[Tensor]:
    """Return the row's own, but for NaN and infinities, at which no gradient means anything.

    For a continuation mark that is neither 0 nor 1 Caffe's gradient is not the derivative.
    """
    values = [value.nan_to_num(0.5, 1.0, -1.0) for value in row.inputs()]
    marks = VALUES[row.layer.type] if row.layer.type in RECURRENT else ()
    return [(v > 0.5).to(v.dtype) if i in marks else v for i, v in enumerate(values)]


ROWS = {row.id: row for family in FAMILIES for row in family.ROWS if has_gradient(row)}
every_row = pytest.mark.parametrize(
    "row", [pytest.param(row, id=slug(row.id)) for row in ROWS.values()]
)


def top_gradients(row: Row) -> list[Tensor]:
    """Return the gradients that come back to each top."""
    generator = torch.Generator().manual_seed(crc32(row.id.encode()) ^ 2)
    tops = row.meaning(inputs(row))
    return [torch.randn(top.shape, generator=generator) for top in tops]


def holds_values(row: Row, bottom: int) -> bool:
    values = VALUES.get(row.layer.type, ())
    return bottom in values or bottom - len(row.bottoms) in values


def steps(row: Row) -> list[Step]:
    """Return the row as a part of a loss, with a weight for each bottom that has a gradient."""
    layer = row.steps()[-1]
    given: list[Step] = []
    for index, (value, shape) in enumerate(zip(inputs(row), row.bottoms, strict=True)):
        name = f"{row.id}.bottom{index}"
        if holds_values(row, index):
            given.append(Step(name, Input(shape=(shape,)), (), (Value(name),)))
        else:
            given.append(Step(name, Parameter(shape=shape), (), (Value(name),), (value,)))
    weight = row.loss_weight or (1.0,) * row.tops
    return [*given, Step(layer.name, layer.layer, layer.bottoms, layer.tops, layer.blobs,
                         loss_weight=weight)]  # fmt: skip


@cache
def in_real_caffe(family: str) -> Blobs | EngineError:
    try:
        return real_gradients([row for row in ROWS.values() if family_of(row) == family])
    except EngineError as error:
        return error


def real_gradients(rows: Sequence[Row]) -> Blobs:
    values = {
        f"{row.id}.bottom{index}": value
        for row in rows
        for index, value in enumerate(inputs(row))
        if holds_values(row, index)
    }
    tops = {f"{row.id}/top{i}": top for row in rows for i, top in enumerate(top_gradients(row))}
    net = Net(tuple(step for row in rows for step in steps(row)), ())
    return ask("layers", text_of(net), weights_of(net), values | tops, inputs=list(values),
               layers=[row.id for row in rows])  # fmt: skip


def family_of(row: Row) -> str:
    return next(family.__name__ for family in FAMILIES if row in family.ROWS)


def real(row: Row) -> tuple[list[Tensor], list[Tensor]]:
    """Caffe's gradients of the row's bottoms and of its blobs."""
    found = in_real_caffe(family_of(row))
    if isinstance(found, EngineError):
        found = real_gradients([row])
    bottoms = [found[f"{row.id}/bottom{index}"] for index in range(len(row.bottoms))]
    return bottoms, [found[f"{row.id}/blob{index}"] for index in range(len(row.blobs()))]


def gradients(
    run: Callable[..., Sequence[Tensor]], row: Row, values: Sequence[Tensor]
) -> list[Tensor]:
    """Return the gradients of `values`, which `run` turns into the tops; 0 where there is none."""
    leaves = [value.clone().requires_grad_() for value in values]
    tops = run(*leaves)
    pairs = list(zip(tops, top_gradients(row), strict=True))
    pairs = [(top, given.to(top.dtype)) for top, given in pairs if top.requires_grad]
    return _grad(pairs, leaves)


def _grad(pairs: Sequence[tuple[Tensor, Tensor]], leaves: Sequence[Tensor]) -> list[Tensor]:
    if not pairs:
        return [torch.zeros_like(leaf) for leaf in leaves]
    tops, given = zip(*pairs, strict=True)
    found = torch.autograd.grad(tops, leaves, given, allow_unused=True)
    return [torch.zeros_like(leaf) if one is None else one
            for one, leaf in zip(found, leaves, strict=True)]  # fmt: skip


def of_meaning(row: Row, dtype: torch.dtype = torch.float32) -> tuple[list[Tensor], list[Tensor]]:
    count = len(row.bottoms)

    def run(*values: Tensor) -> Sequence[Tensor]:
        return row.layer.compute(values[:count], values[count:], row.tops)

    found = gradients(run, row, [value.to(dtype) for value in (*inputs(row), *row.blobs())])
    return found[:count], found[count:]


def agree(row: Row, mine: Sequence[Tensor], theirs: Sequence[Tensor], exact: Sequence[Tensor]
          ) -> None:  # fmt: skip
    length = max(value.numel() for value in row.inputs())
    for one, two, reference in zip(mine, theirs, exact, strict=True):
        distance = difference(one, two)
        limit = alone_limit(largest(reference[reference.isfinite()]), length)
        assert distance <= limit, f"{distance:.2e} apart, {limit:.1e} allowed\n{one}\n{two}"


@pytest.mark.pycaffe
@every_row
def test_gradients_of_the_meaning_are_those_of_real_caffe(row: Row) -> None:
    mine, theirs, exact = of_meaning(row), real(row), of_meaning(row, torch.float64)
    agree(row, mine[0], theirs[0], exact[0])
    if isinstance(row.layer, BatchNorm):  # Caffe forbids to train its blobs
        assert not any(map(torch.any, theirs[1]))
    else:
        agree(row, mine[1], theirs[1], exact[1])


@pytest.mark.pycaffe
@every_row
def test_gradients_of_the_module_are_those_of_real_caffe(row: Row) -> None:
    module = row.layer.module(row.bottoms, row.blobs(), row.tops).eval()

    def run(*values: Tensor) -> Sequence[Tensor]:
        made = module(*values)
        return made if isinstance(made, tuple) else (made,)

    theirs, exact = real(row), of_meaning(row, torch.float64)
    mine = gradients(run, row, inputs(row))
    if isinstance(module, nn.Hardtanh):  # whose gradient on the bounds is another
        bottom = inputs(row)[0]
        bounds = (bottom == module.min_val) | (bottom == module.max_val)
        assert not mine[0][bounds].any() and theirs[0][0][bounds].all()
        mine[0][bounds] = theirs[0][0][bounds]
    agree(row, mine, theirs[0], exact[0])
