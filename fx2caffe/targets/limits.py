"""Limits that targets set on shapes, on windows and on the values of fields."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import fields
from typing import Any

from caffe2fx.layers import (
    BatchNorm,
    BatchNormScaleBias,
    Convolution,
    Eltwise,
    InnerProduct,
    Input,
    Pooling,
    PoolMethod,
    Slice,
)
from caffe2fx.layers.convolution import Windows
from caffe2fx.layers.layer import Layer
from caffe2fx.messages.message import Shape
from fx2caffe.targets.limit import Limit

Shapes = Sequence[Shape]


def only(field: str, *values: Any) -> Limit:
    """Return a limit: the field of that name has one of these values."""
    allowed = " or ".join(str(getattr(value, "name", value)) for value in values)

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        value = getattr(layer, field)
        text = getattr(value, "name", value)
        return None if value in values else f"needs {field} {allowed}, got {text}"

    return Limit(f"{field} {allowed}", fault)


def rank(most: int) -> Limit:
    """Return a limit: bottoms and tops have at most so many axes."""
    return _shapes(f"at most {most} axes", lambda shape: len(shape) <= most)


def least_rank(least: int, but_for: Sequence[str] = ()) -> Limit:
    """Return a limit: at least so many axes, at least one for the layer types in `but_for`."""
    few = _shapes("at least 1 axis", lambda shape: len(shape) >= 1)
    many = _shapes(f"at least {least} axes", lambda shape: len(shape) >= least)

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        limit = few if layer.type in but_for else many
        return limit.fault(layer, bottoms, tops)

    return Limit(f"{many.text} ({', '.join(but_for)}: 1)" if but_for else many.text, fault)


def images() -> Limit:
    """Return a limit: bottoms have four axes (batch, channels, height, width)."""

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        other = next((shape for shape in bottoms if len(shape) != 4), None)
        return None if other is None else f"needs a bottom of 4 axes, got {tuple(other)}"

    return Limit("bottoms of 4 axes", fault)


def batch(size: int) -> Limit:
    """Return a limit: axis 0 of images, inputs and InnerProduct's bottoms has that size."""

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        least = 1 if isinstance(layer, Input | InnerProduct) else 4
        for shape in (*bottoms, *tops):
            if len(shape) >= least and shape[0] != size:
                return f"needs batch {size}, got {tuple(shape)}"
        return None

    return Limit(f"batch {size}", fault)


def side(most: int) -> Limit:
    """Return a limit: height and width of images are at most that."""
    return _shapes(f"height and width at most {most}", lambda shape: max((*shape[2:4], 0)) <= most)


def _shapes(text: str, fits: Callable[[Shape], bool]) -> Limit:
    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        bad = next((shape for shape in (*bottoms, *tops) if not fits(shape)), None)
        return None if bad is None else f"needs {text}, got {tuple(bad)}"

    return Limit(text, fault)


def nonnegative_axis() -> Limit:
    """Return a limit: axes are counted from the front."""

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        for item in fields(layer):  # type: ignore[arg-type]
            value = getattr(layer, item.name)
            axes = value if isinstance(value, tuple) else (value,)
            if item.name == "axis" and any(axis is not None and axis < 0 for axis in axes):
                return f"needs an axis counted from the front, got {value}"
        return None

    return Limit("axes counted from the front", fault)


def bottoms(most: int) -> Limit:
    """Return a limit: a layer has at most so many bottoms."""

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        return None if len(bottoms) <= most else f"needs at most {most} bottom, got {len(bottoms)}"

    return Limit(f"at most {most} bottom(s)", fault)


def tops(most: int) -> Limit:
    """Return a limit: a layer has at most so many tops."""

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        return None if len(tops) <= most else f"needs at most {most} top, got {len(tops)}"

    return Limit(f"at most {most} top(s)", fault)


_WINDOW = ("kernel", "stride", "pad", "dilation")


def window(part: str, allowed: Container[int], text: str) -> Limit:
    """Return a limit: kernel, stride, pad or dilation (`part`) is in `allowed` on every axis.

    `text` describes the allowed values in words.
    """

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        sides = _geometry(layer, bottoms)[_WINDOW.index(part)]
        fits = all(side in allowed for side in sides)
        return None if fits else f"needs {part} {text}, got {'x'.join(map(str, sides))}"

    return Limit(f"{part} {text}", fault)


def kernel(least: int, most: int) -> Limit:
    """Return a limit: kernels are of these sizes."""
    return window("kernel", range(least, most + 1), f"{least} to {most}")


def dilation(*values: int) -> Limit:
    """Return a limit: dilations have these values."""
    return window("dilation", values, " or ".join(map(str, values)))


def unpadded_points() -> Limit:
    """Return a limit: windows of kernel 1 and stride 1 have no pad."""

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        kernel, stride, pad, _ = _geometry(layer, bottoms)
        if set(kernel) | set(stride) != {1} or not any(pad):
            return None
        return f"needs no pad around windows of 1, got {pad}"

    return Limit("no pad around windows of 1", fault)


def inner_depthwise() -> Limit:
    """Return a limit: 3x3 windows of one channel, pad 1, have no dilation, and axes of 2 or more.

    OpenCV's own code for them reads out of bounds where an axis has one element only, and takes
    the wrong elements where they have a dilation.
    """

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        assert isinstance(layer, Convolution)
        kernel, _, pad, dilation = _geometry(layer, bottoms)
        depthwise = layer.group == layer.num_output == bottoms[0][1] > 1
        if not depthwise or kernel != (3, 3) or max(pad) != 1:
            return None
        if set(dilation) != {1}:
            return f"needs dilation 1 in depthwise 3x3 windows of pad 1, got {dilation}"
        if 1 in bottoms[0][2:]:
            sizes = tuple(bottoms[0][2:])
            return f"needs axes of 2 or more below depthwise 3x3 windows of pad 1, got {sizes}"
        return None

    return Limit("depthwise 3x3 windows of pad 1 without dilation, on axes of 2 or more", fault)


def one_dilation() -> Limit:
    """Return a limit: both axes have the same dilation (no dilation_h and dilation_w exist)."""

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        sides = _geometry(layer, bottoms)[3]
        return None if len(set(sides)) <= 1 else f"needs one dilation for all axes, got {sides}"

    return Limit("one dilation for all axes", fault)


def _geometry(layer: Layer, bottoms: Shapes) -> Sequence[Shape]:
    """Return kernel, stride, pad and dilation of each spatial axis."""
    if isinstance(layer, Pooling):
        return (*layer.geometry(bottoms[0]), (1, 1))
    assert isinstance(layer, Windows), layer.type
    return layer.geometry(len(bottoms[0]) - layer.axis - 1)


def full_windows(*methods: PoolMethod) -> Limit:
    """Return a limit: no window of these pooling methods reaches over the padded input's end."""
    names = " and ".join(method.name for method in methods)

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        assert isinstance(layer, Pooling)
        if layer.pool not in methods or layer.global_pooling or not tops:
            return None
        kernel, stride, _ = layer.geometry(bottoms[0])
        sides = zip(layer.padded(bottoms[0]), tops[0][2:], kernel, stride, strict=True)
        over = any((out - 1) * s + k > size for size, out, k, s in sides)
        return "needs windows within the padded input, got some over its end" if over else None

    return Limit(f"{names} windows within the padded input", fault)


def unpadded(*methods: PoolMethod) -> Limit:
    """Return a limit: poolings of these methods have no pad."""
    names = " and ".join(method.name for method in methods)

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        assert isinstance(layer, Pooling)
        pad = layer.geometry(bottoms[0])[2]
        return f"needs no pad, got {pad}" if layer.pool in methods and any(pad) else None

    return Limit(f"{names} windows without pad", fault)


def windows_within() -> Limit:
    """Return a limit: no pooling window is larger than the padded input, which OpenCV refuses."""

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        assert isinstance(layer, Pooling)
        kernel, sizes = layer.geometry(bottoms[0])[0], layer.padded(bottoms[0])
        if all(k <= size for k, size in zip(kernel, sizes, strict=True)):
            return None
        return f"needs windows no larger than the padded input {sizes}, got {kernel}"

    return Limit("windows no larger than the padded input", fault)


def met_windows() -> Limit:
    """Return a limit: no pooling window is empty, for which programs differ."""

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        assert isinstance(layer, Pooling)
        outs = (tops or bottoms)[0][2:]
        sides = zip(bottoms[0][2:], outs, *layer.geometry(bottoms[0]), strict=True)
        empty = any((out - 1) * s - p >= size for size, out, _, s, p in sides)
        return "needs windows that cover some of the input, got empty ones" if empty else None

    return Limit("no empty windows", fault)


def few_coefficients() -> Limit:
    """Return a limit: an Eltwise sum of three or more bottoms has no coefficients."""

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        assert isinstance(layer, Eltwise)
        if len(layer.coeff) <= 2:
            return None
        return f"needs at most 2 coefficients, got {len(layer.coeff)}"

    return Limit("at most 2 coefficients", fault)


def sum_or_difference() -> Limit:
    """Return a limit: an Eltwise has no coefficients, or 1 and -1."""

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        assert isinstance(layer, Eltwise)
        fits = layer.coeff in ((), (1, -1))
        return None if fits else f"needs no coefficients, or 1 and -1, got {layer.coeff}"

    return Limit("coefficients 1 and -1, or none", fault)


def equal_slice_points() -> Limit:
    """Return a limit: a Slice states its slice_point."""

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        assert isinstance(layer, Slice)
        if layer.slice_point or len(tops) < 2:
            return None
        return "needs slice_point, got equal parts without it"

    return Limit("slice_point given", fault)


def fixed_statistics() -> Limit:
    """Return a limit: BatchNorm takes mean and variance from its blobs."""

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        assert isinstance(layer, BatchNorm | BatchNormScaleBias)
        own = layer.use_global_stats is False
        return "needs stored statistics, got use_global_stats: false" if own else None

    return Limit("stored statistics", fault)


def magnitude(field: str, below: float) -> Limit:
    """Return a limit: the absolute value of a field is below that."""

    def fault(layer: Layer, bottoms: Shapes, tops: Shapes) -> str | None:
        value = getattr(layer, field)
        return None if abs(value) < below else f"needs |{field}| below {below:g}, got {value:g}"

    return Limit(f"|{field}| below {below:g}", fault)
