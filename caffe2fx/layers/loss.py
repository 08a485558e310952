"""Losses and Accuracy: training minimizes the former, the latter measures it.

A loss divides by its own count, has a weight of 1 in the net's total, and often another gradient
than the derivative of its value: Caffe's backward is stable where its forward is cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from caffe2fx.errors import CaffeFileError, ShapeMismatchError
from caffe2fx.layers.activation import SoftmaxFields
from caffe2fx.layers.layer import Layer, RecordModule, axis_of, needs_indices
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Choice, Message, Shape, field, forked, sibling_message
from caffe2fx.weights.caffemodel import read_blob

SMALLEST = torch.finfo(torch.float32).tiny  # FLT_MIN: SoftmaxWithLoss takes no logarithm of less
LOG_THRESHOLD = 1e-20  # the same for InfogainLoss and MultinomialLogisticLoss


class NormalizationMode(Choice):
    """Selects the divisor of a loss: all positions, those not ignored, the batch, or 1.

    The last is of forks: a constant that the file states.
    """

    FULL = 0
    VALID = 1
    BATCH_SIZE = 2
    NONE = 3
    PRE_FIXED = 4

    @property
    def is_forked(self) -> bool:
        return self is NormalizationMode.PRE_FIXED


@dataclass(frozen=True, kw_only=True)
class LossParameter(Message):
    """Holds the ignored label and a loss's divisor (`normalize` is the deprecated field)."""

    message = "LossParameter"

    ignore_label: int | None = field(1, "int32")
    normalization: NormalizationMode | None = field(
        3, NormalizationMode, NormalizationMode.VALID, absent=None
    )
    normalize: bool | None = field(2, "bool")
    pre_fixed_normalizer: float = forked("float", 1.0)

    def _canonical(self) -> dict[str, Any]:
        fixed = self.normalization is NormalizationMode.PRE_FIXED
        return {} if fixed else {"pre_fixed_normalizer": 1.0}

    def divisor(self, kept: Tensor, default: NormalizationMode) -> Tensor | float:
        """Return the divisor, at least 1; `kept` marks positions (batch, ...) not ignored."""
        mode = self._mode(default)
        if mode is NormalizationMode.VALID:
            return kept.sum().clamp(min=1)
        if mode is NormalizationMode.NONE:
            return 1
        if mode is NormalizationMode.PRE_FIXED:
            return max(1.0, self.pre_fixed_normalizer)
        return max(1, kept.numel() if mode is NormalizationMode.FULL else kept.shape[0])

    def _mode(self, default: NormalizationMode) -> NormalizationMode:
        if self.normalization is not None or self.normalize is None:
            return default if self.normalization is None else self.normalization
        return NormalizationMode.VALID if self.normalize else NormalizationMode.BATCH_SIZE


class Loss(Layer):
    """Base of the losses: a scalar top, which Caffe makes even where the file names none."""

    bottoms = (2, 2)
    tops = (0, 1)
    is_loss = True

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((), tuple(bottoms[0]))[:tops]

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return prod(bottoms[0])

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        first, second = bottoms[:2]
        if not first or not second or first[0] != second[0]:
            raise ShapeMismatchError(
                f"needs bottoms with one and the same first axis, got {first} and {second}"
            )


def check_legacy(bottoms: Sequence[Shape]) -> None:
    """Raise ShapeMismatchError where Caffe's older losses abort: they use `num` and `channels`."""
    for bottom in bottoms:
        if len(bottom) > 4:
            raise ShapeMismatchError(f"needs bottoms of at most 4 axes, got {bottom}")


def _check_labels(rows: Shape, labels: Shape) -> None:
    if prod(rows) != prod(labels):
        raise ShapeMismatchError(f"needs one label for each of {prod(rows)} positions, "
                                 f"got {tuple(labels)}")  # fmt: skip


def _rows(bottom: Tensor, axis: int) -> Tensor:
    """Return the bottom as (outer, classes, inner), with the classes along `axis`."""
    axis = axis_of(axis, bottom.dim())
    outer = prod(bottom.shape[:axis])
    return bottom.reshape(outer, bottom.shape[axis], prod(bottom.shape[axis + 1 :]))


def _labels(bottom: Tensor, rows: Tensor, ignore: int | None) -> tuple[Tensor, Tensor]:
    """Return the labels as class indices (outer, inner), 0 where they do not count, and where not.

    Caffe truncates its floats. Of a label that is no class it reads the memory of other elements.
    """
    labels = bottom.detach().long().reshape(rows.shape[0], *rows.shape[2:])
    kept = _not_ignored(labels, ignore)
    index = torch.where(kept, labels, 0)
    needs_indices("labels", index, rows.shape[1])
    return index, kept


def _not_ignored(labels: Tensor, ignore: int | None) -> Tensor:
    return torch.ones_like(labels, dtype=torch.bool) if ignore is None else labels != ignore


def with_gradient(loss: Tensor, bottom: Tensor, gradient: Tensor) -> Tensor:
    """Return the same value, with this gradient towards the bottom.

    Plain operations rather than an autograd.Function, which torch.jit.trace could not save.
    """
    nothing = bottom - bottom.detach()
    return loss.detach() + _without_nan(_without_nan(nothing) * gradient.detach()).sum()


def _without_nan(nothing: Tensor) -> Tensor:
    """Return zeros that infinite elements and gradients have made NaN as zeros again."""
    return torch.where(nothing.isnan(), 0, nothing)


@dataclass(frozen=True, kw_only=True)
class _OfSoftmax(Loss):
    """Base of the losses that take a softmax of their own, which is their second top."""

    tops = (0, 2)

    axis: int = field(2, "int32", 1)
    loss_param: LossParameter = sibling_message(101, LossParameter)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        axis = axis_of(self.axis, len(bottoms[0]))
        _check_labels((*bottoms[0][:axis], *bottoms[0][axis + 1 :]), bottoms[1])

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        rows = _rows(bottoms[0], self.axis)
        share = rows.detach().softmax(1)
        labels, kept = _labels(bottoms[1], rows, self.loss_param.ignore_label)
        divisor = self.loss_param.divisor(kept, NormalizationMode.VALID)
        losses, gradient = self._loss(share, labels, bottoms[2:])
        total = torch.where(kept, losses, 0).sum() / divisor
        total = with_gradient(total, rows, gradient * kept[:, None] / divisor)
        return (total, share.reshape(bottoms[0].shape))[:tops]

    def _loss(
        self, share: Tensor, labels: Tensor, others: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of each position, and its gradient towards the bottom of the softmax."""
        raise NotImplementedError


@register
@dataclass(frozen=True, kw_only=True)
class SoftmaxWithLoss(SoftmaxFields, _OfSoftmax):
    """Compute -log softmax(x)[label] over `axis`; the second top, softmax, has no gradient.

    A probability below FLT_MIN counts as FLT_MIN; the gradient softmax(x) - onehot is not clamped.
    Without `normalization` the divisor is the number of labels not ignored (VALID).
    """

    type = "SoftmaxWithLoss"

    def _loss(
        self, share: Tensor, labels: Tensor, others: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        index = labels[:, None]
        found = share.gather(1, index)
        gradient = share.scatter(1, index, found - 1)
        return -found[:, 0].clamp(min=SMALLEST).log(), gradient


@register
@dataclass(frozen=True, kw_only=True)
class InfogainLoss(_OfSoftmax):
    """Sum -H[label, class] log softmax(x)[class] over the classes.

    H is the third bottom, or is read from the file `source` (a BlobProto), a path relative to the
    working directory as in Caffe. Without `normalization` the divisor is the number of labels not
    ignored.
    """

    type = "InfogainLoss"
    parameter = ("infogain_loss_param", 116)
    message = "InfogainLossParameter"
    bottoms = (2, 3)

    source: str | None = field(1, "string")

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.loss_param.normalize is not None:
            raise ShapeMismatchError("needs normalization, got the older normalize")
        classes = bottoms[0][axis_of(self.axis, len(bottoms[0]))]
        shape = bottoms[2] if len(bottoms) == 3 else tuple(self.matrix().shape)
        if prod(shape) != classes**2:
            raise ShapeMismatchError(f"needs a matrix of {classes} x {classes}, got {shape}")

    def matrix(self) -> Tensor:
        """Return H, read from the file `source`; raise CaffeFileError if there is no such file."""
        if self.source is None:
            raise ShapeMismatchError("needs its matrix as third bottom or from source, got neither")
        if not Path(self.source).is_file():
            raise CaffeFileError(f"needs the file of its matrix, got no file {self.source!r}")
        return read_blob(self.source)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        others = () if len(bottoms) == 3 else (self.matrix().to(bottoms[0]),)
        return super().compute((*bottoms, *others), blobs, tops)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if len(bottoms) == 3:
            return super().module(bottoms, blobs, tops)
        return WithMatrix(self, tops, self.matrix())

    def _loss(
        self, share: Tensor, labels: Tensor, others: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        matrix = others[0].detach().reshape(share.shape[1], share.shape[1])
        gains = matrix[labels].movedim(-1, 1)  # (outer, classes, inner) as the softmax
        losses = -(gains * share.clamp(min=LOG_THRESHOLD).log()).sum(1)
        return losses, share * gains.sum(1, keepdim=True) - gains


class WithMatrix(RecordModule):
    """Holds an InfogainLoss that has read H from its file."""

    def __init__(self, layer: InfogainLoss, tops: int, matrix: Tensor) -> None:
        super().__init__(layer, (), tops)
        self.matrix: Tensor
        self.register_buffer("matrix", matrix)

    def forward(self, *values: Tensor) -> Tensor | tuple[Tensor, ...]:
        return super().forward(*values, self.matrix)


@register
@dataclass(frozen=True, kw_only=True)
class SigmoidCrossEntropyLoss(Loss):
    """Sum -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)), for as many targets as scores.

    Without `normalization` the divisor is the batch size. Caffe subtracts infinite scores from
    themselves, which is NaN.
    """

    type = "SigmoidCrossEntropyLoss"
    message = ""

    loss_param: LossParameter = sibling_message(101, LossParameter)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        _check_labels(bottoms[0], bottoms[1])

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        scores, target = bottoms[0], bottoms[1].detach().reshape(bottoms[0].shape)
        kept = _not_ignored(target.long(), self.loss_param.ignore_label)
        entropy = F.binary_cross_entropy_with_logits(
            scores, target.to(scores.dtype), reduction="none"
        )
        entropy = torch.where(scores.isinf(), torch.nan, entropy)
        divisor = self.loss_param.divisor(kept, NormalizationMode.BATCH_SIZE)
        return (torch.where(kept, entropy, 0).sum() / divisor,)


@register
@dataclass(frozen=True, kw_only=True)
class MultinomialLogisticLoss(Loss):
    """Sum -log p[label] of probabilities, divided by the batch size.

    All axes but the first are classes. A probability below 1e-20 counts as 1e-20, also in the
    gradient -1 / p.
    """

    type = "MultinomialLogisticLoss"
    message = ""

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        check_legacy(bottoms)
        if prod(bottoms[1][1:]) != 1:
            raise ShapeMismatchError(f"needs one label for each of the batch, got {bottoms[1]}")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        rows = bottoms[0].reshape(bottoms[0].shape[0], -1)
        labels = bottoms[1].detach().long().reshape(-1, 1)
        needs_indices("labels", labels, rows.shape[1])
        found = rows.gather(1, labels)
        likely = found.detach().clamp(min=LOG_THRESHOLD)
        total = -likely.log().sum() / rows.shape[0]
        return (with_gradient(total, found, -1 / likely / rows.shape[0]),)


@register
@dataclass(frozen=True, kw_only=True)
class Accuracy(Layer):
    """Compute the share of labels among the top_k classes along `axis`; it has no gradient.

    A class of an equal score ranks before the label. The second top is the share of each class.
    """

    type = "Accuracy"
    parameter = ("accuracy_param", 102)
    message = "AccuracyParameter"
    bottoms = (2, 2)
    tops = (1, 2)

    top_k: int = field(1, "uint32", 1)
    axis: int = field(2, "int32", 1)
    ignore_label: int | None = field(3, "int32")

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        axis = axis_of(self.axis, len(bottoms[0]))
        _check_labels((*bottoms[0][:axis], *bottoms[0][axis + 1 :]), bottoms[1])
        if self.top_k > bottoms[0][axis]:
            raise ShapeMismatchError(f"needs top_k of at most {bottoms[0][axis]}, got {self.top_k}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        classes = bottoms[0][axis_of(self.axis, len(bottoms[0]))]
        return ((), (classes,))[:tops]

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return prod(bottoms[1])

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        rows = _rows(bottoms[0].detach(), self.axis)
        index, kept = _labels(bottoms[1], rows, self.ignore_label)
        better = (rows >= rows.gather(1, index[:, None])).sum(1) - 1
        hits = (kept & (better < self.top_k)).to(rows.dtype)
        counted = kept.to(rows.dtype)
        each = [torch.zeros_like(rows[0, :, 0]).scatter_add(0, index.flatten(), value.flatten())
                for value in (hits, counted)]  # fmt: skip
        return (_share(hits.sum(), counted.sum()), _share(*each))[:tops]


def _share(hits: Tensor, counted: Tensor) -> Tensor:
    return hits / counted.clamp(min=1)
