"""Many random programs: each is asked, and the first that is wrong is shrunk and shown."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, seed, settings

from caffe2fx.engines import Engine
from tests.composed.asked import outcome
from tests.composed.programs import LEAST, Program, programs


def run(count: int, first: int, caffe: Engine) -> Counter[str]:
    """Return how many of so many programs end in which way. Raises for one that is wrong."""
    ends = Counter[str]()

    @seed(first)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(programs())
    def ask(program: Program) -> None:
        ends["short" if len(program.steps) < LEAST else outcome(program, caffe)] += 1

    ask()
    return ends
