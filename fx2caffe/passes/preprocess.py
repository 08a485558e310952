"""Let the net take raw pixels: scale, mean, deviation and channel order in its first layers.

before: x -> Convolution (no padding)     after: raw -> Convolution (other weights and bias)
before: x -> Convolution (padding)        after: raw -> Scale -> Convolution (channels swapped)
before: x -> Pooling                      after: raw -> Slice -> Concat -> Scale -> Pooling
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, prod
from typing import Any, Literal

import torch
from torch import Tensor

from caffe2fx.errors import CaffeError, ShapeMismatchError
from caffe2fx.layers import Concat, Convolution, Scale, Slice
from caffe2fx.message import Shape
from caffe2fx.net import Net, Step, Value, is_input
from fx2caffe.passes.fold import Affine
from fx2caffe.passes.outputs import free


@dataclass(frozen=True)
class Preprocessing:
    """What makes the model's input of raw pixels: (pixels * scale - mean) / std.

    `mean` and `std` are one number, or one for each channel in the model's own order (RGB);
    `channel_order` is the order in which the caller feeds the exported net: OpenCV and Caffe's
    own tools read BGR. Raises CaffeError for a std or scale of 0 and for numbers that are not
    finite.

        Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), scale=1 / 255,
                      channel_order="BGR")
    """

    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0
    scale: float = 1.0
    channel_order: Literal["RGB", "BGR"] = "RGB"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", _numbers("mean", self.mean))
        object.__setattr__(self, "std", _numbers("std", self.std))
        _numbers("scale", self.scale)
        if 0 in _numbers("std", self.std) or self.scale == 0:
            raise CaffeError(f"preprocessing needs std and scale other than 0, got {self}")
        if self.channel_order not in ("RGB", "BGR"):
            raise CaffeError(f"channel_order needs to be RGB or BGR, got {self.channel_order!r}")

    @property
    def swaps(self) -> bool:
        """Whether the caller's channels come in the reverse of the model's order."""
        return self.channel_order == "BGR"

    def check(self, blob: str, shape: Shape) -> None:
        """Raise ShapeMismatchError unless inputs of that shape have channels that fit."""
        channels = shape[1] if len(shape) > 1 else 0
        if self.swaps and channels != 3:
            raise ShapeMismatchError(f"channel_order BGR needs 3 channels, got {blob!r} {shape}")
        for name, given in (("mean", self.mean), ("std", self.std)):
            values = _numbers(name, given)
            if len(values) not in (1, channels) or not channels:
                raise ShapeMismatchError(
                    f"{name} needs one number or one a channel, got {values} for {blob!r} {shape}"
                )

    def apply(self, raw: Tensor) -> Tensor:
        """What the model is fed for raw pixels (N, C, ...), in their own float type."""
        ordered = raw.flip(1) if self.swaps else raw
        return (ordered * self.scale - _column(self.mean, raw)) / _column(self.std, raw)

    def undo(self, input: Tensor) -> Tensor:
        """The raw pixels that become `input` (N, C, ...)."""
        ordered = (input * _column(self.std, input) + _column(self.mean, input)) / self.scale
        return ordered.flip(1) if self.swaps else ordered

    def affine(self, channels: int) -> Affine:
        """Factor and offset of each channel in the model's order, in float64."""
        std, mean = (
            torch.tensor(_numbers(name, given), dtype=torch.float64).expand(channels)
            for name, given in (("std", self.std), ("mean", self.mean))
        )
        return Affine(self.scale / std, -mean / std)


def _numbers(name: str, given: Any) -> tuple[float, ...]:
    values = tuple(map(float, given)) if hasattr(given, "__len__") else (float(given),)
    if not values or not all(map(isfinite, values)):
        raise CaffeError(f"{name} needs finite numbers, got {given!r}")
    return values


def _column(values: float | Sequence[float], like: Tensor) -> Tensor:
    """One number a channel, in the shape and type that `like` takes."""
    column = torch.tensor(_numbers("channels", values), dtype=torch.float64).to(like.dtype)
    return column.reshape(1, -1, *(1,) * (like.dim() - 2))


def take_raw(
    net: Net, preprocessing: Mapping[str, Preprocessing]
) -> tuple[Net, dict[Value, Value | None]]:
    """The net with raw inputs, and which value now holds what each of these inputs held.

    That is None where no value does: part of the work went into the weights of the readers.
    """
    shapes = net.shapes()
    values = {value.blob: value for value in net.inputs}
    unknown = sorted(set(preprocessing) - set(values))
    if unknown:
        raise CaffeError(f"preprocessing needs names of inputs {sorted(values)}, got {unknown}")
    places: dict[Value, Value | None] = {}
    for blob, wanted in preprocessing.items():
        wanted.check(blob, shapes[values[blob]])
        net, places[values[blob]] = _taken(net, values[blob], wanted, shapes[values[blob]])
    return net, places


def _taken(
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
        # Channels that the readers' weights put right are still in the caller's order here.
        here = Affine(*(v.flip(0) for v in affine)) if wanted.swaps and private else affine
        builder.scale(here)
    net = builder.finish()
    if private and wanted.swaps:
        net = _rewritten(net, builder.value, _swapped)
    if inside and not identity:
        caller = Affine(*(v.flip(0) for v in affine)) if wanted.swaps else affine
        net = _rewritten(net, builder.value, lambda step: _absorbed(step, caller))
    whole = not (private and wanted.swaps) and (identity or not inside)
    return net, builder.value if whole else None


class _Front:
    """Puts layers between an input and its readers."""

    def __init__(self, net: Net, value: Value) -> None:
        self.net, self.source, self.value = net, value, value
        self.steps: list[Step] = []
        self._taken = {step.name for step in net.steps}
        self._taken |= {top.blob for step in net.steps for top in step.tops}

    def scale(self, affine: Affine) -> None:
        """factor * x + offset for each channel."""
        blobs = (affine.factor.float(), affine.offset.float())
        self._add("scaled", Scale(bias_term=True), (self.value,), blobs)

    def swap(self) -> None:
        """The channels in reverse."""
        name = free(f"{self.source.blob}/channels", self._taken)
        tops = tuple(Value(free(f"{name}:{index}", self._taken)) for index in range(3))
        self.steps.append(Step(name, Slice(axis=1), (self.value,), tops))
        self._add("swapped", Concat(), tops[::-1], ())

    def _add(
        self, role: str, layer: Any, bottoms: tuple[Value, ...], blobs: tuple[Tensor, ...]
    ) -> None:
        name = free(f"{self.source.blob}/{role}", self._taken)
        self.value = Value(name)
        self.steps.append(Step(name, layer, bottoms, (self.value,), blobs))

    def finish(self) -> Net:
        """The net with the readers behind the new layers."""
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
    """Whether a step's weights can take over what is done to each channel of its bottom."""
    layer = step.layer
    if not isinstance(layer, Convolution) or len(step.reads) > 1:
        return False
    return layer.group == 1 and layer.axis == 1 and not step.params


def _pads(step: Step) -> bool:
    """Whether zeros stand beside the bottom: a raw zero is not the zero that the model pads."""
    assert isinstance(step.layer, Convolution)
    pad = step.layer.geometry(step.blobs[0].dim() - 2)[2]
    return any(pad)


def _swapped(step: Step) -> Step:
    return replace(step, blobs=(step.blobs[0].flip(1), *step.blobs[1:]))


def _absorbed(step: Step, affine: Affine) -> Step:
    """w * (factor x + offset) + b = (w factor) * x + (b + w * offset), in float64."""
    weight, *bias = (blob.double() for blob in step.blobs)
    column = (1, -1, *(1,) * (weight.dim() - 2))
    moved = (weight * affine.offset.reshape(column)).reshape(len(weight), -1).sum(1)
    blobs = ((weight * affine.factor.reshape(column)).float(), (sum(bias) + moved).float())
    assert isinstance(step.layer, Convolution) and prod(blobs[1].shape) == len(weight)
    if not bias and not affine.offset.any():
        return replace(step, blobs=blobs[:1])
    return replace(step, layer=step.layer.replace(bias_term=True), blobs=blobs)
