"""Run layers in place, in their bottom's blob, where Caffe computes that correctly.

before: conv -> blob "conv", relu -> blob "relu"        after: both write blob "conv"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from caffe2fx.layers import DummyData, Input, Parameter
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from fx2caffe.ir.placeholder import Unsupported
from fx2caffe.passes.pass_result import PassResult

# These tops are filled once (or by the caller) and must survive the forward pass.
_SOURCES = (Input, DummyData, Parameter, Unsupported)


def run_in_place(
    net: Net, blobs: Mapping[Value, str] | None = None, *, by_layer: bool = False
) -> PassResult:
    """Return the net with the tops of in-place layers as new versions of their bottoms.

    A blob named in `blobs` is not overwritten by a value of another name or none. `by_layer`: each
    output keeps a blob of its own, which has the name of its layer.
    """
    named, kept = blobs or {}, set(net.outputs) if by_layer else set()
    uses, producers = net.uses(), net.producers()
    new: dict[Value, Value] = {}
    steps = []
    for step in net.steps:
        made = step.reading(new)
        # A folded layer holds the value of the last layer folded into it, under its own name.
        tops = (Value(step.name),) if len(step.tops) == 1 else step.tops
        allowed = kept.isdisjoint(step.tops) and _may_overwrite(step, uses, producers)
        if allowed and _keeps_names(step, named):
            tops = (made.bottoms[0]._replace(version=made.bottoms[0].version + 1),)
        new.update(zip(step.tops, tops, strict=True))
        steps.append(replace(made, tops=tops))
    outputs = tuple(new[value] for value in net.outputs)
    moved = {old: (value,) for old, value in new.items()}
    return PassResult(replace(net, steps=tuple(steps), outputs=outputs), moved)


def _may_overwrite(step: Step, uses: dict[Value, int], producers: dict[Value, Step]) -> bool:
    one_to_one = len(step.bottoms) == len(step.tops) == 1
    return one_to_one and step.layer.in_place and _is_private(step.bottoms[0], uses, producers)


def _keeps_names(step: Step, blobs: Mapping[Value, str]) -> bool:
    before = blobs.get(step.bottoms[0])
    return before is None or before == blobs.get(step.tops[0])


def _is_private(value: Value, uses: dict[Value, int], producers: dict[Value, Step]) -> bool:
    """Return whether no other step reads the memory that holds a value.

    The top of a Flatten or Reshape is its bottom's memory, and so are all copies that Caffe's
    own Split makes: a second reader of any of them would see the values that are written here.
    """
    producer = producers[value]
    if uses[value] != 1 or isinstance(producer.layer, _SOURCES):
        return False
    if not producer.shares_memory:
        return True
    return all(_is_private(bottom, uses, producers) for bottom in producer.bottoms)
