"""Every row of every table: exported, judged by the embedded engine and by real Caffe, reloaded."""

from __future__ import annotations

import pytest
import torch
from torch.fx import Node

import fx2caffe
from caffe2fx.engines import Engine
from fx2caffe.ir.complex_pair import has_complex
from fx2caffe.lowering.complex_calls import complex_handlers
from fx2caffe.lowering.registry import handlers, qualified_name
from fx2caffe.tracing.tracer import trace
from tests.ops import (
    activation,
    arithmetic,
    cast,
    class_loss,
    comparison,
    complex,
    convolution,
    distance,
    division,
    elementwise,
    exponential,
    fourier,
    fractional,
    gather,
    gelu,
    grid,
    histogram,
    index_map,
    indexing,
    linalg,
    lookup,
    loss,
    matmul,
    normalization,
    pooling,
    quantization,
    recurrent,
    reduction,
    resize,
    rounding,
    sampling,
    scan,
    scatter,
    search,
    selection,
    shape,
    softmax,
    sorting,
    spectrogram,
    trigonometric,
    unpooling,
    vision,
)
from tests.ops.edges import EDGES
from tests.rows import (
    Function,
    Row,
    check_exported,
    check_in_caffe,
    check_round_trip,
    exported,
    here,
)

pytestmark = pytest.mark.by_row

ALL: list[Row] = [
    *convolution.ROWS,
    *pooling.ROWS,
    *quantization.ROWS,
    *unpooling.ROWS,
    *activation.ROWS,
    *gelu.ROWS,
    *softmax.ROWS,
    *arithmetic.ROWS,
    *recurrent.ROWS,
    *reduction.ROWS,
    *normalization.ROWS,
    *elementwise.ROWS,
    *cast.ROWS,
    *complex.ROWS,
    *fourier.ROWS,
    *spectrogram.ROWS,
    *comparison.ROWS,
    *division.ROWS,
    *exponential.ROWS,
    *rounding.ROWS,
    *selection.ROWS,
    *trigonometric.ROWS,
    *shape.ROWS,
    *index_map.ROWS,
    *matmul.ROWS,
    *linalg.ROWS,
    *resize.ROWS,
    *distance.ROWS,
    *grid.ROWS,
    *gather.ROWS,
    *indexing.ROWS,
    *lookup.ROWS,
    *loss.ROWS,
    *class_loss.ROWS,
    *search.ROWS,
    *sampling.ROWS,
    *scan.ROWS,
    *scatter.ROWS,
    *sorting.ROWS,
    *vision.ROWS,
    *histogram.ROWS,
    *fractional.ROWS,
]
ROWS = here(ALL)
EXPORTED = [row for row in ROWS if not row.refused]
REFUSED = [row for row in ROWS if row.refused]
# Functions that are refused while they are traced.
TRACED = (
    "needs eval mode",
    "updates its running statistics",
    "packs",
    "reads the data",
    "embedding_renorm_ writes",
    "nonzero gives",
    "is read with another dtype",
)


@pytest.mark.parametrize("row", EXPORTED, ids=lambda row: row.id)
def test_exports(row: Row) -> None:
    model, net = exported(row)
    check_exported(row, net)
    check_round_trip(row, model, net)


@pytest.mark.pycaffe
@pytest.mark.parametrize("row", EXPORTED, ids=lambda row: row.id)
def test_in_real_caffe(row: Row, caffe: Engine) -> None:
    check_in_caffe(row, exported(row)[1], caffe)


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.id)
def test_refuses(row: Row) -> None:
    with pytest.raises(fx2caffe.UnsupportedError) as caught:
        fx2caffe.export(row.model(), tuple(row.inputs()), **row.options)
    assert row.refused in str(caught.value)
    assert caught.value.refusals[0].origin.line > 0


def test_row_ids_are_unique() -> None:
    ids = [row.id for row in ROWS]
    assert len(set(ids)) == len(ids)


def test_every_handler_has_a_row() -> None:
    seen = {
        node.target
        for function, x in EDGES.values()
        for node in trace(Function(function), (x,)).module.graph.nodes
    }
    for row in ROWS:
        if row.refused.startswith(TRACED):
            continue
        with torch.no_grad():
            graph = trace(row.model(), tuple(row.inputs())).module.graph
        called = [node.target for node in graph.nodes if node.op == "call_function"]
        seen |= {*called, *map(str, called)}
    missing = [qualified_name(t) for t in handlers() if t not in seen and not isinstance(t, type)]
    assert not missing


def test_every_handler_of_complex_values_has_a_row() -> None:
    seen: set[object] = set()
    for row in complex.ROWS + fourier.ROWS + spectrogram.ROWS:
        if not row.refused:
            with torch.no_grad():
                graph = trace(row.model(), tuple(row.inputs())).module.graph
            seen |= {node.target for node in graph.nodes if _reads_complex(node)}
    assert not [qualified_name(target) for target in complex_handlers() if target not in seen]


def _reads_complex(node: Node) -> bool:
    metas = [source.meta["value"] for source in node.all_input_nodes]
    several = [m for meta in metas for m in (meta if isinstance(meta, tuple) else [meta])]
    return any(meta.dtype.is_complex for meta in several) or has_complex((node.args, node.kwargs))
