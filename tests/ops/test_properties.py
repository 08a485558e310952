"""Random arguments for every function are refused or give equal values, never silently wrong.

The arguments are the samples of torch's own tests (tests/ops/samples.py) and those that
hypothesis draws for families of functions (tests/ops/families). Run `-m long` for many.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from caffe2fx.engines import Engine
from tests.ops.drawn import FEW, FUNCTIONS, MANY, draws_of, name_of
from tests.ops.draws import Draw, outcome
from tests.ops.refused_draws import digest, most_refused, table
from tests.ops.samples import samples


def _check(target: Any, engine: Engine, draws: list[Draw]) -> Counter[str]:
    """Check every draw, so that one run reports all that are wrong; return how many end how."""
    assert draws, "needs a draw: none of torch's samples is left, and it has no family"
    ends, faults = Counter[str](), []
    for draw in draws:
        try:
            ends[outcome(draw, engine)] += 1
        except Exception as error:
            faults.append(f"{draw}\n{type(error).__name__}: {error}")
    assert not faults, "\n\n".join([f"{dict(ends)} of {len(draws)}", *faults])
    return ends


@pytest.mark.pycaffe
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", FUNCTIONS, ids=name_of)
def test_refused_or_equal(target: Any, caffe: Engine) -> None:
    draws, name = draws_of(target, FEW), name_of(target)
    refused, most = _check(target, caffe, draws)["refused"], most_refused(name, draws)
    assert refused <= most, (
        f"{name} refuses {refused} of {len(draws)} draws, {most} before: if it has to, run "
        f"python -m tests.ops.refused_draws --only {name}"
    )


# Random arguments of these always ask for what no layer has: any indices, or indices of 3 axes.
REFUSED = {
    *(f"F.max_unpool{axes}d" for axes in (1, 2, 3)),
    *(f"F.{name}_with_indices" for name in ("max_pool3d", "adaptive_max_pool3d")),
    *(f"F.fractional_max_pool{axes}d_with_indices" for axes in (2, 3)),
    "torch._native_batch_norm_legit",
}


def test_hardly_any_function_is_refused_in_every_draw() -> None:
    assert {line.function for line in table().values() if line.refused == line.draws} <= REFUSED


def test_other_draws_than_the_tables_are_not_all_refused() -> None:
    draws = draws_of(torch.nn.functional.mish, FEW)
    assert most_refused("F.mish", draws) == most_refused("F.max_pool3d", draws[:1]) == 0
    assert most_refused("F.mish", draws[1:]) == len(draws) - 2
    assert most_refused("F.max_unpool1d", draws) == FEW


@pytest.mark.sweep
def test_the_counts_of_refused_draws_are_of_these_draws() -> None:
    """Counts of other draws hold nothing; a few functions may be newer than the table."""
    lines = table()
    others = [
        name
        for name, target in zip(map(name_of, FUNCTIONS), FUNCTIONS, strict=True)
        if name not in lines or lines[name].digest != digest(draws_of(target, FEW))
    ]
    assert len(others) <= len(FUNCTIONS) // 20, f"run python -m tests.ops.refused_draws: {others}"


@pytest.mark.long
@pytest.mark.pycaffe
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", FUNCTIONS, ids=name_of)
def test_refused_or_equal_in_many(target: Any, caffe: Engine) -> None:
    _check(target, caffe, draws_of(target, MANY))


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
