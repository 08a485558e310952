"""The pipeline from lowered steps to a net in the target's layers, which keeps track of nodes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from caffe2fx.layers import Silence
from caffe2fx.module.save import weights_suffix
from caffe2fx.net.net import Net
from caffe2fx.net.step import Value
from caffe2fx.optimize.fold_batchnorm import fold_batchnorm
from caffe2fx.origin import Origin
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.ir.placeholder import Unsupported
from fx2caffe.ir.symbol import Symbol
from fx2caffe.legalize.fusion import fuse_into_forks
from fx2caffe.legalize.legalizer import legalize
from fx2caffe.legalize.placeholders import Unverified, with_placeholders
from fx2caffe.lowering.lowering import Lowered
from fx2caffe.passes.absorb_preprocessing import absorb_preprocessing
from fx2caffe.passes.blob_names import restore_blob_names
from fx2caffe.passes.dead_steps import drop_dead_steps
from fx2caffe.passes.in_place import run_in_place
from fx2caffe.passes.lift_samples import dropped_axes, lift_samples
from fx2caffe.passes.names import limit_names
from fx2caffe.passes.outputs import expose_outputs
from fx2caffe.passes.pass_result import PassResult, follow
from fx2caffe.passes.prevent_merges import prevent_wrong_merges
from fx2caffe.passes.result_names import name_overwritten, name_results
from fx2caffe.passes.share_weights import share_weights
from fx2caffe.passes.unread import unread_tops, without_unread_tops
from fx2caffe.preprocessing import Preprocessing
from fx2caffe.targets import Target


@dataclass(frozen=True)
class Options:
    """Holds the choices of export's caller that concern the net, and the model's parameters."""

    target: Target
    name: str = ""
    fold_batchnorm: bool = True
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)  # by input blob
    name_limit: int | None = None
    name_alphabet: str | None = None
    placeholders: bool = False  # instead of refusals
    parameters: Collection[int] = ()  # memory addresses


@dataclass(frozen=True)
class Finished:
    """Holds a net, the traced node that each of its values holds, and its placeholders."""

    net: Net
    nodes: Mapping[Value, str]
    unverified: tuple[Unverified, ...] = ()


class Names(NamedTuple):
    """Holds names by value: of a node's result, and of the blob in the Caffe net it came from."""

    results: Mapping[Value, str]
    blobs: Mapping[Value, str]


Pass = Callable[[Net, Options, Names], PassResult]


def _folding(net: Net, options: Options, names: Names) -> PassResult:
    return PassResult(fold_batchnorm(net) if options.fold_batchnorm else net)


def _naming(net: Net, options: Options, names: Names) -> PassResult:
    # HDF5, which large nets need, uses "/" for groups.
    default = "[^/]" if weights_suffix(net).endswith(".h5") else None
    return limit_names(net, options.name_limit, options.name_alphabet or default)


PASSES: tuple[Pass, ...] = (
    # Before folding, which takes the Scale layers that are not absorbed.
    lambda net, options, names: absorb_preprocessing(net, options.preprocessing),
    # Before outputs get copies and layers run in place: both give a BatchNorm another reader.
    _folding,
    # After folding, which drops results, and before outputs get copies, which are named after them.
    lambda net, options, names: name_results(net, names.results),
    # Before outputs get copies, whose shapes are the outputs' own.
    lambda net, options, names: lift_samples(net, options.target),
    # Before layers run in place: an output's own top must not be overwritten.
    lambda net, options, names: expose_outputs(net, by_layer=options.target.outputs_by_layer),
    # After outputs got copies, which are readers too, and before layers run in place.
    lambda net, options, names: prevent_wrong_merges(net, options.target),
    # The last pass that adds or removes readers and writers of a value.
    lambda net, options, names: run_in_place(
        net, names.blobs, by_layer=options.target.outputs_by_layer
    ),
    lambda net, options, names: name_overwritten(net, names.results),
    # After folding: weights into which something different was folded are no longer shared.
    lambda net, options, names: share_weights(net, options.parameters),
    # After layers run in place, which decides which value a blob holds in the end.
    lambda net, options, names: restore_blob_names(
        net, {} if options.target.outputs_by_layer else names.blobs
    ),
    # Last, so that the names of all layers, copies and shared weights exist.
    _naming,
)


def legal_net(
    lowered: Lowered, symbols: dict[Value, Symbol], target: Target, *, placeholders: bool = False
) -> Net:
    """Return the steps that the outputs need, in the target's layers.

    `symbols` receives those of all values. Raises UnsupportedError with every refusal.
    """
    wanted = tuple(output.value for output in lowered.outputs)
    fused = drop_dead_steps(Net(tuple(fuse_into_forks(lowered.steps, target)), wanted))
    net = _in_target(fused, symbols, target, placeholders)
    read = net if target.has(Silence()) else without_unread_tops(net)
    if read is not net:
        known = {symbol.value: symbol for symbol in symbols.values()}
        again = {value: known[value] for value in net.inputs}
        net = _in_target(read, again, target, placeholders)
        symbols.update({v: again[s.value] for v, s in symbols.items() if s.value in again})
    _check_target(net, target)
    return net


def _in_target(net: Net, symbols: dict[Value, Symbol], target: Target, placeholders: bool) -> Net:
    """Legalize a net and drop the steps that its outputs do not need."""
    emitter = legalize(net.steps, symbols, target, placeholders=placeholders)
    outputs = tuple(symbols[value].value for value in net.outputs)
    return drop_dead_steps(Net(tuple(emitter.steps), outputs))


def finish(lowered: Lowered, options: Options) -> Finished:
    """Legalize and run the passes. Raises UnsupportedError with every refusal."""
    symbols = dict(lowered.symbols)
    net = legal_net(lowered, symbols, options.target, placeholders=options.placeholders)
    net = replace(net, name=options.name)
    nodes = {symbols[v].value: node for v, node in lowered.nodes.items() if v in symbols}
    blobs = {symbols[v].value: blob for v, blob in lowered.blobs.items() if v in symbols}
    for run in PASSES:
        results = {value: lowered.names.get(node, "") for value, node in nodes.items()}
        result = run(net, options, Names(results, blobs))
        net, nodes, blobs = result.net, follow(nodes, result), follow(blobs, result)
    _check_target(net, options.target)
    _check_samples(net, options.target)
    net, unverified = with_placeholders(net, options.target.placeholder)
    return Finished(net, nodes, unverified)


def _check_target(net: Net, target: Target) -> None:
    """Raise UnsupportedError for all steps that the target does not have; no pass may add one."""
    shapes = net.shapes()
    refusals = [
        Refusal(step.layer.type, reason, step.origin)
        for step in net.steps
        if not isinstance(step.layer, Unsupported)
        for reason in [
            target.why_unsupported(step.layer, [shapes[b] for b in step.bottoms], len(step.tops))
        ]
        if reason is not None
    ]
    refusals += _unread(net, target) if target.outputs_by_layer else []
    if target.outputs is not None and len(net.outputs) > target.outputs:
        need = f"needs at most {target.outputs} outputs in target {target.name!r}"
        refusals.append(Refusal("net", f"{need}, got {len(net.outputs)}", Origin()))
    if refusals:
        raise UnsupportedError(refusals)


def _check_samples(net: Net, target: Target) -> None:
    """Raise UnsupportedError for values of which a program that drops axis 0 loses a part."""
    lost = dropped_axes(net) if target.drops_batch else {}
    need = f"needs a value whose axis 0 is 1 in target {target.name!r}, got"
    refusals = [
        Refusal(step.layer.type, f"{need} {lost[top]}", step.origin)
        for step in net.steps
        for top in step.tops
        if top in lost
    ]
    if refusals:
        raise UnsupportedError(refusals)


def _unread(net: Net, target: Target) -> list[Refusal]:
    """Return a refusal for each top without a reader, with which OpenCV does not run a net."""
    unread = unread_tops(net)
    need = f"needs a layer that reads it in target {target.name!r}, got none for"
    return [
        Refusal(step.layer.type, f"{need} {top.blob!r}", step.origin)
        for step in net.steps
        for top in step.tops
        if top in unread
    ]
