"""Layers that read images from a database, from files, or from a program's memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.data import Given, Input, Source, TransformationParameter
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, field, forked


class DB(IntEnum):
    """Selects the kind of database that holds the images."""

    LEVELDB = 0
    LMDB = 1


@dataclass(frozen=True, kw_only=True)
class Images(Source):
    """Base of the layers that read images and a label for each: tops (N, C, H, W) and (N,)."""

    tops = (2, 2)

    batch_size: int = field(4, "uint32", absent=0)

    def image_shape(self) -> tuple[int | None, int | None, int | None]:
        """Return channels, height and width; None where the text does not state it."""
        values = self.transform_param.mean_value
        height, width = self.transform_param.sides(self.transform_param.crop_size)
        return len(values) if len(values) > 1 else None, height, width

    def stated(self, given: Given) -> tuple[Shape | None, ...]:
        image, *rest = given
        batch = image[0] if image else self.batch_size
        known = tuple(size for size in self.image_shape() if size is not None)
        if image is None and len(known) == 3:
            image = (batch, *known)
        if rest and rest[0] is None:
            rest[0] = self.label_shape(image, batch)
        return image, *rest

    def label_shape(self, image: Shape | None, batch: int) -> Shape | None:
        """Return the shape of the labels of a batch; None where the text does not state it."""
        return (batch,)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.batch_size < 1:
            raise ShapeMismatchError(f"needs batch_size >= 1, got {self.batch_size}")
        check_transformation(self.transform_param, self.image_shape())


def check_transformation(
    parameters: TransformationParameter, image: tuple[int | None, int | None, int | None]
) -> None:
    """Raise ShapeMismatchError for transformations that Caffe refuses for images of that shape."""
    channels, values = image[0], parameters.mean_value
    if parameters.mean_file and values:
        raise ShapeMismatchError("needs mean_file or mean_value, got both")
    if channels is not None and len(values) not in (0, 1, channels):
        raise ShapeMismatchError(
            f"needs one mean_value or one for each of {channels} channels, got {len(values)}"
        )


@register
@dataclass(frozen=True, kw_only=True)
class Data(Images):
    """Read images of a database. Its own scale, mean_file, crop_size and mirror are deprecated."""

    type = "Data"
    parameter = ("data_param", 107)
    message = "DataParameter"
    tops = (1, 2)

    source: str = field(1, "string", absent="")
    batch_size: int = field(4, "uint32", absent=0)
    rand_skip: int = field(7, "uint32", 0)
    backend: DB = field(8, DB, DB.LEVELDB)
    scale: float = field(2, "float", 1.0)
    mean_file: str = field(3, "string", absent="")
    crop_size: int = field(5, "uint32", 0)
    mirror: bool = field(6, "bool", False)
    force_encoded_color: bool = field(9, "bool", False)
    prefetch: int = field(10, "uint32", 4)
    # How forks read the database: in which order, and how fast.
    shuffle: bool = forked("bool", False)
    cache: bool = forked("bool", False)
    precache: bool = forked("bool", False)
    threads: int = forked("uint32", 0)
    parser_threads: int = forked("uint32", 0)


@register
@dataclass(frozen=True, kw_only=True)
class ImageData(Images):
    """Read images of files, resized to new_height and new_width before all else."""

    type = "ImageData"
    parameter = ("image_data_param", 115)
    message = "ImageDataParameter"

    source: str = field(1, "string", absent="")
    batch_size: int = field(4, "uint32", 1)
    rand_skip: int = field(7, "uint32", 0)
    shuffle: bool = field(8, "bool", False)
    new_height: int = field(9, "uint32", 0)
    new_width: int = field(10, "uint32", 0)
    is_color: bool = field(11, "bool", True)
    scale: float = field(2, "float", 1.0)
    mean_file: str = field(3, "string", absent="")
    crop_size: int = field(5, "uint32", 0)
    mirror: bool = field(6, "bool", False)
    root_folder: str = field(12, "string", absent="")
    images_in_color: bool | None = forked("bool")  # the name of is_color before BVLC named it so
    # How forks read the files.
    cache: bool = forked("bool", False)
    precache: bool = forked("bool", False)
    threads: int = forked("uint32", 0)

    def _canonical(self) -> dict[str, Any]:
        if self.images_in_color is None:
            return {}
        return {"is_color": self.images_in_color, "images_in_color": None}

    def image_shape(self) -> tuple[int | None, int | None, int | None]:
        height, width = self.transform_param.sides(self.transform_param.crop_size)
        color = 3 if self.is_color else 1
        return color, height or self.new_height or None, width or self.new_width or None

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        sizes = self.new_height, self.new_width
        if (sizes[0] == 0) != (sizes[1] == 0):
            raise ShapeMismatchError(f"needs new_height and new_width or neither, got {sizes}")
        if sizes[0] and self.transform_param.crop_size > min(sizes):
            crop = self.transform_param.crop_size
            raise ShapeMismatchError(f"needs crop_size <= the images' {sizes}, got {crop}")


@register
@dataclass(frozen=True, kw_only=True)
class MemoryData(Images):
    """Read images that a program hands to Caffe, already cropped."""

    type = "MemoryData"
    parameter = ("memory_data_param", 119)
    message = "MemoryDataParameter"

    batch_size: int = field(1, "uint32", absent=0)
    channels: int = field(2, "uint32", absent=0)
    height: int = field(3, "uint32", absent=0)
    width: int = field(4, "uint32", absent=0)

    def image_shape(self) -> tuple[int | None, int | None, int | None]:
        return self.channels, self.height, self.width

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if min(self.channels, self.height, self.width) < 1:
            sizes = self.channels, self.height, self.width
            raise ShapeMismatchError(f"needs channels, height and width >= 1, got {sizes}")


@register
@dataclass(frozen=True, kw_only=True)
class WindowData(Images):
    """Read windows of images, warped to crop_size; only its file has the number of channels."""

    type = "WindowData"
    parameter = ("window_data_param", 129)
    message = "WindowDataParameter"

    source: str = field(1, "string", absent="")
    scale: float = field(2, "float", 1.0)
    mean_file: str = field(3, "string", absent="")
    batch_size: int = field(4, "uint32", absent=0)
    crop_size: int = field(5, "uint32", 0)
    mirror: bool = field(6, "bool", False)
    fg_threshold: float = field(7, "float", 0.5)
    bg_threshold: float = field(8, "float", 0.5)
    fg_fraction: float = field(9, "float", 0.25)
    context_pad: int = field(10, "uint32", 0)
    crop_mode: str = field(11, "string", "warp")
    cache_images: bool = field(12, "bool", False)
    root_folder: str = field(13, "string", absent="")

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.transform_param.crop_size < 1:
            raise ShapeMismatchError("needs crop_size in transform_param, got none")

    def as_input(self, shapes: Sequence[Shape]) -> Input:
        """Return an Input layer without transform_param: Caffe does more than that to windows."""
        return Input(shape=tuple(shapes))
