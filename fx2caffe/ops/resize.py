"""interpolate: torch's own function runs on an identity matrix or on indices, axis by axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.data_movement import line_at_origin
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles

_NEAREST = ("nearest", "nearest-exact")
_FLOATS = (torch.float32, torch.float64)


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
    scales = _per_axis(scale_factor, input.rank - 2)
    if recompute_scale_factor or size is not None:
        scales = [None] * len(scales)
    return _resized(net, input, scales, _Kind(mode, bool(align_corners), antialias), out)


@dataclass(frozen=True)
class _Kind:
    """Holds a mode of interpolation; `run` applies it to any tensor."""

    mode: str
    align_corners: bool = False
    antialias: bool = False

    def run(self, input: Tensor, sizes: Sequence[int], scales: Sequence[float | None]) -> Tensor:
        """Interpolate to these sizes, by torch's scales where some are given besides the sizes."""
        if self.mode == "area":
            return F.interpolate(input, tuple(sizes), mode="area")
        stem = f"upsample_{self.mode.replace('-', '_')}{len(sizes)}d"
        hidden = self.antialias or self.mode == "nearest-exact"
        name = f"{'_' if hidden else ''}{stem}{'_aa' if self.antialias else ''}"
        corners = () if self.mode in _NEAREST else (self.align_corners,)
        resized: Tensor = getattr(torch._C._nn, name)(input, tuple(sizes), *corners, *scales)
        return resized


def _resized(
    net: Emitter, input: Symbol, scales: Sequence[float | None], kind: _Kind, out: Expected
) -> Symbol:
    """Resize to the result's sizes; the scales are the step sizes that torch uses."""
    axes = range(2, input.rank)
    lines = {
        axis: _Line(input.static_size(axis), out.shape[axis], scale)
        for axis, scale in zip(axes, scales, strict=True)
    }
    if kind.mode in _NEAREST:
        indices = {axis: line.indices(axis - 2, len(axes), kind) for axis, line in lines.items()}
        return index_map(net, input, indices)
    width, height = out.shape[-1], out.shape[-2]
    if kind.antialias and width == 1 < height != lines[2].size > 1:
        raise Refused("needs a width above 1 to antialias the height (torch's own is wrong), got 1")
    for axis in sorted(axes, key=lambda a: lines[a].growth):
        matrix = lines[axis].matrix(axis - 2, len(axes), kind)
        if not torch.equal(matrix, torch.eye(lines[axis].size, dtype=matrix.dtype)):
            input = along(net, input, axis, matrix)
    return input


_NAMES = {1: ("scales",), 2: ("scales_h", "scales_w"), 3: ("scales_d", "scales_h", "scales_w")}


def _resizes(mode: str, *functions: Any, antialias: bool = False) -> None:
    """Register the operators below interpolate, which take a size, scale factors, or both."""
    for function in functions:

        def resize(
            net: Emitter, input: Symbol, output_size: Any, *args: Any, out: Expected, **kwargs: Any
        ) -> Symbol:
            given, named = list(args), dict(kwargs)
            corners = False
            if mode not in _NEAREST:  # modes that interpolate take align_corners first
                corners = given.pop(0) if given else named.pop("align_corners")
            factors = _factors(input.rank - 2, given, named)
            return _resized(net, input, factors, _Kind(mode, corners, antialias), out)

        handles(function)(resize)


def _factors(axes: int, given: list[Any], named: dict[str, Any]) -> Any:
    """Return one factor per axis, given as a list or as separate arguments; None for a size."""
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
    """Multiply an axis by a matrix (rows, size)."""
    suffix = "" if axis == input.rank - 1 else f"axis{axis}"
    return net.add(AxisMatrix(axis=axis, rows=len(matrix)), input, blobs=[matrix], suffix=suffix)


def _per_axis(scale: float | Sequence[float] | None, axes: int) -> list[float | None]:
    if scale is None or isinstance(scale, (int, float)):
        return [scale] * axes
    return list(scale)


class _Line:
    """Holds one axis to resize: its size, the new size, and the scale if torch uses one."""

    def __init__(self, size: int, out: int, scale: float | None) -> None:
        self.size, self.out, self.scale = size, out, scale

    @property
    def growth(self) -> float:
        return self.out / self.size

    def indices(self, axis: int, axes: int, kind: _Kind) -> list[int]:
        """Return the indices of the nearest elements, on which float32 and float64 must agree."""
        line = torch.arange(self.size)[None, None]
        found = [self._run(line.to(dtype), axis, axes, kind) for dtype in _FLOATS]
        if not torch.equal(found[0].double(), found[1]):
            raise Refused(f"needs a scale that is exact in float32, got {self.scale}")
        return [int(index) for index in found[0].flatten()]

    def matrix(self, axis: int, axes: int, kind: _Kind) -> Tensor:
        """Return the weights as a matrix: torch's result on each unit vector, in float64."""
        return self._run(torch.eye(self.size, dtype=torch.float64)[None], axis, axes, kind)[0].t()

    def _run(self, lines: Tensor, axis: int, axes: int, kind: _Kind) -> Tensor:
        """Resize vectors (1, count, size) along axis `axis` of `axes` spatial ones.

        The other axes have size 2: at size 1 torch's antialiasing on the CPU takes the image for
        one of another memory format.
        """
        before, after = axis, axes - axis - 1
        image = lines.reshape(*lines.shape[:2], *(1,) * before, self.size, *(1,) * after)
        image = image.repeat(1, 1, *(2,) * before, 1, *(2,) * after)
        sizes = (2,) * before + (self.out,) + (2,) * after
        scales = (None,) * before + (self.scale,) + (None,) * after
        return line_at_origin(kind.run(image, sizes, scales), 1, axis + 2)[None]
