"""SSD's layers: default boxes, and the decoding of predicted boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from enum import IntEnum
from math import inf, sqrt
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.boxes import kept_by_nms
from caffe2fx.layers.forks.shape import SSD, needs_rank
from caffe2fx.layers.layer import Layer
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Message, Shape, field, repeated

FORKS = tuple(name for name in SSD if name != "opencv")
LOWEST = float(torch.finfo(torch.float32).min)  # -FLT_MAX: the threshold where none is given
Box = tuple[float, float]  # width and height


@dataclass(frozen=True, kw_only=True)
class _PriorBox(Layer):
    """Base of both meanings of PriorBox: boxes around the centre of every position of the map.

    The top is (1, 2, H * W * boxes * 4): the corners, as fractions of the image, and the variances.
    The image is the second bottom, or img_size, or img_h and img_w.
    """

    type = "PriorBox"
    parameter = ("prior_box_param", 203)
    message = "PriorBoxParameter"
    bottoms = (2, 2)

    min_size: tuple[float, ...] = repeated(1, "float")
    max_size: tuple[float, ...] = repeated(2, "float")
    aspect_ratio: tuple[float, ...] = repeated(3, "float")
    flip: bool = field(4, "bool", True)
    clip: bool = field(5, "bool", False)
    variance: tuple[float, ...] = repeated(6, "float")
    img_size: int | None = field(7, "uint32")
    img_h: int | None = field(8, "uint32")
    img_w: int | None = field(9, "uint32")
    step: float | None = field(10, "float")
    step_h: float | None = field(11, "float")
    step_w: float | None = field(12, "float")
    offset: float = field(13, "float", 0.5)

    def boxes(self) -> list[Box]:
        """Return width and height of the boxes of one position, in order."""
        return [box for index in range(len(self.min_size)) for box in self._of_size(index)]

    def _of_size(self, index: int) -> Iterator[Box]:
        low = self._length(self.min_size[index])
        yield low, low
        if self.max_size:
            side = sqrt(low * self._length(self.max_size[index]))
            yield side, side
        for ratio in self._ratios():
            yield low * sqrt(ratio), low / sqrt(ratio)

    def _length(self, size: float) -> float:
        return size

    def _ratios(self) -> list[float]:
        """Return the aspect ratios other than 1, which comes first by itself."""
        ratios = [1.0]
        for ratio in self.aspect_ratio:
            if all(abs(ratio - other) >= 1e-6 for other in ratios):
                ratios += [ratio, 1 / ratio] if self.flip else [ratio]
        return ratios[1:]

    def offsets(self) -> list[tuple[float, float]]:
        """Return the offsets (x, y) of the centres within a position."""
        return [(self.offset, self.offset)]

    def per_position(self) -> int:
        """Return the number of boxes around each position."""
        return len(self.boxes()) * len(self.offsets())

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        for bottom in bottoms:
            needs_rank(bottom, 4)
        for name in ("min_size", "max_size", "aspect_ratio"):
            values = getattr(self, name)
            if not all(0 < value < inf for value in values):
                raise ShapeMismatchError(f"needs a finite {name} above 0, got {values}")
        if not self.boxes() or min(map(min, self.boxes())) < 0:
            raise ShapeMismatchError(f"needs a min_size above 0, got {self.min_size}")
        if self.max_size and len(self.max_size) != len(self.min_size):
            raise ShapeMismatchError(
                f"needs one max_size a min_size, got {self.max_size} and {self.min_size}"
            )
        if any(high <= low for high, low in zip(self.max_size, self.min_size, strict=False)):
            raise ShapeMismatchError(
                f"needs max_size above min_size, got {self.max_size} and {self.min_size}"
            )
        if len(self.variance) not in (0, 1, 4) or min(self.variance, default=1) <= 0:
            raise ShapeMismatchError(f"needs 0, 1 or 4 variances above 0, got {self.variance}")
        self._check_image()

    def _check_image(self) -> None:
        if self.img_size is not None and (self.img_h, self.img_w) != (None, None):
            raise ShapeMismatchError("needs img_size or img_h and img_w, got both")
        if (self.img_h is None) != (self.img_w is None):
            raise ShapeMismatchError("needs both img_h and img_w, got only one")
        if self.step is not None and (self.step_h, self.step_w) != (None, None):
            raise ShapeMismatchError("needs step or step_h and step_w, got both")
        if (self.step_h is None) != (self.step_w is None):
            raise ShapeMismatchError("needs both step_h and step_w, got only one")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        height, width = bottoms[0][2:]
        return ((1, 2, height * width * self.per_position() * 4),)

    @property
    def is_constant(self) -> bool:
        return True

    def _image(self, bottom: Shape) -> tuple[int, int]:
        height, width = bottom[2:]
        height, width = self.img_size or self.img_h or height, self.img_size or self.img_w or width
        return height, width

    def _steps(self, map_: Shape, image: tuple[int, int]) -> tuple[float, float]:
        down = self.step or self.step_h or image[0] / map_[2]
        across = self.step or self.step_w or image[1] / map_[3]
        return float(np.float32(down)), float(np.float32(across))

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        map_, image = tuple(bottoms[0].shape), self._image(tuple(bottoms[1].shape))
        corners = self._corners(map_, image)
        corners = corners.clamp(0, 1) if self.clip else corners
        given = self.variance or (0.1,)
        variances = torch.tensor(given, dtype=torch.float64).repeat(corners.numel() // len(given))
        both = torch.stack([corners.reshape(-1), variances])[None]
        return (both.to(bottoms[0].dtype).to(bottoms[0].device),)

    def _corners(self, map_: Shape, image: tuple[int, int]) -> Tensor:
        """Return the corners of all boxes: (H, W, boxes, offsets, 4) in float64."""
        down, across = self._steps(map_, image)
        wide, high = (
            torch.tensor(sides, dtype=torch.float64).reshape(-1, 1) / 2
            for sides in zip(*self.boxes(), strict=True)
        )
        x, y = (
            torch.tensor(offsets, dtype=torch.float64)
            for offsets in zip(*self.offsets(), strict=True)
        )
        centre_x = (torch.arange(map_[3])[:, None, None] + x) * across
        centre_y = (torch.arange(map_[2])[:, None, None, None] + y) * down
        shape = (*map_[2:], len(wide), len(x))
        sides = (
            (centre_x - wide) / image[1], (centre_y - high) / image[0],
            (centre_x + wide) / image[1], (centre_y + high) / image[0],
        )  # fmt: skip
        return torch.stack([side.expand(shape) for side in sides], -1)


@register
@dataclass(frozen=True, kw_only=True)
class PriorBox(_PriorBox):
    """Compute SSD's default boxes, whose sizes are truncated to integers."""

    dialects = FORKS

    def _length(self, size: float) -> float:
        return int(size)


@register
@dataclass(frozen=True, kw_only=True)
class PriorBoxOffsets(_PriorBox):
    """Compute OpenCV's default boxes: several centres a position, given sizes; clip by default."""

    dialects = ("opencv",)

    clip: bool = field(5, "bool", True)
    offset_h: tuple[float, ...] = repeated(14, "float")
    offset_w: tuple[float, ...] = repeated(15, "float")
    width: tuple[float, ...] = repeated(16, "float")
    height: tuple[float, ...] = repeated(17, "float")

    @classmethod
    def matches_fields(cls, names: Set[str]) -> bool:
        # A file with SSD's own fields alone was made for SSD, whoever runs it.
        return bool(names & {"offset_h", "offset_w", "width", "height"})

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if len(self.offset_h) != len(self.offset_w) or len(self.width) != len(self.height):
            raise ShapeMismatchError(
                "needs as many offset_h as offset_w, and as many height as width"
            )
        if self.width and (self.min_size or self.max_size or self.aspect_ratio):
            raise ShapeMismatchError("needs width and height or min_size, got both")

    def boxes(self) -> list[Box]:
        return list(zip(self.width, self.height, strict=True)) or super().boxes()

    def offsets(self) -> list[tuple[float, float]]:
        return list(zip(self.offset_w, self.offset_h, strict=True)) or super().offsets()


class CodeType(IntEnum):
    """Selects how a predicted box is encoded relative to its default box."""

    CORNER = 1
    CENTER_SIZE = 2
    CORNER_SIZE = 3


@dataclass(frozen=True, kw_only=True)
class NonMaximumSuppression(Message):
    """Holds the fields by which overlapping boxes are suppressed."""

    message = "NonMaximumSuppressionParameter"
    nms_threshold: float = field(1, "float", 0.3)
    top_k: int = field(2, "int32", absent=-1)
    eta: float = field(3, "float", 1.0)


@dataclass(frozen=True, kw_only=True)
class SaveOutput(Message):
    """Holds where SSD's evaluation writes files; the top does not depend on it."""

    message = "SaveOutputParameter"
    output_directory: str = field(1, "string", absent="")
    output_name_prefix: str = field(2, "string", absent="")
    output_format: str = field(3, "string", absent="")
    label_map_file: str = field(4, "string", absent="")
    name_size_file: str = field(5, "string", absent="")
    num_test_image: int = field(6, "uint32", absent=0)


@register
@dataclass(frozen=True, kw_only=True)
class DetectionOutput(Layer):
    """Decode boxes from location predictions, class scores and default boxes; suppress overlaps.

    The bottoms are (N, boxes * 4), or one such set a class where locations are not shared, (N,
    boxes * classes) and (1, 2, boxes * 4). The top is (1, 1, found, 7), a row a box: image, label,
    score and the corners; by image, by label, by falling score. Where nothing at all is found each
    image has a row of -1. Caffe states the top as (1, 1, 1, 7) before it runs.
    """

    type = "DetectionOutput"
    parameter = ("detection_output_param", 204)
    message = "DetectionOutputParameter"
    dialects: ClassVar[tuple[str, ...]] = SSD
    bottoms = (3, 3)
    has_dynamic_shape = True

    num_classes: int = field(1, "uint32", absent=0)
    share_location: bool = field(2, "bool", True)
    background_label_id: int = field(3, "int32", 0)
    nms_param: NonMaximumSuppression = field(
        4, NonMaximumSuppression, absent=NonMaximumSuppression()
    )
    save_output_param: SaveOutput | None = field(5, SaveOutput)
    code_type: CodeType = field(6, CodeType, CodeType.CORNER)
    keep_top_k: int = field(7, "int32", -1)
    variance_encoded_in_target: bool = field(8, "bool", False)
    confidence_threshold: float | None = field(9, "float")
    visualize: bool = field(10, "bool", False)
    visualize_threshold: float | None = field(11, "float")
    save_file: str = field(12, "string", absent="")

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.num_classes < 1:
            raise ShapeMismatchError("needs num_classes, got none")
        if self.share_location and self.background_label_id == -1:
            raise ShapeMismatchError("needs a background_label_id to share_location, got -1")
        nms = self.nms_param
        if nms.nms_threshold < 0 or not 0 < nms.eta <= 1:
            raise ShapeMismatchError(
                f"needs nms_threshold >= 0 and eta in (0, 1], got {nms.nms_threshold} and {nms.eta}"
            )
        boxes = bottoms[2][2] // 4
        wanted = boxes * self._sets() * 4, boxes * self.num_classes
        got = tuple(int(np.prod(bottom[1:])) for bottom in bottoms[:2])
        if got != wanted or bottoms[0][0] != bottoms[1][0]:
            raise ShapeMismatchError(
                f"needs {wanted[0]} locations and {wanted[1]} scores an image "
                f"for {boxes} boxes, got {got[0]} and {got[1]}"
            )

    def write(self, proto: Any) -> None:
        super().write(proto)
        # OpenCV requires these three.
        parameters = proto.detection_output_param
        parameters.share_location = self.share_location
        parameters.background_label_id = self.background_label_id
        parameters.code_type = self.code_type

    def _sets(self) -> int:
        return 1 if self.share_location else self.num_classes

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((1, 1, 1, 7),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        location, score, prior = bottoms
        priors, variances = prior.reshape(2, -1, 4)
        encoded = location.reshape(location.shape[0], -1, self._sets(), 4)
        boxes = self._decoded(encoded, priors[:, None], variances[:, None])
        scores = score.reshape(score.shape[0], -1, self.num_classes)
        found = [self._in_image(*image) for image in enumerate(zip(boxes, scores, strict=True))]
        rows = torch.cat(found)
        return ((rows if len(rows) else _nothing(location))[None, None],)

    def _decoded(self, encoded: Tensor, priors: Tensor, variances: Tensor) -> Tensor:
        """Return the corners of the predicted boxes: (N, boxes, sets, 4)."""
        shift = encoded if self.variance_encoded_in_target else encoded * variances
        if self.code_type is CodeType.CORNER:
            return priors + shift
        size = priors[..., 2:] - priors[..., :2]
        if self.code_type is CodeType.CORNER_SIZE:
            return priors + shift * torch.cat([size, size], -1)
        centre = shift[..., :2] * size + (priors[..., :2] + priors[..., 2:]) / 2
        half = shift[..., 2:].exp() * size / 2
        return torch.cat([centre - half, centre + half], -1)

    def _in_image(self, image: int, given: tuple[Tensor, Tensor]) -> Tensor:
        """Return the rows of the boxes found in one image."""
        boxes, scores = given
        rows = [
            self._of_class(image, label, boxes[:, 0 if self.share_location else label], scores)
            for label in range(self.num_classes)
            if label != self.background_label_id
        ]
        found = torch.cat(rows) if rows else boxes.new_zeros(0, 7)
        if -1 < self.keep_top_k < len(found):
            best = found[:, 2].argsort(descending=True, stable=True)[: self.keep_top_k]
            found = found[best.sort().values]
        return found

    def _of_class(self, image: int, label: int, boxes: Tensor, scores: Tensor) -> Tensor:
        least = LOWEST if self.confidence_threshold is None else self.confidence_threshold
        above = (scores[:, label] > least).nonzero()[:, 0]
        order = scores[above, label].argsort(descending=True, stable=True)
        chosen = above[order][: self.nms_param.top_k if self.nms_param.top_k > -1 else None]
        nms = self.nms_param
        kept = chosen[kept_by_nms(boxes[chosen], nms.nms_threshold, eta=nms.eta)]
        heads = boxes.new_tensor([image, label]).expand(len(kept), 2)
        return torch.cat([heads, scores[kept, label, None], boxes[kept]], 1)


def _nothing(location: Tensor) -> Tensor:
    """Return the top of a batch without boxes: for each image its index and then -1."""
    rows = location.new_full((location.shape[0], 7), -1.0)
    rows[:, 0] = torch.arange(location.shape[0], dtype=rows.dtype, device=rows.device)
    return rows
