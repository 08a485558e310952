"""Limit: one constraint of a target on a layer; Fault: why a layer breaks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from caffe2fx.layers.layer import Layer
from caffe2fx.messages.message import Shape

EVERY = "every layer"  # the limits of this key hold for all layers
Fault = Callable[[Layer, Sequence[Shape], Sequence[Shape]], str | None]


@dataclass(frozen=True)
class Limit:
    """What a target asks of a layer that it has: in words, and as a test.

    `fault` takes the layer and the shapes of its bottoms and tops; it gives the reason for
    which the layer cannot be had ("needs .., got .."), None if it can.
    """

    says: str
    fault: Fault
