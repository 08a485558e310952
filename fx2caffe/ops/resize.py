"""interpolate: torch's own, run on an identity matrix or on positions, one axis at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.legalize.axis_matrix import AxisMatrix
from fx2caffe.legalize.index_map import index_map
from fx2caffe.lower import Expected, handles
from fx2caffe.places import line_at_origin

_NEAREST = ("nearest", "nearest-exact")


@handles(F.interpolate)
def interpolate(
    net: Emitter,
    input: Symbol,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
    *,
    out: Expected,
) -> Symbol:
    axes = range(2, input.rank)
    scales = _per_axis(scale_factor, len(axes))
    if recompute_scale_factor or size is not None:
        scales = [None] * len(axes)
    options = {"mode": mode, "align_corners": align_corners, "antialias": antialias}
    lines = {
        axis: _Line(input.fixed(axis), out.shape[axis], scale)
        for axis, scale in zip(axes, scales, strict=True)
    }
    if mode in _NEAREST:
        places = {axis: line.places(mode) for axis, line in lines.items()}
        return index_map(net, input, places)
    if antialias and out.shape[-1] == 1 < out.shape[-2] != lines[2].size > 1:
        raise Refused("needs a width above 1 to antialias the height (torch's own is wrong), got 1")
    for axis in sorted(axes, key=lambda a: lines[a].growth):
        matrix = lines[axis].matrix(axis - 2, len(axes), options)
        if not torch.equal(matrix, torch.eye(lines[axis].size, dtype=matrix.dtype)):
            input = along(net, input, axis, matrix)
    return input


_NAMES = {1: ("scales",), 2: ("scales_h", "scales_w"), 3: ("scales_d", "scales_h", "scales_w")}


def _resizes(mode: str, *functions: Any, antialias: bool = False) -> None:
    """Handle the operators below interpolate, which take a size and factors, or one of them."""
    for function in functions:

        def resize(
            net: Emitter, input: Symbol, output_size: Any, *args: Any, out: Expected, **kwargs: Any
        ) -> Symbol:
            given, named = list(args), dict(kwargs)
            corners = None
            if mode not in _NEAREST:  # those that weigh numbers are told about corners first
                corners = given.pop(0) if given else named.pop("align_corners")
            factors = _factors(input.rank - 2, given, named)
            return interpolate(
                net, input, None, factors, mode, corners, antialias=antialias, out=out
            )

        handles(function)(resize)


def _factors(axes: int, given: list[Any], named: dict[str, Any]) -> Any:
    """One factor for each axis, given as a list or one after the other; None where a size is."""
    is_list = bool(given) and isinstance(given[0], list | tuple)
    names = ("scale_factors",) if is_list else _NAMES[axes]
    named = {**named, **dict(zip(names, given, strict=False))}
    factors = named.get("scale_factors")
    return [named.get(name) for name in _NAMES[axes]] if factors is None else factors


_N = torch._C._nn
_resizes("linear", _N.upsample_linear1d)
_resizes("bilinear", _N.upsample_bilinear2d)
_resizes("trilinear", _N.upsample_trilinear3d)
_resizes("bicubic", _N.upsample_bicubic2d)
_resizes("bilinear", _N._upsample_bilinear2d_aa, antialias=True)
_resizes("bicubic", _N._upsample_bicubic2d_aa, antialias=True)
_resizes("nearest", _N.upsample_nearest1d, _N.upsample_nearest2d, _N.upsample_nearest3d)
_resizes(
    "nearest-exact", _N._upsample_nearest_exact1d, _N._upsample_nearest_exact2d,
    _N._upsample_nearest_exact3d,
)  # fmt: skip


def along(net: Emitter, input: Symbol, axis: int, matrix: Tensor) -> Symbol:
    """A matrix (rows, size) multiplied to an axis."""
    role = "" if axis == input.rank - 1 else f"axis{axis}"
    return net.add(AxisMatrix(axis=axis, rows=len(matrix)), input, blobs=[matrix], role=role)


def _per_axis(scale: float | Sequence[float] | None, axes: int) -> list[float | None]:
    if scale is None or isinstance(scale, (int, float)):
        return [scale] * axes
    return list(scale)


class _Line:
    """One axis to be resized: from a size to another, by a scale if torch uses one."""

    def __init__(self, size: int, out: int, scale: float | None) -> None:
        self.size, self.out, self.scale = size, out, scale

    @property
    def growth(self) -> float:
        return self.out / self.size

    def _to(self, before: int, after: int) -> dict[str, Any]:
        """size or scale_factor for this axis, with others that stay at 2."""
        if self.scale is None:
            return {"size": (2,) * before + (self.out,) + (2,) * after}
        return {"scale_factor": (1.0,) * before + (self.scale,) + (1.0,) * after}

    def places(self, mode: str) -> list[int]:
        """Where the nearest number lies; float32 and float64 have to agree on it."""
        found = [
            F.interpolate(
                torch.arange(self.size, dtype=dtype)[None, None], mode=mode, **self._to(0, 0)
            )
            for dtype in (torch.float32, torch.float64)
        ]
        if not torch.equal(found[0].double(), found[1]):
            raise Refused(f"needs a scale that float32 tells exactly, got {self.scale}")
        return [int(place) for place in found[0].flatten()]

    def matrix(self, axis: int, axes: int, options: dict[str, Any]) -> Tensor:
        """The rows of weights: what torch makes of each unit vector, in float64.

        The other axes have two equal lines: with one alone, torch's antialiasing on the CPU
        takes the image for one in another memory format.
        """
        before, after = axis, axes - axis - 1
        basis = torch.eye(self.size, dtype=torch.float64)
        basis = basis.reshape(1, self.size, *(1,) * before, self.size, *(1,) * after)
        basis = basis.repeat(1, 1, *(2,) * before, 1, *(2,) * after)
        resized = F.interpolate(basis, **options, **self._to(before, after))
        return line_at_origin(resized, 1, axis + 2).t()
