"""torch without the settings of its user for the whole process or the running block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from caffe2fx import compat


@contextmanager
def on_cpu() -> Iterator[None]:
    """Make tensors on the CPU in this block, also under torch.set_default_device."""
    with _cpu_device():
        yield


@contextmanager
def plain_torch() -> Iterator[None]:
    """Make tensors on the CPU in this block and cast nothing, also under torch.autocast."""
    with _cpu_device(), torch.autocast("cpu", enabled=False):
        yield


def _cpu_device() -> AbstractContextManager[object]:
    # Such a block costs a Python call for each function and attribute of torch's in it.
    made_on_cpu = torch.empty(0).device.type == "cpu"
    return nullcontext() if made_on_cpu else compat.cpu()
