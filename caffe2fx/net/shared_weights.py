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

from caffe2fx.errors import CaffeError, ShapeMismatchError
from caffe2fx.layers.layer import RecordModule
from caffe2fx.messages.common import DimCheckMode
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step


class BlobPosition(NamedTuple):
    """Holds the position of a weight blob: index of its step, index of the blob in it."""

    step: int
    blob: int


def shared_positions(net: Net) -> dict[str, list[BlobPosition]]:
    """Return for each name that several blobs have their positions, the owner's first."""
    return net.once("shared", lambda: _shared_positions(net))


def _shared_positions(net: Net) -> dict[str, list[BlobPosition]]:
    found: dict[str, list[BlobPosition]] = defaultdict(list)
    for index, step in enumerate(net.steps):
        for position, spec in enumerate(step.params):
            if spec.name:
                found[spec.name].append(BlobPosition(index, position))
    return {name: positions for name, positions in found.items() if len(positions) > 1}


def with_shared_blobs(net: Net, order: Sequence[str]) -> Net:
    """Return the net with one blob for all that share a name: the last in the `order` of the file.

    Where the order does not name them it is the owner's.
    Raises ShapeMismatchError for shapes (with share_mode PERMISSIVE: counts) that Caffe would not
    let share.
    """
    groups = shared_positions(net)
    blobs = {i: list(step.blobs) for i, step in enumerate(net.steps)}
    for step, missing in _without_own(net, groups).items():
        blobs[step] = [_owned(net, positions) for positions in missing]
    rank = {name: index for index, name in enumerate(order)}
    for positions in groups.values():
        present = [position for position in positions if position.blob < len(blobs[position.step])]
        read = [position for position in present if net.steps[position.step].blobs]
        if not read:
            continue
        last = max(read, key=lambda position: rank.get(net.steps[position.step].name, -1))
        value = blobs[last.step][last.blob]
        for position in present:
            _check(net.steps[position.step], position, blobs, present[0])
        for position in present:
            own = blobs[position.step][position.blob]
            blobs[position.step][position.blob] = (
                value if own is value else value.reshape(own.shape)
            )
    return net.refilled([replace(s, blobs=tuple(blobs[i])) for i, s in enumerate(net.steps)])


def _without_own(
    net: Net, groups: Mapping[str, Sequence[BlobPosition]]
) -> dict[int, list[Sequence[BlobPosition]]]:
    """Return the steps for which a file has no blobs, with those that share each of theirs."""
    return {
        index: [groups[spec.name] for spec in step.params]
        for index, step in enumerate(net.steps)
        if step.params and not step.blobs and all(spec.name in groups for spec in step.params)
    }


def _owned(net: Net, positions: Sequence[BlobPosition]) -> Tensor:
    for position in positions:
        blobs = net.steps[position.step].blobs
        if position.blob < len(blobs):
            return blobs[position.blob]
    raise net.steps[positions[0].step].fault(ShapeMismatchError("needs weights, got none"))


def _check(
    step: Step, position: BlobPosition, blobs: Mapping[int, Sequence[Tensor]], owner: BlobPosition
) -> None:
    """Raise ShapeMismatchError where Caffe would; it asks the layer that joins, not the owner."""
    own, theirs = blobs[position.step][position.blob], blobs[owner.step][owner.blob]
    spec = step.params[position.blob]
    permissive = spec.share_mode is DimCheckMode.PERMISSIVE
    if own.shape != theirs.shape and not (permissive and own.numel() == theirs.numel()):
        shapes = f"{tuple(theirs.shape)}, got {tuple(own.shape)}"
        raise step.fault(ShapeMismatchError(f"shares {spec.name!r} and needs its shape {shapes}"))


def check_shared_values(net: Net) -> None:
    """Raise CaffeError where blobs that share a name differ: Caffe would take the last of them."""
    for name, positions in shared_positions(net).items():
        steps = [net.steps[p.step] for p in positions if p.blob < len(net.steps[p.step].blobs)]
        blobs = [net.steps[p.step].blobs[p.blob] for p in positions if net.steps[p.step].blobs]
        for step, blob in zip(steps[1:], blobs[1:], strict=True):
            if not _are_equal(blob, blobs[0]):
                raise step.fault(
                    CaffeError(
                        f"shares {name!r} with {steps[0].name!r} and needs the same values, got "
                        "others: make both modules hold one parameter again"
                    )
                )


def _are_equal(one: Tensor, other: Tensor) -> bool:
    """Return whether the elements are equal in order; the shapes may differ."""
    one, other = one.reshape(-1), other.reshape(-1)
    if one.data_ptr() == other.data_ptr() and one.stride() == other.stride():
        return True
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


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
    for positions in shared_positions(net).values():
        first, *others = (position for position in positions if position.step in modules)
        owner = _parameter(net, modules, first)
        for position in others:
            own = _parameter(net, modules, position)
            if not isinstance(owner, nn.Parameter) or own is None:
                continue
            if own.shape == owner.shape:
                _replace(modules[position.step], own, owner)
            else:
                modules[position.step] = _reshaped(net.steps[position.step], modules[position.step])
                setattr(modules[position.step], f"blob{position.blob}", owner)


def _reshaped(step: Step, module: nn.Module) -> Reshaped:
    """Return the module if it is Reshaped, else a Reshaped one that holds its parameters."""
    if isinstance(module, Reshaped):
        return module
    made = Reshaped(step)
    for index, blob in enumerate(step.layer.blobs_of(module)):
        if isinstance(blob, nn.Parameter):
            setattr(made, f"blob{index}", blob)
    return made


def _parameter(net: Net, modules: Mapping[int, nn.Module], position: BlobPosition) -> Tensor | None:
    blobs = net.steps[position.step].layer.blobs_of(modules[position.step])
    return blobs[position.blob] if position.blob < len(blobs) else None


def _replace(module: nn.Module, old: Tensor, new: nn.Parameter) -> None:
    for name, parameter in list(module.named_parameters(recurse=False)):
        if parameter is old:
            setattr(module, name, new)
