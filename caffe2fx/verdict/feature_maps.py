"""The older tool's log of feature maps: one line per layer as they come, and a table at the end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from torch import Tensor

from caffe2fx.net.step import Step, Value
from caffe2fx.verdict.maps.similarity import Similarity

log = logging.getLogger("caffe2fx")


def log_line(step: Step, value: Value, caffe: Tensor, pytorch: Tensor, found: Similarity) -> None:
    """Log one map in the older tool's form, whose readers may be scripts."""
    name = step.name if len(step.tops) == 1 else f"{step.name}:{value.blob}"
    log.info(
        "relu_sim:%s sim:%s l2_dist:%s (%d,) (%d,) %s",
        found.relu_cosine,
        found.cosine,
        found.l2,
        caffe.numel(),
        pytorch.numel(),
        name,
    )


class _Lines(logging.Formatter):
    """Formats lines that start as glog's do: level, date, time, process, file and line."""

    def __init__(self) -> None:
        source = "%(process)d %(filename)s:%(lineno)d"
        super().__init__(f"%(levelname).1s%(asctime)s {source}] %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Return month, day and time to the microsecond."""
        return datetime.fromtimestamp(record.created).strftime("%m%d %H:%M:%S.%f")


@contextmanager
def shown() -> Iterator[None]:
    """Log to stderr within this block, unless the caller has configured logging."""
    if log.hasHandlers():
        yield
        return
    handler, level = logging.StreamHandler(), log.level
    handler.setFormatter(_Lines())
    log.addHandler(handler)
    log.setLevel(logging.INFO if level == logging.NOTSET else level)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
