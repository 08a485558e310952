"""The verdict: is what an engine computes what the reference computes, layer by layer?

Float32 has noise of its own, so one end-to-end tolerance proves nothing. Two measures decide.
(a) Alone: every layer, fed with the reference's inputs, errs by at most 1e-5 of the signal,
scaled by the length of its sums, or 4 times what torch itself errs in float32 there, or the
last place of the largest value.
(b) End to end, the error against the reference in float64 is at most 4 times that of the
reference in float32 (the larger of torch's two implementations), plus 1e-6 of the signal, plus
what the layers before it were seen to err alone (as independent errors add: by their squares).
Maps that only a rewrite knows, within one operation of the reference, are judged alone.
The first decides, the second confirms.
The signal of a feature map is the smaller of its largest value and of its largest change under
a second random input: an error relative to a map that is mostly bias proves nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import hypot, inf, nan, sqrt

import torch
from torch import Tensor

from caffe2fx.engines.base import Session
from caffe2fx.net import Net, Step, Value, is_input
from caffe2fx.origin import Origin
from caffe2fx.report import Report, Row

ALONE = 1e-5  # of the signal, for sums of up to SHORT terms
SHORT = 1024
NOISE_FACTOR = 4.0
NOISE_FLOOR = 1e-6  # of the signal
ULP = 2.0**-23  # of the largest value: what float32 tells apart

Run = Callable[[Sequence[Tensor]], Mapping[Value, Tensor]]


def judge(
    net: Net, session: Session, reference: Run, inputs: Sequence[Tensor], *, engine: str
) -> Report:
    """Hold every feature map that `session` computes against `reference`.

    `reference` gives the values of the net that it knows for inputs of any float type, and
    computes in that type; values that it does not know (made by a rewrite) are computed by the
    layers' own meaning from those that it does.
    """
    truth = _Truth(net, reference, inputs)
    session.reshape([tuple(value.shape) for value in inputs])
    theirs, ended, misshapen = _ran(net, session, truth, inputs)
    rows = []
    for mine, step in zip(net.steps, theirs, strict=True):
        if is_input(mine):
            continue
        if misshapen.intersection(mine.reads):
            # Its engine expects other shapes here: what it would be fed, it could not take.
            alone = [torch.full((), nan)] * len(mine.tops)
        else:
            alone = list(session.feed(step, truth.fed(mine)))
        pairs = zip(mine.tops, alone, strict=True)
        rows += [truth.row(mine, value, top, ended[value]) for value, top in pairs]
    return Report(engine, rows)


def _ran(
    net: Net, session: Session, truth: _Truth, inputs: Sequence[Tensor]
) -> tuple[list[Step], dict[Value, float], set[Value]]:
    """The engine's own steps, the error of each value end to end, and values of other shapes."""
    theirs: list[Step] = []
    ended: dict[Value, float] = {}
    misshapen: set[Value] = set()
    results = session.run([value.to(torch.float32) for value in inputs])
    for mine, (step, tops) in zip(net.steps, results, strict=True):
        theirs.append(step)
        for value, top in zip(mine.tops, tops, strict=True):
            ended[value] = difference(top, truth.exact[value])
            if top.shape != truth.exact[value].shape:
                misshapen.add(value)
    return theirs, ended, misshapen


@contextmanager
def _other_implementation() -> Iterator[None]:
    """torch without oneDNN: the same numbers, rounded in another order."""
    with warnings.catch_warnings():
        # Its setter speaks of TF32 on graphics cards that are not there.
        warnings.filterwarnings("ignore", message="TF32 acceleration")
        flags = torch.backends.mkldnn.flags(enabled=False)
        flags.__enter__()
    try:
        yield
    finally:
        flags.__exit__(None, None, None)


class _Truth:
    """The reference's values: in float64, in float32, and for a second input."""

    def __init__(self, net: Net, reference: Run, inputs: Sequence[Tensor]) -> None:
        # Of the runs in float32 only the measures are kept: large nets have large feature maps.
        given = reference([value.float() for value in inputs])
        self.known = set(given)
        rounded = complete(net, given)
        other = complete(net, reference([another(value).float() for value in inputs]))
        self.masks = {value for value in rounded if _mask_moved(other[value], rounded[value])}
        self.change = {value: moved(other.pop(value), rounded[value]) for value in rounded}
        self.exact = complete(net, reference([value.double() for value in inputs]))
        self.noise = {value: moved(rounded[value], self.exact[value]) for value in rounded}
        del rounded
        # Rounding is a draw from chance, and a map of few numbers shows little of it: torch's
        # other implementation is a second draw.
        with _other_implementation():
            again = complete(net, reference([value.float() for value in inputs]))
        for value in again:
            self.noise[value] = max(self.noise[value], moved(again[value], self.exact[value]))
        self.moving = _depends_on_inputs(net)
        self.accepted = dict.fromkeys(net.inputs, 0.0)  # of the signal, up to each value

    def fed(self, step: Step) -> list[Tensor]:
        """The reference's values of a step's bottoms (of its tops, if it is an input)."""
        values = step.tops if is_input(step) else step.reads
        return [self.exact[value].float() for value in values]

    def row(self, step: Step, value: Value, alone: Tensor, end: float) -> Row:
        """The measures of one feature map."""
        exact = self.exact[value]
        size, moving = largest(exact), self._has_to_move(value)
        signal = min(size, self.change[value]) if moving else size
        length = step.layer.reduction([tuple(self.exact[b].shape) for b in step.bottoms])
        error = difference(alone, exact)
        limit = ALONE * signal * sqrt(max(1.0, length / SHORT))
        if error > limit:
            limit = max(limit, NOISE_FACTOR * self._own_noise(step, value), ULP * size)
        before = max((self.accepted[bottom] for bottom in step.reads), default=0.0)
        own = min(error, limit) / signal if signal > 0 else 0.0
        self.accepted[value] = hypot(before, own)
        return Row(
            layer=step.name,
            type=step.layer.type,
            blob=value.blob,
            shape=tuple(exact.shape),
            signal=signal,
            alone=error,
            alone_limit=limit,
            end_to_end=end,
            end_to_end_limit=self._end_limit(value, signal),
            origin=step.origin,
            # Of a part that is constant (a class token cut out again) a copy proves itself, and
            # so does a mask of -inf by where it stands.
            dead=moving
            and value in self.known
            and not signal > 0
            and value not in self.masks
            and not (step.layer.copies and torch.equal(alone, exact.float())),
        )

    def _end_limit(self, value: Value, signal: float) -> float:
        """How far a map may be off at the end of all that came before it.

        Within an operation there is no limit: where it rounds down, noise may turn a step
        before the next map turns it back. What the operation gives has one.
        """
        if value not in self.known:
            return inf
        return NOISE_FACTOR * self.noise[value] + (NOISE_FLOOR + self.accepted[value]) * signal

    def _has_to_move(self, value: Value) -> bool:
        """Whether a map that does not change with the input is a fault.

        Within an operation some maps may stay (a mask of what is 0, where nothing is): they are
        judged as constants are, by their size, and what the operation gives has to move.
        """
        return value in self.moving and (value in self.known or self.change[value] > 0)

    def _own_noise(self, step: Step, value: Value) -> float:
        """What float32 itself loses in this layer: its meaning in float32 against float64."""
        index = step.tops.index(value)
        exact, rounded = (
            step.compute(self.exact, dtype)[index] for dtype in (torch.float64, torch.float32)
        )
        return moved(rounded, exact)


def end_to_end_row(
    name: str, mine: Tensor, exact: Tensor, rounded: Tensor, other: Tensor
) -> Row:
    """The end-to-end measure of one named result, where nothing can be fed layer by layer."""
    signal = min(largest(exact), moved(other, rounded))
    noise = moved(rounded, exact)
    return Row(
        layer=name,
        type="",
        blob=name,
        shape=tuple(exact.shape),
        signal=signal,
        alone=0.0,
        alone_limit=inf,
        end_to_end=difference(mine, exact),
        end_to_end_limit=NOISE_FACTOR * noise + NOISE_FLOOR * signal,
        origin=Origin(),
        dead=not signal > 0,
    )


def complete(net: Net, known: Mapping[Value, Tensor]) -> dict[Value, Tensor]:
    """All values of a net: the known ones, and the others by the layers' own meaning."""
    values = dict(known)
    with torch.no_grad():
        for step in net.steps:
            if any(top not in values for top in step.tops):
                values.update(_computed(step, values, _float_type(known)))
    return values


def _computed(
    step: Step, values: Mapping[Value, Tensor], dtype: torch.dtype
) -> Iterator[tuple[Value, Tensor]]:
    tops = step.compute(values, dtype)
    for value, top in zip(step.tops, tops, strict=True):
        if value not in values:
            yield value, top.to(dtype)


def _float_type(values: Mapping[Value, Tensor]) -> torch.dtype:
    return next(iter(values.values())).dtype


def _depends_on_inputs(net: Net) -> set[Value]:
    moving: set[Value] = set()
    for step in net.steps:
        follows = moving.intersection(step.reads) and not step.layer.is_constant
        if is_input(step) or follows:
            moving.update(step.tops)
    return moving


def another(value: Tensor) -> Tensor:
    """A second input like the first: its numbers in another random order, floats a bit smaller.

    The order alone would not change x - x.mean().sum(); numbers nearer to 0 stay in any range.
    """
    generator = torch.Generator().manual_seed(value.numel())
    order = torch.randperm(value.numel(), generator=generator)
    mixed = value.reshape(-1)[order].reshape(value.shape)
    if not value.is_floating_point() or torch.equal(value, value.round()):
        return mixed  # whole numbers count or name something
    return mixed * (1 - 0.25 * torch.rand(value.shape, generator=generator).to(value.dtype))


def largest(value: Tensor) -> float:
    """The largest magnitude; NaN where one is in it, 0 for an empty tensor.

    Infinities are no signal (masks are made of them): the rest has to be right to its own.
    """
    worst = _worst(value)
    return _worst(value.detach()[~value.isinf()]) if worst == inf else worst


def moved(one: Tensor, two: Tensor) -> float:
    """The largest finite change between two maps; equal infinities are none."""
    return largest(torch.where(one == two, torch.zeros_like(one), one - two))


def _mask_moved(one: Tensor, two: Tensor) -> bool:
    """Whether other numbers of a map are infinite."""
    return _worst(one) == inf and bool((one.isinf() != two.isinf()).any())


def _worst(value: Tensor) -> float:
    return float(value.detach().abs().max()) if value.numel() else 0.0


def difference(mine: Tensor, reference: Tensor) -> float:
    """The largest absolute difference; infinite where shapes differ or NaN stands on one side."""
    if tuple(mine.shape) != tuple(reference.shape):
        return inf
    apart = (mine.double() - reference).abs()
    same = (mine == reference) | (mine.isnan() & reference.isnan())
    apart = torch.where(same, torch.zeros_like(apart), apart)
    worst = _worst(apart)
    return inf if worst != worst else worst


