"""The result of one model: a row of the zoo's table, and a JSON file in its folder."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from caffe2fx.errors import CaffeFormatError
from caffe2fx.files import foreign_text
from caffe2fx.messages.message import Shape
from caffe2fx.verdict.result.report import Status
from caffe2fx.weights.atomic import replacing

EQUAL, DIFFERS, NOT_PROVEN = (
    status.value for status in (Status.EQUAL, Status.DIFFERS, Status.NOT_PROVEN)
)
REFUSED, FAILED = "refused", "failed"
VERDICTS = (EQUAL, DIFFERS, NOT_PROVEN, REFUSED, FAILED)


@dataclass(frozen=True)
class Job:
    """Holds a model and the question about it; `batch` is a second batch to verify, or 0."""

    name: str
    target: str = "bvlc"
    engine: str = "torch"
    small: bool = False
    batch: int = 0

    @property
    def stem(self) -> str:
        """Return the name of the job's files, without the suffix."""
        return re.sub(r"[^\w.-]", "-", self.name)

    def row_in(self, folder: Path) -> Path:
        """Return the path of the job's row."""
        return folder / f"{self.stem}.json"

    @property
    def reports(self) -> tuple[str, ...]:
        """Return the names of its reports: of the example's batch, then of the second one."""
        second = (f"{self.stem}.batch-{self.batch}.html",) if self.batch else ()
        return f"{self.stem}.html", *second


@dataclass(frozen=True)
class Row:
    """Holds the result of a job.

    `verdict` is `equal` (every feature map is), `differs`, `not proven` (none differs, but no
    input that was tried moves some), `refused` (it cannot be exported exactly) or `failed` (it
    did not run); `reasons` states why it is not `equal`. `error` is the worst of all errors as a
    share of its limit, `bytes` the sizes of prototxt and caffemodel, and `batch_faults` states why
    the batch is fixed, where it is. `reports` are the names of its reports, in the row's folder;
    one that failed has none.
    """

    job: Job
    verdict: str
    reasons: tuple[str, ...] = ()
    inputs: tuple[Shape, ...] = ()
    layers: int = 0
    maps: int = 0
    error: float = 0.0
    export_seconds: float = 0.0
    verify_seconds: float = 0.0
    bytes: tuple[int, int] = (0, 0)
    batch_faults: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Write the row as JSON, atomically."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")

    def as_json(self) -> dict[str, Any]:
        """Return the fields; NaN and Infinity become text, since JSON has neither."""
        values = asdict(self)
        error = values["error"]
        return {**values, "error": error if isfinite(error) else str(error)}


def read(path: Path) -> Row:
    """Return the row of a JSON file. Raises CaffeFormatError for any other file."""
    try:
        values = foreign_text.json_object(foreign_text.utf8(path), path)
        values["job"] = Job(**values["job"])
        values["error"] = float(values["error"])
        for name in ("reasons", "bytes", "batch_faults", "reports"):
            values[name] = tuple(values[name])
        values["inputs"] = tuple(map(tuple, values["inputs"]))
        return Row(**values)
    except (ValueError, KeyError, TypeError) as error:
        raise CaffeFormatError(f"{path} needs to be a row of a zoo: {error}") from error
