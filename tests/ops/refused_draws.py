"""`python -m tests.ops.refused_draws [--only NAME]`: count the refused draws of each function.

tests/data/refused_draws.tsv has a line for each function with a handler: how many of its few
draws an export refuses, and a digest of the draws, which differ between versions of torch.
"""

from __future__ import annotations

import argparse
import csv
import warnings
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import fx2caffe
from caffe2fx.weights.atomic import replacing
from tests.ops.drawn import FEW, FUNCTIONS, draws_of, name_of
from tests.ops.draws import Called, Draw

PATH = Path(__file__).parents[1] / "data" / "refused_draws.tsv"


class Line(NamedTuple):
    """Holds the draws of a function: their number, how many are refused, and their digest."""

    function: str
    draws: int
    refused: int
    digest: str


@cache
def table() -> dict[str, Line]:
    """Return the lines of the table by function."""
    with PATH.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        return {name: Line(name, int(draws), int(refused), d) for name, draws, refused, d in rows}


def digest(draws: Sequence[Draw]) -> str:
    """Return a number that tells the draws of one version of torch from those of another."""
    return f"{zlib.crc32(repr([*map(str, draws)]).encode()):08x}"


def most_refused(function: str, draws: Sequence[Draw]) -> int:
    """Return how many of these draws may be refused.

    The table's count holds for its own draws alone. Of others one has to be taken, but where the
    table's are all refused.
    """
    line = table().get(function)
    if line is not None and (line.digest == digest(draws) or line.refused == line.draws):
        return line.refused
    return len(draws) - 1


def counted(target: Any) -> Line:
    """Return the line of a function, counted anew."""
    draws = draws_of(target, FEW)
    return Line(name_of(target), len(draws), sum(map(_is_refused, draws)), digest(draws))


def _is_refused(draw: Draw) -> bool:
    try:
        fx2caffe.export(Called(draw).eval(), draw.inputs)
    except fx2caffe.UnsupportedError:
        return True
    return False


def write(lines: Iterable[Line]) -> None:
    """Write the table of these lines."""
    rows = ["\t".join(Line._fields), *("\t".join(map(str, line)) for line in sorted(lines))]
    with replacing(PATH) as path:
        path.write_text("\n".join(rows) + "\n", "utf-8")


def main() -> None:
    """Count the draws of one function or of all, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.ops.refused_draws", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="the function whose line is made anew")
    only = parser.parse_args().only
    chosen = {name_of(target): target for target in FUNCTIONS if only in (None, name_of(target))}
    if not chosen:
        parser.error(f"--only needs a function with a handler, got {only!r}")
    warnings.simplefilter("ignore")
    kept = table() if only is not None else {}
    write({**kept, **{name: counted(target) for name, target in chosen.items()}}.values())


if __name__ == "__main__":
    main()
