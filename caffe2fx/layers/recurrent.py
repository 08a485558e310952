"""Recurrent layers: time is axis 0, the batch axis 1, and `cont` marks where sequences continue."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.layer import Layer
from caffe2fx.layers.registry import register
from caffe2fx.messages.common import Filler
from caffe2fx.messages.message import Shape, field

State = tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class Recurrent(Layer):
    """Base of LSTM and RNN: bottoms, tops and the loop over time.

    The bottoms are x (T, N, ...), cont (T, N), with static input that every step reads too (N,
    ...), and with expose_hidden the initial state, (1, N, num_output) each. The state is multiplied
    by cont before each step: 0 begins a sequence, 1 continues it. The tops are the results of all
    steps (T, N, num_output) and with expose_hidden the final state.

    Without expose_hidden Caffe begins at zero once, after it has loaded the net, and goes on in a
    later forward where the one before has ended. `compute` has no memory: it begins every forward
    at zero. The two are the same in a net's first forward, and in every one whose cont begins with
    zeros; to carry state from one forward to the next, use expose_hidden. As in Caffe no gradient
    passes through the initial and the final states.
    """

    parameter = ("recurrent_param", 146)
    message = "RecurrentParameter"
    bottoms = (2, 5)
    tops = (1, 3)
    states: ClassVar[int] = 1

    num_output: int = field(1, "uint32", 0)
    weight_filler: Filler | None = field(2, Filler)
    bias_filler: Filler | None = field(3, Filler)
    debug_info: bool = field(4, "bool", False)
    expose_hidden: bool = field(5, "bool", False)

    @property
    def _exposed(self) -> int:
        return self.states if self.expose_hidden else 0

    @property
    def is_stateful(self) -> bool:
        return not self.expose_hidden

    def has_static(self, bottoms: int) -> bool:
        """Return whether one of that many bottoms is the static input that every step reads."""
        return bottoms > 2 + self._exposed

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        _count("bottom", len(bottoms), (2 + self._exposed, 3 + self._exposed))
        _count("top", tops, (1 + self._exposed,))
        x, cont = bottoms[:2]
        if self.num_output < 1:
            raise ShapeMismatchError("needs num_output >= 1, got 0")
        if len(x) < 3:
            raise ShapeMismatchError(f"needs a bottom (T, N, ...) of rank 3 or more, got {x}")
        if tuple(cont) != tuple(x[:2]):
            raise ShapeMismatchError(f"needs cont of shape {tuple(x[:2])}, got {tuple(cont)}")
        if self.has_static(len(bottoms)):
            self._check_static(x, bottoms[2])
        for state in bottoms[len(bottoms) - self._exposed :]:
            if tuple(state) != (1, x[1], self.num_output):
                wanted = (1, x[1], self.num_output)
                raise ShapeMismatchError(f"needs a state of shape {wanted}, got {tuple(state)}")

    def _check_static(self, x: Shape, static: Shape) -> None:
        if len(static) < 2 or static[0] != x[1]:
            raise ShapeMismatchError(f"needs static input ({x[1]}, ...), got {tuple(static)}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        time, batch = bottoms[0][:2]
        final = ((1, batch, self.num_output),) * self._exposed
        return ((time, batch, self.num_output), *final)

    def input_shapes(self, bottoms: Sequence[Shape], gates: int) -> tuple[Shape, ...]:
        """Return the shapes of the blobs that multiply x and the static input."""
        rows = gates * self.num_output
        shapes: tuple[Shape, ...] = ((rows, prod(bottoms[0][2:])), (rows,))
        if self.has_static(len(bottoms)):
            shapes += ((rows, prod(bottoms[2][1:])),)
        return (*shapes, (rows, self.num_output))

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return prod(bottoms[0][2:]) + self.num_output

    def blob_fillers(self, count: int) -> tuple[Filler, ...]:
        """Return the fillers: the bias is the second blob, and RNN's other bias the last."""
        weight, bias = self.weight_filler or Filler(), self.bias_filler or Filler()
        biases = (1, count - 1) if self.type == "RNN" else (1,)
        return tuple(bias if index in biases else weight for index in range(count))

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        x, cont = bottoms[0], bottoms[1].detach()
        gates = x.flatten(2) @ blobs[0].T + blobs[1]
        if self.has_static(len(bottoms)):
            gates = gates + bottoms[2].flatten(1) @ blobs[2].T
        own = blobs[2 + self.has_static(len(bottoms)) :]
        exposed = tuple(state.detach() for state in bottoms[len(bottoms) - self._exposed :])
        state = exposed or self._zeros(x)
        results = []
        for gate, keep in zip(gates.unsqueeze(1), cont[:, None, :, None], strict=True):
            result, state = self.step(gate, keep, state, own)
            results.append(result)
        return (torch.cat(results), *(last.detach() for last in state[: self._exposed]))

    def _zeros(self, x: Tensor) -> State:
        return (x.new_zeros(1, x.shape[1], self.num_output),) * self.states

    @abstractmethod
    def step(
        self, gates: Tensor, cont: Tensor, state: State, blobs: Sequence[Tensor]
    ) -> tuple[Tensor, State]:
        """Return result and state after one step, each (1, N, num_output)."""


def _count(name: str, got: int, allowed: Sequence[int]) -> None:
    if got not in allowed:
        raise ShapeMismatchError(f"needs {' or '.join(map(str, allowed))} {name}(s), got {got}")


@register
@dataclass(frozen=True, kw_only=True)
class LSTM(Recurrent):
    """Run a long short-term memory; the rows of its blobs are the gates i, f, o and g.

    The blobs are W_x (4D, I), b (4D), for static input W_static (4D, S), and W_h (4D, D); the state
    is h and c.
    """

    type = "LSTM"
    states = 2

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return self.input_shapes(bottoms, 4)

    def step(
        self, gates: Tensor, cont: Tensor, state: State, blobs: Sequence[Tensor]
    ) -> tuple[Tensor, State]:
        h, c = state
        c, h = _unit(c, gates + (h * cont) @ blobs[0].T, cont)
        return h, (h, c)


@register
@dataclass(frozen=True, kw_only=True)
class RNN(Recurrent):
    """Compute h = tanh(W_x x + b_h + W_h h), and on top of it the result tanh(W_o h + b_o).

    The blobs are W_x (D, I), b_h (D), for static input W_static (D, S), W_h (D, D), W_o (D, D)
    and b_o (D); the state is h.
    """

    type = "RNN"

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        size = self.num_output
        return (*self.input_shapes(bottoms, 1), (size, size), (size,))

    def step(
        self, gates: Tensor, cont: Tensor, state: State, blobs: Sequence[Tensor]
    ) -> tuple[Tensor, State]:
        h = torch.tanh(gates + (state[0] * cont) @ blobs[0].T)
        return torch.tanh(h @ blobs[1].T + blobs[2]), (h,)


@register
@dataclass(frozen=True, kw_only=True)
class LSTMUnit(Layer):
    """Compute one LSTM step without its products: c and h from the previous c, gates and cont.

    The bottoms are (1, N, D), (1, N, 4D) and (1, N). Where cont is 0 the previous c has no effect,
    even where it is NaN.
    """

    type = "LSTMUnit"
    message = ""
    bottoms = (3, 3)
    tops = (2, 2)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        state = tuple(bottoms[0])
        if len(state) != 3 or state[0] != 1:
            raise ShapeMismatchError(f"needs a state (1, N, D), got {state}")
        wanted = (1, state[1], 4 * state[2]), state[:2]
        got = tuple(bottoms[1]), tuple(bottoms[2])
        if got != wanted:
            raise ShapeMismatchError(
                f"needs gates and cont of shapes {wanted[0]} and {wanted[1]}, "
                f"got {got[0]} and {got[1]}"
            )

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[0]),) * 2

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        c, gates, cont = bottoms
        return _unit(c, gates, cont.detach().unsqueeze(-1))


def _unit(c: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next c and h; `gates` holds i, f, o and g one after the other."""
    i, f, o, g = gates.chunk(4, -1)
    kept = torch.where(cont == 0, torch.zeros_like(c), cont * torch.sigmoid(f))
    c = kept * c + torch.sigmoid(i) * torch.tanh(g)
    return c, torch.sigmoid(o) * torch.tanh(c)
