"""Where a net's data come from: inputs given by the caller, and constants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.fillers import check_bilinear, fill
from caffe2fx.layer import MANY, Layer, register
from caffe2fx.message import Filler, Shape, field, repeated


@register
@dataclass(frozen=True, kw_only=True)
class Input(Layer):
    """Blobs that the caller fills: one shape for all tops, or one a top."""

    type = "Input"
    parameter = ("input_param", 143)
    message = "InputParameter"
    bottoms = (0, 0)
    tops = (1, MANY)

    shape: tuple[Shape, ...] = repeated(1, Shape)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if len(self.shape) not in (1, tops):
            raise ShapeMismatchError(f"needs one shape or {tops}, got {len(self.shape)}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return self.shape * tops if len(self.shape) == 1 else self.shape


@register
@dataclass(frozen=True, kw_only=True)
class DummyData(Layer):
    """Blobs made by fillers; only the constant filler is the same on every run."""

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
        """Filler and shape of each top."""
        fillers = self.data_filler or (Filler(),)
        fillers = fillers * tops if len(fillers) == 1 else fillers
        return zip(fillers, self.top_shapes([], tops), strict=True)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return self.shape * tops if len(self.shape) == 1 else self.shape

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return tuple(fill(filler, shape) for filler, shape in self._filled(tops))


@register
@dataclass(frozen=True, kw_only=True)
class Parameter(Layer):
    """A weight blob as a top: a constant that the caffemodel carries."""

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


# The fillers that DummyData takes here.
_FILLERS = ("constant", "gaussian", "uniform", "bilinear")


def _check_filler(filler: Filler, shape: Shape) -> None:
    if filler.type not in _FILLERS:
        raise ShapeMismatchError(f"needs a filler of {', '.join(_FILLERS)}, got {filler.type!r}")
    if filler.type == "bilinear":
        check_bilinear(shape)
