"""caffe2fx.compare: two nets on the same inputs, feature map by feature map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard, cast

import torch
from torch import Tensor, nn

from caffe2fx.engines import Engine, Session
from caffe2fx.engines import engine as engine_of
from caffe2fx.engines.embedded import EmbeddedEngine, EmbeddedSession
from caffe2fx.errors import CaffeError, EngineError, ShapeMismatchError
from caffe2fx.files.feature_dump import Dump
from caffe2fx.messages.message import Shape
from caffe2fx.module.graph_module import CaffeGraphModule, as_tensors
from caffe2fx.module.loader import describe, load, read_net
from caffe2fx.module.save import current_net
from caffe2fx.net.evaluate import Reference
from caffe2fx.net.net import Net
from caffe2fx.net.precision import in_precision
from caffe2fx.net.step import Step, Value
from caffe2fx.plain_torch import plain_torch
from caffe2fx.verdict.both_sides import weights_of
from caffe2fx.verdict.dump_comparison import DUMPS, GivenThresholds, side_with_dump
from caffe2fx.verdict.judge import judge
from caffe2fx.verdict.maps.measures import difference
from caffe2fx.verdict.module_outputs import Known, Results, flattened, output_rows
from caffe2fx.verdict.reference.second_inputs import other_inputs
from caffe2fx.verdict.result.findings import unmeasured
from caffe2fx.verdict.result.report import Report, Row, Status
from caffe2fx.verdict.structure.alignment import Alignment, align
from caffe2fx.verdict.structure.drawn import with_missing
from caffe2fx.verdict.structure.faults import Structure, places, structure
from caffe2fx.weights.atomic import file_errors
from caffe2fx.weights.pairing import check_pair

Files = tuple[str | Path, str | Path]
Side = nn.Module | Files | str | Path | Dump


@plain_torch()
def compare(
    a: Side,
    b: Side,
    inputs: Any = None,
    *,
    engine: str | Engine = "torch",
    dialect: str | None = None,
    batch: int | None = None,
    shapes: Mapping[str, Shape] | None = None,
    thresholds: GivenThresholds = None,
) -> Report:
    """Compare two nets: modules, or pairs (prototxt, caffemodel), which run in `engine`.

    The module is the reference where only one side is a pair; else `a` is. The layers of Caffe nets
    are paired by weights, names, parameters and bottoms: each is judged alone and end to end (see
    verdict.judge), and one that changed is named with both sides' parameters. A layer that one side
    alone has is a fault where others read something else for it, else it is listed. Of a module
    that did not come from Caffe, or was loaded to be optimized, the outputs are compared, also
    nested ones, by their names, else by shape and values: a Caffe net's have no order (fx2caffe's
    Export.verify knows all feature maps). An output that one side alone has is a fault.

    `engine` is a name (caffe2fx.engines.NAMES), or an Engine that is kept for many nets. `dialect`,
    `batch` and `shapes` are for the sides that are files, and mean the same as in caffe2fx.load.
    `inputs`: a tensor, a tuple, or a dict by blob name.

    A side may also be a dump of feature maps: a path, or the result of read_dump. The result is a
    DumpReport then; `inputs` default to the dump's own, and `thresholds` (a Thresholds or a dict of
    its measures) decide where they are given or the dump was quantized.

    Raises the errors of load and of the engines, and ShapeMismatchError for inputs that do not fit.
    """
    if isinstance(a, DUMPS) or isinstance(b, DUMPS):
        net, dump = (b, a) if isinstance(a, DUMPS) else (a, cast(Any, b))
        options = {"dialect": dialect, "batch": batch, "shapes": shapes}
        return side_with_dump(net, dump, inputs, engine, thresholds, options)
    if inputs is None:
        raise CaffeError("compare needs inputs where neither side is a dump, got none")
    reference, judged = (b, a) if _is_files(a) and not _is_files(b) else (a, b)
    options = {"dialect": dialect, "batch": batch, "shapes": shapes}
    module = cast(nn.Module, reference)
    if _is_files(reference):
        module = load(*cast(Files, reference), **cast(Any, options))
    values = _inputs(module, inputs)
    if not _is_files(judged) and not _has_layers(judged):
        return _by_outputs(module, _Module(cast(nn.Module, judged)), values, "torch")
    opened = _opened(judged, engine, options)
    with _naming_changes(module, judged, options), opened as (session, name):
        if _has_layers(module):
            return _by_layers(module, _net(judged, options), session, values, name)
        return _by_outputs(module, _Outputs(session), values, name)


@contextmanager
def _naming_changes(module: nn.Module, judged: Side, options: Mapping[str, Any]) -> Iterator[None]:
    """Add the layers that changed to an error of the judged files, which names a later layer."""
    try:
        yield
    except (ShapeMismatchError, EngineError) as error:
        named = _changes(module, cast(Files, judged), options) if _is_files(judged) else ""
        if not named:
            raise
        raise type(error)(f"{error}; against the reference {named}") from error


def _changes(module: nn.Module, judged: Files, options: Mapping[str, Any]) -> str:
    """Return how the parameters of layers differ from the reference's, as far as they are known."""
    if not isinstance(module, CaffeGraphModule):
        return ""
    reference = module.caffe.net
    bare = replace(reference, steps=tuple(replace(step, blobs=()) for step in reference.steps))
    try:
        found = align(describe(judged[0], None, **options), bare)
    except CaffeError:
        return ""
    changes = [f"layer {step.name!r} ({step.layer}) is missing" for step in found.missing]
    changes += [f"layer {step.name!r} ({step.layer}) is one more" for step in found.added]
    changes += [f"layer {name!r} {change}" for name, change in found.changes.items()]
    return "; ".join(changes)


@contextmanager
def _opened(
    judged: Side, engine: str | Engine, options: Mapping[str, Any]
) -> Iterator[tuple[Session, str]]:
    """Yield the judged net in its engine, and the engine's name."""
    if isinstance(judged, CaffeGraphModule):
        judged.check_files()
        yield EmbeddedSession(judged), EmbeddedEngine.name
        return
    prototxt, weights = (Path(path) for path in cast(Files, judged))
    runner = engine_of(engine)
    with file_errors():
        check_pair(prototxt, weights)
        session = runner.open(prototxt, weights, **options)
    with session:
        yield session, runner.name


def _net(judged: Side, options: Mapping[str, Any]) -> Net:
    """Return the judged net with its weights: an engine may have the text alone."""
    if isinstance(judged, CaffeGraphModule):
        return current_net(judged)
    return read_net(*cast(Files, judged), **options)


def _by_layers(
    module: CaffeGraphModule, net: Net, session: Session, inputs: Sequence[Tensor], engine: str
) -> Report:
    """Judge each layer that has a partner, list the others, and report outputs without one."""
    reference, is_cut = reference_of(module), bool(module.meta.get("caffe_is_cut"))
    found = align(net, module.caffe.net, is_cut=is_cut)
    given = dict(zip(module.caffe.net.inputs, inputs, strict=True))
    mapped = _translated(reference, found, module.caffe.net.inputs)
    ordered = [given[value] for value in found.inputs]
    report = judge(net, session, mapped, ordered, engine=engine)
    added = {step.name for step in found.added} if is_cut else set()
    rows = [row for row in report.rows if row.layer not in added]
    wrong = {row.layer for row in rows if row.status is Status.DIFFERS}
    faults = structure(net, module.caffe.net, found, (mapped, reference), (ordered, inputs), wrong)
    judged = [_explained(_fed_again(row, net, session, faults), found) for row in rows]
    before = places(net, module.caffe.net, found)
    whole = report.with_rows([*_with_structure(judged, before, faults), *_output_faults(found)])
    weights = weights_of(whole, lambda: net, module.caffe.net, found.values)
    drawn = with_missing(whole.context.net or net, found, before)
    return whole.with_context(model=module.caffe.net.name, parameters=weights, net=drawn)


def _with_structure(
    rows: Sequence[Row], before: Mapping[str, Sequence[Step]], faults: Structure
) -> Iterator[Row]:
    """Yield the rows, with the missing layers before those that depend on them."""
    left = dict(before)
    for row in rows:
        for step in left.pop(row.layer, ()):
            yield from _listed(step, faults)
        if row.layer in faults.added:
            own = f"{row.fault}; " if row.status is Status.DIFFERS else ""
            row = replace(row, wrong=own + row.note, at_fault=True)
        yield row
    for steps in left.values():
        for step in steps:
            yield from _listed(step, faults)


def _fed_again(row: Row, net: Net, session: Session, faults: Structure) -> Row:
    """Return the row with its layer's error when it is fed with what its partner reads.

    The layers without a partner have changed what it reads: that is no fault of its own.
    """
    if row.layer not in faults.readers or not row.type:
        return row
    sides = faults.readers[row.layer]
    if sides is None:
        return replace(row, alone=None)
    wanted, exact = sides
    index = next(index for index, step in enumerate(net.steps) if step.name == row.layer)
    tops = session.feed(session.net.steps[index], wanted)
    place = [top.blob for top in net.steps[index].tops].index(row.blob)
    return replace(row, alone=difference(tops[place], exact[place]))


def _translated(reference: Reference, found: Alignment, inputs: Sequence[Value]) -> Reference:
    """Return the reference in the judged net's values, for inputs in the judged net's order."""
    mine: dict[Value, list[Value]] = {}
    for value, partner in found.values.items():
        mine.setdefault(partner, []).append(value)

    def run(given: Sequence[Tensor]) -> Iterator[tuple[Value, Tensor]]:
        by_value = dict(zip(found.inputs, given, strict=True))
        for partner, tensor in reference.run([by_value[value] for value in inputs]):
            for value in mine.get(partner, ()):
                yield value, tensor

    return Reference(found.values.keys(), run)


def _explained(row: Row, found: Alignment) -> Row:
    """Return the row with a note on how its layer differs from its partner."""
    if any(step.name == row.layer for step in found.added):
        return replace(row, note="the reference has no such layer")
    change = found.changes.get(row.layer)
    if change is None:
        return row
    fault = row.fault if row.status is Status.DIFFERS else ""
    return replace(row, note=change, wrong=f"{fault}; {change}" if fault else "")


def _listed(step: Step, faults: Structure) -> Iterator[Row]:
    """Yield a row for each map that the reference alone has."""
    for top in step.tops:
        if top in faults.missing:
            wrong = f"the net has no such layer; the reference has {step.layer}"
            yield unmeasured(Row, step.name, step.layer.type, top.blob, wrong=wrong, at_fault=True)
        else:
            listed = "the reference alone has it"
            yield unmeasured(Row, step.name, step.layer.type, top.blob, unverified=listed)


def _output_faults(found: Alignment) -> Iterator[Row]:
    for value in found.missing_outputs:
        yield unmeasured(
            Row, value.blob, "", value.blob, wrong="it is an output of the reference alone"
        )
    for value in found.extra:
        yield unmeasured(Row, value.blob, "", value.blob, wrong="it is no output of the reference")


def _is_files(side: Side) -> bool:
    return isinstance(side, tuple)


def _has_layers(side: Side) -> TypeGuard[CaffeGraphModule]:
    """Return whether a side is a module that has the layers of its file: it is not optimized."""
    return isinstance(side, CaffeGraphModule) and not side.is_optimized


def _inputs(module: nn.Module, inputs: Any) -> list[Tensor]:
    if isinstance(module, CaffeGraphModule):
        module.check_files()
        values = list(as_tensors((inputs,), module.caffe.inputs, module.caffe.input_ranks))
        module.caffe.net.reshaped([tuple(value.shape) for value in values]).check_blobs()
        return values
    given = list(inputs.values()) if isinstance(inputs, Mapping) else inputs
    many = given if isinstance(given, (tuple, list)) else [given]
    return list(as_tensors(many, [str(index) for index in range(len(many))]))


def reference_of(module: CaffeGraphModule) -> Reference:
    """Return the module as the verdict's reference: it knows every value of its net."""

    def run(inputs: Sequence[Tensor]) -> Iterator[tuple[Value, Tensor]]:
        with in_precision(module, inputs[0].dtype) as typed:
            yield from typed.caffe.stream(*inputs)

    net = module.caffe.net
    return Reference({top for step in net.steps for top in step.tops}, run)


class _Module:
    """Runs a module in the precision of its inputs, and names its outputs."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def results(self, inputs: Sequence[Tensor]) -> Results:
        """Return the outputs: those of a Caffe net by blob, of others by their position."""
        if isinstance(self.module, CaffeGraphModule):
            self.module.check_files()
        with torch.no_grad(), in_precision(self.module, inputs[0].dtype) as module:
            outputs = module(*inputs)
        if not isinstance(module, CaffeGraphModule):
            return flattened(outputs)
        return dict(zip(module.caffe.outputs, flattened(outputs).values(), strict=True))


class _Outputs:
    """Runs a net in an engine; its outputs come in the order of their layers."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def results(self, inputs: Sequence[Tensor]) -> Results:
        """Return the engine's result for each output, by its blob."""
        self.session.reshape([tuple(value.shape) for value in inputs])
        order = [top for step, _ in self.session.run(inputs) for top in step.tops]
        given = self.session.published()
        names = [value.blob for value in order if value in self.session.net.outputs]
        return {name: given[name] for name in names if name in given}


def _by_outputs(
    reference: nn.Module, judged: _Module | _Outputs, inputs: Sequence[Tensor], engine: str
) -> Report:
    """Compare outputs end to end, where one side's layers are not known."""
    floats = [value.float() for value in inputs]
    runs = _Module(reference)
    known = Known(
        runs.results([value.double() for value in inputs]),
        runs.results(floats),
        [runs.results(other) for other in _others(runs, floats)],
    )
    rows = list(output_rows(known, judged.results(floats)))
    if not rows:
        raise ShapeMismatchError("compare needs nets with outputs, got none")
    return Report(engine, rows)


def _others(runs: _Module, inputs: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    """Return the first second inputs that the reference accepts."""
    for drawn in other_inputs(inputs):
        with suppress(Exception):  # errors of the model's own
            runs.results(drawn)
            return [drawn]
    return []
