"""Refusals: everything that cannot be exported, listed at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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


class UnsupportedError(CaffeError):
    """Raised for a model that cannot be exported exactly; the message lists every refusal."""

    def __init__(self, refusals: Iterable[Refusal]) -> None:
        self.refusals: tuple[Refusal, ...] = tuple(refusals)
        super().__init__(self.refusals)

    def __str__(self) -> str:
        return "\n".join(str(refusal) for refusal in self.refusals)
