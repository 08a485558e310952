"""torch without the settings of its user for the whole process or the running block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def on_cpu() -> Iterator[None]:
    """Make tensors on the CPU in this block, also under torch.set_default_device."""
    with torch.device("cpu"):
        yield


@contextmanager
def plain_torch() -> Iterator[None]:
    """Make tensors on the CPU in this block and cast nothing, also under torch.autocast."""
    with torch.device("cpu"), torch.autocast("cpu", enabled=False):
        yield
