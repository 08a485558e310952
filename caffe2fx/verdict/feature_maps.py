"""Feature maps of two runs side by side: measured, logged and written to files."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value, is_input
from caffe2fx.net.unique_names import unique_name
from caffe2fx.weights.atomic import file_errors

log = logging.getLogger("caffe2fx")


@dataclass(frozen=True)
class Feature:
    """One blob as Caffe and as PyTorch computed it."""

    name: str
    caffe: Tensor
    pytorch: Tensor

    @property
    def similarity(self) -> float:
        """Cosine of the angle between the two; 1 where both are zero, NaN for unlike shapes."""
        return _cosine(self.caffe, self.pytorch)

    @property
    def relu_similarity(self) -> float:
        """The same after ReLU, which is all that the next layer often sees."""
        return _cosine(self.caffe.relu(), self.pytorch.relu())

    @property
    def distance(self) -> float:
        """Euclidean distance; NaN for unlike shapes."""
        if self.caffe.shape != self.pytorch.shape:
            return float("nan")
        return float((self.caffe.double() - self.pytorch.double()).norm())

    def __str__(self) -> str:
        shapes = f"{tuple(self.caffe.shape)} {tuple(self.pytorch.shape)}"
        return (
            f"relu_sim: {self.relu_similarity:.6f}, sim: {self.similarity:.6f}, "
            f"l2_dist: {self.distance:.6g}, shapes: {shapes}, name: {self.name}"
        )


def _cosine(one: Tensor, other: Tensor) -> float:
    if one.shape != other.shape:
        return float("nan")
    one, other = one.double().flatten(), other.double().flatten()
    length = float(one.norm() * other.norm())
    return float(one @ other) / length if length else float(torch.equal(one, other))


def features(
    net: Net, pytorch: Mapping[Value, Tensor], caffe: Iterable[tuple[Step, tuple[Tensor, ...]]]
) -> Iterator[Feature]:
    """Every blob of `net` that `pytorch` knows, as its steps were run by Caffe.

    A blob that in-place layers overwrite comes once for each, as "blob@layer".
    """
    last = {value.blob: value.version for value in sorted(net.producers())}
    for mine, (_, tops) in zip(net.steps, caffe, strict=True):
        for value, top in zip(mine.tops, tops, strict=True):
            if value in pytorch and not is_input(mine):
                plain = last[value.blob] == 0
                name = value.blob if plain else f"{value.blob}@{mine.name}"
                yield Feature(name, top.clone(), pytorch[value].detach())


def report_features(found: Iterable[Feature], folder: str | Path | None) -> None:
    """Log one line a feature map, and write both sides as .npy into `folder` if it is given.

    The files are BLOB.caffe.npy and BLOB.pytorch.npy, BLOB being the blob's name with
    underscores in place of what file names cannot hold.
    """
    taken: set[str] = set()
    for feature in found:
        log.info("%s", feature)
        if folder is not None:
            _write(Path(folder), file_name(feature.name, taken), feature)


def _write(folder: Path, name: str, feature: Feature) -> None:
    with file_errors():
        folder.mkdir(parents=True, exist_ok=True)
        for side, value in (("caffe", feature.caffe), ("pytorch", feature.pytorch)):
            np.save(folder / f"{name}.{side}.npy", value.float().numpy())


def file_name(blob: str, taken: set[str]) -> str:
    """A name that any file system takes, other than those taken in any case of letters."""
    plain = re.sub(r"[^\w.@-]", "_", blob, flags=re.ASCII).lstrip(".")[:100] or "_"
    return unique_name(plain, taken, key=str.lower)
