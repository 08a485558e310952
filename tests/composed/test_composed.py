"""Random graphs of functions: some in every run, many in the sweep, any number by hand.

`python -m tests.composed 3000 --seed 1` runs that many, and shows failures shrunk.
"""

from __future__ import annotations

import pytest

from caffe2fx.engines import Engine
from tests.composed.run import run

FEW, MANY = 5, 30  # of each seed
REFUSED = 0.1  # at most: every function goes by itself


@pytest.mark.pycaffe
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(4))
def test_random_graphs(seed: int, caffe: Engine) -> None:
    assert sum(run(FEW, seed, caffe).values()) >= FEW


@pytest.mark.sweep
@pytest.mark.pycaffe
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(4, 14))
def test_many_random_graphs(seed: int, caffe: Engine) -> None:
    ends = run(MANY, seed, caffe)
    assert ends["refused"] <= REFUSED * MANY, ends
    assert ends["equal"] >= MANY / 3, ends
