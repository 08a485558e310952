"""Compare a net in an engine with the feature maps of a dump.

The dump is the reference of verdict.judge: the whole net runs on the dump's inputs, and each layer
alone runs on the dump's own maps, so that a layer's own loss is separate from the loss before it.
Maps that the dump does not have are computed from those that it has by the layers' meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from caffe2fx.engines import Engine, Session
from caffe2fx.engines import engine as engine_of
from caffe2fx.engines.base import Closing
from caffe2fx.engines.embedded import EmbeddedSession
from caffe2fx.errors import CaffeError
from caffe2fx.files.dump_readers import read_dump
from caffe2fx.files.feature_dump import Dump, FeatureMap
from caffe2fx.files.match_maps import (
    Matched,
    check_same_input,
    fitted,
    match_maps,
    misfit,
    own_inputs,
)
from caffe2fx.messages.message import Shape
from caffe2fx.module.graph_module import CaffeGraphModule, as_tensors
from caffe2fx.module.loader import load
from caffe2fx.module.save import current_net
from caffe2fx.net.evaluate import Pairs, Reference, StepwiseEvaluation, own_reference
from caffe2fx.net.net import Net
from caffe2fx.net.precision import in_precision
from caffe2fx.net.step import Step, Value, is_input
from caffe2fx.verdict.judge import judge
from caffe2fx.verdict.maps.similarity import NO_SIMILARITY, Similarity, similarity
from caffe2fx.verdict.module_outputs import end_to_end_row, flattened
from caffe2fx.verdict.reference.second_inputs import second_input
from caffe2fx.verdict.result.dump_report import DumpReport, MapRow, Thresholds, as_thresholds
from caffe2fx.verdict.result.report import Row
from caffe2fx.verdict.structure.dump_faults import with_structure
from caffe2fx.weights.atomic import file_errors

Seen = Callable[[Step, Value, Tensor, Tensor, Similarity], None]
GivenThresholds = Thresholds | Mapping[str, float] | None


DUMPS = (str, Path, Dump)


def side_with_dump(
    side: Any,
    dump: str | Path | Dump,
    inputs: Any,
    engine: str | Engine,
    thresholds: GivenThresholds,
    options: Mapping[str, Any],
) -> DumpReport:
    """Compare a module, or a pair of files that run in `engine`, with a dump."""
    if isinstance(side, DUMPS):
        raise CaffeError("compare needs a net beside a dump, got two dumps")
    read = dump if isinstance(dump, Dump) else read_dump(dump)
    if isinstance(side, CaffeGraphModule):
        return compare_with_dump(side, read, inputs, thresholds=thresholds)
    if isinstance(side, nn.Module):
        return outputs_with_dump(side, read, inputs, thresholds)
    prototxt, weights = side
    return files_with_dump(
        prototxt, weights, read, inputs, engine, thresholds=thresholds, **options
    )


def files_with_dump(
    prototxt: str | Path,
    weights: str | Path,
    dump: Dump,
    inputs: Any = None,
    engine: str | Engine = "torch",
    *,
    thresholds: GivenThresholds = None,
    seen: Seen | None = None,
    strict: bool = True,
    **options: Any,
) -> DumpReport:
    """Compare a pair of files, run in `engine`, with a dump; `options` are those of load."""
    module = load(prototxt, weights, strict=strict, **options)
    runner = engine_of(engine)
    if runner.name == "torch":
        return compare_with_dump(module, dump, inputs, thresholds=thresholds, seen=seen)
    with file_errors(), runner.open(Path(prototxt), Path(weights), **options) as session:
        return compare_with_dump(module, dump, inputs, session=session, engine=runner.name,
                                 thresholds=thresholds, seen=seen)  # fmt: skip


@torch.no_grad()
def compare_with_dump(
    module: CaffeGraphModule,
    dump: Dump,
    inputs: Any = None,
    *,
    session: Session | None = None,
    engine: str = "torch",
    thresholds: GivenThresholds = None,
    seen: Seen | None = None,
) -> DumpReport:
    """Compare a net, run in `session` or else as the module, with a dump of the same inputs.

    `inputs` default to the dump's own; CaffeError where neither has them, or both and they differ.
    Where `thresholds` are given or the dump was quantized, they decide instead of the limits of
    float32. `seen` is called with each map (step, value, the net's, the dump's, measures) as it
    comes.
    """
    if module.is_optimized:
        need = "needs a module loaded without optimize, whose layers are the file's"
        raise CaffeError(f"a comparison with a dump {need}, got optimize=True")
    values = dump_inputs(module, dump, inputs)
    net = current_net(module).reshaped([tuple(value.shape) for value in values])
    matched = match_maps(net, dump)
    watched = _Watched(net, session or EmbeddedSession(module), matched, values, seen)
    reference = _reference(net, matched, values)
    chosen = as_thresholds(thresholds) or (
        Thresholds() if matched.inexact.difference(net.inputs) else None
    )
    found = judge(net, watched, reference, values, engine=engine)
    stream = StepwiseEvaluation(net, reference, [value.double() for value in values])
    judged = [watched.row(row, chosen) for row in found.rows]
    rows = with_structure(judged, net, matched, stream, chosen)
    return DumpReport(
        engine,
        rows,
        found.context,
        only_dump=matched.only_dump,
        skipped=dump.skipped,
        unmatched=str(module.caffe.unmatched),
    )


@torch.no_grad()
def outputs_with_dump(
    module: nn.Module, dump: Dump, inputs: Any, thresholds: GivenThresholds = None
) -> DumpReport:
    """Compare the outputs of a module that did not come from Caffe with those of a dump."""
    values = _module_inputs(dump, inputs)
    other = _outputs(module, [second_input(value) for value in values], dump)
    rounded = _outputs(module, values, dump)
    maps = {one.name: one for one in dump.maps}
    with in_precision(module, torch.float64) as twin:
        exact = _outputs(twin, [v.double() if v.is_floating_point() else v for v in values], dump)
    chosen = as_thresholds(thresholds)
    rows = []
    for name, value in rounded.items():
        theirs = _fitted(maps[name], value)
        row = end_to_end_row(name, theirs, exact[name], value, other[name])
        if theirs.shape != value.shape:
            row = replace(row, wrong=misfit(maps[name], tuple(value.shape)))
        found = similarity(value.float(), theirs)
        whole = MapRow(**_fields(row), found=found, found_alone=found)
        limits = chosen or (None if maps[name].is_exact else Thresholds())
        rows.append(whole if row.wrong else _judged(whole, limits))
    only_dump = [name for name in maps if name not in rounded]
    return DumpReport("torch", rows, only_dump=only_dump, skipped=dump.skipped)


def _fitted(one: FeatureMap, like: Tensor) -> Tensor:
    """Return the map in the shape of a tensor, or as it is where it does not fit."""
    array = fitted(one.value, tuple(like.shape), one.layout)
    return torch.tensor(one.value if array is None else array).float()


def _module_inputs(dump: Dump, inputs: Any) -> list[Tensor]:
    given = list(dump.inputs.values()) if inputs is None else inputs
    given = list(given.values()) if isinstance(given, Mapping) else given
    many = given if isinstance(given, (tuple, list)) else [given]
    if not many:
        raise CaffeError("compare needs inputs, which the dump does not have")
    return list(as_tensors([tuple(many)], [str(index) for index in range(len(many))]))


def _outputs(module: nn.Module, inputs: Sequence[Tensor], dump: Dump) -> dict[str, Tensor]:
    """Return the tensors that a module returns, under the names that the dump has for them."""
    result = module(*inputs)
    leaves = list(flattened(result).values())
    known = {one.name for one in dump.maps}
    keys = list(result) if isinstance(result, Mapping) else []
    names = keys if keys and known.issuperset(keys) else list(dump.outputs)
    if len(names) != len(leaves) or not known.issuperset(names):
        need = f"one that names {len(names)} of {len(known)} maps so"
        raise CaffeError(
            f"compare needs a dump that names the {len(leaves)} outputs of the module, got {need}"
            ": give the Caffe net, or use Export.compare"
        )
    return dict(zip(names, leaves, strict=True))


def dump_inputs(module: CaffeGraphModule, dump: Dump, inputs: Any) -> list[Tensor]:
    """Return the inputs of the run that a dump holds, in the net's order."""
    view = module.caffe
    own = own_inputs(view.net, dump)
    if inputs is None:
        missing = [value.blob for value in view.net.inputs if value not in own]
        if missing:
            raise CaffeError(f"compare needs inputs {missing}, which the dump does not have")
        return [own[value][0].float() for value in view.net.inputs]
    given = as_tensors((inputs,), view.inputs, view.input_ranks)
    for value, mine in zip(view.net.inputs, given, strict=True):
        if value in own:
            check_same_input(value.blob, mine, *own[value])
    return [value.float() for value in given]


def _reference(net: Net, matched: Matched, inputs: Sequence[Tensor]) -> Reference:
    """Return a reference that gives the dump on its own inputs, else the layers' meaning."""
    given = dict(zip(net.inputs, inputs, strict=True))
    known = {**{v: t for v, t in matched.values.items() if v not in given}, **given}

    def run(values: Sequence[Tensor]) -> Pairs:
        own = all(map(torch.equal, (v.float() for v in values), inputs))
        stream = StepwiseEvaluation(net, own_reference(net), values)
        for step in net.steps:
            if not own:
                stream.enter(step)
            for top in step.tops:
                if top in known:
                    yield top, known[top].to(values[0].dtype) if own else stream.values[top]
            if not own:
                stream.leave(step)

    return Reference(known.keys(), run)


class _Watched(Closing):
    """Wraps a session and measures its maps against a dump as they come."""

    def __init__(
        self,
        net: Net,
        session: Session,
        matched: Matched,
        inputs: Sequence[Tensor],
        seen: Seen | None,
    ) -> None:
        self.net, self.program = session.net, session.program
        self._inputs, self._is_own = inputs, False
        self._mine, self._session, self._matched, self._seen = net, session, matched, seen
        self._found: dict[Value, Similarity] = {}
        self._alone: dict[Value, Similarity] = {}
        self._steps: dict[int, Step] = {}  # by id of the engine's own steps
        tops = ((step, top) for step in net.steps for top in step.tops)
        self._values = {(step.name, top.blob): top for step, top in tops}

    def reshape(self, shapes: Sequence[Shape]) -> None:
        """Reshape the session."""
        self._session.reshape(shapes)
        self.net = self._session.net

    def published(self) -> Mapping[str, Tensor]:
        """Return the session's published outputs."""
        return self._session.published()

    def run(self, inputs: Sequence[Tensor]) -> Iterator[tuple[Step, tuple[Tensor, ...]]]:
        """Yield the session's run, measured if its inputs are the dump's: the judge has others."""
        self._is_own = all(map(torch.equal, inputs, self._inputs))
        for mine, (step, tops) in zip(self._mine.steps, self._session.run(inputs), strict=True):
            self._steps[id(step)] = mine
            if not is_input(mine):
                self._measure(mine, tops, self._found, self._seen)
            self.seconds = self._session.seconds
            yield step, tops

    def feed(self, step: Step, bottoms: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the session's tops for the reference's bottoms, after measuring them."""
        tops = self._session.feed(step, bottoms)
        self._measure(self._steps[id(step)], tops, self._alone, None)
        return tops

    def _measure(
        self,
        step: Step,
        tops: Sequence[Tensor],
        into: dict[Value, Similarity],
        seen: Seen | None,
    ) -> None:
        for value, top in zip(step.tops, tops, strict=True):
            if self._is_own and value in self._matched.values:
                theirs = self._matched.values[value]
                into[value] = similarity(top, theirs)
                if seen is not None:
                    seen(step, value, top, theirs, into[value])

    def row(self, row: Row, thresholds: Thresholds | None) -> MapRow:
        """Return the verdict's row with the measures, judged by the thresholds if there are any."""
        value = self._values[row.layer, row.blob]
        found = self._found.get(value, NO_SIMILARITY)
        alone = self._alone.get(value, NO_SIMILARITY)
        whole = {**_fields(row), "found": found, "found_alone": alone}
        if value in self._matched.wrong:
            return MapRow(**{**whole, "wrong": self._matched.wrong[value]})
        if value not in self._matched.values:
            return MapRow(**{**whole, "unverified": "the dump has no map of it"})
        return _judged(MapRow(**whole), thresholds)


def _judged(row: MapRow, thresholds: Thresholds | None) -> MapRow:
    """Return the row as it is, or judged by thresholds instead of the limits of float32."""
    if thresholds is None:
        return row
    fault = thresholds.fault(row.found)
    here = bool(fault and thresholds.fault(row.found_alone))
    return replace(row, alone_limit=inf, end_to_end_limit=inf, dead=False, wrong=fault,
                   at_fault=here)  # fmt: skip


def _fields(row: Row) -> dict[str, Any]:
    return {one.name: getattr(row, one.name) for one in fields(row)}
