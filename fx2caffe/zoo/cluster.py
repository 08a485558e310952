"""Jobs of a zoo on the workers of an existing dask.distributed cluster.

A worker of the cluster runs a job as this machine would, in a process of its own and a folder of
its own, and sends the files back: the two need no file system in common.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from caffe2fx.errors import CaffeError
from caffe2fx.weights.atomic import replacing
from fx2caffe.zoo.process_pool import GIGABYTE, Admit, Idle, three_quarters, work
from fx2caffe.zoo.result import FAILED, Job, Row, read

SECONDS = 30  # within which a scheduler has to answer
_ADDRESS = re.compile(r"(?:(?P<scheme>dask|tcp|tls|wss?|ucxx?)://)?(?P<place>[^\s/]+:\d+)")


def made_by(
    executor: str, todo: Sequence[Job], folder: Path, memory: float | None, largest: float
) -> Generator[Row, None, None]:
    """Yield the rows of the jobs as the cluster finishes them; their files are in `folder`.

    `executor` is the scheduler's address, `memory` the GB of each worker of the cluster, by default
    its own limit, and `largest` the bytes of weights above which a model is left out.
    """
    distributed = _package()
    client = _connected(distributed, _address(executor))
    try:
        futures = {
            client.submit(_done, job.__dict__, memory, largest, pure=False): job for job in todo
        }
        try:
            for future in distributed.as_completed(futures, loop=client.loop):
                row = _received(future, futures[future], folder)
                future.release()  # the files are here, and need no space there any more
                if row is not None:
                    yield row
        finally:
            client.cancel(list(futures), force=True)
    finally:
        client.close()


def _package() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise CaffeError(
            "--executor needs the package distributed: pip install 'fx2caffe[dask]'"
        ) from error
    return distributed


def _address(executor: str) -> str:
    """Return the address by which dask knows a scheduler."""
    found = _ADDRESS.fullmatch(executor)
    if found is None:
        raise CaffeError(
            f"--executor needs the address of a scheduler, as dask://HOST:PORT, got {executor!r}"
        )
    scheme = found["scheme"]
    return f"{scheme if scheme not in (None, 'dask') else 'tcp'}://{found['place']}"


def _connected(distributed: Any, address: str) -> Any:
    try:
        return distributed.Client(address, timeout=SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise CaffeError(
            f"--executor needs a scheduler that answers at {address}, got {error}"
        ) from error


def _received(future: Any, job: Job, folder: Path) -> Row | None:
    """Write the files of a job and return its row; None for a model that was left out."""
    error = future.exception()
    path = job.row_in(folder)
    if error is not None:
        reason = f"its worker of the cluster gave {type(error).__name__}: {error}"
        row = Row(job, FAILED, (reason,))
        row.save(path)
        return row
    files: dict[str, bytes] | None = future.result()
    if files is None:
        return None
    for name in sorted(files, key=path.name.__eq__):  # the row last
        with replacing(folder / name) as temporary:
            temporary.write_bytes(files[name])
    return read(path)


def _done(job: dict[str, Any], memory: float | None, largest: float) -> dict[str, bytes] | None:
    """Run a job on a worker of the cluster; return the names and contents of its files."""
    import distributed

    worker = distributed.get_worker()
    admit = _shared(_limit(worker) if memory is None else memory, largest)
    with TemporaryDirectory() as name, Idle(1, at_once=worker.state.nthreads) as idle:
        folder = Path(name)
        if work(Job(**job), folder, idle, admit) is None:
            return None
        return {path.name: path.read_bytes() for path in folder.iterdir()}


@lru_cache
def _shared(memory: float, largest: float) -> Admit:
    """Return the memory budget that the jobs of one worker of the cluster share."""
    return Admit(memory, largest)


def _limit(worker: Any) -> float:
    """Return the GB that a worker of the cluster may use."""
    limit = worker.memory_manager.memory_limit
    return limit / GIGABYTE if limit else three_quarters()
