"""The result of a comparison with a dump: measures of every map, and where accuracy is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import inf
from typing import Any, ClassVar, cast

from caffe2fx.errors import CaffeError
from caffe2fx.report.text import visible
from caffe2fx.verdict.maps.similarity import NO_SIMILARITY, Similarity
from caffe2fx.verdict.result.context import Context
from caffe2fx.verdict.result.report import Report, Row


@dataclass(frozen=True)
class Thresholds:
    """Holds the limits for a map of a quantized run; None for a measure that is not checked.

    `cosine`, `relu_cosine` and `sqnr` (dB) are the least, `l2`, `max_abs` and `error` (as a share
    of the largest magnitude) the most that is accepted.
    """

    cosine: float | None = 0.99
    relu_cosine: float | None = None
    sqnr: float | None = None
    l2: float | None = None
    max_abs: float | None = None
    error: float | None = None

    def fault(self, found: Similarity) -> str:
        """Return which measure is beyond its threshold, empty if none is."""
        for name, limit in asdict(self).items():
            value = getattr(found, name)
            least = name in ("cosine", "relu_cosine", "sqnr")
            if limit is not None and not (value >= limit if least else value <= limit):
                side = "at least" if least else "at most"
                return f"{name} needs {side} {limit:g}, got {value:.6g}"
        return ""


def as_thresholds(given: Thresholds | Mapping[str, float] | None) -> Thresholds | None:
    """Return Thresholds from the caller's; a dict names the only measures that are checked."""
    if given is None or isinstance(given, Thresholds):
        return given
    known = [one.name for one in fields(Thresholds)]
    unknown = [name for name in given if name not in known]
    if unknown or not given:
        raise CaffeError(f"thresholds needs some of {', '.join(known)}, got {unknown or given}")
    return Thresholds(**{"cosine": None, **given})


@dataclass(frozen=True)
class MapRow(Row):
    """Holds one feature map's measures against its map in a dump.

    `found` measures the map end to end, `found_alone` the layer's result from the dump's own maps.
    Where thresholds decide, `at_fault` states that the layer itself is beyond them.
    """

    found: Similarity = NO_SIMILARITY
    found_alone: Similarity = NO_SIMILARITY

    @property
    def loss(self) -> float:
        """Return the SQNR in dB of the layer alone: the higher of end to end and fed with the dump.

        A layer after a map that was changed by itself is fed with the change, and yet right.
        """
        ways = (self.found.sqnr, self.found_alone.sqnr)
        return max((value for value in ways if value == value), default=-inf)


class DumpReport(Report):
    """Holds all feature maps of a net compared with those of a dump, in order of execution.

    `only_dump` are names of maps without a partner in the net; rows without one in the dump are not
    verified. `skipped` are files of the dump's folder that no reader takes, `unmatched` holds the
    weights of the net's file that did not fit its layers.
    """

    rows: tuple[MapRow, ...]
    head: ClassVar[tuple[str, ...]] = (
        "layer", "blob", "cosine", "relu_cosine", "l2", "max_abs", "error", "SQNR", "alone",
        "verdict",
    )  # fmt: skip

    measured: ClassVar[tuple[str, ...]] = ("error of signal", "SQNR", "SQNR alone")

    def __init__(
        self,
        engine: str,
        rows: Iterable[MapRow],
        context: Context | None = None,
        *,
        only_dump: Sequence[str] = (),
        skipped: Sequence[str] = (),
        unmatched: str = "",
    ) -> None:
        super().__init__(engine, rows, context)
        self.only_dump = tuple(only_dump)
        self.skipped = tuple(skipped)
        self.unmatched = unmatched

    @property
    def only_net(self) -> tuple[str, ...]:
        """Return the names of the layers whose maps the dump does not have."""
        return tuple(row.layer for row in self.rows if row.unverified)

    @property
    def ranked(self) -> tuple[MapRow, ...]:
        """Return the compared maps, the one whose layer loses most first (see MapRow.loss)."""
        compared = (row for row in self.rows if not row.unverified)
        return tuple(sorted(compared, key=lambda row: row.loss))

    @property
    def leading(self) -> tuple[MapRow, ...]:
        """Return the maps that a short table shows first: those whose layers lose most."""
        return self.ranked

    def further(self, row: Row) -> tuple[float, ...]:
        """Return the measures of a map by which quantized runs are judged; SQNR is in dB."""
        mapped = cast(MapRow, row)
        return mapped.found.error, mapped.found.sqnr, mapped.found_alone.sqnr

    def cells(self, row: Row) -> tuple[str, ...]:
        """Return the columns of a map in the report's table."""
        mapped = cast(MapRow, row)
        one, alone = mapped.found, mapped.found_alone
        measures = (one.cosine, one.relu_cosine, one.l2, one.max_abs, one.error, one.sqnr)
        texts = (f"{value:.4g}" for value in (*measures, alone.sqnr))
        whole = (row.layer, row.blob, *texts, row.verdict)
        return tuple(visible(cell, lines=False) for cell in whole)

    def extras(self) -> dict[str, Any]:
        """Return the entries of a file of this report beyond those of every report's."""
        lists = {"only_net": self.only_net, "only_dump": self.only_dump, "skipped": self.skipped}
        ranked = [row.layer for row in self.ranked]
        return {**lists, "unmatched": self.unmatched, "ranked": ranked}

    def notes(self) -> tuple[str, ...]:
        """Return lines that list the maps without a partner and the layers that lose most."""
        worst = [_loss(row) for row in self.ranked[:3] if row.loss < inf]
        lists = (
            ("only in the net", self.only_net),
            ("only in the dump", self.only_dump),
            ("files that no reader takes", self.skipped),
            ("most is lost in", worst),
        )
        named = (f"{title}: {', '.join(names)}" for title, names in lists if names)
        return (*self.unmatched.splitlines(), *named)


def _loss(row: MapRow) -> str:
    return row.layer if row.loss == -inf else f"{row.layer} ({row.loss:.1f} dB)"
