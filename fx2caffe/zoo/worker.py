"""The worker process that runs the jobs of a zoo: `python -m fx2caffe.zoo.worker`.

It reads jobs and runs each in a fork of itself, which has torch imported already and may crash
alone. For a job it makes the model, answers `bytes` with the size of its parameters, waits for
`go`, writes the row, and answers `ended` with the exit status. Where a process cannot be forked, it
runs one job itself and ends.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from torch import nn

from caffe2fx.errors import CaffeError
from caffe2fx.module.save import weights_suffix
from caffe2fx.verdict.reference.calibrate import calibrate
from caffe2fx.verdict.result.report import Report, Status
from fx2caffe.errors import UnsupportedError
from fx2caffe.exporter.exporter import export
from fx2caffe.exporter.result import Export
from fx2caffe.tracing.model.pytree import flatten
from fx2caffe.zoo.models import make
from fx2caffe.zoo.result import FAILED, REFUSED, Job, Row

T = TypeVar("T")
Admit = Callable[[int], bool]


def main() -> None:
    """Run the jobs of standard input; standard output carries the answers only."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a model's output is not an answer

    def answer(text: str) -> None:
        print(text, file=answers, flush=True)

    for line in iter(sys.stdin.readline, ""):
        if not line.startswith("{"):
            continue  # an answer to a job that died before reading it
        child = os.fork() if hasattr(os, "fork") else 0
        if not child:
            _do(json.loads(line), answer)
            return
        _, status = os.waitpid(child, 0)
        answer(f"ended {os.waitstatus_to_exitcode(status)}")


def _do(request: dict[str, Any], answer: Callable[[str], None]) -> None:
    def admitted(parameters: int) -> bool:
        answer(f"bytes {parameters}")
        return sys.stdin.readline().strip() == "go"

    _limit_memory(request["memory"])
    path = Path(request["path"])
    row = run(Job(**request["job"]), path.parent, admitted)
    if row is not None:
        row.save(path)


def _limit_memory(limit: int) -> None:
    """Limit this process's memory, and make it the first that the system kills."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def run(job: Job, folder: Path, admitted: Admit) -> Row | None:
    """Export and verify a model; errors are in the row. Returns None for a model not admitted."""
    row = Row(job, FAILED)
    try:
        made = make(job.name, job.small)
        if not admitted(parameter_bytes(made.model)):
            return None
        if not made.own_weights:
            calibrate(made.model, made.repeated())
        shapes = tuple(tuple(value.shape) for value in flatten(made.inputs).tensors)
        row = replace(row, inputs=shapes)
        exported, seconds = _timed(lambda: export(made.model, made.inputs, target=job.target))
        row = replace(row, export_seconds=seconds, **_described(exported))
        row = replace(row, bytes=_saved(exported, folder / job.stem, made.own_weights))
        return _verified(row, exported, folder)
    except UnsupportedError as error:
        return _refused(row, error, folder)
    except CaffeError as error:
        return replace(row, reasons=(str(error),))
    except Exception as error:
        return replace(row, reasons=(f"{type(error).__name__}: {error}",))


def parameter_bytes(model: nn.Module) -> int:
    """Return the bytes of a model's parameters and buffers."""
    return sum(value.nbytes for value in chain(model.parameters(), model.buffers()))


def _described(exported: Export) -> dict[str, Any]:
    return {"layers": len(exported.net.steps), "batch_faults": exported.batch_faults}


def _saved(exported: Export, stem: Path, keep: bool) -> tuple[int, int]:
    """Save both files and return their sizes; random weights are deleted again."""
    suffixes = ".prototxt", weights_suffix(exported.net)
    files = [stem.with_name(f"{stem.name}{suffix}") for suffix in suffixes]
    exported.save(*files)
    sizes = files[0].stat().st_size, files[1].stat().st_size
    if not keep:
        files[1].unlink()
    return sizes


def _refused(row: Row, error: UnsupportedError, folder: Path) -> Row:
    name = row.job.reports[0]
    error.save(folder / name)
    reasons = tuple(map(str, error.refusals))
    return replace(row, verdict=REFUSED, reasons=reasons, reports=(name,))


def _verified(row: Row, exported: Export, folder: Path) -> Row:
    reports, seconds = _timed(lambda: list(_reports(row.job, exported)))
    rows = [row for report in reports for row in report.rows]
    faults = [report.summary() for report in reports if not report.ok]
    names = row.job.reports[: len(reports)]
    for report, name in zip(reports, names, strict=True):
        report.save(folder / name)
    return replace(
        row,
        verdict=_worst(report.status for report in reports).value,
        reasons=tuple(faults),
        maps=len(reports[0].rows),
        error=max((row.share for row in rows), default=0.0),
        verify_seconds=seconds,
        reports=names,
    )


def _worst(found: Iterable[Status]) -> Status:
    order = (Status.DIFFERS, Status.NOT_PROVEN, Status.EQUAL)
    return min(found, key=order.index)


def _reports(job: Job, exported: Export) -> list[Report]:
    batches = [None, job.batch] if job.batch and not exported.batch_is_fixed else [None]
    return [exported.verify(job.engine, batch=batch) for batch in batches]


def _timed(run: Callable[[], T]) -> tuple[T, float]:
    started = perf_counter()
    return run(), perf_counter() - started


if __name__ == "__main__":
    main()
