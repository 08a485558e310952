"""Image augmentations that forks add to transform_param: read, and kept as the file has them.

They change the images that a data layer gives, never the layers that read them. Of it all only
the size that images are resized to is used here (`Augmentation.sides`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

from caffe2fx.messages.message import Message, field, forked, repeated


class ResizeMode(IntEnum):
    """Selects how an image gets its new size; FIT_SMALL_SIZE does not fix its other side."""

    WARP = 1
    FIT_SMALL_SIZE = 2
    FIT_LARGE_SIZE_AND_PAD = 3


class PadMode(IntEnum):
    """Selects the content around an image that is smaller than its new size."""

    CONSTANT = 1
    MIRRORED = 2
    REPEAT_NEAREST = 3


class InterpolationMode(IntEnum):
    """Selects OpenCV's interpolation for a resize."""

    LINEAR = 1
    AREA = 2
    NEAREST = 3
    CUBIC = 4
    LANCZOS4 = 5


class EmitType(IntEnum):
    """Selects which labelled boxes are kept in a crop of an image."""

    CENTER = 0
    MIN_OVERLAP = 1


@dataclass(frozen=True, kw_only=True)
class ResizeParameter(Message):
    """Holds the size of all images, which is applied with probability `prob`."""

    message = "ResizeParameter"
    prob: float = field(1, "float", 1.0)
    resize_mode: ResizeMode = field(2, ResizeMode, ResizeMode.WARP)
    height: int = field(3, "uint32", 0)
    width: int = field(4, "uint32", 0)
    height_scale: int = field(8, "uint32", 0)
    width_scale: int = field(9, "uint32", 0)
    pad_mode: PadMode = field(5, PadMode, PadMode.CONSTANT)
    pad_value: tuple[float, ...] = repeated(6, "float")
    interp_mode: tuple[InterpolationMode, ...] = repeated(7, InterpolationMode)


@dataclass(frozen=True, kw_only=True)
class SaltPepperParameter(Message):
    """Holds the share and the values of salt-and-pepper noise: single pixels."""

    message = "SaltPepperParameter"
    fraction: float = field(1, "float", 0.0)
    value: tuple[float, ...] = repeated(2, "float")


@dataclass(frozen=True, kw_only=True)
class NoiseParameter(Message):
    """Holds the probabilities of noise of many kinds."""

    message = "NoiseParameter"
    prob: float = field(1, "float", 0.0)
    hist_eq: bool = field(2, "bool", False)
    inverse: bool = field(3, "bool", False)
    decolorize: bool = field(4, "bool", False)
    gauss_blur: bool = field(5, "bool", False)
    jpeg: float = field(6, "float", -1.0)
    posterize: bool = field(7, "bool", False)
    erode: bool = field(8, "bool", False)
    saltpepper: bool = field(9, "bool", False)
    saltpepper_param: SaltPepperParameter | None = field(10, SaltPepperParameter)
    clahe: bool = field(11, "bool", False)
    convert_to_hsv: bool = field(12, "bool", False)
    convert_to_lab: bool = field(13, "bool", False)


@dataclass(frozen=True, kw_only=True)
class DistortionParameter(Message):
    """Holds random changes of brightness, contrast, hue, saturation and exposure."""

    message = "DistortionParameter"
    brightness_prob: float = field(1, "float", 0.0)
    brightness_delta: float = field(2, "float", 0.0)
    contrast_prob: float = field(3, "float", 0.0)
    contrast_lower: float = field(4, "float", 0.0)
    contrast_upper: float = field(5, "float", 0.0)
    hue_prob: float = field(6, "float", 0.0)
    hue_delta: float = field(7, "float", 0.0)
    saturation_prob: float = field(8, "float", 0.0)
    saturation_lower: float = field(9, "float", 0.0)
    saturation_upper: float = field(10, "float", 0.0)
    random_order_prob: float = field(11, "float", 0.0)
    exposure_lower: float = forked("float", 0.0)
    exposure_upper: float = forked("float", 0.0)


@dataclass(frozen=True, kw_only=True)
class ExpansionParameter(Message):
    """Holds the limits for placing an image at random inside a larger one."""

    message = "ExpansionParameter"
    prob: float = field(1, "float", 1.0)
    max_expand_ratio: float = field(2, "float", 1.0)


@dataclass(frozen=True, kw_only=True)
class EmitConstraint(Message):
    """Holds which labelled boxes are kept in a crop of an image."""

    message = "EmitConstraint"
    emit_type: EmitType = field(1, EmitType, EmitType.CENTER)
    emit_overlap: float = field(2, "float", 0.0, absent=0.0)


@dataclass(frozen=True, kw_only=True)
class RandomAspectRatioParameter(Message):
    """Holds the limits of Intel's crop with another aspect ratio."""

    message = "RandomAspectRatioParameter"
    min_area_ratio: float = field(1, "float", 0.5)
    max_area_ratio: float = field(2, "float", 1.0)
    aspect_ratio_change: float = field(3, "float", 1.0)
    max_attempt: int = field(4, "uint32", 10)
    resize_param: ResizeParameter | None = field(5, ResizeParameter)


@dataclass(frozen=True, kw_only=True)
class RandomResizeParameter(Message):
    """Holds the limits of Intel's random size of the shorter side."""

    message = "RandomResizeParameter"
    min_size: int = field(1, "uint32", 0)
    max_size: int = field(2, "uint32", 0)
    resize_param: ResizeParameter | None = field(3, ResizeParameter)


@dataclass(frozen=True, kw_only=True)
class Augmentation(Message):
    """Holds the fields that forks add to TransformationParameter."""

    # SSD's, and of those that took them over; one of them takes several sizes.
    resize_param: tuple[ResizeParameter, ...] = repeated(0, ResizeParameter)
    noise_param: NoiseParameter | None = forked(NoiseParameter)
    distort_param: DistortionParameter | None = forked(DistortionParameter)
    expand_param: ExpansionParameter | None = forked(ExpansionParameter)
    emit_constraint: EmitConstraint | None = forked(EmitConstraint)
    crop_h: int = forked("uint32", 0)
    crop_w: int = forked("uint32", 0)
    # Intel's.
    random_aspect_ratio_param: RandomAspectRatioParameter | None = forked(
        RandomAspectRatioParameter
    )
    random_resize_param: RandomResizeParameter | None = forked(RandomResizeParameter)
    # NVIDIA's.
    img_rand_resize_lower: int = forked("uint32", 0)
    img_rand_resize_upper: int = forked("uint32", 0)
    rand_resize_ratio_lower: float = forked("float", 0.0)
    rand_resize_ratio_upper: float = forked("float", 0.0)
    vertical_stretch_lower: float = forked("float", 1.0)
    vertical_stretch_upper: float = forked("float", 1.0)
    horizontal_stretch_lower: float = forked("float", 1.0)
    horizontal_stretch_upper: float = forked("float", 1.0)
    allow_upscale: bool = forked("bool", False)
    use_gpu_transform: bool = forked("bool", False)
    random_seed: int = forked("int64", -1)
    # Those of action recognition and of segmentation.
    scale_ratios: tuple[float, ...] = repeated(0, "float")
    scale_factors: tuple[float, ...] = repeated(0, "float")
    multi_scale: bool = forked("bool", False)
    fix_crop: bool = forked("bool", False)
    more_fix_crop: bool = forked("bool", False)
    max_distort: int = forked("int32", 1)
    is_flow: bool = forked("bool", False)
    stride: int = forked("int32", 1)
    upper_size: int = forked("int32", 0)
    upper_height: int = forked("int32", 0)
    upper_width: int = forked("int32", 0)

    def sides(self, crop_size: int) -> tuple[int | None, int | None]:
        """Return height and width that all images are resized to; None where the text has none."""
        sizes = {self._resized(size) for size in self.resize_param} or {(None, None)}
        height, width = sizes.pop() if len(sizes) == 1 else (None, None)
        return crop_size or self.crop_h or height, crop_size or self.crop_w or width

    @staticmethod
    def _resized(size: ResizeParameter) -> tuple[int | None, int | None]:
        if size.resize_mode is ResizeMode.FIT_SMALL_SIZE:
            return None, None
        return size.height or None, size.width or None

    def of_forks(self) -> list[str]:
        """Return the names of the fields of forks that the file sets."""
        names = [item.name for item in fields(Augmentation)]
        nothing = type(self)()
        return [name for name in names if getattr(self, name) != getattr(nothing, name)]
