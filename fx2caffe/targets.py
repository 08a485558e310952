"""Targets: what a Caffe has, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from caffe2fx.errors import CaffeError
from caffe2fx.layer import Layer
from caffe2fx.layers import Pooling, RoundMode
from caffe2fx.message import Shape

Limit = Callable[[Layer, Sequence[Shape]], str | None]


@dataclass(frozen=True)
class Target:
    """A Caffe that reads the exported files: its layer types and its limits on each.

    A limit gives the reason for which a layer cannot be had, None if it can.
    """

    name: str
    types: frozenset[str]
    limits: Mapping[str, Limit] = field(default_factory=dict)

    def lacks(self, layer: Layer, bottoms: Sequence[Shape]) -> str | None:
        """Why the target cannot run this layer, None if it can."""
        if layer.type not in self.types:
            return f"needs layer {layer.type}, which target {self.name!r} does not have"
        limit = self.limits.get(layer.type)
        return limit(layer, bottoms) if limit is not None else None


def _rounds_up(layer: Layer, bottoms: Sequence[Shape]) -> str | None:
    """The 2017 vocabulary has no round_mode; a parser of that age stops at the field."""
    assert isinstance(layer, Pooling)
    return None if layer.round_mode is RoundMode.CEIL else "needs round_mode: FLOOR, new in 2018"


# The layer types of the tag 1.0 of April 2017, which nearly every Caffe loads.
_TAG_1_0 = frozenset({
    "AbsVal", "Accuracy", "ArgMax", "BatchNorm", "BatchReindex", "Bias", "BNLL", "Concat",
    "ContrastiveLoss", "Convolution", "Crop", "Data", "Deconvolution", "Dropout", "DummyData",
    "Eltwise", "ELU", "Embed", "EuclideanLoss", "Exp", "Filter", "Flatten", "HDF5Data",
    "HDF5Output", "HingeLoss", "Im2col", "ImageData", "InfogainLoss", "InnerProduct", "Input",
    "Log", "LRN", "LSTM", "LSTMUnit", "MemoryData", "MultinomialLogisticLoss", "MVN",
    "Parameter", "Pooling", "Power", "PReLU", "Python", "Reduction", "ReLU", "Reshape", "RNN",
    "Scale", "Sigmoid", "SigmoidCrossEntropyLoss", "Silence", "Slice", "Softmax",
    "SoftmaxWithLoss", "Split", "SPP", "TanH", "Threshold", "Tile", "WindowData",
})  # fmt: skip
BVLC = Target("bvlc", _TAG_1_0, {"Pooling": _rounds_up})
BVLC_MASTER = Target("bvlc-master", _TAG_1_0 | {"Clip", "Swish"})

TARGETS: Mapping[str, Target] = {target.name: target for target in (BVLC, BVLC_MASTER)}


def target(name: str | Target) -> Target:
    """The target of that name; a Target is given back as it is."""
    if isinstance(name, Target):
        return name
    if name not in TARGETS:
        raise CaffeError(f"target needs to be one of {', '.join(TARGETS)}, got {name!r}")
    return TARGETS[name]
