"""Progress as a bar on a terminal, or as a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, Protocol

from caffe2fx.progress import Listener, Progress
from caffe2fx.report.escaping import echo
from caffe2fx.report.text import visible

PATIENCE = 1.0  # seconds before the first sign of progress
PERIOD = 10.0  # seconds from one line to the next


class Display(Protocol):
    """Shows the latest progress whenever `tick` is called."""

    def tick(self, progress: Progress) -> None:
        """Show this progress, if it is time."""

    def close(self) -> None:
        """Remove the progress line from the terminal."""


@contextmanager
def shown(displays: list[Display]) -> Iterator[Listener]:
    """Yield a listener whose latest progress the displays show; they are closed at the end.

    A thread shows it, so that a long part is seen to run although nothing advances.
    """
    latest: list[Progress] = []
    ended = Event()

    def show() -> None:
        while not ended.wait(PATIENCE / 4):
            for display in displays if latest else ():
                display.tick(latest[-1])

    thread = Thread(target=show, name="progress", daemon=True)
    thread.start()
    try:
        yield lambda progress: latest.__setitem__(slice(None), [progress])
    finally:
        ended.set()
        thread.join()
        for display in displays:
            display.close()


def displays(program: str, quiet: bool, log: Callable[[str], None]) -> list[Display]:
    """Return a bar for a terminal or lines for a pipe, and lines for the log file."""
    written: list[Display] = [Lines(log)]
    if quiet:
        return written
    if sys.stderr.isatty():
        return [*written, Bar()]
    return [*written, Lines(lambda text: echo(f"{program}: {text}", sys.stderr))]


class Lines:
    """Writes a line after a second of work, and then one every ten seconds."""

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._due = clock() + PATIENCE

    def tick(self, progress: Progress) -> None:
        """Write a line, if it is time for one."""
        now = self._clock()
        if now >= self._due:
            self._due = now + PERIOD
            self._write(str(progress))

    def close(self) -> None:
        """Leave the lines where they are."""


class Bar:
    """Draws a bar of rich's for each stage, from the first second on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._due = clock, clock() + PATIENCE
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def tick(self, progress: Progress) -> None:
        """Draw the bar of this stage."""
        from rich.markup import escape

        if self._clock() < self._due:
            return
        if self._bars is None:
            self._bars = _bars()
            self._bars.start()
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._bars.add_task("", total=None)
        text = visible(f"{progress.stage} {progress.part}".rstrip(), lines=False)
        self._bars.update(
            self._tasks[progress.stage],
            completed=progress.done,
            total=progress.total,
            description=escape(text),
        )

    def close(self) -> None:
        """Remove the bars from the terminal."""
        if self._bars is not None:
            self._bars.stop()


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    return Bars(console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
