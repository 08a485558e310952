"""Targets: the layers and limits of programs that read Caffe nets, as data."""

from __future__ import annotations

from caffe2fx.errors import CaffeError
from fx2caffe.targets import limits
from fx2caffe.targets.catalogue import (
    ASCEND,
    BVLC,
    BVLC_MASTER,
    NNIE,
    OPENCV,
    PORTABLE,
    RKNN,
    SOPHGO,
    SSD,
    TARGETS,
)
from fx2caffe.targets.command import Command
from fx2caffe.targets.limit import EVERY, Limit
from fx2caffe.targets.target import Target


def find_target(name: str | Target) -> Target:
    """Return the target of that name, a Target unchanged. Raises CaffeError for an unknown name."""
    if isinstance(name, Target):
        return name
    if name not in TARGETS:
        raise CaffeError(f"target needs to be one of {', '.join(TARGETS)}, got {name!r}")
    return TARGETS[name]


__all__ = [
    "ASCEND",
    "BVLC",
    "BVLC_MASTER",
    "EVERY",
    "NNIE",
    "OPENCV",
    "PORTABLE",
    "RKNN",
    "SOPHGO",
    "SSD",
    "TARGETS",
    "Command",
    "Limit",
    "Target",
    "find_target",
    "limits",
]
