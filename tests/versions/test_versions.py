"""The command that runs the tests in environments of other versions, and its page."""

from __future__ import annotations

import configparser
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from caffe2fx import compat
from tests.versions import __main__ as command
from tests.versions import runs
from tests.versions.caffe_pb2_first import CAFFE_PB2, serialized
from tests.versions.environments import ENVIRONMENTS, NAMES, NEWEST, OLDEST, Environment
from tests.versions.page import cells, markdown
from tests.versions.runs import ROOT, Result

VERSIONS = {
    **{"Python": "3.10.13", "torch": "2.2.2+cpu", "torchvision": "0.17.2+cpu"},
    **{"numpy": "1.26.4", "protobuf": "4.22.5", "in": "upb"},
}
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # what is installed takes seconds to import
TESTS = """
import os, pytest
def test_right(): pass
def test_wrong(): assert os.environ["SET"] == "other"
@pytest.mark.skip("not run: without reason")
def test_left_out(): pass
@pytest.mark.sweep
def test_of_minutes(): assert False
"""


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_no_environment_is_red(name: str, tmp_path: Path) -> None:
    folder = tmp_path.parent / "environments"
    run = [sys.executable, "-m", "tests.versions", "--only", name, "--environments", folder]
    assert subprocess.run(run, cwd=ROOT, check=False).returncode == 0


def test_the_oldest_has_what_the_packages_need_at_least() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    least = [line.partition(">=") for line in setup["options"]["install_requires"].split()]
    pins = dict(package.split("==") for package in OLDEST.packages if "==" in package)
    for name, _, version in least:
        assert f"{pins[name]}.".startswith(f"{version}.") if version else name in OLDEST.packages
    assert setup["options"]["python_requires"] == f">={OLDEST.python}"
    assert pins["torch"].startswith(f"{compat.OLDEST}.")


def test_the_newest_has_the_torch_of_all_other_tests() -> None:
    assert {*(ROOT / ".ci" / "constraints.txt").read_text().split()} <= {*NEWEST.packages}


def test_environments_are_complete() -> None:
    assert len({*NAMES}) == len(NAMES)
    for environment in ENVIRONMENTS:
        assert all((ROOT / path).exists() for path in environment.tests)
        assert environment.over is None or environment.over in NAMES
        assert environment.packages or environment.variables or environment.plugin


def _rooted(folder: Path) -> tuple[str, ...]:
    """Name tests from this folder on; pytest's own choice depends on where the checkout is."""
    return "--rootdir", str(folder)


def _one(tmp_path: Path) -> Environment:
    (tmp_path / "test_few.py").write_text(TESTS, "utf-8")
    return Environment(OLDEST.name, "3", (), (str(tmp_path),), variables={**ALONE, "SET": "one"})


def test_a_run_counts_its_tests_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, environment = [], _one(tmp_path)
    monkeypatch.setattr(runs, "make", lambda *_: made.append(1) or Path(sys.executable))
    monkeypatch.setattr(runs, "_versions", lambda *_: VERSIONS)
    monkeypatch.setattr(runs, "state_of_the_code", lambda: "as it is")
    options = (*_rooted(tmp_path), "-W", "ignore", "-k", "right or wrong or left")
    found = runs.result(environment, tmp_path, options)
    assert (found.passed, found.skipped) == (1, {"not run: without reason": 1})
    assert [*found.failed] == ["test_few.test_wrong"] and found.is_red
    assert runs.result(environment, tmp_path, options) == found and len(made) == 1
    monkeypatch.setattr(runs, "state_of_the_code", lambda: "it-dirty")
    runs.result(environment, tmp_path, options)
    assert len(made) == 2


def test_what_failed_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = _one(tmp_path)
    monkeypatch.setattr(runs, "make", lambda *_: Path(sys.executable))
    monkeypatch.setattr(runs, "_versions", lambda *_: VERSIONS)
    monkeypatch.setattr(runs, "node_of", lambda place: place.replace(".", ".py::"))
    monkeypatch.setattr(runs, "_files_of", lambda nodes: [str(tmp_path)])
    first = runs.again(environment, tmp_path, _rooted(tmp_path))
    mended = replace(environment, variables={**ALONE, "SET": "other"})
    found = runs.again(mended, tmp_path, _rooted(tmp_path))
    assert [*first.failed] == ["test_few.test_wrong"] and first.mended == 0
    assert (found.passed, found.failed, found.mended) == (2, {}, 1)
    assert found.skipped == first.skipped and runs.again(mended, tmp_path, ("-k", "no")) == found


def test_how_a_test_is_named_again() -> None:
    assert (
        runs.node_of("tests.ops.test_ops.test_row[a.b-2]")
        == "tests/ops/test_ops.py::test_row[a.b-2]"
    )
    assert runs.node_of("tests.ops.test_ops.test_row") == "tests/ops/test_ops.py::test_row"


def test_a_run_that_ends_without_a_report_is_red(tmp_path: Path) -> None:
    report = tmp_path / "few.xml"
    assert runs.read("torch-2.2", VERSIONS, report, 0).is_red
    report.write_text('<testsuite><testcase classname="a" name="b"/></testsuite>', "utf-8")
    assert not runs.read("torch-2.2", VERSIONS, report, 0).is_red
    for status in (2, 3, 4, -9):  # interrupted, a fault of pytest, wrong usage, killed
        assert runs.read("torch-2.2", VERSIONS, report, status).is_red
    assert Result("torch-2.2", VERSIONS, 0, {}, {}).is_red


def test_the_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = list[Any]()

    def result(*arguments: Any) -> Result:
        asked.append(arguments)
        return Result(arguments[0].name, VERSIONS, 1, {}, {})

    monkeypatch.setattr(command, "result", result)
    words = ["--only", "newest", "--environments", str(tmp_path / "new"), "--", "-k", "mish"]
    assert command.main(words) == 0
    assert asked == [(NEWEST, tmp_path / "new", ("-k", "mish"))] and (tmp_path / "new").is_dir()
    with pytest.raises(SystemExit):
        command.main(["--only", "torch-1.0"])


@pytest.mark.pycaffe
def test_the_schema_that_is_added_first_is_that_of_real_caffe() -> None:
    plugged = [environment for environment in ENVIRONMENTS if environment.plugin]
    path = Path(runs.variables(plugged[0])[CAFFE_PB2])
    file = descriptor_pb2.FileDescriptorProto.FromString(serialized(path.read_text("utf-8")))
    assert (file.package, file.message_type[0].name) == ("caffe", "BlobShape")
    assert CAFFE_PB2 not in runs.variables(OLDEST)


def test_a_row_of_the_page() -> None:
    failed = {"tests.ops.test_ops.test_row[mish]": "assert 1 | 2"}
    found = Result("torch-2.2", VERSIONS, 1234, failed, {"not run: <here>": 3})
    assert cells(found) == [
        *("`torch-2.2`", "3.10.13", "2.2.2", "0.17.2", "1.26.4", "4.22.5, upb", "1,234", "1", "3")
    ]
    text = markdown([found])
    assert "- `torch-2.2`: tests.ops.test_ops.test_row[mish]: assert 1 / 2" in text
    assert "- not run: &lt;here>: 3 in `torch-2.2`" in text
