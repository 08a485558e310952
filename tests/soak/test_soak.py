"""Nothing is left of an export; `python -m tests.soak 10000` asks many."""

from __future__ import annotations

import gc
import linecache

import pytest

from tests.soak.run import Held, export_one, grown, soak
from tests.threads.work import all_in_one


def test_generated_source_goes_with_its_module() -> None:
    def sources() -> set[str]:
        gc.collect()
        return {name for name in linecache.cache if name.startswith("<eval_with_key>")}

    before = sources()
    all_in_one("shape")
    assert sources() <= before


@pytest.mark.sweep
def test_some_exports() -> None:
    found = soak(48, 4, export_one)
    assert grown(found[1:], 1 << 20, 0.5, 24) == []


KEPT: list[object] = []


def test_what_is_kept_is_seen() -> None:
    found = soak(40, 4, lambda index: KEPT.extend([index] for _ in range(3)))
    assert "objects more" in "".join(grown(found, 1 << 20, 0.5, 40))
    assert "files and threads" in "".join(grown([Held(0, 0, 3, 1), Held(0, 0, 4, 1)], 1, 1, 1))
    assert "memory grew" in "".join(grown([Held(0, 0, 3, 1), Held(9, 0, 3, 1)], 1, 1, 1))
