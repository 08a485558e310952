"""The functions that have a handler, and the random draws of each."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import HealthCheck, Phase, given, reject, seed, settings

import fx2caffe.ops  # noqa: F401  # registers the handlers
from fx2caffe.lowering.registry import handlers, qualified_name
from tests.ops.draws import Draw, why_left_out
from tests.ops.families import FAMILIES, own_draws
from tests.ops.samples import samples

FEW, MANY = 5, 50


def name_of(target: Any) -> str:
    """Return the name of a function or method that has a handler."""
    return target if isinstance(target, str) else qualified_name(target)


FUNCTIONS = sorted((t for t in handlers() if not isinstance(t, type)), key=name_of)


def draws_of(target: Any, count: int) -> list[Draw]:
    """Return so many draws of a function, half of them of its families where it has some."""
    own = _own(target, count) if target in FAMILIES else []
    theirs, _ = samples(target, count)
    random.Random(0).shuffle(theirs)
    half = max(count - len(own), count // 2) if own else count
    taken = theirs[:half]
    return [*taken, *own[: count - len(taken)]]


def _own(target: Any, count: int) -> list[Draw]:
    found: list[Draw] = []

    @seed(0)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(own_draws(target))
    def collect(draw: Draw) -> None:
        if why_left_out(draw):
            reject()
        found.append(draw)

    collect()
    return found


__all__ = ["FEW", "FUNCTIONS", "MANY", "draws_of", "name_of"]
