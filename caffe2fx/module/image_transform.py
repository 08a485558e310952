"""Caffe's transformations of images before they enter a net (transform_param), as a module."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from caffe2fx.errors import CaffeError, CaffeFileError, CaffeFormatError, ShapeMismatchError
from caffe2fx.layers import Data, ImageData, Input, MemoryData, Source, TransformationParameter
from caffe2fx.layers.images import check_transformation
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step
from caffe2fx.weights.atomic import file_errors
from caffe2fx.weights.caffemodel import read_blob


def read_mean(path: str | Path) -> Tensor:
    """Return the mean image (C, H, W) of a .binaryproto file, in Caffe's order of channels.

    Raises CaffeFormatError for a file that holds something else, CaffeFileError for a missing one.
    """
    with file_errors():
        mean = read_blob(path)
    if mean.dim() == 4 and mean.shape[0] == 1:
        return mean[0]
    shape = tuple(mean.shape)
    raise CaffeFormatError(f"{path} needs to hold one mean image (1, C, H, W), got {shape}")


class Transform(nn.Module):
    """Transforms decoded images (N, C, H, W), or one (C, H, W), to the input of a net.

    As in Caffe: each image is cropped to crop_size, at the centre in eval mode and at random in
    train mode; the mean of the same window is subtracted; in either mode half of all images are
    mirrored if `mirror` is set; then all is multiplied by `scale`. Each image draws its own window
    and mirroring from torch's generator. Caffe's images hold 0 to 255, and their channels are blue,
    green and red.

    Images are not decoded or resized here, as force_color, force_gray, new_height and new_width
    ask; `size` is the size they were resized to, if the file states it. `mean` is the mean image
    that mean_file names, or another one.

    Raises ShapeMismatchError for images that Caffe would not take.
    """

    mean: Tensor | None

    def __init__(
        self,
        parameters: TransformationParameter,
        mean: Tensor | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.transformation, self.size = parameters, size
        if parameters.mean_file and mean is None:
            raise CaffeFileError(f"needs the mean image of {parameters.mean_file!r}, got none")
        if mean is None and parameters.mean_value:
            mean = torch.tensor(parameters.mean_value).reshape(-1, 1, 1)
        self.register_buffer("mean", mean)

    def forward(self, images: Tensor) -> Tensor:
        one = images.dim() == 3
        batch = images[None] if one else images
        self._check(batch)
        made = torch.stack([self._image(image.to(torch.float32)) for image in batch])
        return made[0] if one else made

    def _image(self, image: Tensor) -> Tensor:
        height, width = image.shape[1:]
        top, left = self._start(height), self._start(width)
        side = self.transformation.crop_size
        rows, columns = slice(top, top + (side or height)), slice(left, left + (side or width))
        image = image[:, rows, columns]
        if self.mean is not None:
            mean = self.mean if self.mean.shape[1:] == (1, 1) else self.mean[:, rows, columns]
            image = image - mean
        if self.transformation.mirror and int(torch.randint(2, ())):
            image = image.flip(2)
        return image * self.transformation.scale

    def _start(self, size: int) -> int:
        left = size - (self.transformation.crop_size or size)
        return int(torch.randint(left + 1, ())) if self.training else left // 2

    def _check(self, images: Tensor) -> None:
        if images.dim() != 4:
            raise ShapeMismatchError(f"needs images (N, C, H, W), got {tuple(images.shape)}")
        channels, height, width = images.shape[1:]
        sides = height, width
        check_transformation(self.transformation, (channels, height, width))
        if min(sides) < self.transformation.crop_size:
            crop = self.transformation.crop_size
            raise ShapeMismatchError(f"needs images of {crop} x {crop} or more, got {sides}")
        if self.size is not None and sides != self.size:
            raise ShapeMismatchError(f"needs images resized to {self.size}, got {sides}")
        mean = None if self.mean is None else tuple(self.mean.shape)
        if mean is not None and mean[1:] != (1, 1) and mean != (channels, *sides):
            got = tuple(images.shape[1:])
            raise ShapeMismatchError(f"needs images {mean} like the mean, got {got}")

    def extra_repr(self) -> str:
        return str(self.transformation)


def transforms(net: Net) -> dict[str, Transform]:
    """Return the transform that Caffe applies to the images of each input, by blob name.

    Raises CaffeFileError where a mean_file is found neither by its path nor beside the prototxt,
    and CaffeError where a fork transforms the images further than BVLC's Caffe.
    """
    return {
        step.tops[0].blob: _transform(step, step.layer)
        for step in net.steps
        if isinstance(step.layer, Source) and _has_images(step.layer)
    }


def _has_images(layer: Source) -> bool:
    has_transform = layer.transform_param != TransformationParameter()
    return isinstance(layer, Data | ImageData | MemoryData) or (
        isinstance(layer, Input) and has_transform
    )


def _transform(step: Step, layer: Source) -> Transform:
    parameters = layer.transform_param
    if others := parameters.of_forks():
        message = f"needs a transform_param of BVLC's Caffe, got {', '.join(others)}"
        raise step.fault(CaffeError(message))
    try:
        mean = _mean(parameters.mean_file, step) if parameters.mean_file else None
    except CaffeError as error:
        raise step.fault(error) from None
    size = None
    if isinstance(layer, ImageData) and layer.new_height > 0:
        size = layer.new_height, layer.new_width
    return Transform(parameters, mean, size)


def _mean(name: str, step: Step) -> Tensor:
    sibling_path = Path(step.origin.file).parent / name
    return read_mean(sibling_path if sibling_path.exists() and not Path(name).exists() else name)
