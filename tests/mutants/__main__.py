"""`python -m tests.mutants 60 [--seed N] [--seconds 40] [ROOM ...]`: break the code at random.

So many breaks, equally many in each room (`fx2caffe/ops`); each has to turn one of the room's
tests red. Ends with 1 if one lives: it is without effect, or wants a row. One whose tests do not
end within its seconds of processor time is late, and is not judged.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter, defaultdict

from tests.mutants import rooms, runs


def main() -> int:
    """Run the breaks; print a line for each, and a count for each room."""
    files = rooms.files()
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("count", type=int, help="how many breaks")
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(files)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=40, help="for the tests of one break")
    chosen = parser.parse_intermixed_args()
    if unknown := set(chosen.rooms) - files.keys():
        parser.error(f"needs rooms of {', '.join(files)}, got {', '.join(sorted(unknown))}")
    named = {room: files[room] for room in chosen.rooms or files}
    counts = run(named, chosen.count, chosen.seed, chosen.seconds)
    for room, counted in counts.items():
        print(f"{room}: {dict(counted)}")
    whole = sum(counts.values(), Counter[str]())
    print(f"all: {dict(whole)}")
    return int(whole["lived"] > 0)


def run(
    files: dict[str, list[str]], count: int, seed: int, seconds: float
) -> dict[str, Counter[str]]:
    """Break the rooms in turn; return how many breaks of each ended how."""
    runs.load_libraries()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    green: dict[str, bool] = {}
    with runs.copied() as tree:
        for number in range(count):
            room = list(files)[number % len(files)]
            mutant = runs.drawn(random.Random(f"{seed} {number}"), tree, files[room])
            verdict, ended = runs.judged(tree, mutant, seconds, green)
            counts[room][verdict] += 1
            place = mutant.shown(tree.source(mutant.path))
            print(f"{verdict} ({ended.passed} passed, {ended.failed}): {place}", flush=True)
    return counts


if __name__ == "__main__":
    sys.exit(main())
