"""`python -m tests.faults 1000 [--seed N] [WRITER ...]`: so many kills, and the other faults.

Each writer is killed at random points, meets a full disk at 50 sizes, a folder that is read only
or goes away, and another writer. Ends with 1 if files are left that are neither version.
"""

from __future__ import annotations

import argparse
import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial

from tests.faults import runs
from tests.faults.writers import WRITERS, Writer

SIZES = 50


def main() -> int:
    """Run the faults of each writer that is named, or all; print one line for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("kills", type=int, help="of all writers together")
    parser.add_argument("writers", nargs="*", metavar="WRITER", help=f"of {', '.join(WRITERS)}")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    if unknown := set(chosen.writers) - WRITERS.keys():
        parser.error(f"needs writers of {', '.join(WRITERS)}, got {', '.join(sorted(unknown))}")
    warnings.filterwarnings("ignore")
    failures = 0
    named = chosen.writers or list(WRITERS)
    for name in named:
        r = random.Random(f"{chosen.seed} {name}")
        each = -(-chosen.kills // len(named))
        for fault, tries in _faults(WRITERS[name], r, each).items():
            counts = _counted(tries, f"{name}, {fault}")
            failures += counts["wrong"]
            print(f"{name}, {fault}: {dict(counts)}", flush=True)
    return int(failures > 0)


Try = Callable[[], str]


def _faults(writer: Writer, r: random.Random, kills: int) -> dict[str, list[Try]]:
    sizes = [0, *sorted(int(2 ** (r.random() * 16)) for _ in range(SIZES - 1))]
    kill = runs.killer(writer, r)
    return {
        "killed": [kill] * kills,
        "disk full": [partial(runs.full, writer, size) for size in sizes],
        "read only": [partial(runs.read_only, writer)],
        "folder removed": [partial(runs.removed, writer, r)] * 5,
        "two writers": [partial(runs.two_writers, writer, r)] * 10,
    }


def _counted(tries: list[Try], kind: str) -> Counter[str]:
    counts = Counter[str]()
    for attempt in tries:
        try:
            counts[attempt()] += 1
        except AssertionError as error:
            counts["wrong"] += 1
            print(f"{kind}: {error}", file=sys.stderr, flush=True)
    return counts


if __name__ == "__main__":
    sys.exit(main())
