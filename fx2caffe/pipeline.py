"""From lowered steps to a net in the target's layers, with every traced node followed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from caffe2fx.errors import CaffeError
from caffe2fx.net import Net, Value
from fx2caffe.legalize import legalize
from fx2caffe.lower import Lowered
from fx2caffe.passes.fold import fold_affine
from fx2caffe.passes.in_place import renamed_values, run_in_place
from fx2caffe.passes.names import limit_names
from fx2caffe.passes.outputs import expose_outputs
from fx2caffe.passes.preprocess import Preprocessing, take_raw
from fx2caffe.passes.prune import prune
from fx2caffe.passes.share import share_weights
from fx2caffe.targets import Target


@dataclass(frozen=True)
class Options:
    """What the caller of export chose."""

    target: Target
    name: str = ""
    fold_batchnorm: bool = True
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)  # by input blob
    name_limit: int | None = None
    name_alphabet: str | None = None


@dataclass(frozen=True)
class Finished:
    """A net, which traced node each of its values stands for, and what fixes its batch."""

    net: Net
    nodes: Mapping[Value, str]
    batch_faults: tuple[str, ...]


def finish(lowered: Lowered, options: Options, parameters: Collection[int] = ()) -> Finished:
    """Legalize and run the passes; `parameters` are the addresses of the model's own.

    Raises UnsupportedError for what the target cannot say.
    """
    symbols = dict(lowered.symbols)
    emitter = legalize(lowered.steps, symbols, options.target)
    nodes = {symbols[v].value: node for v, node in lowered.nodes.items() if v in symbols}
    outputs = tuple(symbols[output.value].value for output in lowered.outputs)
    net = prune(Net(tuple(emitter.steps), outputs, options.name))
    net = _raw(net, nodes, options)
    net = fold_affine(net) if options.fold_batchnorm else net
    net, copies = expose_outputs(net)
    nodes.update({copy: nodes[value] for copy, value in copies.items() if value in nodes})
    placed = run_in_place(net)
    shared = share_weights(placed, parameters)
    named = limit_names(shared, options.name_limit, options.name_alphabet)
    renamed = renamed_values(net, named)
    nodes = {renamed[value]: node for value, node in nodes.items() if value in renamed}
    return Finished(named, nodes, tuple(emitter.batch_faults))


def _raw(net: Net, nodes: dict[Value, str], options: Options) -> Net:
    """Take raw pixels, and move the nodes of the inputs to the values that now hold them."""
    taken, places = take_raw(net, options.preprocessing)
    for value, place in places.items():
        node = nodes.pop(value)
        if place is not None:
            nodes[place] = node
    _check_target(taken, net, options.target)
    return taken


def _check_target(after: Net, before: Net, target: Target) -> None:
    known, shapes = {step.name for step in before.steps}, after.shapes()
    for step in after.steps:
        if step.name in known:
            continue
        lacking = target.lacks(step.layer, [shapes[bottom] for bottom in step.bottoms])
        if lacking is not None:
            raise CaffeError(f"preprocessing {lacking}")
