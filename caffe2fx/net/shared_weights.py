"""Weights that several layers share: `param { name: "w" }` makes one blob of them in Caffe.

The first layer with a name owns the blob. A weights file holds it once for each layer all the
same (HDF5: for the owner alone), and of several different ones the last that is read counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.layer import RecordModule
from caffe2fx.messages.common import DimCheckMode
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step


class Place(NamedTuple):
    """Holds the position of a weight blob: index of its step, index of the blob in it."""

    step: int
    blob: int


def shared_places(net: Net) -> dict[str, list[Place]]:
    """Return for each name that several blobs have their positions, the owner's first."""
    return net.once("shared", lambda: _shared_places(net))


def _shared_places(net: Net) -> dict[str, list[Place]]:
    found: dict[str, list[Place]] = defaultdict(list)
    for index, step in enumerate(net.steps):
        for position, spec in enumerate(step.params):
            if spec.name:
                found[spec.name].append(Place(index, position))
    return {name: places for name, places in found.items() if len(places) > 1}


def with_shared_blobs(net: Net, order: Sequence[str]) -> Net:
    """Return the net with one blob for all that share a name: the last in the `order` of the file.

    Raises ShapeMismatchError for shapes (with share_mode PERMISSIVE: counts) that Caffe would not
    let share.
    """
    groups = shared_places(net)
    blobs = {i: list(step.blobs) for i, step in enumerate(net.steps)}
    for step, missing in _without_own(net, groups).items():
        blobs[step] = [_owned(net, places) for places in missing]
    turn = {name: index for index, name in enumerate(order)}
    for places in groups.values():
        there = [place for place in places if place.blob < len(blobs[place.step])]
        read = [place for place in there if net.steps[place.step].blobs]
        if not read:
            continue
        last = max(read, key=lambda place: turn.get(net.steps[place.step].name, -1))
        value = blobs[last.step][last.blob]
        for place in there:
            _check(net.steps[place.step], place, blobs, there[0])
            own = blobs[place.step][place.blob]
            blobs[place.step][place.blob] = value if own is value else value.reshape(own.shape)
    return net.refilled([replace(s, blobs=tuple(blobs[i])) for i, s in enumerate(net.steps)])


def _without_own(
    net: Net, groups: Mapping[str, Sequence[Place]]
) -> dict[int, list[Sequence[Place]]]:
    """Return the steps for which a file has no blobs, with those that share each of theirs."""
    return {
        index: [groups[spec.name] for spec in step.params]
        for index, step in enumerate(net.steps)
        if step.params and not step.blobs and all(spec.name in groups for spec in step.params)
    }


def _owned(net: Net, places: Sequence[Place]) -> Tensor:
    for place in places:
        blobs = net.steps[place.step].blobs
        if place.blob < len(blobs):
            return blobs[place.blob]
    raise net.steps[places[0].step].fault(ShapeMismatchError("needs weights, got none"))


def _check(step: Step, place: Place, blobs: Mapping[int, Sequence[Tensor]], owner: Place) -> None:
    """Raise ShapeMismatchError where Caffe would; it asks the layer that joins, not the owner."""
    own, theirs = blobs[place.step][place.blob], blobs[owner.step][owner.blob]
    spec = step.params[place.blob]
    permissive = spec.share_mode is DimCheckMode.PERMISSIVE
    if own.shape != theirs.shape and not (permissive and own.numel() == theirs.numel()):
        shapes = f"{tuple(theirs.shape)}, got {tuple(own.shape)}"
        raise step.fault(ShapeMismatchError(f"shares {spec.name!r} and needs its shape {shapes}"))


class Reshaped(RecordModule):
    """Wraps a layer that takes another layer's blob in another shape of as many elements."""

    def __init__(self, step: Step) -> None:
        super().__init__(step.layer, step.blobs, len(step.tops))
        self.shapes = [blob.shape for blob in step.blobs]

    @property
    def blobs(self) -> tuple[Tensor, ...]:
        """Return the weight blobs in file order, each in this layer's own shape."""
        return tuple(map(Tensor.reshape, super().blobs, self.shapes))


def tie(net: Net, modules: MutableMapping[int, nn.Module]) -> None:
    """Make the modules of steps that share weights (by index) hold one and the same parameter.

    A module that cannot hold it in its own shape is replaced by one that can.
    """
    for places in shared_places(net).values():
        first, *others = (place for place in places if place.step in modules)
        owner = _parameter(net, modules, first)
        for place in others:
            own = _parameter(net, modules, place)
            if not isinstance(owner, nn.Parameter) or own is None:
                continue
            if own.shape == owner.shape:
                _replace(modules[place.step], own, owner)
            else:
                modules[place.step] = _reshaped(net.steps[place.step], modules[place.step])
                setattr(modules[place.step], f"blob{place.blob}", owner)


def _reshaped(step: Step, module: nn.Module) -> Reshaped:
    """Return the module if it is Reshaped, else a Reshaped one that holds its parameters."""
    if isinstance(module, Reshaped):
        return module
    made = Reshaped(step)
    for index, blob in enumerate(step.layer.blobs_of(module)):
        if isinstance(blob, nn.Parameter):
            setattr(made, f"blob{index}", blob)
    return made


def _parameter(net: Net, modules: Mapping[int, nn.Module], place: Place) -> Tensor | None:
    blobs = net.steps[place.step].layer.blobs_of(modules[place.step])
    return blobs[place.blob] if place.blob < len(blobs) else None


def _replace(module: nn.Module, old: Tensor, new: nn.Parameter) -> None:
    for name, parameter in list(module.named_parameters(recurse=False)):
        if parameter is old:
            setattr(module, name, new)
