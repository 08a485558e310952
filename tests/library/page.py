"""The page about the libraries: what became of each model, and a summary of each library."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fx2caffe.zoo import table
from fx2caffe.zoo.result import Row

PAGE = Path(__file__).parents[2] / "fx2caffe" / "zoo" / "LIBRARIES.md"


def write(rows: Sequence[Row]) -> None:
    """Write the table into the page, with the models by their own names."""
    table.write([_with_public_names(row) for row in rows], PAGE)


def _with_public_names(row: Row) -> Row:
    """Return a row with the model by its own name, and paths from the package on."""
    reasons = tuple(re.sub(r"\S*site-packages/", "", reason) for reason in row.reasons)
    return replace(row, job=replace(row.job, name=own_name(row)), reasons=reasons)


def own_name(row: Row) -> str:
    """Return library:model, where "__" stands for what a Python name cannot have."""
    library, _, model = row.job.name.partition(":")[2].partition(".")
    return f"{library}:{model.replace('__', '-')}"
