"""A torch model's state_dict as the weights of a Caffe net: matched by layer name, or in order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from caffe2fx.errors import CaffeError, ShapeMismatchError
from caffe2fx.layers import BatchNorm, Scale
from caffe2fx.net.match_weights import wanted_shapes
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step
from caffe2fx.weights.state_dict import common_prefixes

Match = Literal["name", "order"]
_STATISTICS = ("running_mean", "running_var")
_PLAIN = ("weight", "bias")
_IGNORED = ("num_batches_tracked",)


@dataclass(frozen=True)
class _Part:
    """Holds the tensors of one torch module that one Caffe layer takes."""

    name: str  # the module's path
    statistics: bool
    blobs: tuple[Tensor, ...]


def filled(net: Net, state: Mapping[str, Tensor], match: Match = "name") -> Net:
    """Return the net with the tensors of a state_dict as its blobs.

    `name`: layer "layer1_0_conv1" takes those of module "layer1.0.conv1" (all but letters and
    digits is "_"), and BatchNorm and the Scale behind it those of a module of either name. `order`:
    the layers take the modules' tensors one after the other. Raises ShapeMismatchError for a layer
    whose blobs do not fit, and CaffeError for layers and modules that are left over.
    """
    parts = list(_parts(state))
    wanted = wanted_shapes(net)
    taking = [index for index, shapes in enumerate(wanted) if shapes]
    chosen = (_by_name if match == "name" else _by_order)(net, taking, parts)
    steps = list(net.steps)
    for index, part in chosen.items():
        steps[index] = replace(steps[index], blobs=_blobs(steps[index], wanted[index], part))
    return net.refilled(tuple(steps))


def _parts(state: Mapping[str, Tensor]) -> Iterator[_Part]:
    """Yield the parts in the state's order; a BatchNorm gives two, its statistics first."""
    modules: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        path, _, leaf = key.rpartition(".")
        if leaf not in _IGNORED:
            modules.setdefault(path, {})[leaf] = value
    for path, tensors in modules.items():
        unknown = set(tensors) - {*_STATISTICS, *_PLAIN}
        if unknown:
            raise CaffeError(f"{path} needs weight and bias alone, got {sorted(unknown)[0]}")
        for kind in (_STATISTICS, _PLAIN):
            blobs = tuple(tensors[leaf] for leaf in kind if leaf in tensors)
            if blobs:
                yield _Part(path, kind is _STATISTICS, blobs)


def _by_order(net: Net, taking: Sequence[int], parts: Sequence[_Part]) -> dict[int, _Part]:
    if len(taking) != len(parts):
        names = [net.steps[index].name for index in taking]
        raise CaffeError(
            f"the net needs weights for {len(taking)} layers, got {len(parts)}: "
            f"{_first_unlike(names, [part.name for part in parts])}"
        )
    return dict(zip(taking, parts, strict=True))


def _first_unlike(layers: Sequence[str], modules: Sequence[str]) -> str:
    pairs = list(zip(layers, modules, strict=False))
    index = next((i for i, (a, b) in enumerate(pairs) if _plain(a) != _plain(b)), len(pairs))
    pair = [names[index] if index < len(names) else "nothing" for names in (layers, modules)]
    return f"the first names that differ are layer {pair[0]} and module {pair[1]}"


def _by_name(net: Net, taking: Sequence[int], parts: Sequence[_Part]) -> dict[int, _Part]:
    known = _known(net, taking, parts)
    chosen: dict[int, _Part] = {}
    for index in taking:
        step = net.steps[index]
        kind = isinstance(step.layer, BatchNorm)
        keys = ((_plain(name), kind) for name in _names(net, step))
        key = next((key for key in keys if key in known), None)
        if key is None:
            raise CaffeError(f"layer {step.name!r} ({step.layer.type}) needs a module of its name")
        chosen[index] = known[key]
    left = [part.name for part in parts if not any(part is one for one in chosen.values())]
    if left:
        raise CaffeError(f"the net needs a layer for every module, got none for {left[0]}")
    return chosen


def _known(
    net: Net, taking: Sequence[int], parts: Sequence[_Part]
) -> dict[tuple[str, bool], _Part]:
    """Return the parts by name, without a prefix of all names ("module.") if more layers fit so."""
    wanted = {_plain(name) for index in taking for name in _names(net, net.steps[index])}
    made = (
        {(_plain(part.name.removeprefix(prefix)), part.statistics): part for part in parts}
        for prefix in common_prefixes([part.name for part in parts])
    )
    return max(made, key=lambda names: len(wanted & {name for name, _ in names}))


def _names(net: Net, step: Step) -> list[str]:
    """Return the layer's name; BatchNorm and the Scale that reads it are one module of torch."""
    if not isinstance(step.layer, BatchNorm | Scale):
        return [step.name]
    other = Scale if isinstance(step.layer, BatchNorm) else BatchNorm
    partners = (one for one in net.steps if isinstance(one.layer, other))
    return [step.name, *(one.name for one in partners if _joined(step, one) or _joined(one, step))]


def _joined(first: Step, second: Step) -> bool:
    return bool(second.bottoms) and second.bottoms[0] == first.tops[0]


def _plain(name: str) -> str:
    return re.sub(r"[^0-9A-Za-z]", "_", name)


def _blobs(step: Step, wanted: Sequence[tuple[int, ...]], part: _Part) -> tuple[Tensor, ...]:
    normalizes = isinstance(step.layer, BatchNorm)
    blobs = tuple(blob.detach().float() for blob in part.blobs)
    if normalizes and part.statistics:
        blobs = (*blobs, torch.ones(1))  # Caffe divides the statistics by this factor
    found = tuple(tuple(blob.shape) for blob in blobs)
    if normalizes != part.statistics or found != tuple(wanted):
        needs, got = (", ".join("x".join(map(str, s)) for s in sizes) for sizes in (wanted, found))
        raise ShapeMismatchError(
            f"layer {step.name!r} ({step.layer.type}) needs blobs of {needs}, "
            f"got {got} of module {part.name!r}"
        )
    return blobs
