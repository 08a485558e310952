"""The generated pages are those of the registries, the targets and the records."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe2fx.errors import CaffeError
from caffe2fx.layers.layer import BVLC, Evidence
from fx2caffe.targets import TARGETS
from tests.layers.forks.programs import programs
from tests.ops.test_ops import ROWS
from tests.table import api, architecture, functions, layers, markdown, targets
from tests.table.__main__ import write
from tests.table.rows import Found, look, rows_of

README = Path(__file__).parents[2] / "README.md"


def index_of(id_: str) -> int:
    return next(index for index, row in enumerate(ROWS) if row.id == id_)


def test_the_table_lists_exactly_the_registered_functions() -> None:
    text = functions.PATH.read_text("utf-8")
    assert [*markdown.named_lines(text)] == functions.functions(), (
        "run python -m tests.table functions targets --only NAME"
    )
    assert f"{len(functions.functions())} functions." in text
    assert "](fx2caffe/ops/README.md)" in README.read_text("utf-8")


# In one of their rows a step or a pole makes much of how the inputs are rounded.
STEEP = ("torch.clamp", "torch.mul", "torch.searchsorted", "torch.tan")


def test_every_line_names_its_layers() -> None:
    for name, line in markdown.named_lines(functions.PATH.read_text("utf-8")).items():
        if name == "torch.isnan":  # tested element by element (test_edges): its result is constant
            continue
        _, layers_of, error, refused = (cell.strip() for cell in line[1:-1].split("|"))
        if not layers_of:  # refused in every row
            assert "needs" in refused, line
            continue
        assert float(error) < 1e-3 or name in STEEP, line


def test_contents_of_a_row() -> None:
    found = look(index_of("relu"), "torch")
    assert found.functions == {"F.relu"} and found.layers == ("ReLU",)
    assert {"bvlc", "nnie"} <= found.targets and found.error is not None and found.error < 1e-6
    refused = look(index_of("round_thousands"), "torch")
    assert not refused.layers and "got -3" in refused.refused["torch.round"][0]


ROW = Found(frozenset(["F.relu"]), ("ReLU", "ReLU"), 2e-7, frozenset(["bvlc"]))
LINE = "| `F.relu` | 2 ReLU | 2.0e-07 |  |"


def test_a_page_has_every_function() -> None:
    text = functions.page(functions.lines([ROW]), "torch")
    assert [*markdown.named_lines(text)] == functions.functions()
    assert LINE in text.splitlines()


def test_one_function_is_made_anew_and_the_others_stay() -> None:
    old = functions.PATH.read_text("utf-8")
    made = functions.updated(old, "F.relu", [ROW])
    before = markdown.named_lines(old)
    assert made == {**before, "F.relu": LINE} and made != before
    assert [*made] == functions.functions()


def test_refusals_of_one_function_are_made_anew_and_the_others_stay() -> None:
    old = targets.PATH.read_text("utf-8")
    before = targets.refusals(old)
    name = next(name for name in functions.functions() if name not in before)
    everywhere, stock = (
        Found(frozenset([name]), targets=frozenset(taken)) for taken in (TARGETS, ["bvlc"])
    )
    line = f"| `{name}` |  |{' - |' * (len(TARGETS) - 1)}"
    assert targets.updated(old, name, [stock]) == {**before, name: line}
    again = targets.page(targets.updated(old, name, [stock]))
    assert targets.updated(again, name, [everywhere]) == before
    assert targets.page(before) == old, "run python -m tests.table targets"


def test_the_command_for_one_function_changes_no_other_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--only F.mish`, on copies of the pages in which that line is wrong."""
    monkeypatch.setattr("tests.table.__main__.rows_of", lambda name: [index_of("mish")])
    wanted = {}
    for module in (functions, targets):
        wanted[module] = module.PATH.read_text("utf-8")
        copy = tmp_path / module.__name__
        copy.write_text(wanted[module].replace("| `F.mish` |", "| `F.mish` | wrong |"), "utf-8")
        monkeypatch.setattr(module, "PATH", copy)
    write(["functions", "targets"], "mish", "torch", 1)
    for module, text in wanted.items():
        old, new = (markdown.named_lines(each) for each in (text, module.PATH.read_text("utf-8")))
        changed = {name for name in old if old[name] != new.get(name)}
        assert [*old] == [*new] and changed <= {"F.mish"}
        assert "| wrong " not in module.PATH.read_text("utf-8")


def test_only_needs_a_function_with_a_handler() -> None:
    assert functions.registered("mish") == functions.registered("F.mish") == "F.mish"
    with pytest.raises(CaffeError, match="--only needs a function with a handler, got 'mush'"):
        functions.registered("mush")


def test_the_rows_of_a_function_are_those_that_call_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.table.rows.ROWS", [ROWS[index_of(id_)] for id_ in ("relu", "mish")])
    assert rows_of("F.mish") == [1]


def test_the_page_of_targets_is_theirs() -> None:
    text = targets.PATH.read_text("utf-8")
    assert text.startswith(targets.head()), "run python -m tests.table targets"
    refused = targets.refusals(text)
    assert refused.keys() <= set(functions.functions())
    for line in refused.values():
        cells = [cell.strip() for cell in line[1:-1].split("|")][1:]
        assert len(cells) == len(TARGETS) and any(cells), line


def test_readme_names_every_target_and_leads_to_their_page() -> None:
    text = README.read_text("utf-8")
    assert text == targets.in_readme(text), "run python -m tests.table targets"
    assert "](fx2caffe/targets/README.md)" in text


def test_the_page_of_layers_is_that_of_the_records() -> None:
    assert layers.PATH.read_text("utf-8") == layers.page(), "run python -m tests.table layers"
    assert "](caffe2fx/layers/README.md)" in README.read_text("utf-8")


def test_evidence_of_a_record_is_that_of_the_tests() -> None:
    """A fork's record is RUN where a test compares it with a program that has the layer."""
    ran = programs()
    forked = [record for record in layers.listed() if BVLC not in record.dialects]
    wrong = [record for record in forked if (record.evidence is Evidence.RUN) != (record in ran)]
    assert not wrong
    stock = [record for record in layers.listed() if BVLC in record.dialects]
    assert {record.evidence for record in stock} == {Evidence.RUN}


@pytest.mark.parametrize("package", architecture.PACKAGES)
def test_the_page_of_a_package_shows_its_floors_its_tree_and_a_way_through_it(package: str) -> None:
    text = (architecture.ROOT / package / "README.md").read_text("utf-8")
    assert text == architecture.regenerated(package, text), "run python -m tests.table architecture"


@pytest.mark.parametrize("package", api.PACKAGES)
def test_the_reference_of_a_package_is_that_of_its_public_names(package: str) -> None:
    text = (api.ROOT / package / "API.md").read_text("utf-8")
    assert text == api.page(package), "run python -m tests.table api"
