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
    for axis in sorted(axes, key=lambda a: lines[a].growth):
        matrix = lines[axis].matrix(axis - 2, len(axes), options)
        if not torch.equal(matrix, torch.eye(lines[axis].size, dtype=matrix.dtype)):
            input = along(net, input, axis, matrix)
    return input


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
