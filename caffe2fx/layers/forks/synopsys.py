"""Layers of Caffe's and of Darknet's as Synopsys' fork extended them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.activation import Neuron
from caffe2fx.layers.affine import along_channels
from caffe2fx.layers.detection import DetectionOutput
from caffe2fx.layers.forks.position import scale_up
from caffe2fx.layers.forks.shape import needs_rank
from caffe2fx.layers.layer import MANY, Evidence, Layer
from caffe2fx.layers.normalization import BatchNorm
from caffe2fx.layers.registry import register
from caffe2fx.layers.shape import Reshape
from caffe2fx.messages.common import Engine
from caffe2fx.messages.message import Shape, field, forked

SYNOPSYS: tuple[str, ...] = ("synopsys",)


@register
@dataclass(frozen=True, kw_only=True)
class ReLUBounded(Neuron):
    """Compute a ReLU cut at 6 (`relu6`) or `maximum` above, at `minimum` below; 0 is no limit.

    The first element of a second bottom overrides `maximum`.
    """

    type = "ReLU"
    parameter = ("relu_param", 123)
    message = "ReLUParameter"
    dialects = SYNOPSYS
    evidence = Evidence.SOURCE
    bottoms = (1, 2)

    negative_slope: float = field(1, "float", 0.0)
    engine: Engine = field(2, Engine, Engine.DEFAULT)
    relu6: bool = forked("bool", False)
    minimum: float = forked("float", 0.0)
    maximum: float = forked("float", 0.0)

    @classmethod
    def matches_fields(cls, names: Set[str]) -> bool:
        return bool(names & {"relu6", "minimum", "maximum"})

    @classmethod
    def matches_bottoms(cls, count: int) -> bool:
        return count == 2

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        top = F.leaky_relu(bottoms[0], self.negative_slope)
        top = top.clamp(max=6) if self.relu6 else top
        if len(bottoms) == 2:
            limit = bottoms[1].reshape(-1)[:1].reshape([1] * top.dim())
            top = torch.where(limit > 0, torch.minimum(top, limit), top)
        elif self.maximum > 0:
            top = top.clamp(max=self.maximum)
        return (top.clamp(min=self.minimum) if self.minimum else top,)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if len(bottoms) == 1 and (self.negative_slope, self.minimum, self.maximum) == (0, 0, 0):
            return nn.ReLU6() if self.relu6 else nn.ReLU()
        return super().module(bottoms, blobs, tops)


@register
@dataclass(frozen=True, kw_only=True)
class ReshapeShuffled(Reshape):
    """Reshape (N, C, H, W) to (N, C / r^2, r H, r W), moving pixels as PixelShuffle does.

    `pixelshuffler` only states that it does, if it is not 1: r follows from the shape.
    """

    dialects = SYNOPSYS
    evidence = Evidence.SOURCE

    pixelshuffler: int = forked("int32", 1)

    @classmethod
    def matches_fields(cls, names: Set[str]) -> bool:
        return "pixelshuffler" in names

    def shares(self, bottoms: int, tops: int) -> bool:
        return self.pixelshuffler == 1

    def _factor(self, bottom: Shape) -> int:
        return self.top_shapes([bottom], 1)[0][2] // bottom[2]

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.pixelshuffler == 1:
            return
        needs_rank(bottoms[0], 4)
        top = self.top_shapes(bottoms, tops)[0]
        r = top[2] // bottoms[0][2] if len(top) == 4 else 0
        n, c, h, w = bottoms[0]
        if r < 1 or top != (n, c // r**2, h * r, w * r):
            raise ShapeMismatchError(f"needs (N, C / r^2, r H, r W) of {bottoms[0]}, got {top}")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        if self.pixelshuffler == 1:
            return super().compute(bottoms, blobs, tops)
        return (F.pixel_shuffle(bottoms[0], self._factor(tuple(bottoms[0].shape))),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if self.pixelshuffler == 1:
            return super().module(bottoms, blobs, tops)
        return nn.PixelShuffle(self._factor(bottoms[0]))


@register
@dataclass(frozen=True, kw_only=True)
class BatchNormEps(BatchNorm):
    """Normalize as BatchNorm, but divide by sqrt(var) + eps without `add_eps_before_sqrt`.

    `icnet` only states that the fork may reuse memory.
    """

    dialects = SYNOPSYS
    evidence = Evidence.SOURCE

    add_eps_before_sqrt: bool = forked("bool", True)
    icnet: bool = forked("bool", False)

    @classmethod
    def matches_fields(cls, names: Set[str]) -> bool:
        return bool(names & {"add_eps_before_sqrt", "icnet"})

    def _normalized(self, bottom: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        if self.add_eps_before_sqrt:
            return super()._normalized(bottom, mean, variance)
        centred = bottom - along_channels(mean, bottom.dim())
        return centred / along_channels(variance.sqrt() + self.eps, bottom.dim())

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if self.add_eps_before_sqrt:
            return super().module(bottoms, blobs, tops)
        return Layer.module(self, bottoms, blobs, tops)


@register
@dataclass(frozen=True, kw_only=True)
class UpsampleDarknet(Layer):
    """Repeat every element `stride` x `stride` times: nearest-neighbour upsampling."""

    type = "UpsampleDarknet"
    parameter = ("upsample_darknet_param", 209)
    message = "UpsampleDarknetParameter"
    dialects = SYNOPSYS
    evidence = Evidence.SOURCE

    stride: int = field(1, "int32", 1)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 4)
        if self.stride < 1:
            raise ShapeMismatchError(f"needs a stride of 1 or more, got {self.stride}")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (scale_up(bottoms[0], self.stride, self.stride),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.Upsample(scale_factor=self.stride, mode="nearest")


@register
@dataclass(frozen=True, kw_only=True)
class DetectionOutputHeads(DetectionOutput):
    """Compute DetectionOutput of one image from heads that no Permute or Concat reordered.

    The bottoms are the scores of all `nbottom` heads, their locations, and the default boxes of
    all heads or of each. A head is flat (N, boxes * values); with `no_permute` its scores are
    (N, classes, shapes, H * W) and its locations (N, shapes * 4, H, W), while the default boxes
    stay ordered by position and then by shape.

    With `ratio_permute` a flat head is ordered by class or coordinate first, and then by shape and
    position; `ratio0` to `ratio5` are the heads' shapes a position, by which default boxes of all
    heads, ordered by position, are brought into that order. Those of each head are in it.
    """

    dialects = SYNOPSYS
    evidence = Evidence.SOURCE
    bottoms = (4, MANY)

    no_permute: bool = forked("bool", False)
    ratio_permute: bool = forked("bool", False)
    nbottom: int = forked("int32", 6)
    ratio0: int = forked("int32", 3)
    ratio1: int = forked("int32", 6)
    ratio2: int = forked("int32", 6)
    ratio3: int = forked("int32", 6)
    ratio4: int = forked("int32", 6)
    ratio5: int = forked("int32", 6)

    @classmethod
    def matches_fields(cls, names: Set[str]) -> bool:
        return bool(names & {"no_permute", "nbottom", "ratio_permute"})

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        n, count = self.nbottom, len(bottoms)
        wanted = (2 * n + 1,) if self.no_permute else (2 * n + 1, 3 * n)
        if n < 1 or count not in wanted:
            ways = " or ".join(map(str, wanted))
            raise ShapeMismatchError(f"needs {ways} bottoms for nbottom {n}, got {count}")
        if any(shape[0] != 1 for shape in bottoms):
            raise ShapeMismatchError(f"needs one image, got {[shape[0] for shape in bottoms]}")
        if self.ratio_permute:
            self._check_ratios(bottoms)
        elif self.no_permute:
            self._check_heads(bottoms)
        fields = {name: getattr(self, name) for name, _ in DetectionOutput.wires()}
        DetectionOutput(**fields).check(self._joined_shapes(bottoms), tops)

    def _check_heads(self, bottoms: Sequence[Shape]) -> None:
        n = self.nbottom
        for scores, locations in zip(bottoms[:n], bottoms[n : 2 * n], strict=True):
            needs_rank(scores, 4)
            needs_rank(locations, 4)
            shapes = locations[1] // 4 // self._sets()
            if tuple(scores[1:]) != (self.num_classes, shapes, locations[2] * locations[3]):
                raise ShapeMismatchError(
                    f"needs scores (1, classes, shapes, H * W) for locations {tuple(locations)}, "
                    f"got {tuple(scores)}"
                )

    @property
    def _ratios(self) -> tuple[int, ...]:
        every = (self.ratio0, self.ratio1, self.ratio2, self.ratio3, self.ratio4, self.ratio5)
        return every[: self.nbottom]

    def _check_ratios(self, bottoms: Sequence[Shape]) -> None:
        n = self.nbottom
        if self.no_permute or not self.share_location or n > 6:
            raise ShapeMismatchError(
                "needs share_location, no no_permute and nbottom of 6 or less beside "
                f"ratio_permute, got {self}"
            )
        counts = [prod(shape[1:]) // 4 for shape in bottoms[n : 2 * n]]
        pairs = zip(counts, self._ratios, strict=True)
        wrong = any(ratio < 1 or count % ratio for count, ratio in pairs)
        if len(bottoms) == 2 * n + 1 and wrong:
            raise ShapeMismatchError(f"needs ratios that divide {counts}, got {self._ratios}")

    def _joined_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        n = self.nbottom
        scores, locations = (
            sum(prod(shape[1:]) for shape in bottoms[at : at + n]) for at in (0, n)
        )
        return [(1, locations), (1, scores), (1, 2, sum(shape[2] for shape in bottoms[2 * n :]))]

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        n = self.nbottom
        scores, locations, own = bottoms[:n], bottoms[n : 2 * n], bottoms[2 * n :]
        counts = [head.numel() // self._sets() // 4 for head in locations]
        if self.ratio_permute and len(own) > 1:
            own = [prior.reshape(1, 2, 4, -1).transpose(2, 3).flatten(2) for prior in own]
        elif self.ratio_permute:
            own = [*_ordered(own[0], counts, self._ratios)]
        elif self.no_permute:
            shapes = [head.shape[1] // 4 // self._sets() for head in locations]
            own = [*_ordered(torch.cat([*own], 2), counts, shapes)]
        priors = torch.cat([*own], 2)
        if self.ratio_permute:
            scores = [head.reshape(1, self.num_classes, -1).transpose(1, 2) for head in scores]
            locations = [head.reshape(1, 4, -1).transpose(1, 2) for head in locations]
        elif self.no_permute:
            scores = [head.permute(0, 2, 3, 1) for head in scores]
            locations = [self._by_position(head) for head in locations]
        flat = [torch.cat([head.flatten(1) for head in heads], 1) for heads in (locations, scores)]
        return super().compute((*flat, priors), blobs, tops)

    def _by_position(self, head: Tensor) -> Tensor:
        """Reshape (1, shapes * sets * 4, H, W) to (1, shapes, H * W, sets * 4)."""
        return head.reshape(1, -1, self._sets() * 4, head[0, 0].numel()).transpose(2, 3)


def _ordered(priors: Tensor, counts: Sequence[int], shapes: Sequence[int]) -> Iterator[Tensor]:
    """Yield each head's default boxes ordered by shape, then by position, and its variances."""
    at = 0
    for count, shape in zip(counts, shapes, strict=True):
        own = priors[:, :, at : at + 4 * count]
        boxes = own[:, :1].reshape(1, 1, -1, shape, 4).transpose(2, 3).reshape(1, 1, -1)
        yield torch.cat([boxes, own[:, 1:]], 1)
        at += 4 * count
