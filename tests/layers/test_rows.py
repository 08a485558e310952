"""Every row of every family: text, shapes, meaning, module, and real Caffe."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

from caffe2fx.engines.pycaffe import Worker
from caffe2fx.errors import CaffeError, EngineError
from caffe2fx.files.prototxt import parse, text_of
from caffe2fx.layers import BatchNorm, Power, Source
from caffe2fx.layers.layer import BVLC, Layer
from caffe2fx.layers.normalization import normalized_statistics
from caffe2fx.layers.registry import records
from caffe2fx.module.save import weights_of
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step
from caffe2fx.weights import caffemodel
from tests.layers import (
    activation,
    affine,
    arithmetic,
    convolution,
    data,
    elementwise,
    inner_product,
    lookup,
    loss,
    neuron,
    normalization,
    pooling,
    recurrent,
    reduction,
    response,
    shape,
    transposed,
    user,
)
from tests.layers.real import IN_PLACE, results, runs_in_place
from tests.layers.row import Refusal, Row, Tops

FAMILIES = (
    convolution, transposed, inner_product, pooling, activation, neuron, arithmetic, normalization,
    affine, response, elementwise, reduction, recurrent, lookup, shape, data, loss, user,
)  # fmt: skip
ROWS = {row.id: row for family in FAMILIES for row in family.ROWS}
REFUSALS = {row.id: row for family in FAMILIES for row in family.REFUSALS}

STOCK = [kind for kind in records() if BVLC in kind.dialects]

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def over(rows: Iterator[Row]) -> Decorator:
    return pytest.mark.parametrize("row", [pytest.param(row, id=slug(row.id)) for row in rows])


def slug(id_: str) -> str:
    """Return the id without anything that a shell would take for its own."""
    return re.sub(r"[^\w.-]+", "_", id_.replace(">", "gt").replace("<", "lt")).strip("_")


every_row = over(iter(ROWS.values()))
# Of layers that read files, real Caffe is asked in test_sources.
own_rows = over(row for row in ROWS.values() if not row.needs_files)
computed_rows = over(row for row in ROWS.values() if not isinstance(row.layer, Source))


def test_every_registered_record_has_rows_and_every_id_is_used_once() -> None:
    assert {row.layer.type for row in ROWS.values()} == {kind.type for kind in STOCK}
    assert len(ROWS) == sum(len(family.ROWS) for family in FAMILIES)
    assert len(REFUSALS) == sum(len(family.REFUSALS) for family in FAMILIES)


def test_every_parameter_is_at_a_value_that_is_not_its_default_in_some_row() -> None:
    unused = {
        f"{kind.__name__}.{name}"
        for kind in STOCK
        for name, wire in kind.wires()
        if wire.number
        and not any(
            name in row.as_text or getattr(row.layer, name) != getattr(type(row.layer), name, ())
            for row in ROWS.values()
            if type(row.layer) is kind
        )
    }
    assert not unused


@every_row
def test_text_of_the_record_is_read_as_the_record(row: Row) -> None:
    for text in (text_of(Net(tuple(row.steps()), ())), row.text()):
        step = parse(text).steps[-1]
        assert (step.layer, len(step.bottoms), len(step.tops)) == (
            row.layer,
            len(row.bottoms),
            row.tops,
        )


@own_rows
def test_shapes_by_formula_are_those_of_the_meaning(row: Row) -> None:
    row.layer.check(row.bottoms, row.tops)
    formula = row.layer.top_shapes(row.bottoms, row.tops)
    if row.layer.has_dynamic_shape:
        tops = row.meaning(row.inputs())
        assert all(len(top) <= most[0] for top, most in zip(tops, formula, strict=True))
        assert [most[1:] for most in formula] == [tuple(top.shape[1:]) for top in tops]
        return
    assert formula == tuple(tuple(top.shape) for top in row.meaning(row.inputs()))
    if not isinstance(row.layer, Source):
        assert formula == Layer.top_shapes(row.layer, row.bottoms, row.tops)


@computed_rows
def test_module_computes_the_meaning_and_gives_the_weights_back(row: Row) -> None:
    module = row.layer.module(row.bottoms, row.blobs(), row.tops).eval()
    with torch.no_grad():
        made = module(*row.inputs())
    tops = made if isinstance(made, tuple) else (made,)
    if row.twin_differs:
        with pytest.raises(AssertionError):
            row.agrees(tops, row.meaning(row.inputs()))
    else:
        row.agrees(tops, row.meaning(row.inputs()))
    back = row.layer.blobs_of(module)
    assert [tuple(blob.shape) for blob in back] == list(row.layer.blob_shapes(row.bottoms))
    if isinstance(row.layer, BatchNorm):  # which divides by the factor, and multiplies again
        kept = normalized_statistics(back)
        torch.testing.assert_close(kept, normalized_statistics(row.blobs()), rtol=1e-6, atol=0)
        assert torch.equal(back[2], row.blobs()[2])
    else:
        assert all(map(torch.equal, back, row.blobs()))


@cache
def in_real_caffe(family: str) -> dict[str, Tops | EngineError]:
    rows = next(module.ROWS for module in FAMILIES if module.__name__ == family)
    return results([row for row in rows if not row.needs_files])


def real(row: Row, prefix: str = "") -> Tops:
    family = next(module for module in FAMILIES if row in module.ROWS)
    got = in_real_caffe(family.__name__)[prefix + row.id]
    if isinstance(got, EngineError):
        raise got
    return got


@pytest.mark.pycaffe
@own_rows
def test_real_caffe_computes_the_meaning(row: Row) -> None:
    row.agrees(row.meaning(row.inputs()), real(row))


@pytest.mark.pycaffe
@over(row for row in ROWS.values() if runs_in_place(row))
def test_real_caffe_computes_the_same_in_place(row: Row) -> None:
    for out_of_place, in_place in zip(real(row), real(row, IN_PLACE), strict=True):
        torch.testing.assert_close(in_place, out_of_place, rtol=0, atol=0, equal_nan=True)


@pytest.mark.pycaffe
def test_records_that_may_share_memory_are_those_whose_top_is_the_bottoms_memory() -> None:
    """A layer in place on a top changes the bottom too where both are one memory.

    Caffe itself takes none on a top whose loss_weight the file states: it makes that two blobs.
    """
    made = [row for row in ROWS.values() if row.bottoms and row.tops]
    rows = [row for row in made if not (row.as_text or row.needs_files or row.loss_weight)]
    steps: list[Step] = []
    for row in rows:
        first = row.steps()[-1].tops[0]
        over_it = Step(f"{row.id}.over", Power(shift=1), (first,), (first._replace(version=1),))
        steps += [*row.steps(), over_it]
    net = Net(tuple(steps), ())
    names = [value.blob for value in net.inputs]
    given = [value.numpy() for row in rows for value in row.inputs()]
    with tempfile.TemporaryDirectory() as folder, Worker() as worker:
        text, weights = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        text.write_text(text_of(net))
        caffemodel.write(weights, "", weights_of(net))
        worker.ask("load", prototxt=str(text), weights=str(weights), phase="TEST")
        worker.ask("run", given, blobs=names, start=0, end=len(steps) - 1, wanted=[])
        _, left = worker.ask("run", blobs=[], start=0, end=-1, wanted=names)
    sharing = {
        name.split(".bottom")[0]
        for name, before, after in zip(names, given, left, strict=True)
        if before.tobytes() != after.tobytes()
    }
    assert sharing == {row.id for row in rows if row.steps()[-1].shares_memory}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=map(slug, REFUSALS))
def test_layers_on_which_caffe_aborts_are_refused_with_a_reason(refusal: Refusal) -> None:
    with pytest.raises(CaffeError, match=refusal.reason) as error:
        parse(refusal.text(), source="net.prototxt").shapes()
    assert f"layer 'refused' ({refusal.type})" in str(error.value)
    assert "net.prototxt:" in str(error.value)


@pytest.mark.pycaffe
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=map(slug, REFUSALS))
def test_real_caffe_refuses_it_too(refusal: Refusal, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(refusal.text())
    with Worker() as worker:
        if refusal.here_only:
            worker.ask("load", prototxt=str(path), weights="", phase="TEST")
            return
        with pytest.raises(EngineError, match=r"pycaffe died \(exit -\d+\)"):
            layers = worker.ask("load", prototxt=str(path), weights="", phase="TEST")[0]["layers"]
            worker.ask("run", blobs=[], start=0, end=len(layers) - 1, wanted=[])
