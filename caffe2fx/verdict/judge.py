"""The verdict: does an engine compute the reference's values, layer by layer?

Float32 has noise of its own: one end-to-end tolerance proves nothing. (a) decides, (b) confirms.
(a) Alone: every layer, fed with the reference's inputs, errs by at most 1e-5 of the signal,
scaled by the length of its sums, or 4 times torch's own float32 error there, which is at least half
of the last place of the largest value.
(b) End to end, the error against the reference in float64 is at most 1e-6 of the signal plus 4
times the noise: the reference's own float32 error (the larger of two orders of summation), or, if
more, the errors that the engine's layers make alone, carried through the net (as they are, and,
where that does not do, with random signs); and the limit is never less than that of (a).
Maps that only a rewrite knows, within one operation of the reference, are judged alone.
(c) As published: where a program by default runs the files otherwise than layer by layer (it
merges layers, or convolves by a faster and coarser algorithm), the outputs of that run err by at
most PUBLISHED times (b)'s limit, which the rounding of no algorithm reaches.
The signal of a feature map is the smaller of its largest value and of its largest change under
a second random input: an error relative to a map that is mostly bias proves nothing. Where the
example moves no signal (a mask of ones), more inputs are drawn, and the engine is judged on those
that the reference takes; a map that none of them moves is not proven.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from math import inf
from operator import attrgetter
from time import perf_counter

import torch
from torch import Tensor

from caffe2fx.engines.base import Session
from caffe2fx.net.evaluate import Reference, RepeatedEvaluation, StepwiseEvaluation
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value, is_input
from caffe2fx.plain_torch import plain_torch
from caffe2fx.progress import counted
from caffe2fx.verdict.carried_errors import CarriedErrors, with_carried_errors
from caffe2fx.verdict.maps.map_details import Album
from caffe2fx.verdict.maps.map_measures import MapMeasures, measure
from caffe2fx.verdict.maps.measures import (
    alone_limit,
    difference,
    end_limit,
    largest,
    moved,
    positions_moved,
    shape_fault,
)
from caffe2fx.verdict.reference.dependence import depends_on_inputs, unreached
from caffe2fx.verdict.reference.lost_nan import LostNan
from caffe2fx.verdict.reference.own_noise import own_noise
from caffe2fx.verdict.reference.sample_by_sample import SampleBySample
from caffe2fx.verdict.reference.second_inputs import draws, is_uniform, other_inputs
from caffe2fx.verdict.reference.unfolding import ByUnfolding
from caffe2fx.verdict.result.context import Context, digests, without_weights
from caffe2fx.verdict.result.report import Report, Row, Status

PUBLISHED = 100.0  # times the limit end to end


@torch.no_grad()
@plain_torch()
def judge(
    net: Net, session: Session, reference: Reference, inputs: Sequence[Tensor], *, engine: str
) -> Report:
    """Hold every feature map that `session` computes against `reference`.

    Values that the reference does not know (made by a rewrite) are computed by the layers' own
    meaning from those that it does. It is run several times, but few maps are kept at a time.
    """
    started, album = perf_counter(), Album()
    session.reshape([tuple(value.shape) for value in inputs])
    trial = _Trial(net, session, reference, inputs, album)
    rows = trial.result(other_inputs(inputs))
    # An input that is constant, as a mask of ones, would excuse nets that do not read it.
    doubtful = set(rows) if any(map(is_uniform, inputs)) else _unproven(rows)
    for drawn in draws(net, inputs):
        if not doubtful:
            break
        if trial.moved_by(drawn, doubtful):
            once_more = _Trial(net, session, reference, drawn, album).result([inputs])
            rows = {value: _surer(rows[value], once_more[value]) for value in rows}
            doubtful = _unproven(rows)
            again = trial.result([drawn]) if doubtful else rows  # all 0 on what was drawn
            rows |= {value: _surer(rows[value], again[value]) for value in doubtful}
            doubtful = _unproven(rows)
    context = Context(
        program=session.program,
        inputs=digests(net, inputs),
        net=without_weights(net),
        seconds={"verify": perf_counter() - started},
        layer_seconds=trial.seconds,
        details=album.kept(),
    )
    return Report(engine, rows.values(), context)


def _unproven(rows: Mapping[Value, Row]) -> set[Value]:
    return {value for value, row in rows.items() if row.status is Status.NOT_PROVEN}


def _surer(first: Row, second: Row) -> Row:
    """Return the row that decides more: one that differs, else one that is equal, else either."""
    order = (Status.DIFFERS, Status.EQUAL, Status.NOT_PROVEN)
    return min(first, second, key=lambda row: order.index(row.status))


@dataclass(frozen=True)
class _Seen:
    """Holds the statistics of one value over all runs of the net."""

    change: float  # under the second input
    noise: float  # of the reference in float32
    end: float  # the engine's error end to end
    masked: bool  # whether the second input moved where the map is NaN or infinite
    measures: MapMeasures  # of the engine's map against the reference
    shape_fault: str  # empty where the engine's shape is the reference's

    @property
    def fits(self) -> bool:
        """Return whether the engine's shape is the reference's."""
        return not self.shape_fault


class _Refused(Exception):
    """Raised if the reference does not take the second inputs."""


class _Refusable(StepwiseEvaluation):
    """Computes the values on the second inputs, which the model may refuse by its own errors."""

    def enter(self, step: Step) -> None:
        try:
            super().enter(step)
        except Exception as error:
            raise _Refused from error


# Of the evaluations in float64, in float32, in float32 once more, and on the second inputs. A mode
# costs each call of torch's as much as a small call itself.
_SURROUNDINGS = (SampleBySample, nullcontext, ByUnfolding, nullcontext)


class _Trial:
    """Runs the engine and the reference side by side: end to end first, then layer by layer."""

    def __init__(
        self,
        net: Net,
        session: Session,
        reference: Reference,
        inputs: Sequence[Tensor],
        album: Album,
    ) -> None:
        self._net, self._session, self._reference = net, session, reference
        self._album = album
        self.seconds: dict[str, float] = {}  # of each layer in the engine
        self._inputs = [value.to(torch.float32) for value in inputs]
        wide = [value.double() for value in self._inputs]
        self._exactly = RepeatedEvaluation(net, reference, wide)
        self._moving = depends_on_inputs(net)
        self._theirs: list[Step] = []  # the engine's own steps
        self._seen: dict[Value, _Seen] = {}
        self._constant: set[Value] = set()
        self._wrong: dict[Value, str] = {}
        self._coarse: dict[Value, float] = {}  # errors of the outputs of a coarser run

    def _stream(self, inputs: Sequence[Tensor]) -> StepwiseEvaluation:
        return StepwiseEvaluation(self._net, self._reference, inputs)

    def result(self, others: Iterable[Sequence[Tensor]]) -> dict[Value, Row]:
        """Return a row for each feature map.

        The second inputs are the first ones that the model takes.
        """
        for inputs in others:
            with suppress(_Refused):
                self._run(inputs)
                break
        tops = [top for step in self._net.steps if not is_input(step) for top in step.tops]
        rows: Sequence[Row] = list(self._rows())
        # Where a shape is wrong nothing is carried on.
        fit = all(seen.fits for seen in self._seen.values())
        if fit:
            with SampleBySample():
                rows = with_carried_errors(rows, self._rows, self._net, self._inputs)
        return {top: self._published(top, row) for top, row in zip(tops, rows, strict=True)}

    def _published(self, value: Value, row: Row) -> Row:
        """Return the row, marked wrong if the engine's published output errs beyond its limit."""
        if row.wrong or value not in self._coarse:
            return row
        error, limit = self._coarse[value], row.end_to_end_limit
        if error <= PUBLISHED * (limit if limit < inf else end_limit(0.0, row.signal)):
            return row
        return replace(row, wrong=f"by the program's own defaults it errs by {error:.2e}")

    def _run(self, others: Sequence[Tensor]) -> None:
        """Run the net in the engine; its reference in float64, in float32 and on second inputs."""
        exact, rounded = self._exactly.begin(), self._stream(self._inputs)
        second = [value.to(torch.float32) for value in others]
        other = _Refusable(self._net, self._reference, second)
        # Rounding is a draw from chance, and a map of few elements shows little of it: another
        # order of the sums is a second draw.
        with ByUnfolding():
            again = self._stream(self._inputs)
        streams = exact, rounded, again, other
        outputs: dict[Value, Tensor] = {}
        self._theirs.clear()
        results = self._session.run(self._inputs)
        steps = counted("verify", self._net.steps, len(self._net.steps), attrgetter("name"))
        for mine, (step, tops) in zip(steps, results, strict=True):
            self._theirs.append(step)
            if self._session.seconds is not None and not is_input(mine):
                self.seconds[mine.name] = self._session.seconds
            for stream, surroundings in zip(streams, _SURROUNDINGS, strict=True):
                with surroundings():
                    stream.enter(mine)
            for value, top in zip(mine.tops, tops, strict=True):
                seen = _seen(top, *(stream.values[value] for stream in streams))
                self._seen[value] = seen
                if not is_input(mine):
                    key, share = (mine.name, value.blob), _rough_share(seen)
                    self._album.consider(key, share, top, exact.values[value], seen.measures)
                if value in self._net.outputs:
                    outputs[value] = exact.values[value]
            for stream in streams:
                stream.leave(mine)
        self._read_outputs(outputs)
        still = {value for value in self._moving if self._stays(value)}
        self._constant = unreached(self._net, self._inputs, still)

    def _read_outputs(self, outputs: dict[Value, Tensor]) -> None:
        """Compare the outputs that the engine gives by name with the reference's."""
        given = self._session.published()
        for value, exact in outputs.items():
            if value.blob not in given:
                names = ", ".join(given) or "none"
                self._wrong[value] = f"it needs to be an output in the engine, got {names}"
                continue
            error = difference(given[value.blob], exact)
            if self._session.published_coarsely:
                self._coarse[value] = error
                continue
            seen = self._seen[value]
            end = max(seen.end, error)
            self._seen[value] = replace(seen, end=end)

    def _stays(self, value: Value) -> bool:
        """Return whether a map that should change with the input did not."""
        seen = self._seen.get(value)
        known = value in self._reference.known
        return known and seen is not None and not seen.change > 0 and not seen.masked

    def moved_by(self, inputs: Sequence[Tensor], values: set[Value]) -> set[Value]:
        """Return those of the values that other inputs change in the reference."""
        usual = self._stream(self._inputs)
        other = self._stream([value.to(torch.float32) for value in inputs])
        changes: dict[Value, float] = {}
        try:
            for step in self._net.steps:
                for stream in (usual, other):
                    stream.enter(step)
                for top in step.tops:
                    one, two = usual.values[top], other.values[top]
                    if bool((two.isnan() & ~one.isnan()).any()):  # as of a root: no such inputs
                        return set()
                    changes[top] = moved(one, two)
                for stream in (usual, other):
                    stream.leave(step)
        except Exception:  # values that the model refuses, by errors of its own
            return set()
        return {value for value in values if changes[value] > 0}

    def _rows(self, carried: CarriedErrors | None = None) -> Iterator[Row]:
        """Yield a row for each feature map, from the engine's results on the reference's inputs."""
        exact, lost = self._exactly.begin(), LostNan(self._reference.known)
        steps = counted("verify alone", self._net.steps, len(self._theirs), attrgetter("name"))
        for mine, step in zip(steps, self._theirs, strict=True):
            with SampleBySample():
                exact.enter(mine)
            lost.enter(mine, exact.values)
            if not is_input(mine):
                alone = self._fed(mine, step, exact)
                pairs = zip(mine.tops, alone, strict=True)
                rows = [self._row(mine, value, top, exact, lost) for value, top in pairs]
                yield from rows if carried is None else carried.rows(mine, rows, alone, exact)
            elif carried is not None:
                carried.enter(mine)
            exact.leave(mine)

    def _fed(self, mine: Step, step: Step, exact: StepwiseEvaluation) -> Sequence[Tensor | None]:
        """Run the engine's step on the reference's values of its bottoms; return its tops.

        A top is None where the engine expects bottoms of another shape, or cannot run a step alone.
        """
        if any(not self._seen[value].fits for value in mine.reads):
            # Its engine expects other shapes here: it could not take the reference's bottoms.
            return [None] * len(mine.tops)
        return self._session.feed(step, [exact.values[value].float() for value in mine.reads])

    def _row(
        self,
        step: Step,
        value: Value,
        alone: Tensor | None,
        stream: StepwiseEvaluation,
        lost: LostNan,
    ) -> Row:
        """Measure one feature map against the reference and return its row."""
        exact, seen = stream.values[value], self._seen[value]
        size, known = largest(exact), value in self._reference.known
        dead = self._is_dead(value, size) or bool(exact.isnan().all())
        # A map that proves nothing has no signal; its size may still show that it is wrong.
        moves = self._has_to_move(value) and not dead
        signal = min(size, seen.change) if moves else size
        length = step.layer.accumulation_length(
            [tuple(stream.values[b].shape) for b in step.bottoms]
        )
        error = None if alone is None or value in lost.hidden else difference(alone, exact)
        limit = alone_limit(signal, length)
        end = max(end_limit(seen.noise, signal), limit)
        if error is not None and seen.fits and (error > limit or seen.end > end):
            limit = alone_limit(signal, length, size, own_noise(step, value, stream))
            end = max(end, limit)
        if alone is not None and not (error is None or error <= limit):
            self._album.put((step.name, value.blob), alone, exact)
        return Row(
            layer=step.name,
            type=step.layer.type,
            blob=value.blob,
            shape=tuple(exact.shape),
            signal=0.0 if dead else signal,
            alone=error,
            alone_limit=limit,
            end_to_end=seen.end if seen.fits else None,
            # Within an operation there is none: where it rounds down, noise may turn a step
            # before the next map turns it back. The operation's result has one.
            end_to_end_limit=end if known else inf,
            origin=step.origin,
            dead=dead,
            wrong=seen.shape_fault
            or self._wrong.get(value)
            or self._baked(value)
            or lost.faults.get(value, ""),
            measures=seen.measures,
        )

    def _baked(self, value: Value) -> str:
        """Return why a map may not be constant although the engine's is; empty if it may."""
        follows = value in self._moving or value not in self._reference.known
        change = 0.0 if follows else self._seen[value].change
        return f"it needs to follow the inputs (by {change:.2e}), got a constant" if change else ""

    def _is_dead(self, value: Value, size: float) -> bool:
        """Return whether nothing proves a map: it is all 0, or no input that was tried moves it."""
        if value in self._net.outputs and self._has_constant_outputs:
            return True
        # A mask of -inf proves itself by its positions.
        still = not size > 0 and not self._seen[value].masked
        known = value in self._reference.known
        return known and self._has_to_move(value) and (still or self._stays(value))

    @property
    def _has_constant_outputs(self) -> bool:
        """Return whether no output depends on the inputs: then the net proves nothing."""
        following = self._moving - self._constant
        return not following.intersection(self._net.outputs)

    def _has_to_move(self, value: Value) -> bool:
        """Return whether a map that does not change with the input is a fault.

        Within an operation some maps may stay (a mask of zeros, where there are none): they are
        judged as constants are, by their size, and the result of the operation has to move.
        """
        known = value in self._reference.known
        moves = known or self._seen[value].change > 0
        return moves and value in self._moving and value not in self._constant


def _seen(top: Tensor, exact: Tensor, rounded: Tensor, again: Tensor, other: Tensor) -> _Seen:
    found = measure(top, exact)
    return _Seen(
        change=moved(other, rounded),
        noise=max(moved(rounded, exact), moved(again, exact)),
        end=found.max_abs,
        masked=positions_moved(other, rounded),
        shape_fault=shape_fault(top, exact),
        measures=found,
    )


def _rough_share(seen: _Seen) -> float:
    """Return a map's error as about that share of its limit, before its layer is run alone."""
    limit = max(end_limit(seen.noise, seen.change), alone_limit(seen.change, 1))
    return seen.end / limit if limit > 0 else inf if seen.end > 0 else 0.0
