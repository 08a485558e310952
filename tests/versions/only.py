"""A plugin of pytest that runs the tests of a list alone; those that are gone are not missed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ONLY = "ONLY_TESTS"  # the variable with the path of the list, a test a line


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of the list."""
    if ONLY in os.environ:
        listed = set(Path(os.environ[ONLY]).read_text("utf-8").splitlines())
        config.hook.pytest_deselected(items=[one for one in items if one.nodeid not in listed])
        items[:] = [one for one in items if one.nodeid in listed]
