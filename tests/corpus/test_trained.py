"""Real nets as they are trained: they load for TEST and for TRAIN, or a part is named missing."""

from __future__ import annotations

import csv
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from caffe2fx.errors import CaffeError
from caffe2fx.files import prototxt
from tests.conftest import corpus_folder
from tests.corpus.shapes import with_shapes

FOLDER = corpus_folder()
PHASES = ("TEST", "TRAIN")
pytestmark = pytest.mark.corpus


def _paths() -> list[str]:
    if FOLDER is None:
        return []
    with (FOLDER / "nets.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return [row["path"] for row in rows if row["kind"] == "train_val"]


TRAINED = _paths()
# Why nets cannot be loaded, and how often that is, each counted once a phase.
# fmt: off
REFUSALS = {
    "it is of the other phase":
        (r"needs bottom '\S+' to be produced before it, got no such blob", 62),
    "a user's own Python": (r"'Python: [\w.]+' \(see caffe2fx\.register\)", 2),
    "a type that few have": (
        r"'(TRT|EvalDetection|BboxData|SqueezeDetLoss|MarginInnerProduct)'", 12
    ),
    "clips of films as another fork reads them":
        (r'"VideoDataParameter" has no field named "source"', 4),
    "boxes for all classes at once, which a configuration says":
        (r"got \[\(1, 8, 1, 1\), \(1, 84", 2),
    "a text of Caffe's own tests without sizes":
        (r"needs (batch_size >= 1|num_output of 1 or more), got 0|needs 2 top\(s\), got 0", 29),
    "a template": (r"Couldn't parse integer: cls3x", 4),
    "statistics of a part of the batch": (r"got bn_stats_batch_size 32", 2),
    "boxes drawn into the image": (r"\(DetectionOutput\) needs 3 bottom\(s\), got 4", 1),
    "another size of the labels":
        (r"\(EuclideanLoss\) needs bottoms of equal size, got .*128.*142", 1),
}
# fmt: on


@cache
def _outcome(path: str, phase: str) -> str:
    """Return why the net does not load; empty if it does."""
    assert FOLDER is not None
    try:
        net = prototxt.read(FOLDER / path, phase=phase)
        with_shapes(net, path).shapes()
    except CaffeError as error:
        return str(error)
    return ""


def _reason(outcome: str) -> str:
    named = (name for name, (stated, _) in REFUSALS.items() if re.search(stated, outcome))
    return next(named, "") if outcome else "loads"


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.removeprefix("nets/"))
def test_loads_or_names_the_missing_part(path: str, phase: str) -> None:
    outcome = _outcome(path, phase)
    assert not outcome or Path(path).name in outcome
    assert _reason(outcome), outcome


def test_missing_parts_are_counted() -> None:
    found = Counter(_reason(_outcome(path, phase)) for path in TRAINED for phase in PHASES)
    print(dict(found))
    loads = found.pop("loads")
    assert found == {name: count for name, (_, count) in REFUSALS.items()}
    assert loads == 2 * len(TRAINED) - sum(found.values())
