"""Layers that move elements without changing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from caffe2fx.errors import CaffeFormatError, ShapeMismatchError
from caffe2fx.layers.layer import MANY, Layer, axis_of
from caffe2fx.layers.registry import register
from caffe2fx.messages.common import Engine
from caffe2fx.messages.message import Shape, field, hint, repeated


@register
@dataclass(frozen=True, kw_only=True)
class Concat(Layer):
    """Concatenate the bottoms along one axis."""

    type = "Concat"
    parameter = ("concat_param", 104)
    message = "ConcatParameter"
    shares_memory = "one bottom"
    bottoms = (1, MANY)

    axis: int = field(2, "int32", 1)
    concat_dim: int | None = field(1, "uint32", 1, absent=None)
    engine: Engine | None = hint(Engine)
    per_fla_fuse: bool | None = hint("bool")  # Intel's

    @classmethod
    def read(cls, proto: Any) -> Layer:
        _check_once(proto.concat_param, "axis", "concat_dim")
        return super().read(proto)

    def _canonical(self) -> dict[str, Any]:
        return _one_axis("concat_dim", self.concat_dim, self.axis)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        axis = axis_of(self.axis, len(bottoms[0]))
        rests = {(len(b), *b[:axis], *b[axis + 1 :]) for b in bottoms}
        if len(rests) > 1:
            raise ShapeMismatchError(f"needs shapes equal but for axis {axis}, got {list(bottoms)}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        axis = axis_of(self.axis, len(bottoms[0]))
        total = sum(bottom[axis] for bottom in bottoms)
        return ((*bottoms[0][:axis], total, *bottoms[0][axis + 1 :]),)

    def overwrites(self, bottoms: Sequence[Shape], tops: int) -> bool:
        return len(bottoms) == 1

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (torch.cat(list(bottoms), self.axis),)


def _check_once(message: Any, *names: str) -> None:
    """Raise where several names of one field are set, as Caffe does even for equal values."""
    given = [name for name in names if message.HasField(name)]
    if len(given) > 1:
        raise CaffeFormatError(f"needs {' or '.join(names)}, got both")


def _one_axis(name: str, legacy: int | None, axis: int) -> dict[str, Any]:
    """Return `axis` from the legacy unsigned field of an axis."""
    if legacy is not None and axis != 1:
        raise ShapeMismatchError(f"needs axis or {name}, got both")
    return {name: None, "axis": axis if legacy is None else legacy}


@register
@dataclass(frozen=True, kw_only=True)
class Slice(Layer):
    """Split one bottom along one axis, at `slice_point` or into equal parts."""

    type = "Slice"
    parameter = ("slice_param", 126)
    message = "SliceParameter"
    shares_memory = "one top"
    tops = (1, MANY)

    axis: int = field(3, "int32", 1)
    slice_point: Shape = repeated(2, "uint32")
    slice_dim: int | None = field(1, "uint32", 1, absent=None)

    @classmethod
    def read(cls, proto: Any) -> Layer:
        _check_once(proto.slice_param, "axis", "slice_dim")
        return super().read(proto)

    def _canonical(self) -> dict[str, Any]:
        return _one_axis("slice_dim", self.slice_dim, self.axis)

    def _edges(self, size: int, tops: int) -> list[int]:
        if self.slice_point or tops == 1:
            return [0, *self.slice_point, size]
        return [size * index // tops for index in range(tops + 1)]

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        size = bottoms[0][axis_of(self.axis, len(bottoms[0]))]
        if self.slice_point and len(self.slice_point) != tops - 1:
            raise ShapeMismatchError(
                f"needs {tops - 1} slice_point for {tops} tops, got {len(self.slice_point)}"
            )
        if not self.slice_point and size % tops:
            raise ShapeMismatchError(f"needs a size divisible by {tops} tops, got {size}")
        if any(low >= high for low, high in pairwise(self._edges(size, tops))):
            raise ShapeMismatchError(
                f"needs slice_point increasing within {size}, got {self.slice_point}"
            )

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        axis = axis_of(self.axis, len(bottoms[0]))
        edges = self._edges(bottoms[0][axis], tops)
        return tuple(
            (*bottoms[0][:axis], high - low, *bottoms[0][axis + 1 :])
            for low, high in pairwise(edges)
        )

    def overwrites(self, bottoms: Sequence[Shape], tops: int) -> bool:
        return tops == 1

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        edges = self._edges(bottoms[0].shape[self.axis], tops)
        # torch.compile before 2.5 refuses itertools.pairwise.
        return tuple(
            bottoms[0].narrow(self.axis, edges[top], edges[top + 1] - edges[top])
            for top in range(tops)
        )


@register
@dataclass(frozen=True, kw_only=True)
class Flatten(Layer):
    """Flatten the axes from `axis` to `end_axis` into one."""

    type = "Flatten"
    parameter = ("flatten_param", 135)
    message = "FlattenParameter"
    shares_memory = "always"

    axis: int = field(1, "int32", 1)
    end_axis: int = field(2, "int32", -1)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        first, last = self._range(len(bottoms[0]))
        middle = prod(bottoms[0][first : last + 1])
        return ((*bottoms[0][:first], middle, *bottoms[0][last + 1 :]),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0].reshape(self.top_shapes([tuple(bottoms[0].shape)], tops)[0]),)

    def _range(self, rank: int) -> tuple[int, int]:
        return axis_of(self.axis, rank), axis_of(self.end_axis, rank)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        first, last = self._range(len(bottoms[0]))
        if last < first - 1:
            raise ShapeMismatchError(f"needs axis up to end_axis, got {first} and {last}")

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        first, last = self._range(len(bottoms[0]))
        if last < first:  # Caffe inserts an axis of 1 there
            return super().module(bottoms, blobs, tops)
        return nn.Flatten(self.axis, self.end_axis)


@register
@dataclass(frozen=True, kw_only=True)
class Reshape(Layer):
    """Reshape axes [axis, axis + num_axes) to `shape`: 0 copies an axis, one -1 is inferred."""

    type = "Reshape"
    parameter = ("reshape_param", 133)
    message = "ReshapeParameter"
    shares_memory = "always"

    shape: Shape | None = field(1, Shape)
    axis: int = field(2, "int32", 0)
    num_axes: int = field(3, "int32", -1)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        top = self.top_shapes(bottoms, tops)[0]
        if prod(top) != prod(bottoms[0]) or (self.shape or ()).count(-1) > 1:
            raise ShapeMismatchError(
                f"needs a shape of {prod(bottoms[0])} elements for {bottoms[0]}, got {self.shape}"
            )

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        bottom = bottoms[0]
        target = self._target(bottom)
        known = prod([size for size in target if size != -1])
        inferred = prod(bottom) // known if known else 0
        return (tuple(inferred if size == -1 else size for size in target),)

    def _target(self, bottom: Shape) -> Shape:
        """Return the top's shape as torch's reshape takes it, with -1 where it is inferred."""
        first = self.axis if self.axis >= 0 else len(bottom) + self.axis + 1
        end = len(bottom) if self.num_axes == -1 else first + self.num_axes
        if not 0 <= first <= end <= len(bottom):
            raise ShapeMismatchError(f"needs axes within {bottom}, got [{first}, {end})")
        wanted = self.shape if self.shape is not None else ()
        if any(size == 0 and first + i >= len(bottom) for i, size in enumerate(wanted)):
            raise ShapeMismatchError(f"needs an axis of {bottom} under each 0, got {wanted}")
        middle = [bottom[first + i] if size == 0 else size for i, size in enumerate(wanted)]
        return (*bottom[:first], *middle, *bottom[end:])

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0].reshape(self._target(tuple(bottoms[0].shape))),)


@register
@dataclass(frozen=True, kw_only=True)
class Crop(Layer):
    """Crop the first bottom to the second's sizes on every axis from `axis` on."""

    type = "Crop"
    parameter = ("crop_param", 144)
    message = "CropParameter"
    bottoms = (2, 2)

    axis: int = field(1, "int32", 2)
    offset: Shape = repeated(2, "uint32")

    def _canonical(self) -> dict[str, Shape]:
        return {"offset": () if self.offset == (0,) else self.offset}

    def _offsets(self, rank: int) -> Shape:
        axis = axis_of(self.axis, rank)
        given = self.offset or (0,)
        if len(given) not in (1, rank - axis):
            raise ShapeMismatchError(f"needs offset once or {rank - axis} times, got {given}")
        return (0,) * axis + (given * (rank - axis) if len(given) == 1 else given)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if len(bottoms[0]) != len(bottoms[1]):
            raise ShapeMismatchError(f"needs bottoms of one rank, got {list(bottoms)}")
        offsets = self._offsets(len(bottoms[0]))
        sizes = zip(bottoms[0], self.top_shapes(bottoms, tops)[0], offsets, strict=True)
        if any(offset + cut > size for size, cut, offset in sizes):
            raise ShapeMismatchError(
                f"needs a crop within {bottoms[0]}, got {bottoms[1]}+{offsets}"
            )

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        axis = axis_of(self.axis, len(bottoms[0]))
        return ((*bottoms[0][:axis], *bottoms[1][axis:]),)

    def overwrites(self, bottoms: Sequence[Shape], tops: int) -> bool:
        return self.top_shapes(bottoms, tops)[0] == tuple(bottoms[0])

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        top = bottoms[0]
        for dim, start in enumerate(self._offsets(top.dim())):
            if dim >= axis_of(self.axis, top.dim()):
                top = top.narrow(dim, start, bottoms[1].shape[dim])
        return (top,)


@register
@dataclass(frozen=True, kw_only=True)
class Tile(Layer):
    """Repeat the bottom `tiles` times along one axis."""

    type = "Tile"
    parameter = ("tile_param", 138)
    message = "TileParameter"

    axis: int = field(1, "int32", 1)
    tiles: int = field(2, "int32", absent=0)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.tiles < 1:
            raise ShapeMismatchError(f"needs tiles of 1 or more, got {self.tiles}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        axis = axis_of(self.axis, len(bottoms[0]))
        size = bottoms[0][axis] * self.tiles
        return ((*bottoms[0][:axis], size, *bottoms[0][axis + 1 :]),)

    def overwrites(self, bottoms: Sequence[Shape], tops: int) -> bool:
        return self.tiles == 1

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (torch.cat([bottoms[0]] * self.tiles, self.axis),)


@register
@dataclass(frozen=True, kw_only=True)
class Split(Layer):
    """Give the bottom several names; Caffe inserts it wherever a blob has two readers."""

    type = "Split"
    message = ""
    shares_memory = "always"
    tops = (1, MANY)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[0]),) * tops

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0],) * tops


@register
@dataclass(frozen=True, kw_only=True)
class Silence(Layer):
    """Consume its bottoms, so that they do not become outputs of the net."""

    type = "Silence"
    message = ""
    bottoms = (1, MANY)
    tops = (0, 0)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return ()
