"""One row of a table of layers: a record, its bottoms, and the judges it must agree with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod, sqrt
from zlib import crc32

import torch
from torch import Tensor

from caffe2fx.files.prototxt import text_of
from caffe2fx.layers import BatchNorm, Input, Source
from caffe2fx.layers.layer import Layer
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.verdict.maps.measures import alone_limit, difference, largest, moved
from caffe2fx.verdict.reference.second_inputs import second_input

Tops = tuple[Tensor, ...]


@dataclass(frozen=True)
class Row:
    """Holds a record with the shapes of its bottoms.

    `values` precede each bottom's random values. `as_text` is a user's way of
    writing the parameters: real Caffe is given that text, and we must read the record from it.
    `needs_files` says that real Caffe reads files for it, which test_sources makes.
    `factor` is BatchNorm's third blob. `twin_differs` says why the torch.nn module is allowed
    (and expected) to give something else than Caffe for these values. `loss_weight` is what the
    file says of the tops.
    """

    id: str
    layer: Layer
    bottoms: tuple[Shape, ...] = ()
    tops: int = 1
    values: tuple[tuple[float, ...], ...] = ()
    as_text: str = ""
    factor: float = 1.0
    twin_differs: str = ""
    needs_files: bool = False
    loss_weight: tuple[float, ...] = ()

    def inputs(self) -> list[Tensor]:
        """Return the bottoms; for a layer whose tops the caller fills, its tops."""
        generator = torch.Generator().manual_seed(crc32(self.id.encode()))
        shapes = self.bottoms
        if isinstance(self.layer, Source):
            shapes = self.layer.top_shapes((), self.tops)
        made = [torch.randn(shape, generator=generator) for shape in shapes]
        for bottom, numbers in zip(made, self.values, strict=False):
            bottom.view(-1)[: len(numbers)] = torch.tensor(numbers)
        return made

    def blobs(self) -> Tops:
        """Return random weights, scaled so that sums stay of the size of their terms."""
        generator = torch.Generator().manual_seed(crc32(self.id.encode()) ^ 1)
        shapes = self.layer.blob_shapes(self.bottoms)
        made = [
            torch.randn(shape, generator=generator) / sqrt(prod(shape[1:]) or 1) for shape in shapes
        ]
        if isinstance(self.layer, BatchNorm):
            made[1] = made[1].abs() + 0.5  # a variance
            made[2].fill_(self.factor)
        return tuple(made)

    def meaning(self, inputs: Sequence[Tensor]) -> Tops:
        """Return the tops that our record computes."""
        if isinstance(self.layer, Source):
            return tuple(inputs)
        dtype = inputs[0].dtype if inputs else torch.float32
        blobs = [blob.to(dtype) for blob in self.blobs()]
        return self.layer.compute(inputs, blobs, self.tops)

    def limits(self) -> list[float]:
        """Return how far each top may be off: the verdict's policy for a layer alone."""
        inputs = self.inputs()
        exact = self.meaning([value.double() for value in inputs])
        changed = self.meaning([value.double() for value in _others(inputs)])
        length, rounded = self.layer.accumulation_length(self.bottoms), self.meaning(inputs)
        signals = [_signal(*pair) for pair in zip(exact, changed, strict=True)]
        noises = [moved(*pair) for pair in zip(rounded, exact, strict=True)]
        return [
            alone_limit(signal, length, largest(top), noise)
            for signal, top, noise in zip(signals, exact, noises, strict=True)
        ]

    def agrees(self, mine: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
        """Fail unless two results are the same within the verdict's limits."""
        assert [tuple(top.shape) for top in mine] == [tuple(top.shape) for top in theirs]
        for one, two, limit in zip(mine, theirs, self.limits(), strict=True):
            distance = difference(one, two)
            assert distance <= limit, f"{distance:.2e} apart, {limit:.1e} allowed\n{one}\n{two}"

    def steps(self, name: str = "", *, in_place: bool = False) -> list[Step]:
        """Return the layer as a net of its own: an Input for its bottoms, and the layer."""
        name = name or self.id
        bottoms = tuple(Value(f"{name}.bottom{index}") for index in range(len(self.bottoms)))
        tops = tuple(Value(f"{name}.top{index}") for index in range(self.tops))
        tops = (bottoms[0]._replace(version=1),) if in_place else tops
        step = Step(name, self.layer, bottoms, tops, self.blobs(), loss_weight=self.loss_weight)
        return [Step(f"{name}.in", Input(shape=self.bottoms), (), bottoms), step][not bottoms :]

    def text(self, name: str = "", *, in_place: bool = False) -> str:
        """Return the prototxt of these steps, with the parameters as `spelled`."""
        steps = self.steps(name, in_place=in_place)
        if not self.as_text:
            return text_of(Net(tuple(steps), ()))
        wiring = "".join(
            f' {kind}: "{value.blob}"'
            for kind, values in (("bottom", steps[-1].bottoms), ("top", steps[-1].tops))
            for value in values
        )
        opening = f'layer {{ name: "{steps[-1].name}" type: "{self.layer.type}"{wiring}\n'
        return f"{text_of(Net(tuple(steps[:-1]), ()))}{opening}{self.as_text} }}\n"


def _others(inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the same values in other orders, one for each bottom, so that distances change."""
    changed = list(inputs)
    for index in range(len(changed)):
        changed[index:] = map(second_input, changed[index:])
    return changed


def _signal(exact: Tensor, changed: Tensor) -> float:
    """Return the verdict's signal, over finite elements; a constant's own size."""
    exact, changed = exact.double(), changed.double()
    finite = exact.isfinite() & changed.isfinite()
    size, change = largest(exact[finite]), largest((exact - changed)[finite])
    return min(size, change) if change > 0 else size


@dataclass(frozen=True)
class Refusal:
    """Holds parameters and bottoms with which Caffe aborts, and our own error.

    `here_only` gives the reason where Caffe itself does not refuse.
    """

    id: str
    type: str
    reason: str
    parameters: str = ""
    bottoms: tuple[Shape, ...] = ((2, 4, 5, 5),)
    tops: int = 1
    here_only: str = ""

    def text(self) -> str:
        """Return a net of an Input and this layer."""
        blobs = [f"in{index}" for index in range(len(self.bottoms))]
        source = text_of(
            Net((Step("in", Input(shape=self.bottoms), (), tuple(map(Value, blobs))),), ())
        )
        bottoms = "".join(f' bottom: "{blob}"' for blob in blobs)
        tops = "".join(f' top: "top{index}"' for index in range(self.tops))
        layer = f'layer {{ name: "refused" type: "{self.type}"{bottoms}{tops}'
        return f"{source if blobs else ''}{layer} {self.parameters} }}\n"
