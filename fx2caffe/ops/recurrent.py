"""LSTM, GRU and RNN as layers; their cells are in cells.py.

An LSTM becomes Caffe's LSTM layer. Caffe's RNN layer has another output than torch's, and Caffe has
no GRU and no LSTM with projections: these are unrolled, with one product for the inputs of all
time steps and one per step for the state. The steps share one weight, so the file holds it once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from caffe2fx.layers import LSTM, Scale, Slice
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.permute import Permute
from fx2caffe.ir.symbol import Operand, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import side_by_side
from fx2caffe.ops.cells import (
    STEPS,
    State,
    Step,
    Weights,
    begun,
    initial_state,
    is_zero,
    lstm_step,
    ones_of,
    product,
)


@dataclass(frozen=True)
class Run:
    """Holds several layers of one kind over a sequence: weights, and the results in use."""

    weights: tuple[Weights, ...]  # by layer, then by direction
    directions: int
    initial: tuple[Operand, ...]  # h, and for an LSTM c, of all layers and directions
    wanted: frozenset[int]  # indices of the results that are read: output, h, c


Layers = Callable[[Emitter, Run, Symbol, Symbol, int], tuple[Symbol, State]]


def _sequence(
    net: Emitter,
    run: Run,
    input: Symbol,
    batch_first: bool,
    layer: Layers,
) -> tuple[Symbol | None, ...]:
    """Apply all layers; return the output at all time steps, and the final states."""
    x = net.add(Permute(order=(1, 0, 2)), input, suffix="steps") if batch_first else input
    if x.carries_batch(0):
        net.fix_batch(f"{net.scope[0]} has a layer or a weight for each step")
        x = replace(x, other_shape=(x.shape[0], *x.other_shape[1:]))
    ones, finals = ones_of(net, x), []
    for first in range(0, len(run.weights), run.directions):
        results = []
        for index in range(first, first + run.directions):
            backwards = index > first
            result, final = layer(net, run, ones, _reversed(net, x) if backwards else x, index)
            results.append(_reversed(net, result) if backwards else result)
            finals.append(final)
        x = side_by_side(net, results, 2, "directions")
    y = net.add(Permute(order=(1, 0, 2)), x, suffix="samples") if batch_first else x
    return y, *_finals(net, run, finals)


def _finals(net: Emitter, run: Run, finals: Sequence[State]) -> tuple[Symbol | None, ...]:
    """Return the final h, and for an LSTM c, of all layers and directions; None where not read."""
    return tuple(
        side_by_side(net, [final[index] for final in finals], 0, f"final{index}")
        if index + 1 in run.wanted
        else None
        for index in range(len(run.initial))
    )


def _reversed(net: Emitter, x: Symbol) -> Symbol:
    return index_map(net, x, {0: range(x.shape[0])[::-1]}, suffix="reversed")


# LSTM as Caffe's LSTM layer


@handles(torch.lstm)
def lstm(
    net: Emitter,
    input: Symbol,
    hx: Sequence[Operand],
    params: Sequence[Operand],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    *,
    out: Expected,
) -> tuple[Symbol | None, ...]:
    run = _run(hx, params, has_biases, num_layers, bidirectional, out)
    projected = run.weights[0].projection is not None
    return _sequence(net, run, input, batch_first, _unrolled(lstm_step) if projected else _lstm)


def _run(
    initial: Sequence[Operand],
    params: Sequence[Operand],
    has_biases: bool,
    num_layers: int,
    bidirectional: bool,
    out: Expected,
) -> Run:
    directions = 2 if bidirectional else 1
    each = len(params) // (num_layers * directions)
    weights = [
        Weights.of(params[start : start + each], has_biases)
        for start in range(0, len(params), each)
    ]
    return Run(tuple(weights), directions, tuple(initial), out.read)


def _lstm(net: Emitter, run: Run, ones: Symbol, x: Symbol, index: int) -> tuple[Symbol, State]:
    """Emit an LSTM; it exposes its state if an initial one is given or the final c is read."""
    weights = run.weights[index]
    size = weights.hidden.shape[1]
    exposed = 2 in run.wanted or not all(map(is_zero, run.initial))
    if exposed:
        bottoms = (x, ones, *(initial_state(net, ones, value, index) for value in run.initial))
    else:
        begins = torch.tensor([0.0] + [1.0] * (x.shape[0] - 1))
        bottoms = (x, net.add(Scale(axis=0), ones, blobs=[begins], suffix="cont"))
    layer = LSTM(num_output=size, expose_hidden=exposed)
    tops = net.add_many(layer, *bottoms, blobs=_blobs(weights), tops=3 if exposed else 1)
    final = tops[1:] if exposed else (_last(net, tops[0]),)
    return tops[0], final


def _last(net: Emitter, results: Symbol) -> Symbol:
    return index_map(net, results, {0: [results.shape[0] - 1]}, suffix="last")


def _blobs(weights: Weights) -> list[Tensor]:
    """Return Caffe's blobs: gates i, f, g, o become i, f, o, g, and torch's two biases one."""
    bias = torch.zeros(len(weights.input), dtype=torch.float64)
    if weights.input_bias is not None and weights.hidden_bias is not None:
        bias = weights.input_bias.detach().double() + weights.hidden_bias.detach().double()
    return [_caffes(blob) for blob in (weights.input, bias, weights.hidden)]


def _caffes(blob: Tensor) -> Tensor:
    i, f, g, o = blob.detach().chunk(4)
    return torch.cat([i, f, o, g])


# Unrolled: GRU, RNN, and LSTM with projections


def _unrolled(
    step: Step,
) -> Layers:
    def layer(net: Emitter, run: Run, ones: Symbol, x: Symbol, index: int) -> tuple[Symbol, State]:
        weights = run.weights[index]
        gates = product(net, x, weights.input, weights.input_bias, suffix="inputs")
        steps: tuple[Symbol, ...] = (gates,)
        if x.shape[0] > 1:
            steps = net.add_many(Slice(axis=0), gates, suffix="steps", tops=x.shape[0])
        initial = begun(run.initial)
        state = tuple(initial_state(net, ones, value, index) for value in initial)
        results = []
        for gate in steps:
            state = step(net, gate, state, weights)
            results.append(state[0])
        return side_by_side(net, results, 0, "results"), state

    return layer


def _sequences() -> None:
    for function, step in STEPS.items():

        def unrolled(
            net: Emitter,
            input: Symbol,
            hx: Operand,
            params: Sequence[Operand],
            has_biases: bool,
            num_layers: int,
            dropout: float,
            train: bool,
            bidirectional: bool,
            batch_first: bool,
            *,
            out: Expected,
            _step: Step = step,
        ) -> tuple[Symbol | None, ...]:
            run = _run([hx], params, has_biases, num_layers, bidirectional, out)
            return _sequence(net, run, input, batch_first, _unrolled(_step))

        handles(function)(unrolled)


_sequences()
