"""Runs the tests of an environment, and keeps what became of them."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

from caffe2fx.engines.pycaffe import starter
from tests.versions.caffe_pb2_first import CAFFE_PB2
from tests.versions.environments import Environment, make

ROOT = Path(__file__).parents[2]
MARKERS = "not sweep and not long and not minutes and not pycaffe"
DISTRIBUTIONS = ("torch", "torchvision", "numpy", "protobuf")


@dataclass(frozen=True)
class Result:
    """What became of the tests of an environment: how many, and the reasons by their count."""

    name: str
    versions: dict[str, str]
    passed: int
    failed: dict[str, str]
    skipped: dict[str, int]

    @property
    def is_red(self) -> bool:
        """Whether a test failed, or none passed."""
        return bool(self.failed) or not self.passed


def result(environment: Environment, folder: Path, options: tuple[str, ...]) -> Result:
    """Return what became of the tests; of an earlier run with the same code where there is one."""
    kept, code = folder / f"{environment.name}.json", state_of_the_code()
    if kept.exists():
        before = json.loads(kept.read_text("utf-8"))
        if before.pop("of") == [code, list(options)] and not code.endswith("dirty"):
            return Result(**before)
    found = _run(environment, folder, options)
    text = json.dumps({"of": [code, options], **asdict(found)}, indent=1)
    kept.write_text(text, "utf-8")
    return found


def state_of_the_code() -> str:
    """Return the commit, "dirty" behind it where files were changed since."""
    describe = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    return subprocess.run(describe, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def _run(environment: Environment, folder: Path, options: tuple[str, ...]) -> Result:
    python, report = make(environment, folder), folder.resolve() / f"{environment.name}.xml"
    report.unlink(missing_ok=True)
    command = [python, *pytest_arguments(environment), f"--junitxml={report}", *options]
    subprocess.run(command, cwd=ROOT, env=variables(environment), check=False)
    return read(environment.name, _versions(python, environment), report)


def pytest_arguments(environment: Environment) -> list[str]:
    """Return what python is called with."""
    plugin = ["-p", environment.plugin] if environment.plugin else []
    options = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", "-m", MARKERS]
    return ["-m", "pytest", *plugin, *options, *environment.tests]


def variables(environment: Environment) -> dict[str, str]:
    """Return the variables of the tests: this checkout's packages, and pycaffe's schema."""
    found = {**os.environ, "PYTHONPATH": str(ROOT), **environment.variables}
    found.pop(CAFFE_PB2, None)
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


def read(name: str, versions: dict[str, str], report: Path) -> Result:
    """Read pytest's report; without one all failed."""
    if not report.exists():
        return Result(name, versions, 0, {"pytest": "ended without a report"}, {})
    passed, failed, skipped = 0, dict[str, str](), Counter[str]()
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
