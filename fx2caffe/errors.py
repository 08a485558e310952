"""Refusals: everything that cannot be exported, listed at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from caffe2fx.errors import CaffeError
from caffe2fx.origin import Origin


@dataclass(frozen=True)
class Refusal:
    """Names an operation that cannot be exported: its name, the reason, and the user's line.

    `targets` names the targets in which it could be exported.
    """

    op: str
    reason: str
    origin: Origin
    targets: tuple[str, ...] = ()

    @property
    def portable(self) -> str:
        """Return the refusal without the user's lines, so that it is the same on every machine."""
        where = f", in {self.origin.module}" if self.origin.module else ""
        return f"{self.op} {self.reason}{where}"

    def __str__(self) -> str:
        others = f" (possible for {', '.join(self.targets)})" if self.targets else ""
        return f"{self.op} {self.reason}{others}, {self.origin}"


class Refusals(tuple[Refusal, ...]):
    """Lists every refusal of a model; it is empty for one that can be exported."""

    __slots__ = ()

    def save(self, path: str | Path) -> None:
        """Write a report that lists the refusals; the suffix chooses the format, as for others."""
        from caffe2fx.verdict.result.context import Context
        from caffe2fx.verdict.result.report import Report

        Report("none", (), Context(refusals=tuple(map(str, self)), is_check=True)).save(path)


class Signal(BaseException):
    """Base of exceptions that steer an export and are caught within it: never errors.

    It is no Exception, so that no handler of errors, in a model or in a user's code, stops it.
    """


class UnsupportedError(CaffeError):
    """Raised for a model that cannot be exported exactly; the message lists every refusal."""

    def __init__(self, refusals: Iterable[Refusal]) -> None:
        self.refusals = Refusals(refusals)
        super().__init__(self.refusals)

    def save(self, path: str | Path) -> None:
        """Write a report that lists the refusals; the suffix chooses the format."""
        self.refusals.save(path)

    def __str__(self) -> str:
        return "\n".join(str(refusal) for refusal in self.refusals)
