"""`python -m tests.versions [--only NAME ...] [--environments FOLDER] [--again] [--page]`.

Makes each environment of the table, a Python with packages, and runs its tests there; ends with 1
if one fails. A run that is given the folder of another goes on with it, and with `--again` runs
only the tests that failed there. Options behind `--` are pytest's. pip's own variables, like
PIP_EXTRA_INDEX_URL, choose where packages come from.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from tests.versions.environments import ENVIRONMENTS, NAMES, named
from tests.versions.page import PAGE, cells, write
from tests.versions.runs import Result, again, result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the environments that the command line names, or all; print one line for each."""
    asked = parse(arguments)
    kept = asked.environments
    results = list[Result]()
    with nullcontext(kept) if kept else tempfile.TemporaryDirectory() as folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for environment in map(named, asked.only or NAMES):
            run = again if asked.again else result
            results.append(run(environment, Path(folder), tuple(asked.options)))
            print(*cells(results[-1]), sep="\t", flush=True)
            for place, reason in results[-1].failed.items():
                print(f"  {place}: {reason}", flush=True)
    if asked.page:
        write(results)
    return int(any(each.is_red for each in results))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line asks for."""
    about = "\n".join(
        f"  {e.name}: Python {e.python}, {' '.join(e.packages)}" for e in ENVIRONMENTS
    )
    parser = argparse.ArgumentParser(
        "python -m tests.versions",
        description=__doc__,
        epilog=f"environments:\n{about}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=NAMES, default=(), metavar="NAME")
    parser.add_argument("--environments", type=Path, metavar="FOLDER", help="kept afterwards")
    parser.add_argument("--again", action="store_true", help="only what failed in that folder")
    parser.add_argument("--page", action="store_true", help=f"write {PAGE.name} beside the code")
    parser.add_argument("options", nargs="*", metavar="OPTION", help="of pytest, behind --")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
