"""Measure the memory that a stage takes at its peak, in units of the model's weights."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable
from pathlib import Path
from statistics import median

from torch import nn

import fx2caffe
from benchmarks.rows import Row, model_of, saved
from benchmarks.turns import ROUNDS, Ratio


def export(name: str, _: Path) -> Ratio:
    model, x = model_of(name)
    return peaks(lambda: fx2caffe.export(model, x), model)


def save(name: str, folder: Path) -> Ratio:
    made = saved(name, folder)
    return peaks(lambda: made.net.save(*made.files), made.model)


def verify(name: str, folder: Path) -> Ratio:
    made = saved(name, folder)
    return peaks(made.net.verify, made.model)


def peaks(body: Callable[[], object], model: nn.Module) -> Ratio:
    """Run the body ROUNDS times after a first run; return its peaks above what was held before."""
    body()
    held = sum(value.nbytes for value in model.parameters())
    found = [peak(body) for _ in range(ROUNDS)]
    return Ratio([bytes_ / held for bytes_ in found], median(found) / 1e6, "MB")


def peak(body: Callable[[], object]) -> int:
    """Return the resident bytes that a body adds at most (Linux)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the high water mark starts anew
    before = _resident("VmRSS")
    body()
    return _resident("VmHWM") - before


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


WEIGHTS = "the model's weights"
NETS = ("resnet50", "vgg16_bn", "vit_b_16")
ROWS = (
    tuple(
        Row(f"memory of {stage.__name__}", net, WEIGHTS, stage)
        for stage in (export, save, verify)
        for net in NETS
    )
    if os.path.exists("/proc/self/clear_refs")
    else ()
)
