"""caffe2fx.compare: two nets on the same inputs, feature map by feature map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from caffe2fx.engines import Engine, Session
from caffe2fx.engines import engine as engine_of
from caffe2fx.errors import CaffeError, ShapeMismatchError
from caffe2fx.files.feature_dump import Dump
from caffe2fx.messages.message import Shape
from caffe2fx.module.graph_module import CaffeGraphModule, as_tensors
from caffe2fx.module.loader import load
from caffe2fx.net.evaluate import Reference, in_precision
from caffe2fx.net.net import Net
from caffe2fx.net.step import Value
from caffe2fx.verdict.dump_comparison import DUMPS, GivenThresholds, side_with_dump
from caffe2fx.verdict.judge import end_to_end_row, judge
from caffe2fx.verdict.report import Report, Row
from caffe2fx.verdict.second_inputs import another
from caffe2fx.weights.atomic import file_errors
from caffe2fx.weights.pairing import check_pair

Files = tuple[str | Path, str | Path]
Side = nn.Module | Files | str | Path | Dump
Results = Mapping[str, Tensor]


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

    The module is the reference where only one side is a pair; else `a` is. Where both have the
    same layers, each layer is also judged alone (see verdict.judge). Otherwise blobs of equal
    names are compared end to end, and the outputs in their order; of a module that did not come
    from Caffe, the outputs (fx2caffe's Export.verify knows its feature maps).

    `engine` is a name (caffe2fx.engines.NAMES), or an Engine that is kept for many nets.
    `dialect`, `batch` and `shapes` are for the sides that are files, and mean what they mean in
    caffe2fx.load.
    `inputs`: a tensor, a tuple, or a dict by blob name.

    A side may also be a dump of feature maps: a path, or what read_dump gives. The result is a
    DumpReport then; `inputs` default to the dump's own, and `thresholds` (a Thresholds or a dict
    of its measures) decide where they are given or the dump was quantized.

    Raises what load and the engines raise, and ShapeMismatchError for inputs that do not fit.
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
    if not _is_files(judged):
        theirs = _Module(cast(nn.Module, judged))
        return _by_name(_Module(module), theirs.results, values, "torch")
    prototxt, weights = (Path(path) for path in cast(Files, judged))
    with file_errors():
        check_pair(prototxt, weights)
    runner = engine_of(engine)
    with file_errors(), runner.open(prototxt, weights, **options) as session:
        if isinstance(module, CaffeGraphModule) and _same_layers(module.caffe.net, session.net):
            known = reference_of(module)
            return judge(module.caffe.net, session, known, values, engine=runner.name)
        numbered = not _is_part(module, session.net)
        return _by_name(_Module(module), _runner(session, numbered), values, runner.name)


def _is_part(module: nn.Module, net: Net) -> bool:
    """Whether a module's outputs are blobs of the net: then their names say what to compare."""
    blobs = net.names().keys()
    return isinstance(module, CaffeGraphModule) and blobs >= set(module.caffe.outputs)


def _is_files(side: Side) -> bool:
    return isinstance(side, tuple)


def _inputs(module: nn.Module, inputs: Any) -> list[Tensor]:
    if isinstance(module, CaffeGraphModule):
        module.check_files()
        values = list(as_tensors((inputs,), module.caffe.inputs, module.caffe.input_ranks))
        module.caffe.net.reshaped([tuple(value.shape) for value in values]).check_blobs()
        return values
    given = list(inputs.values()) if isinstance(inputs, Mapping) else inputs
    many = given if isinstance(given, (tuple, list)) else [given]
    return list(as_tensors(many, [str(index) for index in range(len(many))]))


def _same_layers(one: Net, two: Net) -> bool:
    return [(s.name, s.layer, s.reads, s.tops) for s in one.steps] == [
        (s.name, s.layer, s.reads, s.tops) for s in two.steps
    ]


def reference_of(module: CaffeGraphModule) -> Reference:
    """The module as the verdict's reference: it knows every value of its net."""

    def run(inputs: Sequence[Tensor]) -> Iterator[tuple[Value, Tensor]]:
        with in_precision(module, inputs[0].dtype) as typed:
            yield from typed.caffe.stream(*inputs)

    net = module.caffe.net
    return Reference({top for step in net.steps for top in step.tops}, run)


def _runner(session: Session, numbered: bool) -> Callable[[Sequence[Tensor]], Results]:
    def run(inputs: Sequence[Tensor]) -> Results:
        session.reshape([tuple(value.shape) for value in inputs])
        found: dict[Value, Tensor] = {}
        for step, tops in session.run(inputs):
            found.update(zip(step.tops, tops, strict=True))
        named = {name: found[value] for name, value in session.net.names().items()}
        outputs = [found[value] for value in session.net.outputs]
        return {**named, **(_numbered(outputs) if numbered else {})}

    return run


def _numbered(outputs: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"output {index}": value for index, value in enumerate(outputs)}


class _Module:
    """Results of a module by name: Caffe's blobs, and the outputs by number."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def results(self, inputs: Sequence[Tensor]) -> Results:
        """What the module gives for inputs of their own precision."""
        if isinstance(self.module, CaffeGraphModule):
            self.module.check_files()
        with torch.no_grad(), in_precision(self.module, inputs[0].dtype) as module:
            if not isinstance(module, CaffeGraphModule):
                return _numbered(_tensors(module(*inputs)))
            blobs = module.caffe.blobs(*inputs)
        return {**blobs, **_numbered([blobs[name] for name in module.caffe.outputs])}


def _tensors(outputs: Any) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    parts = outputs.values() if isinstance(outputs, Mapping) else outputs
    return [part for part in parts if isinstance(part, Tensor)]


def _by_name(
    reference: _Module,
    judged: Callable[[Sequence[Tensor]], Results],
    inputs: Sequence[Tensor],
    engine: str,
) -> Report:
    """End to end only: results that both sides have under one name, and the outputs in order."""
    exact = reference.results([value.double() for value in inputs])
    rounded = reference.results([value.float() for value in inputs])
    other = reference.results([another(value).float() for value in inputs])
    mine = judged([value.float() for value in inputs])
    rows: list[Row] = [
        end_to_end_row(name, mine[name], exact[name], rounded[name], other[name])
        for name in exact
        if name in mine
    ]
    if not rows:
        raise ShapeMismatchError("compare needs nets with results of equal names, got none")
    return Report(engine, rows)
