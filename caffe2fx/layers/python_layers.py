"""Python layers of public projects that nets name: the meaning of their classes.

Of those that only training needs, the shapes alone are implemented.
"""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from caffe2fx.errors import CaffeError, CaffeFormatError
from caffe2fx.layers import registry
from caffe2fx.layers.data import Given, Source
from caffe2fx.layers.layer import Evidence
from caffe2fx.layers.proposal import Proposer, anchors
from caffe2fx.layers.user_defined import Parameters, Python, PythonParameter, register
from caffe2fx.messages.message import Shape, sibling_message

RATIOS, SCALES = (0.5, 1.0, 2.0), (8, 16, 32)


def _regions(parameters: Parameters, bottoms: Sequence[Shape]) -> Sequence[Shape]:
    """Return the tops' shapes as Caffe takes them before it runs: one region and one score."""
    return (1, 5), (1, 1)


@register("Python", layer="ProposalLayer", tops=_regions, optional=1)
def proposal_layer(
    parameters: Parameters, bottoms: Sequence[Shape], blobs: Sequence[Tensor]
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Build rpn.proposal_layer of py-faster-rcnn and PVANet, with the first's TEST constants.

    Those are no part of a net's files: 6000 boxes before and 300 after the suppression at 0.7, and
    none with a side shorter than 16 pixels.
    """
    options = _options(parameters["python_param"]["param_str"])
    stride, scales = int(options.pop("feat_stride", 0)), options.pop("scales", SCALES)
    ratios = options.pop("ratios", RATIOS)
    if options or stride < 1:
        raise CaffeFormatError(
            "needs feat_stride, and scales and ratios or neither, in param_str, "
            f"got {parameters['python_param']['param_str']!r}"
        )
    proposer = Proposer(anchors(16, ratios, scales), stride, 6000, 300, 0.7, 16, False)
    proposer.check(bottoms)
    return proposer


def _anchor_targets(parameters: Parameters, bottoms: Sequence[Shape]) -> Sequence[Shape]:
    """Return the shapes of a label for each anchor, its four targets and twice their weights."""
    options = _options(parameters["python_param"]["param_str"])
    count = len(options.get("ratios", RATIOS)) * len(options.get("scales", SCALES))
    height, width = bottoms[0][2:]
    return (1, 1, count * height, width), *((1, 4 * count, height, width),) * 3


def _proposal_targets(parameters: Parameters, bottoms: Sequence[Shape]) -> Sequence[Shape]:
    """Return the shapes of one region with its label, its targets by class and twice their weights.

    They have four axes, as in R-FCN; in Faster R-CNN the last two, of size 1, are absent.
    """
    classes = _options(parameters["python_param"]["param_str"]).get("num_classes", 0)
    return (1, 5, 1, 1), (1, 1, 1, 1), *((1, 4 * int(classes), 1, 1),) * 3


@register("Python", layer="AnchorTargetLayer", tops=_anchor_targets)
@register("Python", layer="ProposalTargetLayer", tops=_proposal_targets)
def targets(
    parameters: Parameters, bottoms: Sequence[Shape], blobs: Sequence[Tensor]
) -> Callable[..., Any]:
    """Build a function that refuses: py-faster-rcnn draws its training targets at random."""

    def drawn(*values: Tensor) -> Any:
        layer = parameters["python_param"]["layer"]
        raise CaffeError(
            f"Python layer {layer!r} is known by its shapes only: "
            "load the net with outputs= naming blobs before it"
        )

    return drawn


@registry.register
@dataclass(frozen=True, kw_only=True)
class PythonData(Source):
    """Represents a Python layer without bottoms, which reads data of shapes not in the text."""

    type = "Python"
    message = ""
    dialects = ("rcnn",)
    evidence = Evidence.SOURCE

    python_param: PythonParameter = sibling_message(130, PythonParameter)

    @classmethod
    def unknown_kind(cls, proto: Any) -> str:
        is_source = (
            proto.top and not proto.bottom and Python.unknown_kind(proto)
        )  # or the user knows it
        return "" if is_source else Python.name_of(proto)

    def stated(self, given: Given) -> tuple[Shape | None, ...]:
        return tuple(given)


_PAIR = re.compile(r"""['"]?(\w+)['"]?\s*:\s*(?:!!python/tuple\s*)?(\[[^]]*]|\([^)]*\)|[\d.]+)""")


def _options(text: str) -> dict[str, Any]:
    """Return the pairs of a param_str, which is YAML with floats, integers and lists of them."""
    return {name: literal_eval(value) for name, value in _PAIR.findall(text)}
