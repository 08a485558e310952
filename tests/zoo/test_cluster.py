"""A zoo on a dask.distributed cluster, which runs in this process and on the loopback alone."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from caffe2fx.errors import CaffeError
from fx2caffe import zoo
from fx2caffe.cli import main
from fx2caffe.zoo.cluster import _address
from fx2caffe.zoo.process_pool import GIGABYTE, Admit
from tests.zoo.test_zoo import folder, mine

__all__ = ["folder"]  # a fixture


@pytest.fixture
def cluster(folder: Path) -> Iterator[Any]:
    """Yield a cluster of one worker with two threads, started where the user's models are."""
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=None,
    ) as made:
        yield made


def test_the_cluster_runs_the_jobs(cluster: Any, folder: Path) -> None:
    address = cluster.scheduler_address.replace("tcp://", "dask://")
    rows = zoo.run(mine("plain", "crashing"), output="out", executor=address)
    assert [row.verdict for row in rows] == ["equal", "failed"]
    assert rows[1].reasons[0].startswith("its process ended with signal SIGKILL")
    assert {path.name for path in Path("out").iterdir()} == {
        *(f"my_zoo-plain.{end}" for end in ("json", "html", "prototxt", "caffemodel")),
        *("my_zoo-crashing.json", "manifest.json", "index.html"),
    }
    again = zoo.run(mine("plain"), output="out", executor=address)
    assert again == rows[:1] and Path("made.txt").read_text() == "plain\n"


def test_a_job_that_the_cluster_cannot_run_has_failed(
    cluster: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*asked: object) -> None:
        raise MemoryError("none left")

    monkeypatch.setattr("fx2caffe.zoo.cluster.work", lost)
    (row,) = zoo.run(mine("plain"), output="out", executor=cluster.scheduler_address)
    assert row.verdict == "failed"
    assert row.reasons == ("its worker of the cluster gave MemoryError: none left",)


def test_models_that_are_too_large_and_jobs_that_are_interrupted_have_no_row(
    cluster: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def quick(job: zoo.Job, place: Path, idle: object, admit: Admit) -> zoo.Row | None:
        if job.name == "my_zoo:greedy":
            assert (admit.total, admit.largest) == (2 * GIGABYTE, 5e6)
            return None
        if job.name == "my_zoo:sleeping":
            over.wait(60)
        row = zoo.Row(job, "refused")
        row.save(job.row_in(place))
        return row

    def interrupt(row: zoo.Row) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fx2caffe.zoo.cluster.work", quick)
    names = mine("sleeping", "greedy", "plain", "refused")
    asked: dict[str, Any] = {"output": "out", "memory": 2, "largest": 5}
    asked["executor"] = cluster.scheduler_address
    with pytest.raises(KeyboardInterrupt):
        zoo.run(names, progress=interrupt, **asked)
    over.set()
    (left,) = (path.name for path in Path("out").iterdir())
    assert left in ("my_zoo-plain.json", "my_zoo-refused.json")
    rows = zoo.run(names, **asked)
    assert [row.job.name for row in rows] == mine("sleeping", "plain", "refused")


def test_the_package_may_be_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    options = ["-o", "out", "--engine", "torch", "--executor", "dask://127.0.0.1:1"]
    assert main(["zoo", "--source", *mine("plain"), *options]) == 1
    assert "pip install 'fx2caffe[dask]'" in capsys.readouterr().err
    assert not Path("out/my_zoo-plain.json").exists()


def test_a_scheduler_that_does_not_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="distributed is not installed")
    monkeypatch.setattr("fx2caffe.zoo.cluster.SECONDS", 0.2)
    with pytest.raises(CaffeError, match="a scheduler that answers at tcp:"):
        zoo.run(mine("plain"), output="out", executor="dask://127.0.0.1:1")


@pytest.mark.parametrize(
    ("executor", "address"),
    [
        ("dask://host:8786", "tcp://host:8786"),
        ("host:8786", "tcp://host:8786"),
        ("tls://[::1]:8786", "tls://[::1]:8786"),
        ("ws://host:80", "ws://host:80"),
    ],
)
def test_addresses(executor: str, address: str) -> None:
    assert _address(executor) == address


@pytest.mark.parametrize("executor", ["", "dask", "dask://host", "ray://host:1", "a b:1"])
def test_other_executors_are_refused(executor: str) -> None:
    with pytest.raises(CaffeError, match="needs the address of a scheduler, as dask://HOST:PORT"):
        _address(executor)
