"""Runs models of libraries, each in a fork that has the library imported already."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from fx2caffe.exporter.exporter import export
from fx2caffe.zoo.result import FAILED, Job, Row, read
from fx2caffe.zoo.worker import run
from tests.library.models import LIBRARIES, SOURCE, package

SECONDS, BYTES = 240, 8 << 30  # of a model, which is small


def _job(library: str, name: str, engine: str = "pycaffe") -> Job:
    return Job(f"{SOURCE}:{library}.{name}", engine=engine, batch=3)


def saved(library: str, names: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Return the names of the models that have a row in the folder."""
    return tuple(name for name in names if _job(library, name).row_in(folder).exists())


def rows(library: str, names: Sequence[str], folder: Path, engine: str) -> Iterator[Row]:
    """Yield the row of each model; one that a run before has made is taken from the folder."""
    jobs = [_job(library, name, engine) for name in names]
    if not all(job.row_in(folder).exists() for job in jobs):
        _import_all(engine)
        with suppress(ImportError):  # the models say what is missing
            package("transformers" if library.startswith("transformers") else library)
    for job in jobs:
        if not job.row_in(folder).exists():
            _run_alone(job, folder)
        yield read(job.row_in(folder))


@cache
def _import_all(engine: str) -> None:
    """Import what a first export and a first verdict import, once for all forks."""
    inputs = (torch.randn(1, 2),)
    with TemporaryDirectory() as folder:
        exported = export(nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval(), inputs)
        exported.verify(engine).save(Path(folder) / "report.html")


def names(only: Sequence[str], limit: int | None) -> dict[str, tuple[str, ...]]:
    """Return the names of the models by library, of each library the first `limit`."""
    chosen = only or tuple(LIBRARIES)
    return {library: LIBRARIES[library].names[:limit] for library in chosen}


def _run_alone(job: Job, folder: Path) -> None:
    """Write the row of a model that a child process exports and verifies."""
    child = os.fork()
    if not child:
        signal.alarm(SECONDS)
        resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
        row = run(job, folder, lambda parameters: True)
        assert row is not None  # every model is admitted
        row.save(job.row_in(folder))
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not job.row_in(folder).exists():
        reason = f"its process ended with status {status}: of {SECONDS} s and {BYTES >> 30} GB"
        Row(job, FAILED, (reason,)).save(job.row_in(folder))
    for weights in folder.glob(f"{job.stem}.*"):
        if weights.suffix in (".caffemodel", ".h5"):
            weights.unlink()
