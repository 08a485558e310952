"""Facts that each row of tests/ops shows of the functions that it calls."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context

import torch
from torch import Tensor, nn

import fx2caffe
from caffe2fx.errors import CaffeError
from caffe2fx.verdict.result.report import Report
from fx2caffe.exporter.pipeline import Options, finish
from fx2caffe.exporter.result import Export
from fx2caffe.lowering.complex_calls import complex_handlers
from fx2caffe.lowering.integer_magnitudes import IntegerRanges
from fx2caffe.lowering.lowering import Lowering
from fx2caffe.lowering.registry import handlers, qualified_name
from fx2caffe.targets import TARGETS
from fx2caffe.tracing.batch.batch_analysis import Batch
from fx2caffe.tracing.tracer import trace
from tests.ops.test_ops import ROWS
from tests.rows import Row, types


@dataclass(frozen=True)
class Found:
    """Holds layers, error, targets and refusals of one row, and the functions it calls.

    `error` is None where no engine was asked.
    """

    functions: frozenset[str]
    layers: tuple[str, ...] = ()
    error: float | None = None
    targets: frozenset[str] = frozenset()
    refused: dict[str, tuple[str, ...]] = field(default_factory=dict)


def functions() -> list[str]:
    """Return all functions that have a handler, as a user would write them."""
    return sorted({_name(target) for target in _handled() if not isinstance(target, type)})


def _handled() -> set[object]:
    """Return what has a handler, of real values or of complex ones alone."""
    return {*handlers(), *complex_handlers()}


def _name(target: object) -> str:
    return qualified_name(target).removeprefix("_")  # _operator is where operator is written


def rows_of(name: str) -> list[int]:
    """Return the indices of the rows that call the function, refused ones among them."""
    return [index for index, row in enumerate(ROWS) if name in _calls(row)]


def _calls(row: Row) -> frozenset[str]:
    """Return the functions that a row's model calls; none if tracing refuses it."""
    with suppress(CaffeError), torch.no_grad():
        return frozenset(_called(trace(row.model(), tuple(row.inputs())).module.graph))
    return frozenset()


def _called(graph: torch.fx.Graph) -> Iterable[str]:
    known = _handled()
    for node in graph.nodes:
        for target in (node.target, str(node.target)):
            if node.op == "call_function" and target in known:
                yield _name(target)


def measured(
    indices: Sequence[int] | None, engine: str | None, targets: bool, jobs: int
) -> list[Found]:
    """Return the facts that these rows show, or all; errors and targets only where asked for."""
    chosen = range(len(ROWS)) if indices is None else indices
    count = len(chosen)
    if count < 8:
        return [look(index, engine, targets) for index in chosen]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as workers:
        asked = [engine] * count, [targets] * count
        return list(workers.map(look, chosen, *asked, chunksize=8))


def look(index: int, engine: str | None, targets: bool = True) -> Found:
    """Export one row, and measure it; or see why it is refused."""
    row = ROWS[index]
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if row.refused:
        return _refused(row)
    model, inputs = row.model(), tuple(row.inputs())
    exported = fx2caffe.export(model, inputs, **row.options)
    called = frozenset(_called(exported.trace.module.graph))
    error = None if engine is None else _error(row, exported, engine)
    takers = frozenset(_targets(model, inputs, exported)) if targets else frozenset()
    return Found(called, types(exported.net), error, takers)


def _error(row: Row, exported: Export, engine: str) -> float:
    report = exported.verify(engine)
    if not report.ok:
        raise AssertionError(f"row {row.id}: {report}")
    return worst(report, exported.outputs)


def _refused(row: Row) -> Found:
    """Return why a row is refused, by function; nothing where that is found while it is traced."""
    called = _calls(row)
    if not called:
        return Found(called)
    try:
        fx2caffe.export(row.model(), tuple(row.inputs()), **row.options)
    except fx2caffe.UnsupportedError as error:
        reported = [(refusal.op.removeprefix("_"), refusal.reason) for refusal in error.refusals]
        named = {name: tuple(reason for op, reason in reported if op == name) for name in called}
        return Found(called, refused={name: why for name, why in named.items() if why})
    raise AssertionError(f"row {row.id} needs to be refused")


def worst(report: Report, outputs: Collection[str]) -> float:
    """Return the largest error of an output, as a share of its signal."""
    last = {row.blob: row for row in report.rows if row.blob in outputs}  # of those in place
    errors = [row.end_to_end / row.signal for row in last.values() if row.end_to_end and row.signal]
    return max(errors, default=0.0)


def _targets(model: nn.Module, inputs: Sequence[Tensor], exported: Export) -> Iterable[str]:
    """Return the targets that express a row's model, at the batch for which they do."""
    for name, target in TARGETS.items():
        given = inputs if target.batch is None else _of_batch(target.batch, inputs, exported)
        # The other two: the model itself reads samples that a smaller batch does not have.
        with suppress(CaffeError, IndexError, RuntimeError), torch.no_grad():
            traced = trace(model, tuple(given)).module
            names = {node.name: node.name for node in traced.graph.nodes}
            integers = IntegerRanges(traced, given, names)
            lowering = Lowering(traced.graph, traced, Batch(), names, {}, integers=integers)
            finish(lowering.run(), Options(target))
            yield name


def _of_batch(batch: int, inputs: Sequence[Tensor], exported: Export) -> list[Tensor]:
    """Return the inputs with another batch, where they follow it."""
    nodes = [node for node in exported.trace.module.graph.nodes if node.op == "placeholder"]
    others = {} if exported.batch_is_fixed else dict(exported.batch.others)
    found = [others.get(node.name, value) for node, value in zip(nodes, inputs, strict=True)]
    pairs = zip(found, inputs, strict=True)
    return [value[:batch] if value.shape != other.shape else value for other, value in pairs]
