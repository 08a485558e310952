"""Inputs as users give them, outputs as models return them."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fx2caffe.tracing.model_inputs import as_inputs, input_names
from fx2caffe.tracing.pytree import flatten
from fx2caffe.tracing.tracer import trace

Point = namedtuple("Point", "x y")


@dataclass
class Result:
    out: Any
    aux: Any = None
    extra: Any = field(default=0, init=False)


@dataclass
class ModelOutput(OrderedDict):  # type: ignore[type-arg]
    loss: Any = None
    logits: Any = None

    def __post_init__(self) -> None:
        self.update({k: v for k, v in vars(self).items() if v is not None})


T = torch.ones(2)
CASES: list[tuple[Any, tuple[str, ...]]] = [
    (T, ("output",)),
    ((T, 3, T), ("0", "2")),
    ([T, [T, None]], ("0", "1.0")),
    ({"out": T, "aux": {"a": T}}, ("out", "aux.a")),
    (OrderedDict(b=T, a=T), ("b", "a")),
    (defaultdict(list, z=T), ("z",)),
    (Point(T, "text"), ("x",)),
    (Result(T, [T]), ("out", "aux.0")),
    (ModelOutput(logits=T), ("logits",)),
    (torch.max(torch.ones(2, 2), 1), ("0", "1")),
    ((), ()),
]


@pytest.mark.parametrize(("value", "names"), CASES, ids=lambda v: type(v).__name__)
def test_outputs_keep_their_structure(value: Any, names: tuple[str, ...]) -> None:
    from fx2caffe.tracing.pytree import output_names

    flat = flatten(value)
    assert output_names(flat) == names
    built = flat.rebuild([t + 1 for t in flat.tensors])
    assert type(built) is type(value)
    again = flatten(built)
    assert again.paths == flat.paths
    assert all(torch.equal(a, b + 1) for a, b in zip(again.tensors, flat.tensors, strict=True))
    with pytest.raises(ValueError, match="values, got"):
        flat.rebuild([T] * (len(names) + 1))


class Many(nn.Module):
    def forward(self, x: Tensor, features: Any, *rest: Tensor, scale: Any = None) -> Tensor:
        return x


INPUTS: list[tuple[Any, tuple[str, ...]]] = [
    (T, ("x",)),
    ((T, T), ("x", "features")),
    ((T, [T, {"k": T}], T, T), ("x", "features_0", "features_1_k", "rest_0", "rest_1")),
    ({"features": T, "x": T}, ("features", "x")),
    ({"x": T, "features": 3, "scale": (T, T)}, ("x", "scale_0", "scale_1")),
    ({"a": T, "b": T}, ("x_a", "x_b")),
]


@pytest.mark.parametrize(("inputs", "names"), INPUTS, ids=[str(names) for _, names in INPUTS])
def test_inputs_are_named_by_forward(inputs: Any, names: tuple[str, ...]) -> None:
    args, kwargs = as_inputs(Many(), inputs)
    assert input_names(Many(), args, kwargs) == names


def test_arrays() -> None:
    model = nn.Conv2d(3, 1, 1).double()
    (x,), _ = as_inputs(model, np.ones((3, 8, 8)))
    assert x.shape == (1, 3, 8, 8) and x.dtype == torch.float64
    (x, i), _ = as_inputs(model, (np.ones((2, 3, 8, 8), np.float32), np.arange(3)))
    assert x.shape == (2, 3, 8, 8) and i.dtype == torch.int64


def test_nested_inputs_reach_the_model() -> None:
    class Nested(nn.Module):
        def forward(self, x: list[Tensor], *, scale: dict[str, Any]) -> Tensor:
            return x[0] * scale["by"] + x[1] * scale["times"]

    inputs = {"x": [T, T * 2], "scale": {"by": T * 3, "times": 4}}
    traced = trace(Nested(), inputs)
    assert traced.input_names == ("x_0", "x_1", "scale_by")
    assert torch.equal(traced.module(T, T, T)[0], T * 5)
