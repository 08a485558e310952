"""Real Caffe for tables: thousands of nets, and a start of Caffe takes longer than most of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe2fx.engines.pycaffe import PycaffeEngine, PycaffeSession, Worker
from caffe2fx.module.loader import describe


class KeptCaffe(PycaffeEngine):
    """Runs real Caffe for many nets one after the other; a child starts where one has died."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def open(self, prototxt: Path, caffemodel: Path, **options: Any) -> PycaffeSession:
        """Load two files into the child that is there."""
        if self._worker is None or not self._worker.alive:
            self.close()
            self._worker = Worker()
        return _Kept(self._worker, describe(prototxt, None, **options), prototxt, caffemodel)

    def close(self) -> None:
        """End the child."""
        if self._worker is not None:
            self._worker.close()
        self._worker = None


class _Kept(PycaffeSession):
    def close(self) -> None:
        """Leave the child to the next net."""
