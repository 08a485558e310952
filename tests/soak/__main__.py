"""`python -m tests.soak 10000`: so many exports in one process; memory stays flat.

Ends with 1 if the process holds more after the last tenth of them than after the second;
before that caches fill.
"""

from __future__ import annotations

import argparse
import sys
import warnings

from tests.soak.run import Growth, export_one, grown, soak

SETTLES = 8 << 20  # bytes that an allocator may hold back once
BYTES_EACH, OBJECTS_EACH = 1024, 0.5  # for each export


def main() -> int:
    """Run all, and print what was held after each tenth."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("count", type=int)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    found = soak(chosen.count, 10, export_one)
    for index, now in enumerate(found, 1):
        print(f"{chosen.count * index // 10} exports: {now}")
    most = Growth(SETTLES + BYTES_EACH * chosen.count, OBJECTS_EACH * chosen.count)
    faults = grown(found[1:], most)
    print("\n".join(faults) or "flat")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
