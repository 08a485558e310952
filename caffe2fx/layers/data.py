"""Inputs and outputs of a net: data that the caller gives, constants, files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.augmentation import Augmentation
from caffe2fx.layers.fillers import check, fill
from caffe2fx.layers.layer import MANY, Layer, RecordModule
from caffe2fx.layers.registry import register
from caffe2fx.messages.common import Filler
from caffe2fx.messages.message import Shape, field, repeated, sibling_message

Given = Sequence[Shape | None]


@dataclass(frozen=True, kw_only=True)
class TransformationParameter(Augmentation):
    """Holds how Caffe transforms the pixels of an image before they enter the net."""

    message = "TransformationParameter"
    scale: float = field(1, "float", 1.0)
    mirror: bool = field(2, "bool", False)
    crop_size: int = field(3, "uint32", 0)
    mean_file: str = field(4, "string", absent="")
    mean_value: tuple[float, ...] = repeated(5, "float")
    force_color: bool = field(6, "bool", False)
    force_gray: bool = field(7, "bool", False)


@dataclass(frozen=True, kw_only=True)
class Source(Layer):
    """Base of the layers whose tops the caller fills, whatever Caffe would fill them with."""

    bottoms = (0, 0)
    tops = (1, MANY)

    transform_param: TransformationParameter = sibling_message(100, TransformationParameter)

    def stated(self, given: Given) -> tuple[Shape | None, ...]:
        """Return the shape of each top: the given one, or the one in the text; None for neither."""
        raise NotImplementedError

    def completed(self, given: Given) -> tuple[Shape, ...]:
        """Return the shape of each top, of which the caller has `given` some.

        Raises ShapeMismatchError where the text does not state the shape of another.
        """
        super().check((), len(given))
        shapes = self.stated(given)
        known = tuple(shape for shape in shapes if shape is not None)
        if len(known) < len(shapes):
            raise ShapeMismatchError(
                f"needs the shape of its top {shapes.index(None)}, which the text does not state: "
                'name it in shapes={"top": (N, C, H, W)} of caffe2fx.load'
            )
        return known

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return self.completed((None,) * tops)

    def as_input(self, shapes: Sequence[Shape]) -> Input:
        """Return an Input layer of these shapes that replaces this layer."""
        return Input(shape=tuple(shapes), transform_param=self.transform_param)


@register
@dataclass(frozen=True, kw_only=True)
class Input(Source):
    """Take blobs that the caller fills: one shape for all tops, or one per top.

    Caffe accepts a transform_param here, and ignores it.
    """

    type = "Input"
    parameter = ("input_param", 143)
    message = "InputParameter"

    shape: tuple[Shape, ...] = repeated(1, Shape)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if len(self.shape) not in (0, 1, tops):
            raise ShapeMismatchError(f"needs one shape or {tops}, got {len(self.shape)}")

    def stated(self, given: Given) -> tuple[Shape | None, ...]:
        self.check((), len(given))
        own = self.shape if len(self.shape) == len(given) else (self.shape or (None,)) * len(given)
        return tuple(b if a is None else a for a, b in zip(given, own, strict=True))


@register
@dataclass(frozen=True, kw_only=True)
class HDF5Data(Source):
    """Read arrays of HDF5 files by their tops' names, batch_size rows at a time."""

    type = "HDF5Data"
    parameter = ("hdf5_data_param", 112)
    message = "HDF5DataParameter"

    source: str = field(1, "string", absent="")
    batch_size: int = field(2, "uint32", absent=0)
    shuffle: bool = field(3, "bool", False)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.transform_param != TransformationParameter():
            raise ShapeMismatchError("needs no transform_param, which Caffe has not made for it")
        if self.batch_size < 1:
            raise ShapeMismatchError(f"needs batch_size >= 1, got {self.batch_size}")

    def stated(self, given: Given) -> tuple[Shape | None, ...]:
        return tuple(given)


@register
@dataclass(frozen=True, kw_only=True)
class HDF5Output(Layer):
    """Write two blobs to a file as "data" and "label" in Caffe; write nothing here."""

    type = "HDF5Output"
    parameter = ("hdf5_output_param", 113)
    message = "HDF5OutputParameter"
    bottoms = (2, 2)
    tops = (0, 0)

    file_name: str = field(1, "string", absent="")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ()

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return ()


@register
@dataclass(frozen=True, kw_only=True)
class DummyData(Layer):
    """Make blobs by fillers; only the constant filler is the same on every run."""

    type = "DummyData"
    parameter = ("dummy_data_param", 109)
    message = "DummyDataParameter"
    bottoms = (0, 0)
    tops = (1, MANY)

    data_filler: tuple[Filler, ...] = repeated(1, Filler)
    shape: tuple[Shape, ...] = repeated(6, Shape)
    num: Shape = repeated(2, "uint32")
    channels: Shape = repeated(3, "uint32")
    height: Shape = repeated(4, "uint32")
    width: Shape = repeated(5, "uint32")

    def _canonical(self) -> dict[str, Any]:
        if self.data_filler and all(filler == Filler() for filler in self.data_filler):
            return {**self._shapes(), "data_filler": ()}
        return self._shapes()

    def _shapes(self) -> dict[str, Any]:
        dims = (self.num, self.channels, self.height, self.width)
        if not any(dims):
            return {}
        if self.shape:
            raise ShapeMismatchError("needs shape or num/channels/height/width, got both")
        count = max(map(len, dims))
        if any(len(dim) not in (1, count) for dim in dims):
            raise ShapeMismatchError("needs num, channels, height and width once or equally often")
        shapes = tuple(zip(*(dim * (count // len(dim)) for dim in dims), strict=True))
        return {"shape": shapes, "num": (), "channels": (), "height": (), "width": ()}

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if len(self.shape) not in (1, tops) or len(self.data_filler) not in (0, 1, tops):
            raise ShapeMismatchError(
                f"needs one shape and filler or {tops} of each, "
                f"got {len(self.shape)} and {len(self.data_filler)}"
            )
        for filler, shape in self._filled(tops):
            _check_filler(filler, shape)

    def _filled(self, tops: int) -> Iterator[tuple[Filler, Shape]]:
        """Yield the filler and the shape of each top."""
        return zip(self.fillers(tops), self.top_shapes([], tops), strict=True)

    def fillers(self, tops: int) -> tuple[Filler, ...]:
        """Return the filler of each top."""
        fillers = self.data_filler or (Filler(),)
        return fillers * tops if len(fillers) == 1 else fillers

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return self.shape * tops if len(self.shape) == 1 else self.shape

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return tuple(fill(filler, shape) for filler, shape in self._filled(tops))

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return Filled(self, blobs, tops)


class Filled(RecordModule):
    """Runs a layer without bottoms, whose tops have the dtype and the device of the module."""

    like: Tensor

    def __init__(self, layer: Layer, blobs: Sequence[Tensor], tops: int) -> None:
        super().__init__(layer, blobs, tops)
        self.register_buffer("like", torch.empty(0), persistent=False)

    def forward(self, *values: Tensor) -> Tensor | tuple[Tensor, ...]:
        tops = super().forward(*values)
        if isinstance(tops, Tensor):
            return tops.to(self.like)
        return tuple(top.to(self.like) for top in tops)


@register
@dataclass(frozen=True, kw_only=True)
class Parameter(Layer):
    """Give a weight blob as a top: a constant that the caffemodel carries."""

    type = "Parameter"
    parameter = ("parameter_param", 145)
    message = "ParameterParameter"
    bottoms = (0, 0)

    shape: Shape = field(1, Shape, absent=())

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return (self.shape,)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (self.shape,)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (blobs[0],)


# The fillers that DummyData allows here.
_FILLERS = ("constant", "gaussian", "uniform", "bilinear")


def _check_filler(filler: Filler, shape: Shape) -> None:
    if filler.type not in _FILLERS:
        raise ShapeMismatchError(f"needs a filler of {', '.join(_FILLERS)}, got {filler.type!r}")
    check(filler, shape)
