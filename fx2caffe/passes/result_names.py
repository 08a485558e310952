"""Name results: what holds a traced node's result has the node's name, not that of an inner layer.

before: Reduction "l1/total" -> Power "l1/mean", the result of node "l1"
after:  Reduction "l1/total" -> Power "l1", and both write blob "l1" where the Power runs in place
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from caffe2fx.net.net import Net
from caffe2fx.net.step import Value
from caffe2fx.net.unique_names import unique_name
from fx2caffe.passes.names import renamed_blobs, with_blobs
from fx2caffe.passes.pass_result import PassResult, renamed_values


def name_results(net: Net, results: Mapping[Value, str]) -> PassResult:
    """Rename each blob that is a result, and its layer if it has that top alone.

    `results` are the names of the nodes by the values of their results. A name that another layer
    has gets a suffix.
    """
    taken = {name for step in net.steps for name in (step.name, *(t.blob for t in step.tops))}
    blobs: dict[str, str] = {}
    steps = []
    for step in net.steps:
        layer = step.name
        for top in step.tops:
            name = results.get(top, "")
            if _is_inner(top.blob, name):
                blobs[top.blob] = unique_name(name, taken)
                if len(step.tops) == 1 and _is_inner(step.name, name):
                    layer = blobs[top.blob]
        steps.append(replace(step, name=layer))
    return _renamed(replace(net, steps=tuple(steps)), net, blobs)


def name_overwritten(net: Net, results: Mapping[Value, str]) -> PassResult:
    """Rename each blob of an inner layer that the layer of a result overwrites in place."""
    taken = {top.blob for step in net.steps for top in step.tops}
    blobs: dict[str, str] = {}
    for step in net.steps:
        for top in step.tops[:1]:
            name = results.get(top, "")
            inner = _is_inner(top.blob, name) and not _is_inner(step.name, name)
            if inner and top.version and top.blob not in blobs and step.name not in taken:
                blobs[top.blob] = step.name
                taken.add(step.name)
    return _renamed(net, net, blobs)


def _is_inner(name: str, node: str) -> bool:
    return bool(node) and name.startswith(f"{node}/")


def _renamed(net: Net, before: Net, blobs: Mapping[str, str]) -> PassResult:
    if not blobs:
        return PassResult(before)
    new = {top.blob: blobs.get(top.blob, top.blob) for step in net.steps for top in step.tops}
    steps = tuple(with_blobs(step, new) for step in net.steps)
    named = replace(net, steps=steps, outputs=renamed_blobs(net.outputs, new))
    return PassResult(named, renamed_values(before, named))
