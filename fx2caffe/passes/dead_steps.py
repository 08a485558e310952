"""Drop steps that no output depends on; inputs stay, since the model has them."""

from __future__ import annotations

from dataclasses import replace

from caffe2fx.net.net import Net
from caffe2fx.net.step import is_input
from caffe2fx.net.subnet import reachable_steps


def drop_dead_steps(net: Net) -> Net:
    """Return the net with all its inputs and only the steps that its outputs depend on."""
    return replace(net, steps=reachable_steps(net.steps, net.outputs, keep=is_input))
