"""Decompositions of LSTM into its time steps."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe2fx.layers import (
    LSTM,
    Concat,
    Eltwise,
    InnerProduct,
    Power,
    Sigmoid,
    Slice,
    TanH,
)
from caffe2fx.net.net import Net
from caffe2fx.net.subnet import reachable_steps
from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.legalize.rule import LayerCall, Tops

State = tuple[Symbol, Symbol]  # the states h and c


def unrolled(net: Emitter, call: LayerCall[LSTM]) -> Tops:
    """Unroll: one product for the inputs of all steps, then one per step for the state.

    A step whose cont is 0 starts from zero, without a product.
    """
    layer, bottoms = call.layer, call.bottoms
    x, cont, *rest = bottoms
    if layer.has_static(len(bottoms)):
        raise Refused("needs no input that every step sees")
    goes_on = _goes_on(net, cont)
    state = (rest[0], rest[1]) if layer.expose_hidden else None
    size = layer.num_output
    inputs = InnerProduct(num_output=4 * size, axis=2)
    gates = net.add(inputs, x, blobs=call.blobs[:2], suffix="inputs")
    results = []
    for step, kept in zip(_steps(net, gates), goes_on, strict=True):
        state = _next(net, step, state if kept else None, call.blobs[2], size)
        results.append(state[0])
    whole = results[0]
    if len(results) > 1:
        whole = net.add(Concat(axis=0), *results)
    return (whole, *(state or ())) if layer.expose_hidden else (whole,)


def _steps(net: Emitter, gates: Symbol) -> Tops:
    count = gates.static_size(0)
    if count == 1:
        return (gates,)
    cut = Slice(axis=0, slice_point=tuple(range(1, count)))
    return net.add_many(cut, gates, suffix="steps", tops=count)


def _next(net: Emitter, gates: Symbol, state: State | None, weight: Tensor, size: int) -> State:
    """Return h and c after a step; `gates` are the input's terms of the gates i, f, o and g."""
    if state is None:
        return _first(net, gates, size)
    product = InnerProduct(num_output=4 * size, bias_term=False, axis=2)
    hidden = net.add(product, state[0], blobs=[weight], suffix="hidden")
    gates = net.add(Eltwise(), gates, hidden, suffix="gates")
    (i, f, o), new = _gates(net, gates, 3, size)
    kept = net.add(PRODUCT, f, state[1], suffix="cell_kept")
    update = net.add(PRODUCT, i, new, suffix="cell_update")
    return _output(net, o, net.add(Eltwise(), kept, update, suffix="cell"))


def _first(net: Emitter, gates: Symbol, size: int) -> State:
    """Return h and c after a step from the zero state, which needs no forget gate."""
    read = (*range(size), *range(2 * size, 4 * size))
    (i, o), new = _gates(net, index_map(net, gates, {2: read}, suffix="read"), 2, size)
    return _output(net, o, net.add(PRODUCT, i, new, suffix="cell_update"))


def _gates(net: Emitter, gates: Symbol, count: int, size: int) -> tuple[Tops, Symbol]:
    """Return the sigmoids of the first `count` gates, and the tanh of the cell candidate behind."""
    cut = Slice(axis=2, slice_point=(count * size,))
    all_gates, candidate = net.add_many(cut, gates, suffix="gate", tops=2)
    each = Slice(axis=2, slice_point=tuple(size * index for index in range(1, count)))
    sigmoid = net.add(Sigmoid(), all_gates, suffix="sigmoid")
    parts = net.add_many(each, sigmoid, suffix="gates", tops=count)
    return parts, net.add(TanH(), candidate, suffix="cell_candidate")


def _output(net: Emitter, gate: Symbol, c: Symbol) -> State:
    return net.add(PRODUCT, gate, net.add(TanH(), c, suffix="cell_tanh"), suffix="hidden"), c


def _goes_on(net: Emitter, cont: Symbol) -> list[bool]:
    """Return whether each step continues the one before. Raises Refused if inputs decide that."""
    values = _known(net, cont)
    if values is None:
        raise Refused("needs a cont that does not depend on the inputs")
    alike = bool((values == values[:, :1]).all())
    if not alike or not bool(((values == 0) | (values == 1)).all()):
        raise Refused("needs a cont of 0 or 1, alike for all samples")
    return [bool(value) for value in values[:, 0]]


def _known(net: Emitter, symbol: Symbol) -> Tensor | None:
    """Return a value that is computed from constants only, None if it depends on the inputs."""
    part = Net(reachable_steps(net.steps, (symbol.value,)), (symbol.value,))
    made = {top for step in part.steps for top in step.tops}
    if not made.issuperset(value for step in part.steps for value in step.reads):
        return None  # reads an input that is not among the emitted steps
    shapes, known = part.shapes(), dict[object, Tensor]()
    for step in part.steps:
        bottoms = [known.get(bottom) for bottom in step.bottoms]
        if isinstance(step.layer, Power) and step.layer.scale == 0:
            bottoms = [torch.zeros(shapes[step.bottoms[0]])]
        found = [bottom for bottom in bottoms if bottom is not None]
        if found and len(found) == len(bottoms) and not step.dynamic:
            tops = step.layer.compute(found, step.blobs, len(step.tops))
            known.update(zip(step.tops, tops, strict=True))
    return known.get(symbol.value)
