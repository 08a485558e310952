"""Runs the tests of an environment, and keeps what became of them."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

from caffe2fx.engines.pycaffe import starter
from tests.versions.caffe_pb2_first import CAFFE_PB2
from tests.versions.environments import Environment, make
from tests.versions.only import ONLY

ROOT = Path(__file__).parents[2]
MARKERS = "not sweep and not long and not minutes and not pycaffe"
NO_TEST = 5  # pytest's status where all that failed are gone
DISTRIBUTIONS = ("torch", "torchvision", "numpy", "protobuf")


@dataclass(frozen=True)
class Result:
    """What became of the tests of an environment: how many, and the reasons by their count.

    `mended` of those that passed did so in a later run of the tests that had failed.
    """

    name: str
    versions: dict[str, str]
    passed: int
    failed: dict[str, str]
    skipped: dict[str, int]
    mended: int = 0

    @property
    def is_red(self) -> bool:
        """Whether a test failed, or none passed."""
        return bool(self.failed) or not self.passed


def result(environment: Environment, folder: Path, options: tuple[str, ...]) -> Result:
    """Return what became of the tests; of an earlier run with the same code where there is one."""
    of = [state_of_the_code(), *options]
    before = _kept(environment, folder)
    if before and before[0] == of and not of[0].endswith("dirty"):
        return before[1]
    found = _run(environment, folder, environment.tests, options)
    _keep(found, of, folder)
    return found


def again(environment: Environment, folder: Path, options: tuple[str, ...]) -> Result:
    """Run the tests that failed in the folder's result once more, and return both together."""
    before = _kept(environment, folder)
    if before is None:
        return result(environment, folder, options)
    first = before[1]
    if not first.failed:
        return first
    nodes = [node_of(place) for place in first.failed]
    found = _run(environment, folder, _files_of(nodes), options, nodes)
    both = replace(
        first,
        versions=found.versions,
        passed=first.passed + found.passed,
        failed=found.failed,
        skipped=dict(Counter(first.skipped) + Counter(found.skipped)),
        mended=first.mended + found.passed,
    )
    _keep(both, [state_of_the_code(), *options], folder)
    return both


def node_of(place: str) -> str:
    """Return how pytest is asked for a test of its report: path::name[parameters]."""
    module, _, parameters = place.partition("[")
    module, _, name = module.rpartition(".")
    path = module.replace(".", "/") + ".py"
    return f"{path}::{name}{'[' if parameters else ''}{parameters}"


def _kept(environment: Environment, folder: Path) -> tuple[list[str], Result] | None:
    path = folder / f"{environment.name}.json"
    if not path.exists():
        return None
    kept = json.loads(path.read_text("utf-8"))
    return kept.pop("of"), Result(**kept)


def _keep(found: Result, of: list[str], folder: Path) -> None:
    text = json.dumps({"of": of, **asdict(found)}, indent=1)
    (folder / f"{found.name}.json").write_text(text, "utf-8")


def state_of_the_code() -> str:
    """Return the commit, "dirty" behind it where files were changed since."""
    describe = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    return subprocess.run(describe, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def _files_of(nodes: Sequence[str]) -> list[str]:
    return [*dict.fromkeys(node.partition("::")[0] for node in nodes)]


def _run(
    environment: Environment,
    folder: Path,
    tests: Sequence[str],
    options: tuple[str, ...],
    only: Sequence[str] = (),
) -> Result:
    python, place = make(environment, folder), folder.resolve()
    report, listed = place / f"{environment.name}.xml", place / f"{environment.name}.only"
    report.unlink(missing_ok=True)
    env = variables(environment)
    if only:
        listed.write_text("\n".join(only), "utf-8")
        env[ONLY] = str(listed)
    arguments = pytest_arguments(environment, tests)
    command = [python, *arguments, f"--junitxml={report}", *options]
    status = subprocess.run(command, cwd=ROOT, env=env, check=False).returncode
    return read(environment.name, _versions(python, environment), report, status)


def pytest_arguments(environment: Environment, tests: Sequence[str]) -> list[str]:
    """Return what the environment's python is called with."""
    plugin = ["-p", environment.plugin] if environment.plugin else []
    plugin += ["-p", "tests.versions.only"]
    options = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", "-m", MARKERS]
    return ["-m", "pytest", *plugin, *options, *tests]


def variables(environment: Environment) -> dict[str, str]:
    """Return the variables of the tests: this checkout's packages, and pycaffe's schema."""
    found = {**os.environ, "PYTHONPATH": str(ROOT), **environment.variables}
    for own in (CAFFE_PB2, "PYTEST_ADDOPTS"):  # of the run that this one is part of
        found.pop(own, None)
    if environment.plugin:
        found[CAFFE_PB2] = _caffe_pb2()
    return found


def _caffe_pb2() -> str:
    found = starter()
    if found is None:
        raise FileNotFoundError("the environment needs real Caffe: caffe2fx engine install pycaffe")
    command, env = found
    ask = [*command, "-c", "import caffe.proto.caffe_pb2 as it; print(it.__file__)"]
    return subprocess.run(ask, env=env, check=True, capture_output=True, text=True).stdout.strip()


def _versions(python: Path, environment: Environment) -> dict[str, str]:
    """Return the versions that the environment itself states."""
    ask = (
        "import json, platform; from importlib.metadata import version\n"
        "from google.protobuf.internal import api_implementation as api\n"
        f"found = {{name: version(name) for name in {DISTRIBUTIONS}}}\n"
        "print(json.dumps({'Python': platform.python_version(), **found, 'in': api.Type()}))"
    )
    asked = subprocess.run(
        [python, "-c", ask], env=variables(environment), capture_output=True, text=True, check=True
    )
    versions: dict[str, str] = json.loads(asked.stdout)
    return versions


def read(name: str, versions: dict[str, str], report: Path, status: int) -> Result:
    """Read pytest's report; a run that did not come to its end failed, whatever it reports."""
    passed, failed, skipped = 0, dict[str, str](), Counter[str]()
    if status not in (0, 1, NO_TEST):
        failed["pytest"] = f"ended with status {status}"
    if not report.exists():
        return Result(name, versions, 0, {"pytest": "ended without a report"}, {})
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        place = f"{case.get('classname', '')}.{case.get('name', '')}"
        children = {child.tag: child.get("message", "") for child in case}
        if wrong := children.get("failure", children.get("error")):
            failed[place] = wrong.splitlines()[0][:200]
        elif "skipped" in children:
            skipped[children["skipped"]] += 1
        else:
            passed += 1
    return Result(name, versions, passed, failed, dict(skipped))
