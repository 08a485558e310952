"""Rows in real Caffe: a whole family in one net, so that one child serves all its rows."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from caffe2fx.engines.pycaffe import PycaffeEngine
from caffe2fx.errors import EngineError
from caffe2fx.module.save import weights_of
from caffe2fx.net.net import Net
from caffe2fx.weights import caffemodel
from tests.layers.row import Row, Tops

IN_PLACE = "in place "


def results(rows: Sequence[Row]) -> dict[str, Tops | EngineError]:
    """Return Caffe's results for each row, by id; also in place where the record allows it.

    Where the family's net fails, every row gets a child of its own: one bad row must not hide
    the others.
    """
    try:
        return dict(_run(rows))
    except EngineError as error:
        if len(rows) == 1:
            return {rows[0].id: error, IN_PLACE + rows[0].id: error}
        return {name: got for row in rows for name, got in results([row]).items()}


def runs_in_place(row: Row) -> bool:
    """Return whether a net may write this row's top over its bottom."""
    return bool(row.bottoms) and row.layer.overwrites(row.bottoms, row.tops) and row.tops == 1


def _run(rows: Sequence[Row]) -> dict[str, Tops]:
    named = [(row.id, row, False) for row in rows]
    named += [(IN_PLACE + row.id, row, True) for row in rows if runs_in_place(row)]
    steps = [step for name, row, over in named for step in row.steps(name, in_place=over)]
    inputs = [value for _, row, _ in named for value in row.inputs()]
    with tempfile.TemporaryDirectory() as folder:
        text, weights = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        text.write_text("".join(row.text(name, in_place=over) for name, row, over in named))
        caffemodel.write(weights, "", weights_of(Net(tuple(steps), ())))
        with PycaffeEngine().open(text, weights) as session:
            ran = {step.name: tops for step, tops in session.run(inputs)}
    return {name: ran[name] for name, _, _ in named}
