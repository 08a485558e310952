"""A whole zoo: which jobs there are, which are done already, and the files about all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from math import inf
from pathlib import Path

from caffe2fx.engines import engine as engine_of
from caffe2fx.errors import CaffeError
from caffe2fx.weights.atomic import file_errors, replacing
from fx2caffe.targets import find_target
from fx2caffe.zoo import index
from fx2caffe.zoo.cluster import made_by
from fx2caffe.zoo.process_pool import Admit, made, three_quarters
from fx2caffe.zoo.result import FAILED, Job, Row, read


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
    executor: str | None = None,
    progress: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Export and verify each model in a process of its own; return one row per model, in order.

    `models` are names as `names` gives them: "torchvision:resnet18", "timm:resnet18", or
    "PACKAGE.MODULE:FACTORY" for a callable that returns an nn.Module, or one with its inputs.
    Models of torchvision and timm get random weights that keep their signal alive; nothing is
    downloaded, and their weight files are not kept.

    `output` receives a JSON file, a prototxt and a report as HTML per model, `manifest.json`, and
    `index.html`, a page with the table that links them. A row that is there already for the same
    job is taken, unless its verdict is in `again`. `batch` is a second batch to verify with, where
    the batch is free. At most `jobs` processes run at a time, and only so many as fit into `memory`
    (in GB, by default three quarters of the machine's); a model of its own size beyond that runs
    alone. Models with more than `largest` MB of weights are left out. `progress` is called for each
    row that was made. A job that is interrupted has no row.

    `executor` is the address of a dask.distributed scheduler, as "dask://HOST:PORT": its workers
    run the jobs, in place of this machine, and need fx2caffe, the models' packages and the engine.
    They run as many at a time as they have threads; `memory` is then the limit of each of them, by
    default its own.
    """
    if not models:
        raise CaffeError("zoo needs one model or more, got none")
    find_target(target), engine_of(engine)
    asked = [Job(name, target, engine, small, batch) for name in models]
    folder = Path(output)
    limit = inf if largest is None else largest * 1e6
    admit = Admit(three_quarters() if memory is None else memory, limit)
    with file_errors():
        folder.mkdir(parents=True, exist_ok=True)
        known = {job: row for job in asked for row in _known(job, folder, again)}
        todo = [job for job in dict.fromkeys(asked) if job not in known]
        if executor is None:
            making = made(todo, folder, jobs, admit)
        else:
            making = made_by(executor, todo, folder, memory, limit)
        with closing(making) as finished:
            for row in finished:
                known[row.job] = row
                progress(row)
        rows = [known[job] for job in asked if job in known]
        _save_manifest(rows, folder / "manifest.json")
        index.save(rows, folder / "index.html")
    return rows


def _known(job: Job, folder: Path, again: Collection[str]) -> list[Row]:
    """Return the row of an earlier run of the same job, unless its verdict is in `again`."""
    path = job.row_in(folder)
    if not path.exists():
        return []
    row = read(path)
    return [row] if row.job == job and row.verdict not in again else []


def _save_manifest(rows: Sequence[Row], path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n", "utf-8")
