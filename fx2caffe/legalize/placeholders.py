"""Placeholders: the target's own layers in place of Unsupported records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from caffe2fx.errors import CaffeError
from caffe2fx.layers import user_defined
from caffe2fx.layers.layer import Layer
from caffe2fx.layers.registry import registered
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step
from fx2caffe.ir.placeholder import Unsupported


@dataclass(frozen=True)
class Unverified:
    """Marks a placeholder for a refused operation; nothing proves the operation that runs there."""

    layer: str
    op: str
    reason: str
    step: Step  # the step that holds the Unsupported record

    def __str__(self) -> str:
        return f"{self.layer}: {self.op} {self.reason}, {self.step.origin}"


def with_placeholders(net: Net, type_: str) -> tuple[Net, tuple[Unverified, ...]]:
    """Replace Unsupported records by layers of that type; return the net and the list of them."""
    steps, found = [], []
    for step in net.steps:
        layer = step.layer
        if isinstance(layer, Unsupported):
            found.append(Unverified(step.name, layer.op, layer.reason, step))
            step = replace(step, layer=_placeholder(type_, layer), blobs=(), params=())
        steps.append(step)
    return replace(net, steps=tuple(steps)), tuple(found)


_CLASS = "Unsupported"  # class name of the Python layers; no such class exists


def _placeholder(type_: str, layer: Unsupported) -> Layer:
    """Return the layer for a target's placeholder type, "Custom" (NNIE) or "Python"."""
    _know_placeholders()
    if type_ == "Python":
        param = json.dumps({"op": layer.op, "tops": layer.shapes})
        parameter = user_defined.PythonParameter(
            module="unsupported", layer=_CLASS, param_str=param
        )
        return user_defined.Python(python_param=parameter)
    if type_ != "Custom":
        raise CaffeError(f"placeholder needs to be Python or Custom, got {type_!r}")
    shapes = (" ".join(f"dim: {size}" for size in shape) for shape in layer.shapes)
    text = " ".join(f"shape {{ {dims} }}" for dims in shapes)
    (custom,) = registered()["Custom"]
    return custom(text=f"custom_param {{ {text} }}")  # type: ignore[call-arg]


def _know_placeholders() -> None:
    """Register both types so that nets with them can be read, unless the user has defined them."""
    if "Custom" not in registered():
        user_defined.register("Custom", tops=_custom_shapes)(_refuse)
    if _CLASS not in user_defined._PYTHON:
        user_defined.register("Python", layer=_CLASS, tops=_python_shapes)(_refuse)


def _python_shapes(parameters: dict[str, Any], bottoms: Sequence[Shape]) -> list[Shape]:
    description = json.loads(parameters["python_param"]["param_str"])
    return [tuple(shape) for shape in description["tops"]]


def _custom_shapes(parameters: dict[str, Any], bottoms: Sequence[Shape]) -> list[Shape]:
    shapes = parameters["custom_param"]["shape"]
    shapes = shapes if isinstance(shapes, list) else [shapes]
    dims = [shape["dim"] for shape in shapes]
    return [tuple(dim) if isinstance(dim, list) else (dim,) for dim in dims]


def _refuse(parameters: dict[str, Any], bottoms: Sequence[Shape], blobs: Sequence[Tensor]) -> Any:
    raise CaffeError("stands for an operation that was refused: nothing can run it")
