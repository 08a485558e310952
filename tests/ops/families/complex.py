"""Functions that make complex values of real ones, which are asked for as pairs of real values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fx2caffe.ir import graph_functions
from tests.ops.families.base import Arguments, Family, Random, broadcast, calls


def _as_pairs(function: Any) -> Any:
    """Return the function with its complex result as a real tensor with a last axis of 2."""

    def call(*args: Any, **kwargs: Any) -> Tensor:
        return torch.view_as_real(function(*args, **kwargs).resolve_conj())

    return call


def _norm(r: Random) -> dict[str, Any]:
    return r.choice({}, {"norm": r.choice("forward", "backward", "ortho")})


def _line(r: Random) -> Arguments:
    """Draw a transform of one axis, cut or filled to a length."""
    shape = r.shape(1, 3)
    length = r.choice(None, None, r.number(1, 6))
    return (r.tensor(shape), length, r.axis(len(shape))), _norm(r)


def _plane(r: Random) -> Arguments:
    """Draw a transform of two axes, the last ones or any."""
    shape = r.shape(2, 4, 4)
    sizes = r.choice(None, None, r.many(2, 1, 5))
    dims = r.choice((-2, -1), r.some(range(len(shape)), 2)[:2])
    return (r.tensor(shape), sizes, dims), _norm(r)


def _space(r: Random) -> Arguments:
    """Draw a transform of some axes or of all."""
    shape = r.shape(1, 3, 4)
    dims = r.choice(None, r.some(range(len(shape)), 1))
    return (r.tensor(shape),), {"dim": dims, **_norm(r)}


for _names, _draw in {
    "fft ifft rfft ihfft": _line,
    "fft2 ifft2 rfft2 ihfft2": _plane,
    "fftn ifftn rfftn ihfftn": _space,
}.items():
    for _name in _names.split():
        _function = getattr(torch.fft, _name)
        calls(_function, _as_pairs(_function))(_draw)


@calls(torch._fft_r2c, _as_pairs(torch._fft_r2c))
def _of_operator(r: Random) -> Arguments:
    shape = r.shape(1, 3)
    dims = list(r.some(range(len(shape)), 1))
    return (r.tensor(shape), dims, r.number(0, 2), r.flag()), {}


def _two(kind: str) -> Family:
    def draw(r: Random) -> Arguments:
        one, two = broadcast(r, 2)
        return (r.tensor(one, kind), r.tensor(two)), {}

    return draw


calls(torch.complex, _as_pairs(torch.complex))(_two("normal"))
calls(torch.polar, _as_pairs(torch.polar))(_two("positive"))


@calls(graph_functions.view_as_complex, _as_pairs(lambda x: torch.view_as_complex(x) * (2 - 1j)))
def _viewed(r: Random) -> Arguments:
    return (r.tensor((*r.shape(0, 3), 2)),), {}
