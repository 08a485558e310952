"""Second inputs like the example's: a map that does not change with them is not proven."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import factorial

import torch
from torch import Tensor

from caffe2fx.layers import Bias, Power, Threshold
from caffe2fx.net.net import Net

Draw = Callable[[Tensor, torch.Generator], Tensor]
MOST = 16  # of the values that a net compares with


def second_input(value: Tensor) -> Tensor:
    """Return a second input like the first: floats in another order, a bit smaller.

    The order alone would not change x - x.mean().sum(); values nearer to 0 stay in any range.
    Counts and indices are drawn from 0 to their value, and the values of a table stay in their
    column: in a row that is a box one value may be the index of its image, and torchvision reads
    out of bounds for an index that is not there.
    """
    generator = _seeded(value.numel())
    if is_whole(value):
        return _towards_zero(value, generator)
    if value.dim() == 2:
        drawn = _column_wise(value, generator) * (1 - 0.75 * _random_like(value, generator))
    else:
        drawn = _mixed(value, generator) * (1 - 0.25 * _random_like(value, generator))
    return _in_order_of(value, drawn)


def _in_order_of(value: Tensor, drawn: Tensor) -> Tensor:
    """Sort what is drawn along the last axis where a floating example is, and not by chance.

    A search needs a sorted sequence: it gives anything for another.
    """
    if not value.is_floating_point() or not value.numel():
        return drawn
    rows = value.reshape(-1, value.shape[-1] if value.dim() else 1)
    steps = rows.diff(dim=1)
    orders = factorial(min(rows.shape[1], 10)) ** min(len(rows), 10)
    is_sorted = orders >= 100 and bool((steps >= 0).all() and (steps > 0).any(1).all())
    return drawn.sort(-1).values if is_sorted else drawn


def is_whole(value: Tensor) -> bool:
    """Return whether an input is integral: its elements are counts or indices."""
    return not value.is_floating_point() or torch.equal(value, value.round())


def is_uniform(value: Tensor) -> bool:
    """Return whether an integral input has one value only, so that no position matters."""
    elements = value.reshape(-1)
    return is_whole(value) and len(elements) > 1 and bool((elements == elements[0]).all())


def other_inputs(inputs: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield candidates for the second inputs: the first that the reference accepts is used.

    The example's own inputs, which change nothing, are always accepted.
    """
    yield [second_input(value) for value in inputs]
    yield [value if is_whole(value) else second_input(value) for value in inputs]
    yield list(inputs)


def draws(net: Net, inputs: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield more inputs, for maps that the second ones did not change, each further away.

    Integers are drawn from their range extended to 0 and 1 (a mask may be all ones in the example),
    and from those that the net compares with (a padding index).
    """
    compared = torch.tensor(sorted({0.0, 1.0, *constants_compared_with(net)}))
    ways: list[tuple[Draw, float]] = [
        (_towards_zero, 1.0),
        (_in_range, -2.0),
        (_mixed_with(compared), 4.0),
        (_column_wise, -8.0),
        (_all_alike(0), 16.0),  # any() of a mask of ones is false for few of the draws above
        (_all_alike(1), -16.0),
    ]
    for seed in (2, 3):
        for draw, factor in ways:
            generator = _seeded(seed)
            drawn = [_drawn(value, draw, factor, generator) for value in inputs]
            yield list(map(_in_order_of, inputs, drawn))


def _drawn(value: Tensor, draw: Draw, factor: float, generator: torch.Generator) -> Tensor:
    """Draw integers by `draw`, as torch refuses invalid indices, and integers of tables by column.

    A column of a table may hold indices, which nothing checks, if all of its values are integral.
    """
    if not (value.is_floating_point() and value.dim() == 2):
        return draw(value, generator) if is_whole(value) else second_input(value) * factor
    near = _towards_zero(_column_wise(value, generator), generator)
    return torch.where((value == value.round()).all(0), near, second_input(value) * factor)


def constants_compared_with(net: Net) -> list[float]:
    """Return the integers that layers subtract or compare with."""
    found: dict[float, None] = {}
    for step in net.steps:
        if isinstance(step.layer, Power) and step.layer.scale:
            found[-step.layer.shift / step.layer.scale] = None
        elif isinstance(step.layer, Threshold):
            found[step.layer.threshold] = None
        elif isinstance(step.layer, Bias) and step.blobs:
            found.update(dict.fromkeys(step.blobs[0].reshape(-1)[:MOST].neg().tolist()))
    return [value for value in found if value.is_integer()][:MOST]


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _random_like(value: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(value.shape, generator=generator, dtype=value.dtype)


def _from_among(choices: Tensor, like: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.randint(len(choices), (like.numel(),), generator=generator)
    return choices[drawn].reshape(like.shape).to(like.dtype)


def _in_range(value: Tensor, generator: torch.Generator) -> Tensor:
    finite = value[value.double().isfinite()]
    if len(finite) < value.numel():  # a mask of 0 and -inf
        return _from_among(value.reshape(-1), value, generator)
    low, high = min(0, int(finite.min())), max(1, int(finite.max()))
    drawn = torch.randint(low, high + 1, value.shape, generator=generator)
    return drawn.to(value.dtype)


def _mixed_with(compared: Tensor) -> Draw:
    """Return a draw that replaces half of the elements by values that the net compares with."""

    def draw(value: Tensor, generator: torch.Generator) -> Tensor:
        theirs = torch.rand(value.shape, generator=generator) < 0.5
        allowed = compared[compared >= min(0.0, float(value.min()))]
        return torch.where(theirs, _from_among(allowed, value, generator), value)

    return draw


def _all_alike(first: int) -> Draw:
    """Return a draw of samples that hold one value each: in turn the least and the greatest.

    With `first` 0 the first sample holds the least of the range, with 1 the greatest.
    """

    def draw(value: Tensor, generator: torch.Generator) -> Tensor:
        finite = value[value.double().isfinite()]
        ends = (min(0, int(finite.min())), max(1, int(finite.max()))) if len(finite) else (0, 1)
        drawn = torch.full_like(value, ends[first])
        if value.dim():
            drawn[1::2] = ends[1 - first]
        return drawn

    return draw


def _mixed(value: Tensor, generator: torch.Generator) -> Tensor:
    elements = value.reshape(-1)
    return elements[torch.randperm(len(elements), generator=generator)].reshape(value.shape)


def _column_wise(value: Tensor, generator: torch.Generator) -> Tensor:
    """Take each element from another row of its own column."""
    if value.dim() < 2:
        return _mixed(value, generator)
    rows = torch.randint(len(value), value.shape, generator=generator)
    return value.gather(0, rows)


def _towards_zero(value: Tensor, generator: torch.Generator) -> Tensor:
    """Draw each element between 0 and itself, integral where all are."""
    share = torch.rand(value.shape, generator=generator, dtype=torch.float64)
    if not is_whole(value):
        return (value * share).to(value.dtype)
    return ((value.double().abs() + 1) * share).floor().copysign(value.double()).to(value.dtype)
