"""The tensors that `--input` names."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe2fx.errors import CaffeError, CaffeFileError
from caffe2fx.files.feature_dump import npy_of, npz_of
from caffe2fx.weights.atomic import file_errors
from fx2caffe.cli.input_spec import IMAGES, InputSpec
from fx2caffe.preprocessing import Preprocessing


def inputs_of(specs: Sequence[InputSpec], seed: int, pixels: Preprocessing | None) -> Any:
    """Return the inputs in order, or by the argument's name where names are given.

    `pixels` is applied to images, which are read in the order RGB, from 0 to 255.
    """
    generator = torch.Generator().manual_seed(seed)
    found = [pair for spec in specs for pair in _tensors(spec, generator, pixels)]
    names = [name for name, _ in found]
    if not any(names):
        return tuple(tensor for _, tensor in found)
    if not all(names) or len(set(names)) < len(names):
        raise CaffeError(f"--input needs a different name for every input, or none, got {names}")
    return dict(found)


def _tensors(
    spec: InputSpec, generator: torch.Generator, pixels: Preprocessing | None
) -> Iterator[tuple[str, Tensor]]:
    if spec.path is None:
        yield spec.name, _drawn(spec, generator)
    elif spec.path.suffix.lower() in IMAGES:
        image = _image(spec.path, spec.size)
        yield spec.name, image if pixels is None else _applied(pixels, image)
    else:
        for name, array in _arrays(spec.path):
            yield spec.name or name, torch.from_numpy(np.ascontiguousarray(array))


def _drawn(spec: InputSpec, generator: torch.Generator) -> Tensor:
    if spec.span is None:
        return torch.randn(spec.shape, generator=generator)
    return torch.randint(spec.span[0], spec.span[1] + 1, spec.shape, generator=generator)


def _arrays(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the array of an .npy without a name, or those of an .npz with theirs."""
    with file_errors():
        named = npz_of(path) if zipfile.is_zipfile(path) else {"": npy_of(path)}
    for name, array in named.items():
        if array.dtype.kind not in "fiub":
            raise CaffeError(f"{path} needs to hold numbers, got {array.dtype}")
        # numpy's own names for arrays that were given none are not those of arguments
        yield "" if name.startswith("arr_") else name, array


def _image(path: Path, size: tuple[int, int] | None) -> Tensor:
    """Return an image as 1 x 3 x height x width, RGB from 0 to 255."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise CaffeError(f"{path} needs the package pillow: python -m pip install pillow") from None
    try:
        with file_errors(), Image.open(path) as image:
            picture = image.convert("RGB")
            if size is not None:
                picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            pixels = np.asarray(picture, dtype=np.float32)
    except UnidentifiedImageError as error:
        raise CaffeFileError(f"{path} needs to be an image, got {error}") from None
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]


def _applied(pixels: Preprocessing, image: Tensor) -> Tensor:
    """Return the model's input: `apply` takes the caller's order, and the image is RGB."""
    pixels.check("the image", tuple(image.shape))
    return pixels.apply(image.flip(1) if pixels.swaps else image)
