"""Some exports at once; `python -m tests.threads 30` does so for 30 minutes."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.threads import work
from tests.threads.pools import in_processes, in_tasks, in_workers
from tests.threads.work import changed, in_threads, settings


@pytest.mark.sweep
def test_threads() -> None:
    count, wrong = in_threads(8, lambda done: done < 20)
    assert count >= 20 and wrong == []


@pytest.mark.sweep
def test_processes() -> None:
    assert in_processes(1, "fork") == []


@pytest.mark.sweep
def test_tasks() -> None:
    assert in_tasks(1) == []


@pytest.mark.sweep
def test_workers() -> None:
    assert in_workers(1) == []


def test_what_is_wrong_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = itertools.count()

    def sometimes_wrong(name: str) -> str:
        torch.rand(1)
        call = next(calls)
        if call == 7:
            raise ValueError("broken")
        return name + "!" * (call == 10)

    monkeypatch.setattr(work, "all_in_one", sometimes_wrong)
    before = settings()
    with ThreadPoolExecutor(1) as pool:
        count, wrong = work.search(pool, 2, lambda done: done < 8)
    assert count == 8 and len(wrong) == 2 and changed(before) == ["random"]
    assert "another net" in "".join(wrong) and "broken" in "".join(wrong)
