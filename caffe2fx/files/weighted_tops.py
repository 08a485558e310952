"""Tops with a loss_weight: the layers that Caffe adds where others read or overwrite them.

A top that has a loss_weight and a reader becomes the bottom of a Split, of which the first top has
the loss_weight and no reader, so that it is an output of the net:

    layer { name: "r" type: "ReLU" bottom: "x" top: "a" loss_weight: 1 }
    layer { name: "p" type: "Power" bottom: "a" top: "p" }   # outputs: a_r_0_split_0 and p

The loss_weight that a loss layer has by default makes no Split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from caffe2fx.errors import CaffeFormatError
from caffe2fx.layers.shared_memory import WeightedTop
from caffe2fx.net.step import Step, Value


def with_weighted_tops(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps, with one more for each output that Caffe adds for a loss_weight.

    Raises CaffeFormatError where Caffe loses a loss_weight, or counts one twice.
    """
    readers = Counter(value for step in steps for value in step.bottoms)
    _check_read(steps, readers)
    _check_gradients(steps, readers)
    return tuple(made for step in steps for made in (step, *_copies(step, readers)))


def _copies(step: Step, readers: Mapping[Value, int]) -> Iterator[Step]:
    for index, (top, weight) in enumerate(zip(step.tops, step.loss_weight, strict=False)):
        if weight and readers[top]:
            name = f"{top.blob}_{step.name}_{index}_split"
            copy = Value(f"{name}_0")
            yield Step(name, WeightedTop(), (top,), (copy,), origin=step.origin)


def _check_read(steps: Sequence[Step], readers: Mapping[Value, int]) -> None:
    """Raise where a Split takes one loss_weight: all weights of the layer itself are then lost."""
    overwritten = {top._replace(version=top.version - 1) for s in steps for top in s.tops}
    for step in steps:
        weighted = [top for top, weight in zip(step.tops, step.loss_weight, strict=False) if weight]
        read = [top for top in weighted if readers[top]]
        if not read:
            continue
        lost = len(read) < len(weighted) or step.layer.is_loss
        if lost or overwritten.intersection(read):
            raise step.fault(
                CaffeFormatError(
                    f"needs loss_weight on tops that no layer reads, got {read[0].blob!r}, behind "
                    "which Caffe's Split loses weights or adds some: read a copy of it"
                )
            )


def _check_gradients(steps: Sequence[Step], readers: Mapping[Value, int]) -> None:
    """Raise where two loss_weights are written into one memory: the later replaces the earlier."""
    makers = {top: step for step in steps for top in step.tops}
    weighted = {
        top
        for step in steps
        for top, weight in zip(step.tops, step.loss_weights, strict=False)
        if weight
    }
    for top in weighted:
        for value in _same_gradient(top, makers, readers):
            if value in weighted:
                raise makers[top].fault(
                    CaffeFormatError(
                        f"needs a copy of {value.blob!r}, whose gradient is the same memory in "
                        "Caffe: its loss_weight would replace that one's"
                    )
                )


def _same_gradient(
    top: Value, makers: Mapping[Value, Step], readers: Mapping[Value, int]
) -> Iterator[Value]:
    """Yield the values before a top whose gradients have its memory; a Split has one of its own."""
    step = makers.get(top)
    while step is not None and step.bottoms:
        before = next((v for v in step.bottoms if v.blob == top.blob), step.bottoms[0])
        if readers[before] > 1 or not (step.shares_memory or before.blob == top.blob):
            return
        yield before
        top, step = before, makers.get(before)
