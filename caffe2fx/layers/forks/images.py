"""Layers of forks that read images: with labelled boxes, with labels per pixel, of videos."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from caffe2fx.layers.forks.shape import SSD
from caffe2fx.layers.images import Data, ImageData, Images
from caffe2fx.layers.layer import Evidence
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Message, Shape, field, forked, repeated, sibling_message


class AnnotationType(IntEnum):
    """Selects the labels of an image: boxes; in one fork, a map too, or the lanes of a road."""

    BBOX = 0
    BBOXandSeg = 1
    LANE = 2


@dataclass(frozen=True, kw_only=True)
class Sampler(Message):
    """Holds the range of sizes and aspect ratios of a crop of an image."""

    message = "Sampler"
    min_scale: float = field(1, "float", 1.0)
    max_scale: float = field(2, "float", 1.0)
    min_aspect_ratio: float = field(3, "float", 1.0)
    max_aspect_ratio: float = field(4, "float", 1.0)


@dataclass(frozen=True, kw_only=True)
class SampleConstraint(Message):
    """Holds how much of the labelled boxes a crop of an image must contain."""

    message = "SampleConstraint"
    min_jaccard_overlap: float | None = field(1, "float")
    max_jaccard_overlap: float | None = field(2, "float")
    min_sample_coverage: float | None = field(3, "float")
    max_sample_coverage: float | None = field(4, "float")
    min_object_coverage: float | None = field(5, "float")
    max_object_coverage: float | None = field(6, "float")


@dataclass(frozen=True, kw_only=True)
class BatchSampler(Message):
    """Holds how crops of images are sampled."""

    message = "BatchSampler"
    use_original_image: bool = field(1, "bool", True)
    sampler: Sampler | None = field(2, Sampler)
    sample_constraint: SampleConstraint | None = field(3, SampleConstraint)
    max_sample: int | None = field(4, "uint32")
    max_trials: int = field(5, "uint32", 100)


@dataclass(frozen=True, kw_only=True)
class AnnotatedDataParameter(Message):
    """Holds the labels of AnnotatedData, beside the data_param of all databases."""

    message = "AnnotatedDataParameter"
    batch_sampler: tuple[BatchSampler, ...] = repeated(1, BatchSampler)
    label_map_file: str = field(2, "string", absent="")
    anno_type: AnnotationType | None = field(3, AnnotationType)
    # One fork's, whose labels have shapes of their own.
    yolo_data_type: int = forked("int32", 0)
    yolo_data_jitter: float = forked("float", 0.3)
    train_diffcult: bool = forked("bool", True)
    single_class: bool = forked("bool", True)
    seg_scales: int = forked("int32", 8)
    seg_resize_height: int = forked("int32", 0)
    seg_resize_width: int = forked("int32", 0)
    difficult_label_warmup: bool = forked("bool", False)


@register
@dataclass(frozen=True, kw_only=True)
class AnnotatedData(Data):
    """Read images with labelled boxes: tops (N, C, H, W) and (1, 1, boxes of all images, 8).

    A box is: image, class, index among its image's of that class, four corners, difficult.
    """

    type = "AnnotatedData"
    dialects: ClassVar[tuple[str, ...]] = SSD
    evidence: ClassVar[Evidence] = Evidence.SOURCE
    tops = (1, 3)

    annotated_data_param: AnnotatedDataParameter = sibling_message(200, AnnotatedDataParameter)

    def label_shape(self, image: Shape | None, batch: int) -> Shape | None:
        plain = self.annotated_data_param.anno_type in (None, AnnotationType.BBOX)
        return (1, 1, 1, 8) if plain and not self.annotated_data_param.yolo_data_type else None


@register
@dataclass(frozen=True, kw_only=True)
class LaneData(AnnotatedData):
    """Read images of roads, with labels of shapes that only their fork knows."""

    type = "LaneData"
    dialects = ("yolo",)
    evidence = Evidence.SOURCE

    def label_shape(self, image: Shape | None, batch: int) -> Shape | None:
        return None


class VideoType(IntEnum):
    """Selects the source of a video."""

    WEBCAM = 0
    VIDEO = 1


@dataclass(frozen=True, kw_only=True)
class VideoDataParameter(Message):
    """Holds the video to read, beside the data_param of all databases."""

    message = "VideoDataParameter"
    video_type: VideoType = field(1, VideoType, VideoType.WEBCAM)
    device_id: int = field(2, "int32", 0)
    video_file: str = field(3, "string", absent="")
    skip_frames: int = field(4, "uint32", 0)


@register
@dataclass(frozen=True, kw_only=True)
class VideoData(Data):
    """Read frames of a video."""

    type = "VideoData"
    dialects = SSD
    evidence = Evidence.SOURCE

    video_data_param: VideoDataParameter = sibling_message(207, VideoDataParameter)


class LabelType(IntEnum):
    """Selects the label of an image: none, one value, or a value for each pixel."""

    NONE = 0
    IMAGE = 1
    PIXEL = 2


@register
@dataclass(frozen=True, kw_only=True)
class ImageSegData(ImageData):
    """Read images and a label for each pixel: tops (N, C, H, W), (N, 1, H, W), and their sizes."""

    type = "ImageSegData"
    dialects = ("pspnet", "deeplab")
    evidence = Evidence.SOURCE
    tops = (2, 3)

    label_type: LabelType = forked(LabelType, LabelType.IMAGE)
    ignore_label: int = forked("int32", 255)

    def label_shape(self, image: Shape | None, batch: int) -> Shape | None:
        if self.label_type is LabelType.PIXEL:
            return None if image is None else (batch, 1, *image[2:])
        return (batch,) if self.label_type is LabelType.IMAGE else None


@register
@dataclass(frozen=True, kw_only=True)
class DenseImageData(Images):
    """Read SegNet's image files, each with an image of labels: (N, C, H, W) and (N, 1, H, W)."""

    type = "DenseImageData"
    parameter = ("dense_image_data_param", 138)
    message = "DenseImageDataParameter"
    dialects = ("segnet", "synopsys")
    evidence = Evidence.SOURCE

    source: str = field(1, "string", absent="")
    batch_size: int = field(2, "uint32", 1)
    rand_skip: int = field(3, "uint32", 0)
    shuffle: bool = field(4, "bool", False)
    new_height: int = field(5, "uint32", 0)
    new_width: int = field(6, "uint32", 0)
    is_color: bool = field(7, "bool", True)
    mean_file: str = field(8, "string", absent="")
    root_folder: str = field(9, "string", absent="")
    mirror: bool = field(10, "bool", False)
    crop_width: int = field(11, "uint32", 0)
    crop_height: int = field(12, "uint32", 0)

    def image_shape(self) -> tuple[int | None, int | None, int | None]:
        high, wide = self.crop_height or self.new_height, self.crop_width or self.new_width
        return 3 if self.is_color else 1, high or None, wide or None

    def label_shape(self, image: Shape | None, batch: int) -> Shape | None:
        return None if image is None else (batch, 1, *image[2:])
