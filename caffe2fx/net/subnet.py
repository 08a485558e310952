"""Subnets: the steps that compute given blobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from caffe2fx.errors import CaffeFormatError
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value


def ending_at(net: Net, outputs: Sequence[str]) -> Net:
    """Return the part of the net that computes the named blobs, with them as its outputs."""
    names = net.names()
    # With one writer "blob@layer" is the blob, and has no name of its own there.
    names = {f"{top.blob}@{s.name}": top for s in net.steps for top in s.tops} | names
    missing = [name for name in outputs if name not in names]
    if missing:
        raise CaffeFormatError(f"outputs need to be blobs of the net, got {missing}")
    wanted = tuple(names[name] for name in outputs)
    steps = reachable_steps(net.steps, wanted)
    kept = {top for step in steps for top in step.tops}
    later = {top._replace(version=top.version - 1) for s in net.steps for top in s.tops}
    overwritten = net.overwritten | {value for value in kept if value in later}
    return replace(net, steps=steps, outputs=wanted, overwritten=overwritten)


def reachable_steps(
    steps: Sequence[Step],
    wanted: Iterable[Value],
    keep: Callable[[Step], bool] = lambda step: False,
) -> tuple[Step, ...]:
    """Return in order the steps on which `wanted` depends, and those for which `keep` is true."""
    alive = set(wanted)
    kept = []
    for step in reversed(steps):
        if keep(step) or alive.intersection(step.tops):
            kept.append(step)
            alive.update(step.reads)
    return tuple(reversed(kept))
