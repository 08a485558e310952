"""Random arguments for every function are refused or give equal values, never silently wrong.

The arguments are the samples of torch's own tests (tests/ops/samples.py) and those that
hypothesis draws for families of functions (tests/ops/families). Run `-m long` for many.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, reject, seed, settings

from caffe2fx.engines import Engine
from fx2caffe.lowering.registry import handlers, qualified_name
from tests.ops.draws import Draw, outcome, why_left_out
from tests.ops.families import FAMILIES, own_draws
from tests.ops.samples import samples

FEW, MANY = 5, 50


def _name(target: Any) -> str:
    return target if isinstance(target, str) else qualified_name(target)


FUNCTIONS = sorted((t for t in handlers() if not isinstance(t, type)), key=_name)


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


def _check(target: Any, engine: Engine, count: int) -> None:
    """Check every draw, so that one run reports all that are wrong."""
    draws = draws_of(target, count)
    assert draws, "needs a draw: none of torch's samples is left, and it has no family"
    ends, faults = Counter[str](), []
    for draw in draws:
        try:
            ends[outcome(draw, engine)] += 1
        except Exception as error:
            faults.append(f"{draw}\n{type(error).__name__}: {error}")
    assert not faults, "\n\n".join([f"{dict(ends)} of {len(draws)}", *faults])


@pytest.mark.pycaffe
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", FUNCTIONS, ids=_name)
def test_refused_or_equal(target: Any, caffe: Engine) -> None:
    _check(target, caffe, FEW)


@pytest.mark.long
@pytest.mark.pycaffe
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", FUNCTIONS, ids=_name)
def test_refused_or_equal_in_many(target: Any, caffe: Engine) -> None:
    _check(target, caffe, MANY)


@pytest.mark.long
def test_draws_that_are_left_out_are_counted_by_rule() -> None:
    left = sum((samples(target, 1)[1] for target in FUNCTIONS), Counter[str]())
    assert set(left) <= {
        "takes no tensor",
        "takes no elements",
        "takes NaN",
        "takes complex or quantized numbers",
        "takes a layout that is not dense",
        "gives no elements",
        "gives NaN",
        "gives no tensor",
        "gives complex or quantized numbers",
        "gives a layout that is not dense",
        "is refused by torch",
        "is random",
        "is large",
        "gives zeros alone",
        "has a result that torch does not promise",
    }, left
    print(left)
