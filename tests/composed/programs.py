"""Random programs: 4 to 25 functions of `functions.py`, as a model that can be printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.composed.functions import FUNCTIONS, WRITES, Choices

SHAPES = ((2, 4), (2, 3, 4), (2, 4, 5, 5), (2, 2, 4, 3))
LEAST, MOST = 4, 25  # functions
ELEMENTS, AXES, LARGE = 600, 5, 30.0


@dataclass(frozen=True)
class Step:
    """A function of earlier values, with its arguments."""

    name: str
    operands: tuple[int, ...]
    arguments: tuple[Any, ...]

    def run(self, layers: nn.ModuleDict, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the results of the function."""
        given = [values[index] for index in self.operands]
        result = FUNCTIONS[self.name].run(layers, *given, *self.arguments)
        return list(result) if isinstance(result, tuple | list) else [result]


@dataclass(frozen=True)
class Program:
    """The shapes of the inputs, the steps, and which values are the outputs."""

    shapes: tuple[tuple[int, ...], ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

    def __repr__(self) -> str:
        lines = [f"inputs {list(self.shapes)}"]
        lines += [f"{s.name}{(*(f'v{o}' for o in s.operands), *s.arguments)}" for s in self.steps]
        return "\n  ".join(
            [*lines, f"outputs {[f'v{index}' for index in self.outputs]}", repr_of(self)]
        )

    def inputs(self, batch: int = 2) -> tuple[Tensor, ...]:
        """Normal random inputs."""
        generator = torch.Generator().manual_seed(batch)
        return tuple(torch.randn(batch, *s[1:], generator=generator) for s in self.shapes)


def repr_of(program: Program) -> str:
    """Return code that makes the program again, by `Program(*...)` with steps by `Step(*...)`."""
    steps = [(step.name, step.operands, step.arguments) for step in program.steps]
    return f"({program.shapes}, {steps}, {program.outputs})"


class Composed(nn.Module):
    """A program as a model."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.layers = nn.ModuleDict()
        for step in program.steps:
            add_layer(self.layers, step)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        values = list(inputs)
        for step in self.program.steps:
            values += step.run(self.layers, values)
        return tuple(values[index] for index in self.program.outputs)


def add_layer(layers: nn.ModuleDict, step: Step) -> None:
    """Make the layer of a step, if it has one that no earlier step has."""
    make = FUNCTIONS[step.name].layer
    name = "_".join(map(str, (step.name, *step.arguments)))
    if make is None or name in layers:
        return
    with torch.random.fork_rng([]):
        torch.manual_seed(len(layers))
        layer = make(*step.arguments)
        for tensor in layer.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape) * 0.4 + 0.1).abs_()
    layers[name] = layer.eval()


Raw = tuple[str, list[int]]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Any program; functions that fit no value are left out."""
    shapes = tuple(draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=2)))
    names = st.sampled_from(sorted(FUNCTIONS))
    numbers = st.lists(st.integers(0, 20), min_size=3, max_size=3)
    raw = draw(st.lists(st.tuples(names, numbers), min_size=LEAST + 2, max_size=MOST))
    more = draw(st.lists(st.integers(1, 20), max_size=2))
    return resolved(shapes, raw, more)


@torch.no_grad()
def resolved(
    shapes: tuple[tuple[int, ...], ...], raw: Sequence[Raw], more: Sequence[int]
) -> Program:
    """Return the program of such choices, without calls that are too large or write an input."""
    empty = Program(shapes, (), ())
    values, layers = list(empty.inputs()), nn.ModuleDict()
    given = {value.untyped_storage()._cdata for value in values}
    steps: list[Step] = []
    for name, numbers in raw:
        writable = [v for v in values if v.untyped_storage()._cdata not in given]
        taken = FUNCTIONS[name].plan(values, Choices(numbers))
        if taken is None:
            continue
        step = Step(name, *taken)
        if name in WRITES and not any(values[step.operands[0]] is value for value in writable):
            continue
        add_layer(layers, step)
        found = _tried(step, layers, values)
        if found is not None:
            values += found
            steps.append(step)
    last = len(values) - 1
    return Program(shapes, tuple(steps), (last, *(last - offset % (last + 1) for offset in more)))


def _tried(step: Step, layers: nn.ModuleDict, values: Sequence[Tensor]) -> list[Tensor] | None:
    """Return the results of a step; None, with all values as they were, where they are no good."""
    before = [value.clone() for value in values]
    try:
        found = step.run(layers, values)
        if all(map(_is_good, [*found, *values])):
            return found
    except RuntimeError:
        pass
    for value, old in zip(values, before, strict=True):
        if not torch.equal(value, old):
            value.copy_(old)
    return None


def _is_good(value: Tensor) -> bool:
    small = 0 < value.numel() <= ELEMENTS and 1 < value.dim() <= AXES
    return small and bool(value.isfinite().all()) and float(value.abs().max()) < LARGE
