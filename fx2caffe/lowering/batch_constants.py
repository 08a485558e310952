"""Constants that follow the batch, as layers or as constants of fewer elements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from caffe2fx.messages.message import Shape
from caffe2fx.origin import Origin
from fx2caffe.ir import graph_functions
from fx2caffe.ir.complex_pair import ComplexPair, parts_of
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.ones import Ones, repeated_along
from fx2caffe.ir.symbol import Symbol
from fx2caffe.tracing.batch.repeated import Repeated

# Elementwise functions, which repeat the elements of a constant themselves.
BROADCASTS = frozenset({
    torch.add, torch.sub, torch.mul, torch.div, torch.floor_divide, torch.remainder, torch.fmod,
    torch.pow, torch.maximum, torch.minimum, torch.where, torch.masked_fill, torch.eq, torch.ne,
    torch.lt, torch.le, torch.gt, torch.ge, torch.logical_and, torch.logical_or,
    torch.logical_xor, torch.lerp, torch.addcmul, torch.addcdiv, torch.atan2, torch.clamp,
})  # fmt: skip
PRODUCTS = frozenset({torch.matmul, torch.bmm})
# Their initial states are constants that are the same for each sample.
TAKES_STATES = frozenset({
    torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu, torch.lstm_cell, torch.gru_cell,
    torch.rnn_tanh_cell, torch.rnn_relu_cell,
})  # fmt: skip


class BatchConstants:
    """Gives each reader of a constant that follows the batch the cheapest form that it takes."""

    def __init__(
        self, net: Emitter, repeated: Mapping[str, Repeated], others: Mapping[str, Any]
    ) -> None:
        self._net, self._repeated, self._others = net, repeated, others
        self._ones: Symbol | None = None
        self._symbols: dict[str, Symbol | ComplexPair] = {}

    def follows(self, node: fx.Node) -> bool:
        """Return whether a node is a constant that follows the batch and becomes layers."""
        is_known = node.op == "get_attr" and node.name in self._repeated
        return is_known and not all(user.target in TAKES_STATES for user in node.users)

    def read_by(self, user: fx.Node) -> dict[fx.Node, Tensor]:
        """Return the constants of which `user` may read fewer elements, as it repeats them itself.

        They have size 1 along the batch, and along other axes on which all elements are the same.
        """
        nodes = [node for node in user.all_input_nodes if self.follows(node)]
        if user.target is graph_functions.setitem:
            nodes = [node for node in nodes if node is user.args[2] and node is not user.args[0]]
            return {n: line for n in nodes if (line := self._line(n)) is not None}
        if not nodes or user.target not in BROADCASTS | PRODUCTS:
            return {}
        lines = {n: line for n in nodes if (line := self._line(n)) is not None}
        compact = {n: _compact(line) for n, line in lines.items()}
        for found in (lines,) if user.target in PRODUCTS else (compact, lines):
            if len(found) == len(nodes) and self._keeps_shapes(user, found):
                return found
        return {}

    def _line(self, node: fx.Node) -> Tensor | None:
        return self._repeated[node.name].narrowed()

    def _keeps_shapes(self, user: fx.Node, lines: Mapping[fx.Node, Tensor]) -> bool:
        """Return whether the call gives its shapes with these constants, at both batch sizes."""
        for meta_of in (lambda node: node.meta["value"], self._other):
            shapes = {n: tuple(meta_of(n).shape) for n in (*user.all_input_nodes, user)}
            shapes.update({node: tuple(line.shape) for node, line in lines.items()})
            try:
                if _result(user, shapes) != shapes[user]:
                    return False
            except RuntimeError:
                return False
        return True

    def _other(self, node: fx.Node) -> Any:
        return self._others.get(node.name, node.meta["value"])

    def symbol(self, node: fx.Node) -> Symbol | ComplexPair:
        """Return the layers that make the constant for any batch, named after it."""
        if node.name not in self._symbols:
            origin = node.meta.get("origin", Origin())
            with self._net.at(str(node.target).strip("_"), origin):
                self._symbols[node.name] = self._emitted(self._repeated[node.name])
        return self._symbols[node.name]

    def _emitted(self, constant: Repeated) -> Symbol | ComplexPair:
        if not constant.block.is_complex():
            return self._layers(constant)
        real, imag = (
            None if part is None else self._layers(replace(constant, block=part))
            for part in parts_of(constant.block)
        )
        return ComplexPair(real, imag)

    def _layers(self, constant: Repeated) -> Symbol:
        ones = self._one_per_sample()
        shapes = constant.shape, constant.other_shape
        return repeated_along(self._net, ones, constant.block, constant.axis, *shapes)

    def _one_per_sample(self) -> Symbol:
        if self._ones is None:
            follow = (symbol for symbol in self._net.inputs if symbol.carries_batch(0))
            self._ones = self._net.add(Ones(), next(follow), suffix="samples")
        return self._ones


def _compact(line: Tensor) -> Tensor:
    """Return a constant with size 1 along each axis on which its elements are all the same."""
    for axis in range(line.dim()):
        first = line.narrow(axis, 0, 1)
        line = first if bool((line == first).all()) else line
    return line


def _result(user: fx.Node, shapes: Mapping[fx.Node, Shape]) -> Shape:
    """Return the shape that a call gives for tensors of these shapes. Raises RuntimeError."""
    if user.target in PRODUCTS:
        pair = (torch.empty(shapes[node], device="meta") for node in user.all_input_nodes)
        return tuple(torch.matmul(*pair).shape)
    own = (shapes[node] for node in user.all_input_nodes)
    return tuple(torch.broadcast_shapes(*own))  # type: ignore[no-untyped-call]
