"""The page of all supported functions, fx2caffe/ops/README.md.

It follows from the registry of handlers and from the rows of tests/ops, each of which is exported
and run in real Caffe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from caffe2fx.errors import CaffeError
from tests.table import markdown
from tests.table.rows import Found, functions

PATH = Path(__file__).parents[2] / "fx2caffe" / "ops" / "README.md"
COLUMNS = ("function", "layers", "error", "refused")
ABOUT = """\
# Supported functions

Written by `python -m tests.table functions` from the registry of handlers and the rows of
`tests/ops`; with `--only NAME` the line of one function. A name stands for the function and its
spellings as method, operator and module: `F.relu` is also `torch.relu`, `x.relu()` and `nn.ReLU`.

- **layers**: what the function becomes for target `bvlc` in its shortest row.
- **error**: the largest error of a result against float64, as a share of its signal, over all
  rows of the function, in engine `{engine}`.
- **refused**: what is refused instead of being approximated.

Which of them the other targets refuse is in [their page](../targets/README.md).

{count} functions.
"""


def registered(name: str) -> str:
    """Return the function of that name in the table; the part after the dot may be enough."""
    names = functions()
    found = [one for one in names if name in (one, one.rpartition(".")[2])]
    if len(found) != 1:
        raise CaffeError(
            f"--only needs a function with a handler, got {name!r} ({found or 'none'})"
        )
    return found[0]


def line(name: str, found: Sequence[Found]) -> str:
    """Return the line of a function, by all rows that call it."""
    rows = [row for row in found if name in row.functions]
    taken = [row for row in rows if not row.refused]
    shortest = min(taken, key=lambda row: (len(row.functions), len(row.layers)), default=None)
    errors = [row.error for row in taken if row.error is not None]
    return markdown.line(
        (
            f"`{name}`",
            _layers(shortest.layers) if shortest else "",
            f"{max(errors):.1e}" if errors else "",
            "; ".join(sorted({_reason(r) for row in rows for r in row.refused.get(name, ())})),
        )
    )


def _layers(layers: Sequence[str]) -> str:
    """Return each layer type once, with its count."""
    counts = {type_: layers.count(type_) for type_ in layers}
    named = [type_ if count == 1 else f"{count} {type_}" for type_, count in counts.items()]
    return ", ".join(named) or "none"


def _reason(reason: str) -> str:
    return reason.replace("|", "/").replace("\n", " ").replace("<", "&lt;")


def lines(found: Sequence[Found]) -> dict[str, str]:
    """Return the lines of all functions."""
    return {name: line(name, found) for name in functions()}


def page(lines: Mapping[str, str], engine: str) -> str:
    """Return the whole file."""
    about = ABOUT.format(engine=engine, count=len(lines))
    return f"{about}\n{markdown.table(COLUMNS, lines)}"


def updated(text: str, name: str, found: Sequence[Found]) -> dict[str, str]:
    """Return the lines of a page with that of one function made anew; one without handler goes."""
    kept = {**markdown.named_lines(text), name: line(name, found)}
    return {name: kept[name] for name in functions() if name in kept}


def write(found: Sequence[Found], engine: str, only: str | None) -> None:
    """Write the page, or one line of it."""
    made = updated(PATH.read_text("utf-8"), only, found) if only else lines(found)
    markdown.write(PATH, page(made, engine))
