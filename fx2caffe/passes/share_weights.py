"""Share weights: layers that use the same parameter of the model name it, so Caffe keeps one.

before: two Convolutions with the same weight     after: both with param { name: "conv/blob0" }
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from caffe2fx.messages.common import ParamSpec
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step
from fx2caffe.passes.pass_result import PassResult


class _Memory(NamedTuple):
    """Identifies the memory of a blob's elements."""

    address: int
    shape: Shape
    stride: Shape


def share_weights(net: Net, parameters: Collection[int]) -> PassResult:
    """Name each blob that several steps have in the same memory, so that they share it.

    Only memory of the model's own parameters counts (`parameters`: their addresses); a weight
    into which something different was folded for each layer is no longer shared.
    """
    users: dict[_Memory, list[tuple[int, int]]] = defaultdict(list)
    for index, step in enumerate(net.steps):
        for position, blob in enumerate(step.blobs):
            memory = _memory(blob)
            seen = [user for user, _ in users[memory]]
            if blob.numel() and memory.address in parameters and index not in seen:
                users[memory].append((index, position))
    names = {
        at: f"{net.steps[positions[0][0]].name}/blob{positions[0][1]}"
        for positions in users.values()
        if len(positions) > 1
        for at in positions
    }
    steps = tuple(_named(step, index, names) for index, step in enumerate(net.steps))
    return PassResult(replace(net, steps=steps))


def _memory(blob: Tensor) -> _Memory:
    return _Memory(blob.data_ptr(), tuple(blob.shape), tuple(blob.stride()))


def _named(step: Step, index: int, names: dict[tuple[int, int], str]) -> Step:
    given = [names.get((index, position), "") for position in range(len(step.blobs))]
    while given and not given[-1]:
        given.pop()
    return replace(step, params=tuple(ParamSpec(name=name) for name in given)) if given else step
