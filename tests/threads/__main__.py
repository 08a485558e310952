"""`python -m tests.threads 30`: threads export, verify, load and compare for so many minutes.

Then processes, tasks of asyncio and workers of a DataLoader do each model some times. Ends with 1
for a wrong number, another net than alone, or a setting of the process that is left changed.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings

from tests.threads.pools import in_processes, in_tasks, in_workers
from tests.threads.work import in_threads


def main() -> int:
    """Run all and print one line for each surrounding."""
    parser = argparse.ArgumentParser(prog="python -m tests.threads", description=__doc__)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--threads", type=int, default=8)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    end = time.monotonic() + chosen.minutes * 60
    count, wrong = in_threads(chosen.threads, lambda _: time.monotonic() < end)
    print(f"{count} exports in {chosen.threads} threads: {len(wrong)} wrong", flush=True)
    for name, found in {
        "processes, forked": in_processes(4, "fork"),
        "processes, spawned": in_processes(4, "spawn"),
        "asyncio": in_tasks(4),
        "DataLoader": in_workers(4),
    }.items():
        print(f"{name}: {len(found)} wrong", flush=True)
        wrong += found
    print("\n".join(wrong), file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
