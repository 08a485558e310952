"""Limit: a constraint of a target on a layer; Fault: the reason for which a layer breaks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from caffe2fx.layers.layer import Layer
from caffe2fx.messages.message import Shape

EVERY = "every layer"  # key of the limits that hold for all layers
Fault = Callable[[Layer, Sequence[Shape], Sequence[Shape]], str | None]


@dataclass(frozen=True)
class Limit:
    """Holds a constraint of a target on a layer: `text` in words, `fault` as a test.

    `fault` takes the layer and the shapes of its bottoms and tops; it returns the reason for which
    the target cannot run it ("needs .., got .."), None if it can.
    """

    text: str
    fault: Fault
