"""The rows of a comparison, one per feature map, and the verdict that follows from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from math import inf, isnan
from typing import Any, ClassVar, TypeVar

from caffe2fx.messages.message import Shape
from caffe2fx.origin import Origin
from caffe2fx.verdict.maps.map_measures import NO_MEASURES, MapMeasures
from caffe2fx.verdict.result.context import Context


class Status(str, Enum):
    """Gives the verdict on a feature map, or on a whole net."""

    EQUAL = "equal"
    DIFFERS = "differs"
    NOT_PROVEN = "not proven"  # equal where it was computed, on inputs that do not move it
    UNVERIFIED = "not verified"

    @property
    def exit_code(self) -> int:
        """Return the exit status of a command line with this verdict; 2 is for errors of usage."""
        return {Status.EQUAL: 0, Status.DIFFERS: 1}.get(self, 3)


@dataclass(frozen=True)
class Row:
    """Holds one feature map: its errors, their limits, and why it failed if it did.

    Errors are the largest absolute difference, None where it was not computed; `signal` is the
    magnitude that they are relative to.
    """

    layer: str
    type: str
    blob: str
    shape: Shape
    signal: float
    alone: float | None
    alone_limit: float
    end_to_end: float | None
    end_to_end_limit: float
    origin: Origin
    dead: bool = False
    unverified: str = ""  # why nothing was compared here
    wrong: str = ""  # a fault without an error value: another shape, a missing output
    note: str = ""  # how the layer differs from the reference's
    at_fault: bool = False  # the layer itself, by other evidence than its error alone
    measures: MapMeasures = NO_MEASURES

    @property
    def status(self) -> Status:
        """Return the verdict on this map: equal, different, not proven, or not compared."""
        if self.unverified:
            return Status.UNVERIFIED
        if self._difference:
            return Status.DIFFERS
        return Status.NOT_PROVEN if self.dead else Status.EQUAL

    @property
    def verdict(self) -> str:
        """Return the word "ok", or the reason against it."""
        if self.unverified:
            return f"not verified: {self.unverified}"
        return self.fault or (f"ok; {self.note}" if self.note else "ok")

    @property
    def fault(self) -> str:
        """Return why this feature map is not proven to be equal, empty if it is."""
        if self.status is Status.NOT_PROVEN:
            return "not proven, no signal: it does not change with the inputs that were tried"
        return self._difference

    @property
    def _difference(self) -> str:
        if self.unverified or self.wrong:
            return self.wrong
        if not _within(self.alone, self.alone_limit):
            return f"fed with the reference's inputs it errs by {self.alone:.2e}"
        if not _within(self.end_to_end, self.end_to_end_limit):
            return f"end to end it errs by {self.end_to_end:.2e}"
        return ""

    @property
    def diverges(self) -> bool:
        """Return whether the layer itself computes something else."""
        return self.at_fault or (not self.unverified and not _within(self.alone, self.alone_limit))

    @property
    def is_measured(self) -> bool:
        """Return whether an error was computed, alone or end to end."""
        return self.alone is not None or self.end_to_end is not None

    @property
    def share(self) -> float:
        """Return the worse of both errors as a share of its limit; 0 where nothing was computed."""
        pairs = (self.alone, self.alone_limit), (self.end_to_end, self.end_to_end_limit)
        return max((_share(error, limit) for error, limit in pairs if error is not None), default=0)

    def __str__(self) -> str:
        text = f"layer {self.layer!r} ({self.type}), blob {self.blob!r} {list(self.shape)}"
        where = f"; {self.origin}" if self.origin.file else ""
        limits = f"limits {self.alone_limit:.1e} alone, {self.end_to_end_limit:.1e} end to end"
        if self.unverified or self.wrong:
            return f"{text}: {self.verdict}{where}"
        return f"{text}: {self.fault or 'equal'} (signal {self.signal:.2e}; {limits}){where}"


R = TypeVar("R", bound=Row)


def unmeasured(
    kind: type[R],
    layer: str,
    layer_type: str,
    blob: str,
    shape: Shape = (),
    *,
    wrong: str = "",
    unverified: str = "",
    at_fault: bool = False,
) -> R:
    """Return the row, of a kind of rows, for a map that nothing was compared with."""
    return kind(layer, layer_type, blob, shape, 0.0, None, inf, None, inf, Origin(),
                unverified=unverified, wrong=wrong, at_fault=at_fault)  # fmt: skip


def _within(error: float | None, limit: float) -> bool:
    return error is None or error <= limit


def _share(error: float, limit: float) -> float:
    if isnan(error) or isnan(limit):
        return inf
    if limit > 0:
        return 0.0 if limit == inf else error / limit
    return inf if error > 0 else 0.0


class Kind(str, Enum):
    """Classifies a map of a report: equal, at fault itself, or the consequence of a fault."""

    EQUAL = "equal"
    FAULT = "fault"
    CONSEQUENCE = "consequence"  # it differs, by its bottoms alone
    UNPROVEN = "unproven"
    UNVERIFIED = "unverified"


class Findings:
    """Holds all feature maps of one comparison, in order of execution.

    `context` holds the model, inputs, versions and times, as far as they are known.
    """

    def __init__(self, engine: str, rows: Iterable[Row], context: Context | None = None) -> None:
        self.engine = engine
        self.rows = tuple(rows)
        self.context = Context() if context is None else context

    @property
    def status(self) -> Status:
        """Return DIFFERS if one map does, else NOT_PROVEN if one is or none was compared."""
        found = [row.status for row in self.rows if not row.unverified]
        if Status.DIFFERS in found:
            return Status.DIFFERS
        proven = bool(found) and Status.NOT_PROVEN not in found
        return Status.EQUAL if proven else Status.NOT_PROVEN

    @property
    def ok(self) -> bool:
        """Return whether every feature map that could be compared is proven to be equal.

        False is not yet a fault: `status` separates maps that differ from maps that are not proven.
        """
        return self.status is Status.EQUAL

    @cached_property
    def first_divergence(self) -> Row | None:
        """Return the first layer that computes something else, else the first map that differs."""
        own = next((row for row in self.rows if row.diverges), None)
        return own or self._first(Status.DIFFERS)

    @property
    def first_unproven(self) -> Row | None:
        """Return the first feature map that did not change with any of the inputs."""
        return self._first(Status.NOT_PROVEN)

    def _first(self, status: Status) -> Row | None:
        return next((row for row in self.rows if row.status is status), None)

    def kind(self, row: Row) -> Kind:
        """Return whether a map is equal, at fault itself, or differs by its bottoms alone."""
        if row.status is not Status.DIFFERS:
            return _KINDS[row.status]
        own = row.diverges or row is self.first_divergence
        return Kind.FAULT if own else Kind.CONSEQUENCE

    @property
    def worst(self) -> tuple[Row, ...]:
        """Return the compared maps, the one nearest to its limit or furthest beyond it first."""
        compared = (row for row in self.rows if not row.unverified)
        return tuple(sorted(compared, key=lambda row: -row.share))

    measured: ClassVar[tuple[str, ...]] = ()  # names of further measures of each map

    def further(self, row: Row) -> tuple[float, ...]:
        """Return the further measures of a map, in the order of `measured`."""
        return ()

    def notes(self) -> tuple[str, ...]:
        """Return the lines about the whole report that follow its table."""
        return ()

    def extras(self) -> dict[str, Any]:
        """Return the entries of a file of this report beyond those of every report's."""
        return {}

    def __bool__(self) -> bool:
        return self.ok

    @property
    def headline(self) -> str:
        """Return the verdict in a few words: how many maps passed, in which engine."""
        if self.context.is_check:
            many = len(self.context.refusals)
            return f"refused, for {many} reason{'s' * (many > 1)}" if many else "not refused"
        count = Counter(row.status for row in self.rows)
        judged = len(self.rows) - count[Status.UNVERIFIED]
        text = f"{count[Status.EQUAL]} of {judged} feature maps equal in engine {self.engine}"
        for status in (Status.NOT_PROVEN, Status.UNVERIFIED):
            text += f", {count[status]} {status.value.upper()}" if count[status] else ""
        return text

    def summary(self) -> str:
        """Return one line: how many maps passed, in which engine, and the first that did not."""
        if self.first_divergence is not None:
            return f"{self.headline}; first divergence: {self.first_divergence}"
        return f"{self.headline}; {self.first_unproven}" if self.first_unproven else self.headline


_KINDS = {
    Status.EQUAL: Kind.EQUAL,
    Status.NOT_PROVEN: Kind.UNPROVEN,
    Status.UNVERIFIED: Kind.UNVERIFIED,
}
