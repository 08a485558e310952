"""Drop steps that no output depends on; inputs stay, since the model has them."""

from __future__ import annotations

from dataclasses import replace

from caffe2fx.net.net import Net
from caffe2fx.net.step import is_input


def prune(net: Net) -> Net:
    """The steps that the outputs need, and all inputs."""
    alive = set(net.outputs)
    kept = []
    for step in reversed(net.steps):
        if is_input(step) or alive.intersection(step.tops):
            kept.append(step)
            alive.update(step.reads)
    return replace(net, steps=tuple(reversed(kept)))
