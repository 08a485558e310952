"""From lowered steps to a net in the target's layers, with every traced node followed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from caffe2fx.module.save import weights_suffix
from caffe2fx.net.net import Net
from caffe2fx.net.step import Value
from caffe2fx.origin import Origin
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.ir.placeholder import Unsupported
from fx2caffe.ir.symbol import Symbol
from fx2caffe.legalize.fusion import fuse_into_forks
from fx2caffe.legalize.legalizer import legalize
from fx2caffe.legalize.placeholders import Unverified, with_placeholders
from fx2caffe.lowering.lowering import Lowered
from fx2caffe.passes.absorb_preprocessing import take_raw
from fx2caffe.passes.dead_steps import drop_dead_steps
from fx2caffe.passes.fold_batchnorm import fold_affine
from fx2caffe.passes.in_place import renamed_values, run_in_place
from fx2caffe.passes.names import limit_names
from fx2caffe.passes.outputs import expose_outputs
from fx2caffe.passes.share_weights import share_weights
from fx2caffe.preprocessing import Preprocessing
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
    placeholders: bool = False  # for what is refused


@dataclass(frozen=True)
class Finished:
    """A net, which traced node each of its values stands for, and its placeholders."""

    net: Net
    nodes: Mapping[Value, str]
    unverified: tuple[Unverified, ...] = ()


def legal_net(
    lowered: Lowered, symbols: dict[Value, Symbol], target: Target, *, placeholders: bool = False
) -> Net:
    """What the outputs need, in the target's layers; `symbols` receives those of all values.

    Raises UnsupportedError for what the target cannot say.
    """
    wanted = tuple(output.value for output in lowered.outputs)
    fused = drop_dead_steps(Net(tuple(fuse_into_forks(lowered.steps, target)), wanted))
    emitter = legalize(fused.steps, symbols, target, placeholders=placeholders)
    outputs = tuple(symbols[output.value].value for output in lowered.outputs)
    net = drop_dead_steps(Net(tuple(emitter.steps), outputs))
    _check_target(net, target)
    return net


def finish(lowered: Lowered, options: Options, parameters: Collection[int] = ()) -> Finished:
    """Legalize and run the passes; `parameters` are the addresses of the model's own.

    Raises UnsupportedError for what the target cannot say.
    """
    symbols = dict(lowered.symbols)
    net = legal_net(lowered, symbols, options.target, placeholders=options.placeholders)
    net = replace(net, name=options.name)
    nodes = {symbols[v].value: node for v, node in lowered.nodes.items() if v in symbols}
    net = _raw(net, nodes, options)
    net = fold_affine(net) if options.fold_batchnorm else net
    net, copies = expose_outputs(net)
    _check_target(net, options.target)
    nodes.update({copy: nodes[value] for copy, value in copies.items() if value in nodes})
    placed = run_in_place(net)
    shared = share_weights(placed, parameters)
    named = limit_names(shared, options.name_limit, options.name_alphabet or _alphabet(shared))
    renamed = renamed_values(net, named)
    nodes = {renamed[value]: node for value, node in nodes.items() if value in renamed}
    said, unverified = with_placeholders(named, options.target.placeholder)
    return Finished(said, nodes, unverified)


def _alphabet(net: Net) -> str | None:
    """What names are made of, if that matters: HDF5, which large nets need, has "/" for groups."""
    return "[^/]" if weights_suffix(net).endswith(".h5") else None


def _raw(net: Net, nodes: dict[Value, str], options: Options) -> Net:
    """Take raw pixels, and move the nodes of the inputs to the values that now hold them."""
    taken, places = take_raw(net, options.preprocessing)
    for value, place in places.items():
        node = nodes.pop(value)
        if place is not None:
            nodes[place] = node
    return taken


def _check_target(net: Net, target: Target) -> None:
    """Raise UnsupportedError for every step that the target lacks: no pass may add one."""
    shapes = net.shapes()
    refusals = [
        Refusal(step.layer.type, lacking, step.origin)
        for step in net.steps
        if not isinstance(step.layer, Unsupported)
        for lacking in [target.lacks(step.layer, [shapes[b] for b in step.bottoms], len(step.tops))]
        if lacking is not None
    ]
    if target.outputs is not None and len(net.outputs) > target.outputs:
        what = f"needs at most {target.outputs} outputs in target {target.name!r}"
        refusals.append(Refusal("net", f"{what}, got {len(net.outputs)}", Origin()))
    if refusals:
        raise UnsupportedError(refusals)
