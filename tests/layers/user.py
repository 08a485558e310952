"""Rows of Python layers, whose meaning a user registers; test_register asks real Caffe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

import caffe2fx
from caffe2fx.layers import Python
from caffe2fx.layers.user_defined import PythonParameter
from caffe2fx.messages.message import Shape
from tests.layers.row import Refusal, Row

STATED_SHAPES = PythonParameter(
    module="caffe2fx_times", layer="Caffe2fxTimes", param_str="3", share_in_parallel=True
)


@caffe2fx.register("Python", layer=STATED_SHAPES.layer)
def times(
    parameters: dict[str, Any], bottoms: Sequence[Shape], blobs: Sequence[Tensor]
) -> Callable[..., Tensor]:
    """Compute the layer of CLASS in test_register."""
    factor = float(parameters["python_param"]["param_str"] or 1)
    return lambda x: x * factor


ROWS = (
    Row("python", Python(python_param=STATED_SHAPES), ((2, 3),), needs_files=True),
    Row("python, told nothing", Python(python_param=PythonParameter(layer=STATED_SHAPES.layer)),
        ((2, 3),),
        needs_files=True),
)  # fmt: skip
REFUSALS: tuple[Refusal, ...] = ()
