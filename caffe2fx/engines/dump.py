"""Engine `dump`: the results of another program, from its files of feature maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from caffe2fx.engines.base import Closing
from caffe2fx.errors import ShapeMismatchError
from caffe2fx.files.dump_readers import Names, read_dump
from caffe2fx.files.feature_dump import Dump
from caffe2fx.files.match_maps import check_same_input, match_maps, own_inputs
from caffe2fx.messages.message import Shape
from caffe2fx.module.loader import read_net
from caffe2fx.net.evaluate import Reference, StepwiseEvaluation
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value, is_input


class DumpEngine:
    """Gives the feature maps that a program dumped, in place of the program itself.

    Maps that the dump does not have are computed from those that it has by the layers' meaning. A
    layer fed with other bottoms than the dump's has the error that it had there. `names` and
    `layout` are those of caffe2fx.read_dump.
    """

    name = "dump"

    def __init__(self, path: str | Path, *, names: Names = None, layout: str = "NCHW") -> None:
        self._path = path
        self._dump = read_dump(path, names=names, layout=layout)

    def why_missing(self) -> str | None:
        """Return None: the files were read already."""
        return None

    def describe(self) -> str:
        """Return the number of maps, and their path."""
        return f"{len(self._dump.maps)} feature maps of {self._path}"

    def open(self, prototxt: Path, caffemodel: Path, **options: Any) -> DumpSession:
        """Find the maps of the net's layers in the dump."""
        return DumpSession(read_net(prototxt, caffemodel, **options), self._dump)


class DumpSession(Closing):
    """Holds the dump of one net."""

    def __init__(self, net: Net, dump: Dump) -> None:
        self.net = net
        self._dump = dump
        self._published: dict[str, Tensor] = {}
        self._inputs: tuple[Tensor, ...] = ()
        self._errors: dict[str, tuple[Tensor, ...]] = {}  # of each layer alone, in float64

    def reshape(self, shapes: Sequence[Shape]) -> None:
        """Match the maps to the shapes that the net has for such inputs."""
        self.net = self.net.reshaped(shapes)
        wrong = match_maps(self.net, self._dump).wrong
        if wrong:
            faults = "; ".join(f"blob {str(value)!r} {why}" for value, why in wrong.items())
            raise ShapeMismatchError(f"the dump needs maps of the net's shapes, got {faults}")

    @torch.no_grad()
    def run(self, inputs: Sequence[Tensor]) -> Iterator[tuple[Step, tuple[Tensor, ...]]]:
        """Yield each step with its tops; raise CaffeError unless the inputs are those of the dump.

        After that, other inputs give the layers' meaning plus the errors made in the dump.
        """
        if self._errors and not all(map(torch.equal, inputs, self._inputs)):
            yield from self._follow(inputs)
            return
        self._inputs = tuple(inputs)
        stream = StepwiseEvaluation(self.net, self._reference(inputs), inputs)
        for step in self.net.steps:
            stream.enter(step)
            tops = tuple(stream.values[top].float() for top in step.tops)
            if not is_input(step):
                self._errors[step.name] = self._error(step, tops, stream.values)
            results = zip(step.tops, tops, strict=True)
            self._published.update({v.blob: t for v, t in results if v in self.net.outputs})
            yield step, tops
            stream.leave(step)

    def _follow(self, inputs: Sequence[Tensor]) -> Iterator[tuple[Step, tuple[Tensor, ...]]]:
        values = dict(zip(self.net.inputs, inputs, strict=True))
        for step in self.net.steps:
            given = [values[value] for value in (step.tops if is_input(step) else step.reads)]
            tops = self.feed(step, given)
            values.update(zip(step.tops, tops, strict=True))
            self._published.update({v.blob: values[v] for v in step.tops if v in self.net.outputs})
            yield step, tops

    def _reference(self, inputs: Sequence[Tensor]) -> Reference:
        own, matched = own_inputs(self.net, self._dump), match_maps(self.net, self._dump).values
        for value, given in zip(self.net.inputs, inputs, strict=True):
            if value in own:
                check_same_input(value.blob, given, *own[value])
            matched[value] = given
        order = [top for step in self.net.steps for top in step.tops if top in matched]
        return Reference(order, lambda _: ((value, matched[value]) for value in order))

    def _error(
        self, step: Step, tops: Sequence[Tensor], values: Mapping[Value, Tensor]
    ) -> tuple[Tensor, ...]:
        meant = step.compute(values, torch.float64)
        return tuple(top - exact for top, exact in zip(tops, meant, strict=True))

    def published(self) -> Mapping[str, Tensor]:
        """Return the outputs of the dump."""
        return self._published

    def feed(self, step: Step, bottoms: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the layer's meaning for these bottoms, plus the error that it made in the dump."""
        if is_input(step):
            return tuple(bottoms)
        meant = step.compute(dict(zip(step.reads, bottoms, strict=True)), torch.float64)
        pairs = zip(meant, self._errors[step.name], strict=True)
        return tuple((exact + error).float() for exact, error in pairs)
