"""Every target makes every net of its own layers, of equal values, or names the missing layer."""

from __future__ import annotations

import re

import pytest

import fx2caffe
from caffe2fx.engines import Engine
from caffe2fx.engines.opencv import OpenCVEngine
from fx2caffe.exporter.result import Export
from fx2caffe.legalize.rules import RULES
from fx2caffe.targets import BVLC_MASTER, TARGETS
from tests.rows import Row, exported, types
from tests.targets.nets import IRREDUCIBLE, LAYERS, NOT_CAFFE, REFUSED, ROWS, SILENT

pytestmark = pytest.mark.by_row

# The decompositions of torch's functions into Caffe's own layers are in the tables of tests/ops.
CAFFE = ("bvlc", "bvlc-master")
PAIRS = [
    (target, row)
    for target in TARGETS
    for row in ROWS
    if target not in CAFFE or (target, row.id) in LAYERS
]
DECOMPOSED = [(target, row) for target, row in PAIRS if (target, row.id) not in REFUSED]
# The others' nets are for the most part the same.
IN_CAFFE = [
    pytest.param(*pair, marks=() if pair[0] in ("portable", "ascend") else pytest.mark.sweep)
    for pair in DECOMPOSED
    if "pycaffe" in TARGETS[pair[0]].judges
]
ROWS_BY_ID = {row.id: row for row in ROWS}
IN_OPENCV = [pair for pair in DECOMPOSED if pair[0] in ("portable", "ssd", "opencv")]
NO_OPENCV = OpenCVEngine().why_missing()


def _id(value: object) -> str:
    return value.id if isinstance(value, Row) else str(value)


def exported_for(target: str, row: Row) -> Export:
    return exported(row, target)[1]


@pytest.mark.parametrize(("target", "row"), DECOMPOSED, ids=_id)
def test_layers_of_the_target_alone(target: str, row: Row) -> None:
    made, has = exported_for(target, row), TARGETS[target]
    assert set(types(made.net)) <= has.types
    shapes = made.net.shapes()
    for step in made.net.steps:
        bottoms = [shapes[bottom] for bottom in step.bottoms]
        assert has.why_unsupported(step.layer, bottoms, len(step.tops)) is None
    report = made.verify("torch")
    assert report.ok, str(report)


@pytest.mark.parametrize(("target", "net"), LAYERS)
def test_the_layers_that_a_rule_is_there_for(target: str, net: str) -> None:
    assert types(exported_for(target, ROWS_BY_ID[net]).net) == LAYERS[target, net]


@pytest.mark.pycaffe
@pytest.mark.parametrize(("target", "row"), IN_CAFFE, ids=_id)
def test_in_real_caffe(target: str, row: Row, caffe: Engine) -> None:
    """Wherever every layer is one of Caffe's own; a target with others names engine torch too."""
    made = exported_for(target, row)
    if not set(types(made.net)) <= BVLC_MASTER.types:
        assert TARGETS[target].judges[0] == "torch"
        return
    report = made.verify(caffe)
    assert report.ok, str(report)


@pytest.mark.skipif(NO_OPENCV is not None, reason=str(NO_OPENCV))
@pytest.mark.parametrize(("target", "row"), IN_OPENCV, ids=_id)
def test_in_opencv(target: str, row: Row) -> None:
    report = exported_for(target, row).verify("opencv")
    assert report.ok, str(report)


@pytest.mark.parametrize(("target", "net"), REFUSED)
def test_refusals_name_the_missing_layer_and_targets_with_it(target: str, net: str) -> None:
    row, layer = ROWS_BY_ID[net], REFUSED[target, net]
    refusals = fx2caffe.check(row.model(), tuple(row.inputs()), target=target)
    assert [refusal.op for refusal in refusals] == [layer]
    assert f"needs layer {layer}, which target {target!r} does not have" in refusals[0].reason
    having = tuple(name for name in TARGETS if (name, net) not in REFUSED)
    assert refusals[0].targets == having
    assert f"possible for {', '.join(having)}" in str(refusals[0])
    with pytest.raises(fx2caffe.UnsupportedError, match=f"needs layer {layer}"):
        exported_for(target, row)


@pytest.mark.parametrize("target", NOT_CAFFE)
@pytest.mark.parametrize("net", SILENT)
def test_nothing_that_is_silently_read_otherwise(target: str, net: str) -> None:
    if (target, net) in REFUSED:
        return
    text = exported_for(target, ROWS_BY_ID[net]).prototxt
    assert re.search(SILENT[net], text) is None, text


@pytest.mark.parametrize("target", [name for name in NOT_CAFFE if name != "opencv"])
def test_axes_are_counted_from_the_front(target: str) -> None:
    assert "axis: 3" in exported_for(target, ROWS_BY_ID["negative_axis"]).prototxt


def test_layers_whose_absence_is_a_refusal_have_no_decomposition() -> None:
    assert not {record.type for record in RULES} & set(IRREDUCIBLE.values())
    assert {target for target, _ in REFUSED} == {
        name for name, target in TARGETS.items() if "ArgMax" not in target.types
    }


def test_rows_and_tables_name_each_other() -> None:
    known = ROWS_BY_ID.keys()
    assert len(known) == len(ROWS)
    named = {net for _, net in [*LAYERS, *REFUSED]} | set(SILENT)
    assert named <= known
