"""The page of all layer records, caffe2fx/layers/README.md."""

from __future__ import annotations

from pathlib import Path

from caffe2fx.layers import Input, ShapeOnly, Source
from caffe2fx.layers.layer import BVLC, Evidence, Layer
from caffe2fx.layers.registry import records
from caffe2fx.layers.user_defined import UserLayer
from fx2caffe.targets import TARGETS
from tests.layers.forks.programs import programs
from tests.table import markdown

PATH = Path(__file__).parents[2] / "caffe2fx" / "layers" / "README.md"
COLUMNS = ("type", "record", "dialects", "since", "evidence", "load", "export")
ABOUT = """\
# Layer records

Written by `python -m tests.table layers` from the records.

- **dialects**: the Caffes in which the type has this meaning; all forks have what `bvlc` has.
- **since**: of `bvlc`, the tag 1.0 of 2017 or the master branch of 2018.
- **evidence**: `run` in these programs, whose results a test compares; read in the fork's
  `source`, not run; or by a `document` or a schema, not run.
- **load**: the net computes it; of `shapes` alone, so that a net runs up to it; or it is `data`,
  whose tops are inputs of the net.
- **export**: the targets that have it with this meaning, of {targets}.
  What is `data` is exported as Input.

{count} records of {types} types.

"""


def listed() -> list[type[Layer]]:
    """Return the records of this package: no layers of a user's own."""
    own = (record for record in records() if not issubclass(record, UserLayer))
    return sorted(own, key=lambda record: (record.type.lower(), record.__name__))


def line(record: type[Layer], ran: tuple[str, ...]) -> str:
    """Return the line of a record, which ran in these programs."""
    stock = BVLC in record.dialects
    return markdown.line(
        (
            f"`{record.type}`",
            record.__name__,
            ", ".join(record.dialects),
            record.since if stock else "",
            evidence(record, (BVLC, *ran) if stock else ran),
            _load(record),
            _export(record),
        )
    )


def evidence(record: type[Layer], ran: tuple[str, ...]) -> str:
    """Return how the meaning of a record is known, in one word; of RUN the programs."""
    word = record.evidence.name.lower()
    return f"{word}: {', '.join(ran)}" if record.evidence is Evidence.RUN else word


def _load(record: type[Layer]) -> str:
    if issubclass(record, ShapeOnly):
        return "shapes"
    return "data" if issubclass(record, Source) else "computed"


def _export(record: type[Layer]) -> str:
    if issubclass(record, ShapeOnly | Source) and record is not Input:
        return ""
    having = [
        name
        for name, target in TARGETS.items()
        if record.type in target.types and not target.dialects.isdisjoint(record.dialects)
    ]
    return "all" if len(having) == len(TARGETS) else ", ".join(having)


def page() -> str:
    """Return the whole file."""
    ran, kinds = programs(), listed()
    types = len({record.type for record in kinds})
    about = ABOUT.format(targets=", ".join(TARGETS), count=len(kinds), types=types)
    lines = [line(record, ran.get(record, ())) for record in kinds]
    return about + "\n".join([markdown.head(COLUMNS), *lines]) + "\n"


def write() -> None:
    """Write the page."""
    markdown.write(PATH, page())
