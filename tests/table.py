"""The table of all supported functions: `python -m tests.table` writes fx2caffe/ops/README.md.

It follows from the registry of handlers and from the rows of tests/ops: each row is exported,
run in real Caffe, and said in the layers of every target that has them.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor, nn

import fx2caffe
from caffe2fx.errors import CaffeError
from caffe2fx.verdict.report import Report
from caffe2fx.weights.atomic import replacing
from fx2caffe.exporter.pipeline import Options, finish
from fx2caffe.exporter.result import Export
from fx2caffe.lowering.integer_magnitudes import IntegerRanges
from fx2caffe.lowering.lowering import Lowering
from fx2caffe.lowering.registry import handlers, spelled
from fx2caffe.targets import TARGETS
from fx2caffe.tracing.tracer import trace
from tests.ops.test_ops import ROWS
from tests.rows import Row, types

PATH = Path(__file__).parents[1] / "fx2caffe" / "ops" / "README.md"
COLUMNS = ("function", "layers", "error", "targets", "refused")
ABOUT = """\
# Supported functions

Written by `python -m tests.table` from the registry of handlers and the rows of `tests/ops`.
A name stands for the function and its spellings as method, operator and module: `F.relu` is also
`torch.relu`, `x.relu()` and `nn.ReLU`.

- **layers**: what the function becomes for target `bvlc` in its shortest row.
- **error**: the largest error of a result against float64, as a share of its signal, over all
  rows of the function, in engine `{engine}`.
- **targets**: which can say it ({targets}, or all). With a fraction: so many of its rows.
- **refused**: what is refused instead of being approximated.

{count} functions.
"""


@dataclass(frozen=True)
class Found:
    """What one row of tests/ops shows about the functions that it calls."""

    functions: frozenset[str]
    layers: tuple[str, ...] = ()
    error: float = 0.0
    targets: frozenset[str] = frozenset()
    refused: dict[str, tuple[str, ...]] = field(default_factory=dict)


def functions() -> list[str]:
    """All functions that have a handler, as a user would write them."""
    return sorted({_name(target) for target in handlers() if not isinstance(target, type)})


def _name(target: object) -> str:
    return spelled(target).removeprefix("_")  # _operator is where operator is written


def look(index: int, engine: str) -> Found:
    """Export one row, and measure it; or see why it is refused."""
    row = ROWS[index]
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if row.refused:
        return _refused(row)
    model, inputs = row.model(), tuple(row.inputs())
    exported = fx2caffe.export(model, inputs, **row.options)
    called = frozenset(_called(exported.trace.module.graph))
    report = exported.verify(engine)
    if not report.ok:
        raise AssertionError(f"row {row.id}: {report}")
    error = worst(report, exported.outputs)
    return Found(called, types(exported.net), error, frozenset(_targets(model, inputs, exported)))


def _called(graph: torch.fx.Graph) -> Iterable[str]:
    known = handlers()
    for node in graph.nodes:
        for target in (node.target, str(node.target)):
            if node.op == "call_function" and target in known:
                yield _name(target)


def _refused(row: Row) -> Found:
    """Why a row is refused, by function; nothing where that is said while it is traced."""
    model, inputs = row.model(), tuple(row.inputs())
    try:
        with torch.no_grad():
            called = frozenset(_called(trace(model, inputs).module.graph))
    except CaffeError:
        return Found(frozenset())
    try:
        fx2caffe.export(model, inputs, **row.options)
    except fx2caffe.UnsupportedError as error:
        told = [(refusal.op.removeprefix("_"), refusal.reason) for refusal in error.refusals]
        named = {name: tuple(reason for op, reason in told if op == name) for name in called}
        return Found(called, refused={name: why for name, why in named.items() if why})
    raise AssertionError(f"row {row.id} needs to be refused")


def worst(report: Report, outputs: Collection[str]) -> float:
    """The largest error of an output, as a share of its signal."""
    last = {row.blob: row for row in report.rows if row.blob in outputs}  # of those in place
    errors = [row.end_to_end / row.signal for row in last.values() if row.end_to_end and row.signal]
    return max(errors, default=0.0)


def _targets(model: nn.Module, inputs: Sequence[Tensor], exported: Export) -> Iterable[str]:
    """The targets that can say a row's model; those of one batch are asked for that batch."""
    for name, target in TARGETS.items():
        given = inputs if target.batch is None else _of_batch(target.batch, inputs, exported)
        # The other two: the model itself reads samples that a smaller batch does not have.
        with suppress(CaffeError, IndexError, RuntimeError), torch.no_grad():
            traced = trace(model, tuple(given)).module
            names = {node.name: node.name for node in traced.graph.nodes}
            integers = IntegerRanges(traced, given, names)
            lowering = Lowering(traced.graph, traced, {}, names, {}, integers=integers)
            finish(lowering.run(), Options(target))
            yield name


def _of_batch(batch: int, inputs: Sequence[Tensor], exported: Export) -> list[Tensor]:
    """The inputs with another batch, where they follow it."""
    nodes = [node for node in exported.trace.module.graph.nodes if node.op == "placeholder"]
    others = {} if exported.batch_is_fixed else dict(exported.batch.others)
    found = [others.get(node.name, value) for node, value in zip(nodes, inputs, strict=True)]
    pairs = zip(found, inputs, strict=True)
    return [value[:batch] if value.shape != other.shape else value for other, value in pairs]


def lines(found: Sequence[Found]) -> list[str]:
    """One line of the table a function."""
    return [_line(name, [row for row in found if name in row.functions]) for name in functions()]


def _line(name: str, rows: Sequence[Found]) -> str:
    taken = [row for row in rows if not row.refused]
    shortest = min(taken, key=lambda row: (len(row.functions), len(row.layers)), default=None)
    cells = (
        f"`{name}`",
        _layers(shortest.layers) if shortest else "",
        f"{max(row.error for row in taken):.1e}" if taken else "",
        _takers(taken),
        "; ".join(sorted({_reason(r) for row in rows for r in row.refused.get(name, ())})),
    )
    return f"| {' | '.join(cells)} |"


def _layers(layers: Sequence[str]) -> str:
    """Each layer type once, with its number."""
    counts = {type_: layers.count(type_) for type_ in layers}
    named = [type_ if count == 1 else f"{count} {type_}" for type_, count in counts.items()]
    return ", ".join(named) or "none"


def _takers(rows: Sequence[Found]) -> str:
    if not rows:
        return ""
    counts = {name: sum(name in row.targets for row in rows) for name in TARGETS}
    if all(count == len(rows) for count in counts.values()):
        return "all"
    return ", ".join(
        name if count == len(rows) else f"{name} {count}/{len(rows)}"
        for name, count in counts.items()
        if count
    )


def _reason(reason: str) -> str:
    return reason.replace("|", "/").replace("\n", " ").replace("<", "&lt;")


def page(found: Sequence[Found], engine: str) -> str:
    """The whole file."""
    head = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    about = ABOUT.format(targets=", ".join(TARGETS), engine=engine, count=len(functions()))
    return "\n".join([about, *head, *lines(found)]) + "\n"


def listed(text: str) -> list[str]:
    """The functions that a page lists."""
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return [line.split("`")[1] for line in rows]


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(inspect.getmodule(main)))
    parser.add_argument("--engine", default="pycaffe")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as workers:
        engines = [arguments.engine] * len(ROWS)
        found = list(workers.map(look, range(len(ROWS)), engines, chunksize=8))
    with replacing(PATH) as temporary:
        temporary.write_text(page(found, arguments.engine), encoding="utf-8")


if __name__ == "__main__":
    main()
