"""Fixtures of all tests: the corpus, and deterministic random numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.engine import KeptCaffe

# Tests run side by side: threads of their own would only be in each other's way.
torch.set_num_threads(1)
# Nothing fails because the machine is slow, and a run's examples are those of the run before.
settings.register_profile(
    "tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")


def corpus_folder() -> Path | None:
    """Return the corpus of real nets, if it lies beside the checkout or CAFFE_CORPUS names it."""
    named = os.environ.get("CAFFE_CORPUS")
    place = Path(named) if named else Path(__file__).parents[2] / "shared" / "corpus"
    return place if (place / "nets.tsv").exists() else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-corpus", action="store_true", help="fail where the corpus is missing"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of one row one after the other: what one has exported, the next has too.

    Tests of minutes come first: at the end one process would run them while the other waits.
    """
    first = {_row(item): index for index, item in reversed([*enumerate(items)])}
    items.sort(key=lambda item: (item.get_closest_marker("minutes") is None, first[_row(item)]))


def _row(item: pytest.Item) -> object:
    """Return what the tests of one row have in common."""
    row = getattr(item, "callspec", None)
    return (item.path, row.id) if row and item.get_closest_marker("by_row") else item


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("corpus") is None or corpus_folder() is not None:
        return
    missing = "not run: no corpus of real nets (set CAFFE_CORPUS)"
    (pytest.fail if item.config.getoption("--require-corpus") else pytest.skip)(missing)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def caffe() -> Iterator[KeptCaffe]:
    """Return real Caffe, kept for the next net."""
    engine = KeptCaffe()
    yield engine
    engine.close()


@pytest.fixture
def corpus() -> Path:
    """Return the folder of the corpus."""
    folder = corpus_folder()
    assert folder is not None, "mark the test with `corpus`"
    return folder
