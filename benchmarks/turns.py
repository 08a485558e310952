"""A ratio of two times: both bodies run in turns in one process, on the same machine."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

ROUNDS = 5


@dataclass(frozen=True)
class Ratio:
    """Ours as shares of the alternative, one for each round: times, or bytes."""

    shares: Sequence[float]
    amount: float  # ours, the median
    unit: str = "s"

    @property
    def text(self) -> str:
        """Return the median, with the smallest and the largest share."""
        return f"{median(self.shares):.2f} ({min(self.shares):.2f} to {max(self.shares):.2f})"


def in_turns(ours: Callable[[], object], other: Callable[[], object], *, scale: float = 1) -> Ratio:
    """Time both bodies ROUNDS times each, after a first run that nobody counts.

    `scale` divides the shares: how much more ours has to do than the other.
    """
    ours(), other()
    pairs = [(_seconds(ours), _seconds(other)) for _ in range(ROUNDS)]
    return Ratio([a / b / scale for a, b in pairs], median(a for a, _ in pairs))


def _seconds(body: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    body()
    return time.perf_counter() - start
