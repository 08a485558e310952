"""Worker processes within a memory budget: a model that crashes takes no other along."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from queue import SimpleQueue
from threading import Condition
from typing import Any

from caffe2fx.engines import engine as engine_of
from caffe2fx.errors import CaffeError
from caffe2fx.weights.atomic import file_errors, replacing
from fx2caffe.targets import find_target
from fx2caffe.zoo.result import FAILED, Job, Row, read

GIGABYTE = 1 << 30
# Memory of a job: Python with torch and Caffe, and what export and verdict hold for each byte of
# weights (the model, its net, both in float64, the file, Caffe's own).
OWN, FOR_EACH_BYTE = GIGABYTE, 12


def run(
    models: Sequence[str],
    *,
    output: str | Path,
    target: str = "bvlc",
    engine: str = "torch",
    small: bool = False,
    batch: int = 0,
    jobs: int = 1,
    memory: float | None = None,
    again: Collection[str] = (FAILED,),
    largest: float | None = None,
    progress: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Export and verify each model in a process of its own; return one row per model, in order.

    `models` are names as `names` gives them: "torchvision:resnet18", "timm:resnet18", or
    "PACKAGE.MODULE:FACTORY" for a callable that returns an nn.Module, or one with its inputs.
    Models of torchvision and timm get random weights that keep their signal alive; nothing is
    downloaded, and their weight files are not kept.

    `output` receives a JSON file and a prototxt per model, and `manifest.json`. A row that is
    there already for the same job is taken, unless its verdict is in `again`. `batch` is
    a second batch to verify with, where the batch is free. At most `jobs` processes run at a
    time, and only so many as fit into `memory` (in GB, by default three quarters of the
    machine's); a model of its own size beyond that runs alone. Models with more than `largest`
    MB of weights are left out. `progress` is called for each row that was made.
    """
    if not models:
        raise CaffeError("zoo needs one model or more, got none")
    find_target(target), engine_of(engine)
    asked = [Job(name, target, engine, small, batch) for name in models]
    folder = Path(output)
    admit = _Admit(
        _machine() if memory is None else memory, inf if largest is None else largest * 1e6
    )
    with file_errors():
        folder.mkdir(parents=True, exist_ok=True)
        known = {job: row for job in asked for row in _known(job, folder, again)}
        todo = [job for job in dict.fromkeys(asked) if job not in known]
        for row in _made(todo, folder, jobs, admit):
            known[row.job] = row
            progress(row)
        rows = [known[job] for job in asked if job in known]
        _save_manifest(rows, folder / "manifest.json")
    return rows


def _known(job: Job, folder: Path, again: Collection[str]) -> list[Row]:
    """Return the row of an earlier run of the same job, unless its verdict is in `again`."""
    path = _path(job, folder)
    if not path.exists():
        return []
    row = read(path)
    return [row] if row.job == job and row.verdict not in again else []


def _path(job: Job, folder: Path) -> Path:
    return folder / f"{job.stem}.json"


def _save_manifest(rows: Sequence[Row], path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n", "utf-8")


def _machine() -> float:
    """Return three quarters of the machine's memory in GB; 8 if it is unknown."""
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 8.0
    return pages * size * 0.75 / GIGABYTE


class _Admit:
    """Holds a memory budget that jobs claim from and return to; a larger claim gets all of it.

    Models with more than `largest` bytes of parameters are not admitted.
    """

    def __init__(self, gigabytes: float, largest: float) -> None:
        if not gigabytes > 0:
            raise CaffeError(f"memory needs a positive number of GB, got {gigabytes}")
        self.total = self.free = int(gigabytes * GIGABYTE)
        self.largest = largest
        self.changed = Condition()

    @contextmanager
    def claim(self, parameters: int) -> Iterator[bool]:
        """Wait until the memory that a model needs is free; yield whether it is admitted at all."""
        admitted = parameters <= self.largest
        size = min(OWN + FOR_EACH_BYTE * parameters, self.total) if admitted else 0
        with self.changed:
            self.changed.wait_for(lambda: self.free >= size)
            self.free -= size
        try:
            yield admitted
        finally:
            with self.changed:
                self.free += size
                self.changed.notify_all()


def _made(todo: Sequence[Job], folder: Path, jobs: int, admit: _Admit) -> Iterator[Row]:
    """Yield the rows of the jobs as they finish; a model that is too large has none."""
    if jobs < 1:
        raise CaffeError(f"jobs needs to be 1 or more, got {jobs}")
    with ThreadPoolExecutor(jobs) as threads, _Idle(jobs) as idle:
        futures = [threads.submit(_work, job, folder, idle, admit) for job in todo]
        try:
            for future in as_completed(futures):
                row = future.result()
                if row is not None:
                    yield row
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def _work(job: Job, folder: Path, idle: _Idle, admit: _Admit) -> Row | None:
    """Run a job in a worker; return its row, None for a model that was not admitted."""
    path = _path(job, folder)
    path.unlink(missing_ok=True)
    request = {"job": job.__dict__, "path": str(path.resolve()), "memory": admit.total}
    with idle.worker() as worker:
        status = worker.do(request, admit)
        if status is None:
            return None
        return read(path) if path.exists() else _dead(job, path, status, worker.last_words())


class _Idle:
    """Holds the idle workers; all are ended when the block is left."""

    def __init__(self, jobs: int) -> None:
        self.all = [_Worker(max(1, (os.cpu_count() or 1) // jobs)) for _ in range(jobs)]
        self.waiting: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self.all:
            self.waiting.put(worker)

    def __enter__(self) -> _Idle:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.all:
            worker.end()

    @contextmanager
    def worker(self) -> Iterator[_Worker]:
        """Yield a worker for the time of one job."""
        worker = self.waiting.get()
        try:
            yield worker
        finally:
            self.waiting.put(worker)


class _Worker:
    """Runs a worker process, started when its first job comes."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.process: subprocess.Popen[str] | None = None
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self.before = 0  # size of its stderr before the last job

    def do(self, request: Mapping[str, Any], admit: _Admit) -> int | None:
        """Run one job once it is admitted; return its exit status, negative for a signal.

        Returns None if the model was not admitted.
        """
        self.before = os.fstat(self.errors.fileno()).st_size
        process, admitted = self._started(), True
        with suppress(BrokenPipeError):
            line = _asked(process, json.dumps(request))
            if line.startswith("bytes"):
                with admit.claim(int(line.split()[1])) as admitted:
                    line = _asked(process, "go" if admitted else "leave it out")
            if line.startswith("ended"):
                return int(line.split()[1]) if admitted else None
        status = process.wait()  # it crashed, or runs one job only
        return status if admitted else None

    def last_words(self) -> str:
        """Return the last line that the job wrote to standard error."""
        self.errors.seek(self.before)
        lines = self.errors.read().decode(errors="replace").split("\n")
        return next(
            (line.strip() for line in reversed(lines) if line.strip()), "it printed nothing"
        )

    def end(self) -> None:
        """Kill the process and all that it has started."""
        process = self.process
        if process is not None:
            if hasattr(os, "killpg"):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.communicate()
        self.errors.close()

    def _started(self) -> subprocess.Popen[str]:
        """Return the process; a new one gets this process's module search path."""
        if self.process is None or self.process.poll() is not None:
            environment = {"OMP_NUM_THREADS": str(self.threads), **os.environ}
            environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fx2caffe.zoo.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                env=environment,
                text=True,
                start_new_session=True,  # so that the whole group can be killed
            )
        return self.process


def _asked(process: subprocess.Popen[str], line: str) -> str:
    """Send a line to a worker and return its answer; empty if the worker has ended."""
    assert process.stdin is not None and process.stdout is not None
    print(line, file=process.stdin, flush=True)
    return process.stdout.readline()


def _dead(job: Job, path: Path, status: int, last_words: str) -> Row:
    """Write and return the row of a process that ended without one."""
    ended = f"status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
    row = Row(job, FAILED, (f"its process ended with {ended}: {last_words}",))
    row.save(path)
    return row
