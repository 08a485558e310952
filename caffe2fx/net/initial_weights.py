"""Initial weights of a net without a weights file: each blob by its filler, as in Caffe."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from math import prod

from caffe2fx.errors import CaffeError, ShapeMismatchError
from caffe2fx.layers.fillers import fill
from caffe2fx.layers.layer import Layer
from caffe2fx.messages.common import Filler
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.shared_weights import with_shared_blobs
from caffe2fx.net.step import Step


def with_initial_weights(net: Net, max_bytes: int | None = None) -> Net:
    """Return the net with every weight blob filled as Caffe starts it, or as the text states it.

    A few lines of text can ask for any amount: ShapeMismatchError names the layer with which the
    new blobs need more than `max_bytes`, by default the machine's memory.
    """
    shapes = net.shapes()
    bottoms = [[shapes[bottom] for bottom in step.bottoms] for step in net.steps]
    _refuse_too_many(net.steps, bottoms, _machine_bytes() if max_bytes is None else max_bytes)
    steps = tuple(map(_fresh, net.steps, bottoms))
    # Shared blobs start by the owner's filler, whatever the others' fillers and names are.
    return with_shared_blobs(net.refilled(steps), ())


def _is_given(step: Step) -> bool:
    return bool(step.blobs or step.dynamic)


def _refuse_too_many(steps: Sequence[Step], bottoms: Sequence[list[Shape]], allowed: int) -> None:
    needed = 0
    for step, shapes in zip(steps, bottoms, strict=True):
        if not _is_given(step):
            needed += sum(4 * prod(shape) for shape in step.layer.blob_shapes(shapes))
        if needed > allowed:
            limit = f"weights of at most {allowed} bytes with those before it"
            raise step.fault(ShapeMismatchError(f"needs {limit} (max_bytes), got {needed}"))


def _machine_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not POSIX
        return sys.maxsize


def _fresh(step: Step, bottoms: list[Shape]) -> Step:
    if _is_given(step):
        return step
    shapes = step.layer.blob_shapes(bottoms)
    fillers = (*fillers_of(step.layer, len(shapes)), *(Filler(),) * len(shapes))
    try:
        blobs = tuple(fill(filler, shape) for filler, shape in zip(fillers, shapes, strict=False))
    except CaffeError as error:
        raise step.fault(error) from None
    except (MemoryError, RuntimeError) as error:  # torch's, whose text is about its allocator
        if not isinstance(error, MemoryError) and "allocat" not in str(error):
            raise
        fault = f"needs memory for weights of shapes {list(shapes)}, got none"
        raise step.fault(ShapeMismatchError(fault)) from error
    return replace(step, blobs=blobs)


def fillers_of(layer: Layer, count: int) -> tuple[Filler, ...]:
    """Return the fillers of a layer's `count` blobs in file order, by default the constant 0."""
    if own := layer.blob_fillers(count):
        return own
    first = getattr(layer, "weight_filler", None) or getattr(layer, "filler", None)
    bias = getattr(layer, "bias_filler", None) or Filler()
    if first is None:
        first = Filler(value=_STARTS.get(layer.type, 0.0))
    return (bias,) if layer.type == "Scale" and count < 1 + layer.bias_term else (first, bias)  # type: ignore[attr-defined]


_STARTS = {"Scale": 1.0, "PReLU": 0.25}
