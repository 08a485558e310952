"""Decompositions of constants: those of their own, and those that follow the batch."""

from __future__ import annotations

from math import prod

from caffe2fx.layers import DummyData, Parameter, Pooling, PoolMethod
from caffe2fx.messages.common import Filler
from fx2caffe.ir.constants import Constant
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.finite import constant_like
from fx2caffe.ir.ones import Ones, times_block
from fx2caffe.ir.reshape import reshaped
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.legalize.rule import LayerCall, Tops


def by_filler(net: Emitter, call: LayerCall[Constant]) -> Tops | None:
    """Fill a constant of one value by a DummyData.

    before: Constant of one value     after: DummyData
    """
    shape, values = call.layer.shape, call.blobs[0].reshape(-1)
    if not shape or not bool((values == values[0]).all()):
        return None
    filler = Filler(value=float(values[0]))
    return (net.add(DummyData(shape=(shape,), data_filler=(filler,))),)


def by_parameter(net: Emitter, call: LayerCall[Constant]) -> Tops:
    """Emit a constant as the blob of a Parameter.

    before: Constant     after: Parameter
    """
    return (net.add(Parameter(shape=call.layer.shape), blobs=call.blobs),)


def of_an_input(net: Emitter, call: LayerCall[Constant]) -> Tops:
    """Multiply a 1 that is made of an input by the constant; a net whose batch is free has none.

    before: Constant
    after:  Reshape, Pooling, Power{scale: 0 shift: 1}, InnerProduct, Reshape
    """
    if not net.inputs:
        raise Refused("needs an input, of which it is made")
    if any(symbol.shape != symbol.other_shape for symbol in net.inputs):
        net.fix_batch(f"{net.scope[0]} is a constant that is the same for any batch")
    shape = call.layer.shape
    made = times_block(net, _ones(net, net.inputs[0], 0), call.blobs[0])
    return (reshaped(net, made, shape, shape),)


def ones_of_input(net: Emitter, call: LayerCall[Ones]) -> Tops:
    """Take the maximum of each sample by a pooling, and write 1 over it.

    before: Ones
    after:  Reshape (N,1,H,W), Pooling{MAX}, Power{scale: 0 shift: 1}
    """
    return (_ones(net, call.bottom, 1),)


def _ones(net: Emitter, bottom: Symbol, lead: int) -> Symbol:
    """Return a 1 for each index of axis 0, or a single one where `lead` is 0, as (N, 1)."""

    def image(shape: tuple[int, ...]) -> tuple[int, ...]:
        inner = shape[lead:]
        return prod(shape[:lead]), 1, prod(inner[:-1]), prod(inner[-1:])

    sizes, other = image(bottom.shape), image(bottom.other_shape)
    largest = reshaped(net, bottom, sizes, other, suffix="sample")
    if prod(sizes[1:]) > 1:
        pooling = Pooling(pool=PoolMethod.MAX, global_pooling=True)
        largest = net.add(pooling, largest, suffix="largest")
    flat = reshaped(net, largest, (sizes[0], 1), (other[0], 1), suffix="flat")
    return constant_like(net, flat, 1, suffix="one")
