"""Rows of the losses and of Accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, nan
from pathlib import Path

from caffe2fx.layers import (
    Accuracy,
    ContrastiveLoss,
    EuclideanLoss,
    HingeLoss,
    InfogainLoss,
    LossParameter,
    MultinomialLogisticLoss,
    Norm,
    NormalizationMode,
    SigmoidCrossEntropyLoss,
    SoftmaxWithLoss,
)
from caffe2fx.messages.common import Engine
from caffe2fx.messages.message import Shape
from tests.layers.row import Refusal, Row

LABELS = (2.0, 0.0, 1.9, 0.0, 2.0, 1.0)  # a label is a float of which the integer counts
HOLES = (2.0, -1.0, 1.0, 0.0, -1.0, 1.9)  # the rows ignore -1
MAP = (0.0, 1.0, 2.0, 2.0, 1.0, 0.0, 1.0, 1.0)  # 2 x 2 x 2 of them
TARGETS = tuple(index * 7 % 18 / 17 for index in range(18))
BINARY = (1.0, 0.0, -1.0, 1.0, -1.0, 0.0) * 3
GAINS = (1.0, 0.5, -0.25, 0.0, 2.0, 0.125, 0.3, 0.0, 0.7)
PROBABILITIES = tuple(index * 5 % 18 / 17 for index in range(18))  # one is 0
MARKS = (1.0, 0.0, 2.9, 0.9, 0.0, -1.0)
SPREAD = tuple(index * 11 % 18 / 6 - 1.3 for index in range(18))
MATRIX = str(Path(__file__).parents[1] / "data" / "infogain.binaryproto")
MODES = tuple(mode for mode in NormalizationMode if mode is not NormalizationMode.PRE_FIXED)
IGNORING = LossParameter(ignore_label=-1)
EXTREME = (200.0, -200.0, 0.0, -200.0, 200.0, 0.0)


def modes(id: str, kind: type, bottoms: tuple[Shape, ...], holes: tuple[float, ...],
          full: tuple[float, ...], *others: tuple[float, ...]) -> Iterator[Row]:  # fmt: skip
    """Return every normalization, with a label to ignore and without."""
    for mode in MODES:
        for ignore, labels in ((None, full), (-1, holes)):
            loss = LossParameter(normalization=mode, ignore_label=ignore)
            id_of_row = f"{id} {mode.name}" + ", ignoring" * (ignore is not None)
            yield Row(id_of_row, kind(loss_param=loss), bottoms, values=((), labels, *others))


def normalize(id: str, kind: type, bottoms: tuple[Shape, ...], labels: tuple[float, ...],
              ) -> Iterator[Row]:  # fmt: skip
    """Return the old word for the normalization, and both."""
    for old in (True, False):
        loss = LossParameter(normalize=old, ignore_label=-1)
        yield Row(f"{id} normalize {old}", kind(loss_param=loss), bottoms, values=((), labels))
    loss = LossParameter(normalize=True, normalization=NormalizationMode.NONE, ignore_label=-1)
    yield Row(f"{id} normalize and NONE", kind(loss_param=loss), bottoms, values=((), labels))


SIX: tuple[Shape, ...] = ((6, 3), (6,))
ONES: tuple[Shape, ...] = ((6, 3), (6, 1, 1, 1))
IMAGE: tuple[Shape, ...] = ((2, 3, 2, 2), (2, 1, 2, 2))
PAIR: tuple[Shape, ...] = ((6, 3), (6, 3))
GAIN: tuple[Shape, ...] = ((6, 3), (6,), (3, 3))
PAIRS: tuple[Shape, ...] = ((6, 3), (6, 3), (6,))

ROWS = (
    Row("softmax loss", SoftmaxWithLoss(), SIX, values=((), LABELS)),
    Row("softmax loss, 4-D labels", SoftmaxWithLoss(), ONES, values=((), LABELS)),
    Row("softmax loss of an image", SoftmaxWithLoss(), IMAGE, values=((), MAP)),
    Row("softmax loss, axis -1", SoftmaxWithLoss(axis=-1), ((2, 4, 3), (2, 4)), values=((), MAP)),
    Row("softmax loss, axis 0", SoftmaxWithLoss(axis=0), ((3, 6), (3, 2)), values=((), LABELS)),
    Row("softmax loss, rank 5", SoftmaxWithLoss(axis=2), ((2, 2, 3, 2, 1), (2, 4)),
        values=((), MAP)),
    Row("softmax loss, weighed", SoftmaxWithLoss(), SIX, values=((), LABELS), loss_weight=(0.3,)),
    Row("softmax loss, no top", SoftmaxWithLoss(), SIX, 0, ((), LABELS)),
    Row("softmax loss, engine", SoftmaxWithLoss(engine=Engine.CAFFE), SIX, values=((), LABELS)),
    Row("softmax loss of extremes", SoftmaxWithLoss(), SIX, values=(EXTREME, LABELS)),
    Row("softmax loss, all ignored", SoftmaxWithLoss(loss_param=LossParameter(ignore_label=2)),
        SIX, values=((), (2.0,) * 6)),
    Row("softmax loss, ignoring", SoftmaxWithLoss(loss_param=IGNORING), SIX, values=((), HOLES)),
    *modes("softmax loss", SoftmaxWithLoss, SIX, HOLES, LABELS),
    *normalize("softmax loss", SoftmaxWithLoss, SIX, HOLES),
    Row("softmax loss of NaN, ignored", SoftmaxWithLoss(loss_param=LossParameter(ignore_label=2)),
        SIX, values=((nan,), (2.0,) * 6)),
    Row("sigmoid loss", SigmoidCrossEntropyLoss(), PAIR, values=((), TARGETS)),
    Row("sigmoid loss, other shape", SigmoidCrossEntropyLoss(), ((6, 3), (6, 1, 3)),
        values=((), TARGETS)),
    Row("sigmoid loss of extremes", SigmoidCrossEntropyLoss(), PAIR, values=(EXTREME, TARGETS)),
    Row("sigmoid loss of infinity", SigmoidCrossEntropyLoss(), PAIR, values=((inf,), TARGETS)),
    Row("sigmoid loss, ignoring", SigmoidCrossEntropyLoss(loss_param=IGNORING), PAIR,
        values=((), BINARY)),
    *modes("sigmoid loss", SigmoidCrossEntropyLoss, PAIR, BINARY, TARGETS),
    *normalize("sigmoid loss", SigmoidCrossEntropyLoss, PAIR, BINARY),
    Row("euclidean loss", EuclideanLoss(), PAIR),
    Row("euclidean loss, other shape", EuclideanLoss(), ((6, 3), (6, 3, 1))),
    Row("euclidean loss of images", EuclideanLoss(), ((2, 3, 4, 5), (2, 3, 4, 5))),
    Row("euclidean loss of numbers", EuclideanLoss(), ((6,), (6,))),
    Row("hinge loss", HingeLoss(), SIX, values=(SPREAD, LABELS)),
    Row("hinge loss of NaN", HingeLoss(), SIX, values=((nan, nan, 1.0), LABELS)),
    Row("hinge loss L2", HingeLoss(norm=Norm.L2), SIX, values=(SPREAD, LABELS)),
    Row("hinge loss of an image", HingeLoss(), ((2, 3, 2, 2), (2, 1)), values=((), (11.0, 4.0))),
    Row("hinge loss, more labels", HingeLoss(), ((2, 3), (2, 4)), values=((), (2.0, 1.0) * 4)),
    Row("contrastive loss", ContrastiveLoss(), PAIRS, values=((), (), MARKS)),
    Row("contrastive loss of infinity", ContrastiveLoss(), PAIRS, values=((inf,), (), MARKS)),
    Row("contrastive loss, near", ContrastiveLoss(margin=3), PAIRS, values=(SPREAD, (), MARKS)),
    Row("contrastive loss, old", ContrastiveLoss(legacy_version=True, margin=5), PAIRS,
        values=((), (), MARKS)),
    Row("contrastive loss of the same", ContrastiveLoss(margin=2), PAIRS,
        values=(SPREAD, SPREAD, MARKS)),
    Row("contrastive loss, 4-D", ContrastiveLoss(margin=3), ((6, 3, 1, 1), (6, 3, 1), (6, 1, 1, 1)),
        values=((), (), MARKS)),
    Row("multinomial loss", MultinomialLogisticLoss(), SIX, values=(PROBABILITIES, LABELS)),
    Row("multinomial loss, 4-D", MultinomialLogisticLoss(), ((6, 3, 1, 1), (6, 1, 1, 1)),
        values=(PROBABILITIES, LABELS)),
    Row("infogain loss", InfogainLoss(), GAIN, values=((), LABELS, GAINS)),
    Row("infogain loss, matrix of a file", InfogainLoss(source=MATRIX), SIX,
        values=((), LABELS)),
    Row("infogain loss, 4-D matrix", InfogainLoss(), ((6, 3), (6,), (1, 1, 3, 3)),
        values=((), LABELS, GAINS)),
    Row("infogain loss, axis -2", InfogainLoss(axis=-2), ((2, 3, 4), (2, 4), (3, 3)),
        values=((), MAP, GAINS)),
    Row("infogain loss and softmax", InfogainLoss(), GAIN, 2, ((), LABELS, GAINS),
        loss_weight=(2, 0)),
    Row("infogain loss of extremes", InfogainLoss(), GAIN, values=(EXTREME, LABELS, GAINS)),
    *modes("infogain loss", InfogainLoss, GAIN, HOLES, LABELS, GAINS),
    Row("accuracy", Accuracy(), SIX, values=((), LABELS)),
    Row("accuracy, top 2", Accuracy(top_k=2), ((6, 5), (6,)), values=((), LABELS)),
    Row("accuracy of an image", Accuracy(), IMAGE, values=((), MAP)),
    Row("accuracy, axis -1", Accuracy(axis=-1), ((2, 4, 3), (2, 4)), values=((), MAP)),
    Row("accuracy, ignoring", Accuracy(ignore_label=-1), SIX, values=((), HOLES)),
    Row("accuracy, all ignored", Accuracy(ignore_label=1), SIX, values=((), (1.0,) * 6)),
    Row("accuracy of ties", Accuracy(), SIX, values=((1.0,) * 12, LABELS)),
    Row("accuracy by class", Accuracy(), ((8, 4), (8,)), 2, ((), MAP)),
    Row("accuracy by class, ignoring", Accuracy(ignore_label=2, top_k=2), ((8, 4), (8,)), 2,
        ((), MAP)),
)  # fmt: skip


def refusal(type_: str, reason: str, *bottoms: Shape, parameters: str = "", tops: int = 1,
            here_only: str = "") -> Refusal:  # fmt: skip
    return Refusal(f"{type_}: {reason}", type_, reason, parameters, bottoms, tops, here_only)


FIRST = "needs bottoms with one and the same first axis"
FEW = r"needs one label for each of 8 positions, got \(2, 5\)"
REFUSALS = (
    refusal("SoftmaxWithLoss", FIRST, (2, 3), (1, 2)),
    refusal("SoftmaxWithLoss", FEW, (2, 3, 4), (2, 5)),
    refusal("SoftmaxWithLoss", r"needs an axis in \[-2, 2\), got 2", (2, 3), (2,),
            parameters="softmax_param { axis: 2 }"),
    refusal("SoftmaxWithLoss", r"needs 2 bottom\(s\), got 1", (2, 3)),
    refusal("SoftmaxWithLoss", r"needs 0 to 2 top\(s\), got 3", (2, 3), (2,), tops=3),
    refusal("SoftmaxWithLoss", "needs one loss_weight a top, got 1 for 2", (2, 3), (2,), tops=2),
    refusal("SoftmaxWithLoss", "needs one loss_weight a top, got 2 for 1", (2, 3), (2,),
            parameters="loss_weight: 1 loss_weight: 0"),
    refusal("ReLU", "needs one loss_weight a top, got 2 for 1", (2, 3),
            parameters="loss_weight: 1 loss_weight: 0"),
    refusal("SigmoidCrossEntropyLoss", "needs one label for each of 6 positions", (2, 3), (2, 4)),
    refusal("SigmoidCrossEntropyLoss", r"needs 0 to 1 top\(s\), got 2", (2, 3), (2, 3), tops=2),
    refusal("EuclideanLoss", "needs bottoms of equal size", (2, 3), (2, 4)),
    refusal("EuclideanLoss", "needs bottoms of at most 4 axes", (2, 3, 1, 1, 1), (2, 3)),
    refusal("EuclideanLoss", FIRST, (), ()),
    refusal("HingeLoss", "needs bottoms of at most 4 axes", (2, 3, 1, 1, 1), (2,)),
    refusal("HingeLoss", FIRST, (2, 3), (3,)),
    refusal("ContrastiveLoss", "needs bottoms of equal size", (2, 3), (2, 4), (2,)),
    refusal("ContrastiveLoss", "needs height and width of 1", (2, 3, 2), (2, 3, 2), (2,)),
    refusal("ContrastiveLoss", r"needs one mark a pair, got \(2, 2\)", (2, 3), (2, 3), (2, 2)),
    refusal("ContrastiveLoss", r"needs one mark a pair, got \(1,\)", (2, 3), (2, 3), (1,),
            here_only="it reads marks beyond the end of the bottom"),
    refusal("ContrastiveLoss", "needs bottoms of at most 4 axes", (2, 3, 1, 1, 1), (2, 3), (2,)),
    refusal("MultinomialLogisticLoss", r"needs one label for each of the batch, got \(2, 2\)",
            (2, 3), (2, 2)),
    refusal("MultinomialLogisticLoss", "needs bottoms of at most 4 axes", (2, 3, 1, 1, 1), (2,)),
    refusal("InfogainLoss", "needs its matrix as third bottom or from source", (2, 3), (2,)),
    refusal("InfogainLoss", "needs the file of its matrix, got no file 'nowhere'", (2, 3), (2,),
            parameters='infogain_loss_param { source: "nowhere" }'),
    refusal("InfogainLoss", r"needs a matrix of 3 x 3, got \(4, 4\)", (2, 3), (2,), (4, 4)),
    refusal("InfogainLoss", FEW, (2, 3, 4), (2, 5), (3, 3)),
    refusal("InfogainLoss", "needs normalization, got the older normalize", (2, 3), (2,), (3, 3),
            parameters="loss_param { normalize: false }"),
    refusal("Accuracy", "needs one label for each of 2 positions", (2, 3), (3,)),
    refusal("Accuracy", "needs top_k of at most 3, got 4", (2, 3), (2,),
            parameters="accuracy_param { top_k: 4 }"),
    refusal("Accuracy", r"needs 1 to 2 top\(s\), got 0", (2, 3), (2,), tops=0),
)  # fmt: skip
