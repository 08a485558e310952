"""Python layers of public projects that nets name: what their classes compute."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from caffe2fx.errors import CaffeFormatError
from caffe2fx.layers.proposal import Proposer, anchors
from caffe2fx.message import Shape
from caffe2fx.user import Parameters, register

RATIOS, SCALES = (0.5, 1.0, 2.0), (8, 16, 32)


def _regions(parameters: Parameters, bottoms: Sequence[Shape]) -> Sequence[Shape]:
    """Caffe takes the tops for one region and one score before it runs."""
    return (1, 5), (1, 1)


@register("Python", layer="ProposalLayer", tops=_regions, optional=1)
def proposal_layer(
    parameters: Parameters, bottoms: Sequence[Shape], blobs: Sequence[Tensor]
) -> Callable[..., tuple[Tensor, Tensor]]:
    """rpn.proposal_layer of py-faster-rcnn, with the numbers of its configuration for TEST.

    Those are no part of a net's files: 6000 boxes before and 300 after the suppression at 0.7,
    and none with a side shorter than 16 pixels.
    """
    said = _said(parameters["python_param"]["param_str"])
    stride, scales = int(said.pop("feat_stride", 0)), said.pop("scales", SCALES)
    if said or stride < 1:
        raise CaffeFormatError(
            f"needs feat_stride and scales in param_str, got {parameters['python_param']}"
        )
    proposer = Proposer(anchors(16, RATIOS, scales), stride, 6000, 300, 0.7, 16, False)
    proposer.check(bottoms)
    return proposer


_PAIR = re.compile(r"""['"]?(\w+)['"]?\s*:\s*(?:!!python/tuple\s*)?(\[[^]]*]|\([^)]*\)|[\d.]+)""")


def _said(text: str) -> dict[str, Any]:
    """The pairs of a param_str, which is YAML with numbers and lists of them in it."""
    return {name: literal_eval(value) for name, value in _PAIR.findall(text)}
