"""Progress: how far a long operation is, for whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """Reports that `done` of `total` parts of a stage are finished (None: not known).

    `part` names the part that begins: a layer, a pass, a file.
    """

    stage: str
    done: int = 0
    total: int | None = None
    part: str = ""

    def __str__(self) -> str:
        counted = f" {self.done} of {self.total}" if self.total is not None else ""
        return f"{self.stage}{counted}{f': {self.part}' if self.part else ''}"


Listener = Callable[[Progress], None]
_LISTENER: ContextVar[Listener | None] = ContextVar("progress", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener` for all progress that is made in this block, by this thread."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def advance(stage: str, done: int = 0, total: int | None = None, part: object = "") -> None:
    """Notify the listener that a part begins; without a listener this costs next to nothing."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(Progress(stage, done, total, str(part)))


def counted(
    stage: str, items: Iterable[T], total: int | None = None, part: Callable[[T], object] = str
) -> Iterator[T]:
    """Yield the items, and notify the listener of each before it is worked on."""
    for done, item in enumerate(items):
        if _LISTENER.get() is not None:
            advance(stage, done, total, part(item))
        yield item
