"""Give each step weights of its own, where the file lets several share one blob."""

from __future__ import annotations

from dataclasses import replace

from caffe2fx.net.net import Net
from caffe2fx.net.step import Step


def unshare_weights(net: Net) -> Net:
    """Return the net without names of params; the steps still hold the same tensors.

    before: fc { param { name: "w" lr_mult: 2 } }     after: fc { param { lr_mult: 2 } }
    """
    return replace(net, steps=tuple(map(_unshared, net.steps)))


def _unshared(step: Step) -> Step:
    if not any(spec.name for spec in step.params):
        return step
    return replace(step, params=tuple(spec.replace(name="") for spec in step.params))
