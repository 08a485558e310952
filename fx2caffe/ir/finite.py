"""Values that may be infinite, and constants of a value's shape that stay constant for them."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from torch import Tensor

from caffe2fx.layers import Exp, Log, Power, Sigmoid
from caffe2fx.net.step import Step, is_input
from fx2caffe.ir.binary import Binary, BinaryOp
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Symbol

# Sums over many elements, whose result does not show where an operand was infinite.
_MIXING = frozenset({"Convolution", "Deconvolution", "InnerProduct", "MatMul", "Standardize"})


def may_be_infinite(net: Emitter, value: Symbol | Tensor | float, *, inputs: bool = False) -> bool:
    """Return whether a value derives elementwise from one that may be infinite or NaN.

    The net's inputs count as such if `inputs` is set: masks of -inf are fed to nets.
    """
    return any(
        _makes_infinite(step) or (inputs and is_input(step)) for step in _producers(net, value)
    )


def _producers(net: Emitter, value: object) -> Iterator[Step]:
    """Yield the steps from which a value derives elementwise."""
    producers = {top: step for step in net.steps for top in step.tops}
    waiting = [value.value] if isinstance(value, Symbol) else []
    seen = set()
    while waiting:
        step = producers.get(waiting.pop())
        if step is None or step.name in seen or step.layer.type in _MIXING:
            continue
        yield step
        seen.add(step.name)
        waiting += step.bottoms


_FINITENESS = object()  # annotates the masks that follow


def as_test(net: Emitter, mask: Symbol) -> Symbol:
    """Return the mask, annotated as one of elements that are NaN or infinite, or that are not."""
    net.annotations[mask.value] = _FINITENESS
    return mask


def tests_finiteness(net: Emitter, mask: object) -> bool:
    """Return whether a mask derives from one of NaN or infinities: these are not to be kept."""
    tops = (top for step in _producers(net, mask) for top in step.tops)
    return any(net.annotations.get(top) is _FINITENESS for top in tops)


def _makes_infinite(step: Step) -> bool:
    layer = step.layer
    if isinstance(layer, Power):
        return layer.power < 0 or layer.power != int(layer.power) or abs(layer.shift) == inf
    if isinstance(layer, Log | Exp) or (isinstance(layer, Binary) and layer.op is BinaryOp.DIV):
        return True
    return any(bool(blob.isinf().any()) for blob in step.blobs)


def constant_like(net: Emitter, bottom: Symbol, value: float, suffix: str = "") -> Symbol:
    """Return a constant of the bottom's shape.

    Caffe's Power of scale 0 reads nothing; other programs multiply by 0, which is NaN for an
    infinite element: for them one that may be infinite goes through a Sigmoid before.
    """
    if not net.in_caffe and may_be_infinite(net, bottom, inputs=True):
        bottom = net.add(Sigmoid(), bottom, suffix="bounded")
    return net.add(Power(scale=0, shift=value), bottom, suffix=suffix)
