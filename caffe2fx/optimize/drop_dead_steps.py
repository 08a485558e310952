"""Drop the steps that no output depends on."""

from __future__ import annotations

from dataclasses import replace

from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, is_input
from caffe2fx.net.subnet import reachable_steps


def drop_dead_steps(net: Net) -> Net:
    """Return the net without steps that nothing reads, but for inputs and terms of the loss.

    before: conv -> Silence, conv -> fc (output)     after: conv -> fc (output)
    """
    return replace(net, steps=reachable_steps(net.steps, net.outputs, keep=_is_wanted))


def _is_wanted(step: Step) -> bool:
    return is_input(step) or any(step.loss_weights)
