"""Each trap is traced right on inputs it has not seen, or refused at the user's own line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.dlpack import from_dlpack, to_dlpack

from fx2caffe.errors import UnsupportedError
from fx2caffe.tracing.model.pytree import flatten
from fx2caffe.tracing.tracer import trace
from tests.tracing import memory_traps, overriding_traps, python_traps, refused_traps
from tests.tracing.traps import ALLOWED, REFUSED

TRAPS = (memory_traps, overriding_traps, python_traps, refused_traps)
FILES = {__file__, *(module.__file__ for module in TRAPS)}  # an output has no line
VALUES = pytest.mark.parametrize("values", ["real", "fake"])


def inputs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(3, 4, generator=random), torch.rand(3, 4, generator=random)


def name_of(value: Any) -> str | None:
    return value.__name__ if callable(value) else None


@VALUES
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("function", ALLOWED, ids=name_of)
def test_traced_right(function: Callable[..., Any], values: Any) -> None:
    example = inputs(0)
    traced = trace(function, example, values=values)
    assert all(torch.equal(a, b) for a, b in zip(example, inputs(0), strict=True))
    with torch.no_grad():
        expected = function(*inputs(1))
        got = traced.rebuild(traced.module(*inputs(1)))
    assert type(got) is type(expected)
    assert str(flatten(got).paths) == str(flatten(expected).paths)
    for a, b in zip(flatten(got).tensors, flatten(expected).tensors, strict=True):
        torch.testing.assert_close(a, b, check_stride=False)


def _is_made_by_torch(file: str) -> bool:
    """Return whether torch made the code of that name, as it did for torch.cond before 2.5."""
    return torch.__version__ < "2.5" and file.startswith("<eval_with_key>")


@VALUES
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("function", "reason"), REFUSED, ids=name_of)
def test_refused(function: Callable[..., Any], reason: str, values: Any) -> None:
    with pytest.raises(UnsupportedError, match=reason) as caught:
        trace(function, inputs(0), values=values)
    assert caught.value.refusals
    for refusal in caught.value.refusals:
        assert refusal.origin.file in FILES or _is_made_by_torch(str(refusal.origin.file))
        assert str(refusal) in str(caught.value)


@pytest.mark.parametrize("given", [lambda x: x, lambda x: x * 2], ids=["input", "temporary"])
def test_memory_that_comes_back_by_dlpack_is_refused(given: Callable[[Any], Any]) -> None:
    with pytest.raises(UnsupportedError, match="DLPack"):
        trace(lambda x: x + from_dlpack(to_dlpack(given(x))), torch.ones(2, 3))
