"""Worker processes within a memory budget: a model that crashes takes no other along."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Lock
from typing import Any

from caffe2fx.errors import CaffeError
from fx2caffe.zoo.result import FAILED, Job, Row, read

GIGABYTE = 1 << 30
# Memory of a job: Python with torch and Caffe, and the bytes that export and verdict hold for each
# byte of weights (the model, its net, both in float64, the file, Caffe's own).
OWN, FOR_EACH_BYTE = GIGABYTE, 12


def three_quarters() -> float:
    """Return three quarters of the machine's memory in GB; 8 if it is unknown."""
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 8.0
    return pages * size * 0.75 / GIGABYTE


class Admit:
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


def made(todo: Sequence[Job], folder: Path, jobs: int, admit: Admit) -> Generator[Row, None, None]:
    """Yield the rows of the jobs as they finish; a model that is too large has none."""
    if jobs < 1:
        raise CaffeError(f"jobs needs to be 1 or more, got {jobs}")
    with ThreadPoolExecutor(jobs) as threads, Idle(jobs, jobs) as idle:
        futures = [threads.submit(work, job, folder, idle, admit) for job in todo]
        try:
            for future in as_completed(futures):
                row = future.result()
                if row is not None:
                    yield row
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def work(job: Job, folder: Path, idle: Idle, admit: Admit) -> Row | None:
    """Run a job in a worker; return its row.

    It is None for a model that was not admitted, and for a job that was interrupted.
    """
    path = job.row_in(folder)
    for old in (path, *(folder / name for name in job.reports)):
        old.unlink(missing_ok=True)
    request = {"job": job.__dict__, "path": str(path.resolve()), "memory": admit.total}
    with idle.worker() as worker:
        status = worker.do(request, admit)
        if status is None:
            return None
        if path.exists():
            return read(path)
        return None if worker.ended else _dead(job, path, status, worker.last_words())


class Idle:
    """Holds the idle workers; all are ended when the block is left.

    The machine runs `at_once` of them at a time, which share its cores.
    """

    def __init__(self, count: int, at_once: int) -> None:
        threads = max(1, (os.cpu_count() or 1) // at_once)
        self.all = [_Worker(threads) for _ in range(count)]
        self.waiting: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self.all:
            self.waiting.put(worker)

    def __enter__(self) -> Idle:
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
        self.ended = False  # by `end`, whatever it was doing
        self.starting = Lock()

    def do(self, request: Mapping[str, Any], admit: Admit) -> int | None:
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
        """Kill the process and all that it has started; it starts none from now on."""
        with self.starting:
            self.ended, process = True, self.process
        if process is not None:
            if hasattr(os, "killpg"):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.communicate()
        self.errors.close()

    def _started(self) -> subprocess.Popen[str]:
        """Return the process, a new one if there is none. Raises CaffeError after `end`."""
        with self.starting:
            if self.ended:
                raise CaffeError("this zoo was interrupted")
            if self.process is None or self.process.poll() is not None:
                self.process = self._new()
            return self.process

    def _new(self) -> subprocess.Popen[str]:
        """Start a process, which gets this process's module search path."""
        environment = {"OMP_NUM_THREADS": str(self.threads), **os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
        return subprocess.Popen(
            [sys.executable, "-m", "fx2caffe.zoo.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=environment,
            text=True,
            start_new_session=True,  # so that the whole group can be killed
        )


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
