"""Time steps of LSTM, GRU and RNN, and the cells, which are one time step each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from caffe2fx.layers import (
    Bias,
    Eltwise,
    InnerProduct,
    Power,
    Reduction,
    ReLU,
    Scale,
    Sigmoid,
    Slice,
    TanH,
)
from caffe2fx.layers.layer import Layer
from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Operand, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import constant

State = tuple[Symbol, ...]


@dataclass(frozen=True)
class Weights:
    """Holds the weights of one direction of one layer, in torch's order of gates."""

    input: Tensor
    hidden: Tensor
    input_bias: Tensor | None = None
    hidden_bias: Tensor | None = None
    projection: Tensor | None = None

    @classmethod
    def of(cls, blobs: Sequence[Operand], has_biases: bool) -> Weights:
        """Return the weights of one direction, listed in torch's order."""
        found = [constant("weights", blob) for blob in blobs]
        biases = found[2:4] if has_biases else (None, None)
        rest = found[4 if has_biases else 2 :]
        return cls(found[0], found[1], *biases, *rest)


Step = Callable[[Emitter, Symbol, State, Weights], State]


def initial_state(net: Emitter, ones: Symbol, value: Operand, index: int) -> Symbol:
    """Return the initial state (1, N, size); a constant one follows the batch size of `ones`."""
    if isinstance(value, Symbol):
        return index_map(net, value, {0: [index]}, suffix="state")
    row = value[index]
    if not bool((row == row[:1]).all()):
        return as_symbol(net, row[None], suffix="state")
    first = index_map(net, ones, {0: [0]}, suffix="first")
    one = viewed(net, first, lambda s: (*s, 1), suffix="one")
    layer = InnerProduct(num_output=row.shape[1], bias_term=False, axis=-1)
    return net.add(layer, one, blobs=[row[0][:, None]], suffix="state")


def ones_of(net: Emitter, x: Symbol) -> Symbol:
    """Return ones of shape (T, N) for `x` of shape (T, N, size)."""
    sums = net.add(Reduction(axis=2), x, suffix="sums")
    return net.add(Power(scale=0, shift=1), sums, suffix="ones")


def product(net: Emitter, x: Symbol, weight: Tensor, bias: Tensor | None, suffix: str) -> Symbol:
    """Multiply the last axis by a weight and add the bias."""
    layer = InnerProduct(
        num_output=weight.shape[0], bias_term=bias is not None, axis=1 if x.rank == 2 else -1
    )
    return net.add(layer, x, blobs=[weight] if bias is None else [weight, bias], suffix=suffix)


def is_zero(value: Operand) -> bool:
    return isinstance(value, Tensor) and not bool(value.any())


def begun(states: Sequence[Operand]) -> Sequence[Operand]:
    """Drop trailing states that are zero, whose products need no layers."""
    moving = len(states)
    while moving and is_zero(states[moving - 1]):
        moving -= 1
    return states[:moving]


def lstm_step(net: Emitter, gates: Symbol, state: State, weights: Weights) -> State:
    """Return h and c after a time step; `gates` are the input's terms of the gates i, f, g and o.

    A state without c, or without both, is zero.
    """
    gates = _with_hidden(net, gates, state, weights)
    i, f, g, o = net.add_many(Slice(axis=gates.rank - 1), gates, suffix="gate", tops=4)
    i, f, o = (
        net.add(Sigmoid(), gate, suffix=f"{name}_gate")
        for gate, name in ((i, "input"), (f, "forget"), (o, "output"))
    )
    c = net.add(PRODUCT, i, net.add(TanH(), g, suffix="cell_candidate"), suffix="cell_update")
    for old in state[1:]:
        c = net.add(Eltwise(), net.add(PRODUCT, f, old, suffix="cell_kept"), c, suffix="cell")
    h = net.add(PRODUCT, o, net.add(TanH(), c, suffix="cell_tanh"), suffix="hidden")
    if weights.projection is not None:
        h = product(net, h, weights.projection, None, suffix="projected")
    return h, c


def gru_step(net: Emitter, gates: Symbol, state: State, weights: Weights) -> State:
    """Return h after a time step; `gates` are the input's terms of the gates r, z and n."""
    if not state:
        return _gru_first(net, gates, weights)
    (h,) = state
    size, axis = weights.hidden.shape[1], gates.rank - 1
    halves = Slice(axis=axis, slice_point=(2 * size,))
    gate, new = net.add_many(halves, gates, suffix="gate", tops=2)
    hidden, remembered = net.add_many(
        halves, _hidden(net, h, weights), suffix="hidden_product", tops=2
    )
    sigmoid = net.add(Sigmoid(), net.add(Eltwise(), gate, hidden, suffix="gates"), suffix="sigmoid")
    r, z = net.add_many(Slice(axis=axis), sigmoid, suffix="reset_update", tops=2)
    remembered = net.add(PRODUCT, r, remembered, suffix="reset_hidden")
    n = net.add(TanH(), net.add(Eltwise(), new, remembered, suffix="sum"), suffix="candidate")
    change = net.add(Eltwise(coeff=(1.0, -1.0)), h, n, suffix="difference")
    return (net.add(Eltwise(), net.add(PRODUCT, z, change, suffix="update"), n, suffix="hidden"),)


def _gru_first(net: Emitter, gates: Symbol, weights: Weights) -> State:
    """Return h after a step from the zero state, where the hidden product is its bias alone."""
    size, axis, bias = weights.hidden.shape[1], gates.rank - 1, weights.hidden_bias
    halves = Slice(axis=axis, slice_point=(2 * size,))
    gate, new = net.add_many(halves, gates, suffix="gate", tops=2)
    if bias is not None:
        gate = net.add(Bias(axis=axis), gate, blobs=[bias[: 2 * size]], suffix="gates")
    sigmoid = net.add(Sigmoid(), gate, suffix="sigmoid")
    r, z = net.add_many(Slice(axis=axis), sigmoid, suffix="reset_update", tops=2)
    if bias is not None:
        remembered = net.add(Scale(axis=axis), r, blobs=[bias[2 * size :]], suffix="reset_hidden")
        new = net.add(Eltwise(), new, remembered, suffix="sum")
    n = net.add(TanH(), new, suffix="candidate")
    update = net.add(PRODUCT, z, n, suffix="update")
    return (net.add(Eltwise(coeff=(1.0, -1.0)), n, update, suffix="hidden"),)


def _rnn_step(function: Layer) -> Step:
    def step(net: Emitter, gates: Symbol, state: State, weights: Weights) -> State:
        return (net.add(function, _with_hidden(net, gates, state, weights), suffix="hidden"),)

    return step


def _with_hidden(net: Emitter, gates: Symbol, state: State, weights: Weights) -> Symbol:
    """Add the state's terms to the gates; an absent state is zero."""
    if state:
        return net.add(Eltwise(), gates, _hidden(net, state[0], weights), suffix="gates")
    if weights.hidden_bias is None:
        return gates
    return net.add(Bias(axis=gates.rank - 1), gates, blobs=[weights.hidden_bias], suffix="gates")


def _hidden(net: Emitter, h: Symbol, weights: Weights) -> Symbol:
    return product(net, h, weights.hidden, weights.hidden_bias, suffix="hidden_product")


STEPS = {
    torch.gru: gru_step,
    torch.rnn_tanh: _rnn_step(TanH()),
    torch.rnn_relu: _rnn_step(ReLU()),
}


@handles(torch.lstm_cell)
def lstm_cell(
    net: Emitter,
    input: Operand,
    hx: Sequence[Operand],
    w_ih: Operand,
    w_hh: Operand,
    b_ih: Operand | None = None,
    b_hh: Operand | None = None,
) -> State:
    return _cell(net, lstm_step, input, hx, (w_ih, w_hh, b_ih, b_hh))


def _cell(
    net: Emitter,
    step: Step,
    input: Operand,
    states: Sequence[Operand],
    blobs: Sequence[Operand | None],
) -> State:
    weights = Weights(*(None if b is None else constant("weights", b) for b in blobs))  # type: ignore[arg-type]
    like = next(value for value in (input, *states) if isinstance(value, Symbol))
    steps = viewed(net, like, lambda s: (1, *s), suffix="step")
    ones = ones_of(net, steps)
    x, *state = (_sample_rows(net, ones, value) for value in (input, *begun(states)))
    gates = product(net, x, weights.input, weights.input_bias, suffix="input_product")
    return step(net, gates, tuple(state), weights)


def _sample_rows(net: Emitter, ones: Symbol, value: Operand) -> Symbol:
    """Return rows (N, size); a constant must be the same for each sample of `ones`, (1, N)."""
    if isinstance(value, Symbol):
        return value
    made = initial_state(net, ones, value[None], 0)
    return viewed(net, made, lambda s: s[1:], suffix="rows")


def _cells() -> None:
    steps = {
        torch.gru_cell: gru_step,
        torch.rnn_tanh_cell: STEPS[torch.rnn_tanh],
        torch.rnn_relu_cell: STEPS[torch.rnn_relu],
    }
    for function, step in steps.items():

        def cell(
            net: Emitter,
            input: Operand,
            hx: Operand,
            w_ih: Operand,
            w_hh: Operand,
            b_ih: Operand | None = None,
            b_hh: Operand | None = None,
            _step: Step = step,
        ) -> Symbol:
            return _cell(net, _step, input, [hx], (w_ih, w_hh, b_ih, b_hh))[0]

        handles(function)(cell)


_cells()
