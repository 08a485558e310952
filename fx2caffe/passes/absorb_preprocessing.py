"""Let the net take raw pixels: scale, mean, deviation and channel order in its first layers.

before: x -> Convolution (no padding)     after: raw -> Convolution (other weights and bias)
before: x -> Convolution (padding)        after: raw -> Scale -> Convolution (channels swapped)
before: x -> Pooling                      after: raw -> Slice -> Concat -> Scale -> Pooling
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

from torch import Tensor

from caffe2fx.errors import CaffeError
from caffe2fx.layers import Concat, Convolution, Scale, Slice
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value, is_input
from caffe2fx.net.unique_names import unique_name
from caffe2fx.optimize.affine import Affine
from fx2caffe.passes.pass_result import PassResult
from fx2caffe.preprocessing import Preprocessing


def absorb_preprocessing(net: Net, preprocessing: Mapping[str, Preprocessing]) -> PassResult:
    """Make the named inputs take raw pixels; the old input is then the value behind the new layers.

    Where part of the arithmetic is absorbed in the readers' weights, no value holds the old input.
    """
    shapes = net.shapes()
    values = {value.blob: value for value in net.inputs}
    unknown = sorted(set(preprocessing) - set(values))
    if unknown:
        raise CaffeError(f"preprocessing needs names of inputs {sorted(values)}, got {unknown}")
    moved: dict[Value, tuple[Value, ...]] = {}
    for blob, wanted in preprocessing.items():
        wanted.check(blob, shapes[values[blob]])
        value = values[blob]
        net, held = _with_layers(net, value, wanted, shapes[value])
        moved[value] = () if held is None else (held,)
    return PassResult(net, moved)


def _with_layers(
    net: Net, value: Value, wanted: Preprocessing, shape: Shape
) -> tuple[Net, Value | None]:
    affine = wanted.affine(shape[1])
    identity = bool((affine.factor == 1).all() and (affine.offset == 0).all())
    readers = [step for step in net.steps if value in step.reads]
    private = value not in net.outputs and all(map(_folds, readers)) and bool(readers)
    inside = private and (not affine.offset.any() or not any(map(_pads, readers)))
    builder = _Front(net, value)
    if wanted.swaps and not private:
        builder.swap()
    if not identity and not inside:
        # Where readers' weights swap the channels, these are still in the caller's order here.
        ordered = Affine(*(v.flip(0) for v in affine)) if wanted.swaps and private else affine
        builder.scale(ordered)
    net = builder.finish()
    if private and wanted.swaps:
        net = _rewritten(net, builder.value, _swapped)
    if inside and not identity:
        caller = Affine(*(v.flip(0) for v in affine)) if wanted.swaps else affine
        net = _rewritten(net, builder.value, lambda step: _absorbed(step, caller))
    whole = not (private and wanted.swaps) and (identity or not inside)
    return net, builder.value if whole else None


class _Front:
    """Inserts layers between an input and its readers."""

    def __init__(self, net: Net, value: Value) -> None:
        self.net, self.source, self.value = net, value, value
        self.steps: list[Step] = []
        self._taken = {step.name for step in net.steps}
        self._taken |= {top.blob for step in net.steps for top in step.tops}

    def scale(self, affine: Affine) -> None:
        """Append a Scale layer: factor * x + offset for each channel."""
        blobs = (affine.factor.float(), affine.offset.float())
        self._add("scaled", Scale(bias_term=True), (self.value,), blobs)

    def swap(self) -> None:
        """Append layers that reverse the three channels."""
        name = unique_name(f"{self.source.blob}/channels", self._taken)
        tops = tuple(Value(unique_name(f"{name}:{index}", self._taken)) for index in range(3))
        self.steps.append(Step(name, Slice(axis=1), (self.value,), tops))
        self._add("swapped", Concat(), tops[::-1], ())

    def _add(
        self, suffix: str, layer: Any, bottoms: tuple[Value, ...], blobs: tuple[Tensor, ...]
    ) -> None:
        name = unique_name(f"{self.source.blob}/{suffix}", self._taken)
        self.value = Value(name)
        self.steps.append(Step(name, layer, bottoms, (self.value,), blobs))

    def finish(self) -> Net:
        """Return the net with the readers moved behind the new layers."""
        if not self.steps:
            return self.net
        at = max(i for i, step in enumerate(self.net.steps) if is_input(step)) + 1
        new = {self.source: self.value}
        rest = [step.reading(new) for step in self.net.steps]
        outputs = tuple(new.get(value, value) for value in self.net.outputs)
        return replace(self.net, steps=(*rest[:at], *self.steps, *rest[at:]), outputs=outputs)


def _rewritten(net: Net, value: Value, change: Any) -> Net:
    steps = tuple(change(step) if value in step.bottoms else step for step in net.steps)
    return replace(net, steps=steps)


def _folds(step: Step) -> bool:
    """Return whether a step's weights can absorb an affine map of each channel of its bottom."""
    layer = step.layer
    if not isinstance(layer, Convolution) or len(step.reads) > 1:
        return False
    return layer.group == 1 and layer.axis == 1 and not step.params


def _pads(step: Step) -> bool:
    """Return whether the layer pads; a padded zero in raw pixels is not the model's padded zero."""
    assert isinstance(step.layer, Convolution)
    pad = step.layer.geometry(step.blobs[0].dim() - 2)[2]
    return any(pad)


def _swapped(step: Step) -> Step:
    return replace(step, blobs=(step.blobs[0].flip(1), *step.blobs[1:]))


def _absorbed(step: Step, affine: Affine) -> Step:
    """Absorb a map: w * (factor x + offset) + b = (w factor) * x + (b + w * offset), in float64."""
    weight, *bias = (blob.double() for blob in step.blobs)
    column = (1, -1, *(1,) * (weight.dim() - 2))
    moved = (weight * affine.offset.reshape(column)).reshape(len(weight), -1).sum(1)
    blobs = ((weight * affine.factor.reshape(column)).float(), (sum(bias) + moved).float())
    assert isinstance(step.layer, Convolution) and prod(blobs[1].shape) == len(weight)
    if not bias and not affine.offset.any():
        return replace(step, blobs=blobs[:1])
    return replace(step, layer=step.layer.replace(bias_term=True), blobs=blobs)
