"""`python -m tests.table [PAGE ...] [--only NAME]`: write the generated pages, or lines of them."""

from __future__ import annotations

import argparse

import tests.table
from tests.table import api, architecture, functions, layers, targets
from tests.table.rows import measured, rows_of

PAGES = ("functions", "targets", "layers", "architecture", "api")


def main() -> None:
    """Write the pages that the command line names; all of them where it names none."""
    parser = argparse.ArgumentParser(prog="python -m tests.table", description=tests.table.__doc__)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"of {', '.join(PAGES)}")
    parser.add_argument("--only", metavar="NAME", help="remake the lines of one torch function")
    parser.add_argument("--engine", default="pycaffe", help="engine that measures the errors")
    parser.add_argument("--jobs", type=int, default=1, help="processes to run the rows in")
    arguments = parser.parse_args()
    if unknown := set(arguments.pages) - set(PAGES):
        parser.error(f"needs pages of {', '.join(PAGES)}, got {', '.join(sorted(unknown))}")
    write(arguments.pages or PAGES, arguments.only, arguments.engine, arguments.jobs)


def write(pages: object, only: str | None, engine: str, jobs: int) -> None:
    """Measure the rows that the pages need, once, and write the pages."""
    chosen = set(pages)  # type: ignore[call-overload]
    if "layers" in chosen and only is None:
        layers.write()
    if "architecture" in chosen and only is None:
        architecture.write()
    if "api" in chosen and only is None:
        api.write()
    if not chosen & {"functions", "targets"}:
        return
    name = only and functions.registered(only)
    indices = rows_of(name) if name else None
    found = measured(indices, engine if "functions" in chosen else None, "targets" in chosen, jobs)
    if "functions" in chosen:
        functions.write(found, engine, name)
    if "targets" in chosen:
        targets.write(found, name)


if __name__ == "__main__":
    main()
