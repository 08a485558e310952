"""`python -m tests.fuzz [--seconds N] [--seed N] [FORMAT ...]`: read changed files for so long.

Ends with 1 if some input ends in an error that is not ours, takes too long, or too much memory;
each such input is kept under `--keep`, and belongs into tests/fuzz/test_fuzz.py.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sys
import tempfile
from pathlib import Path

from tests.fuzz.formats import FORMATS
from tests.fuzz.runs import bound_memory, search


def main() -> int:
    """Search each format that the command line names, or all; print one line for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=f"of {', '.join(FORMATS)}")
    parser.add_argument("--seconds", type=float, default=60, help="for each format")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="folder of failures")
    arguments = parser.parse_args()
    if unknown := set(arguments.formats) - FORMATS.keys():
        parser.error(f"needs formats of {', '.join(FORMATS)}, got {', '.join(sorted(unknown))}")
    failures = 0
    for index, name in enumerate(arguments.formats or FORMATS):
        with tempfile.TemporaryDirectory(dir=in_memory()) as folder:
            FORMATS[name].examples(Path(folder))
            if not index:
                bound_memory()
            count, found = search(FORMATS[name], Path(folder), arguments.seconds, arguments.seed)
        print(f"{name}: {count} inputs, {len(found)} failures, seed {arguments.seed}", flush=True)
        failures += len(found)
        for data, _ in found.values():
            arguments.keep.mkdir(exist_ok=True)
            (arguments.keep / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
    return int(failures > 0)


def in_memory() -> str | None:
    """Return a folder in memory where there is one: writing a file takes longer than reading it."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    sys.exit(main())
