"""Exports one after the other, and what the process holds after each share of them."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from tests.threads.work import MODELS, all_in_one


class Held(NamedTuple):
    """What a process holds: resident bytes, objects of Python, open files, threads."""

    resident: int
    objects: int
    files: int
    threads: int


def held() -> Held:
    """Return what this process holds now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    objects, files = len(gc.get_objects()), len(os.listdir("/proc/self/fd"))
    return Held(pages * os.sysconf("SC_PAGE_SIZE"), objects, files, threading.active_count())


def soak(count: int, shares: int, run: Callable[[int], object]) -> list[Held]:
    """Run so often; return what is held after each share, the first as a warm-up."""
    found = []
    for index in range(count):
        run(index)
        if (index + 1) * shares // count > index * shares // count:
            found.append(held())
    return found


def export_one(index: int) -> None:
    """Do everything with one small model, each of another size than those before it."""
    names = list(MODELS)
    name = names[index % (len(names) + 1)] if index % (len(names) + 1) < len(names) else ""
    if name:
        all_in_one(name)
    else:
        _of_another_size(index)


def _of_another_size(index: int) -> None:
    """Export a model of a class, a function and a shape that no other export has."""
    import fx2caffe

    made = type(f"Model{index}", (nn.Sequential,), {})
    fx2caffe.export(made(nn.Conv2d(3, 4, 1), nn.ReLU()).eval(), torch.ones(1, 3, 4, 3 + index % 97))


class Growth(NamedTuple):
    """How much more a process may hold in the end: resident bytes, objects of Python."""

    resident: float
    objects: float


def grown(found: list[Held], most: Growth) -> list[str]:
    """Return what grew from the first share to the last by more than `most`."""
    first, last = found[0], found[-1]
    faults = []
    if last.resident - first.resident > most.resident:
        faults.append(f"resident memory grew by {last.resident - first.resident} bytes")
    if last.objects - first.objects > most.objects:
        faults.append(f"{last.objects - first.objects} objects more")
    if last.files > first.files or last.threads > first.threads:
        faults.append(f"files and threads: {first[2:]} before, {last[2:]} after")
    return faults
