"""The field numbers of the forks' records, against data/forks.tsv.

Its rows that name `schema` are those of the caffe.proto of a fork; the others, of forks whose
schema is not at hand, were read in their sources.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from caffe2fx.layers.layer import BVLC, Layer
from caffe2fx.layers.registry import records

DATA = Path(__file__).parents[1] / "data"
Number = tuple[str, str, int]  # of a field of a message


def table(name: str) -> set[Number]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["message"] != "<enum>"]
    return {(row["message"], row["field"], int(row["number"])) for row in rows}


def field_numbers(kind: type[Layer]) -> Iterator[Number]:
    """Return the fields of a record's messages, and those of LayerParameter that hold these."""
    yield from ((kind.message, name, wire.number) for name, wire in kind.wires() if wire.number)
    for _, beside in kind.sibling_messages():
        message = beside.type
        yield from ((message.message, name, w.number) for name, w in message.wires() if w.number)
    if kind.parameter is not None:
        yield ("LayerParameter", *kind.parameter)


def test_every_field_number_of_a_forks_record_is_the_forks() -> None:
    of_forks = (kind for kind in records() if BVLC not in kind.dialects)
    ours = {number for kind in of_forks for number in field_numbers(kind)}
    assert ours - table("bvlc.tsv") == table("forks.tsv")


def test_most_field_numbers_are_those_of_a_schema() -> None:
    with (DATA / "forks.tsv").open(encoding="utf-8", newline="") as file:
        by = [row["by"] for row in csv.DictReader(file, delimiter="\t")]
    assert set(by) == {"schema", "source"} and by.count("schema") > 2 * by.count("source")


def test_no_field_number_is_twice_in_one_message() -> None:
    for kind in records():
        for message in (kind, *(wire.type for _, wire in kind.sibling_messages())):
            named = [wire.number for _, wire in message.wires() if wire.number]
            assert len(named) == len(set(named)), f"{kind.__name__}: {message.message} {named}"
