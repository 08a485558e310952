"""Nothing is left of an export; `python -m tests.soak 10000` asks many."""

from __future__ import annotations

import gc
import linecache
import sys
from pathlib import Path
from subprocess import run

import pytest

from tests.soak.run import Growth, Held, grown, soak
from tests.threads.work import all_in_one

ROOT = Path(__file__).parents[2]


def test_generated_source_goes_with_its_module() -> None:
    def sources() -> set[str]:
        gc.collect()
        return {name for name in linecache.cache if name.startswith("<eval_with_key>")}

    before = sources()
    all_in_one("shape")
    assert sources() <= before


@pytest.mark.sweep
def test_some_exports() -> None:
    # In a process of its own: what the tests before left to the allocator comes and goes.
    done = run([sys.executable, "-m", "tests.soak", "48"], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "flat"), done.stdout + done.stderr


KEPT: list[object] = []


def test_what_is_kept_is_seen() -> None:
    found = soak(40, 4, lambda index: KEPT.extend([index] for _ in range(3)))
    assert "objects more" in "".join(grown(found, Growth(40 << 20, 20)))
    assert "files and threads" in "".join(grown([Held(0, 0, 3, 1), Held(0, 0, 4, 1)], Growth(1, 1)))
    assert "memory grew" in "".join(grown([Held(0, 0, 3, 1), Held(9, 0, 3, 1)], Growth(1, 1)))
