"""torch without what its user has chosen for the whole process or the running block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def on_cpu() -> Iterator[None]:
    """Tensors are made on the CPU, also under torch.set_default_device."""
    with torch.device("cpu"):
        yield


@contextmanager
def plain_torch() -> Iterator[None]:
    """Tensors are made on the CPU, and nothing is cast, also under torch.autocast."""
    with torch.device("cpu"), torch.autocast("cpu", enabled=False):
        yield
