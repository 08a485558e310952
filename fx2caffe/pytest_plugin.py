"""pytest fixtures for models that must run in Caffe; loaded by the entry point `pytest11`.

Every session of pytest imports this file: torch is imported by the fixtures that are used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from caffe2fx.engines import NAMES, engine
from caffe2fx.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from caffe2fx.engines import Session
    from caffe2fx.verdict.result.report import Report
    from fx2caffe.exporter.result import Export

NEIGHBOURS = 2  # rows that a failure shows on either side of the first divergence


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("caffe")
    group.addoption(
        "--caffe-engine",
        choices=NAMES,
        default=None,
        help="engine that runs Caffe nets (default: pycaffe if it is there, else torch)",
    )
    group.addoption(
        "--require-caffe",
        action="store_true",
        help="fail, rather than skip, what needs real Caffe where it is missing",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "pycaffe: asks real Caffe")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("pycaffe") is None:
        return
    missing = _missing("pycaffe")
    if missing is not None and item.config.getoption("--require-caffe"):
        pytest.fail(missing, pytrace=False)
    if missing is not None:
        pytest.skip(missing)


def _missing(name: str) -> str | None:
    try:
        engine(name)
    except EngineError as error:
        return str(error)
    return None


@pytest.fixture(scope="session")
def caffe_engine(request: pytest.FixtureRequest) -> str:
    """Return the name of the engine that runs Caffe nets."""
    asked: str | None = request.config.getoption("--caffe-engine")
    required: bool = request.config.getoption("--require-caffe")
    name = asked or ("pycaffe" if required or _missing("pycaffe") is None else "torch")
    missing = _missing(name)
    if missing is not None:
        (pytest.fail if required else pytest.skip)(missing)
    return name


@pytest.fixture
def assert_exports_to_caffe(caffe_engine: str) -> Callable[..., Export]:
    """Return a function that exports a model, runs it in Caffe and compares every feature map.

    `assert_exports_to_caffe(model, inputs, target="bvlc", engine=None, **export_options)` gives
    the Export; it raises AssertionError with the first divergence and the rows around it, or
    UnsupportedError.
    """

    def check(
        model: nn.Module,
        inputs: Any,
        *,
        target: str = "bvlc",
        engine: str | None = None,
        batch: int | None = None,
        **options: Any,
    ) -> Export:
        __tracebackhide__ = True
        from fx2caffe.exporter.exporter import export

        exported = export(model, inputs, target=target, **options)
        # Real Caffe does not have the layers of some targets.
        usual = caffe_engine if caffe_engine in exported.target.judges else "best"
        report = exported.verify(engine or usual, batch=batch)
        if not report.ok:
            raise AssertionError(failure(report))
        return exported

    return check


def failure(report: Report) -> str:
    """Return the summary of a report with the rows around its first fault, five at most."""
    first = report.first_divergence or report.first_unproven
    index = next((i for i, row in enumerate(report.rows) if row is first), 0)
    start = max(0, min(index - NEIGHBOURS, len(report.rows) - 2 * NEIGHBOURS - 1))
    excerpt = report.rows[start : start + 2 * NEIGHBOURS + 1]
    left = len(report.rows) - len(excerpt)
    more = [f"({left} more rows: report.save('report.html') has all)"] if left else []
    return "\n".join([report.summary(), *map(str, excerpt), *more])


class RunningNet:
    """Runs a Caffe net in an engine; call it with inputs to get its blobs by name."""

    def __init__(self, session: Session) -> None:
        shapes = session.net.shapes()
        self._session = session
        self._inputs = tuple(value.blob for value in session.net.inputs)
        self._ranks = tuple(len(shapes[value]) for value in session.net.inputs)

    def __call__(self, *inputs: Any) -> dict[str, Tensor]:
        """Run the net and return every blob by name, with its final content."""
        __tracebackhide__ = True
        from caffe2fx.module.graph_module import as_tensors

        values = as_tensors(inputs, self._inputs, self._ranks)
        self._session.reshape([tuple(value.shape) for value in values])
        results = self._session.run(values)
        return {
            value.blob: top
            for step, tops in results
            for value, top in zip(step.tops, tops, strict=True)
        }


@pytest.fixture
def caffe_net(caffe_engine: str) -> Any:
    """Yield a function: `caffe_net(prototxt, caffemodel)` loads a net and returns a RunningNet."""
    opened: list[Session] = []

    def load(prototxt: str | Path, caffemodel: str | Path) -> RunningNet:
        session = engine(caffe_engine).open(Path(prototxt), Path(caffemodel))
        opened.append(session.__enter__())
        return RunningNet(session)

    yield load
    for session in opened:
        session.__exit__(None, None, None)
