"""Match the weights of a file to the layers of a net: by name, with Caffe's own checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import NamedTuple

from torch import Tensor

from caffe2fx.errors import CaffeFormatError, ShapeMismatchError
from caffe2fx.messages.message import Shape
from caffe2fx.net.initial_weights import with_initial_weights
from caffe2fx.net.net import Net
from caffe2fx.net.shared_weights import shared_positions, with_shared_blobs
from caffe2fx.net.step import Step
from caffe2fx.weights.caffemodel import LayerWeights

_LEGACY_AXES = 4


class Misfit(NamedTuple):
    """Names a layer whose weights have other shapes in the net than in the file."""

    layer: str
    net: tuple[Shape, ...]
    file: tuple[Shape, ...]


@dataclass(frozen=True)
class Unmatched:
    """Lists the layers of a net and of a weights file that did not match.

    `file`: layers that the net does not have, or has no weights in. `net`: layers that need weights
    which the file does not have. `shapes`: layers that both have, with weights of different shapes.
    Those of the last two start as Caffe's fillers start them.
    """

    file: tuple[str, ...] = ()
    net: tuple[str, ...] = ()
    shapes: tuple[Misfit, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.file or self.net or self.shapes)

    def __str__(self) -> str:
        lines = [f"only in the weights file: {name}" for name in self.file]
        lines += [f"without weights: {name}" for name in self.net]
        lines += [
            f"of other shapes: {layer}, {_list(net)} in the net, {_list(file)} in the file"
            for layer, net, file in self.shapes
        ]
        return "\n".join(lines)


def _list(shapes: Sequence[Shape]) -> str:
    return ", ".join("x".join(map(str, shape)) or "scalar" for shape in shapes)


def with_weights(net: Net, weights: Sequence[LayerWeights], source: str = "weights") -> Net:
    """Return the net with the blobs of a weights file, matched by layer name as Caffe does.

    Layers of the file that the net does not have are ignored; a layer that needs blobs and has
    none, or has others, is a ShapeMismatchError that names both sides. Two layers of one name are a
    CaffeFormatError if they take blobs: Caffe fills the first and leaves the other at random.
    """
    by_name = {entry.name: entry for entry in weights}
    is_old = any(entry.legacy for entry in weights)
    wanted = wanted_shapes(net) if is_old else [()] * len(net.steps)
    steps = tuple(
        replace(step, blobs=_blobs(by_name[step.name], shapes)) if step.name in by_name else step
        for step, shapes in zip(net.steps, wanted, strict=True)
    )
    check_names_are_used_once(steps)
    try:
        filled = with_shared_blobs(net.refilled(steps), _order(weights))
        filled.check_blobs()
    except ShapeMismatchError as error:
        raise ShapeMismatchError(f"{source}: {error}{_way_out(net, weights)}") from None
    return filled


def with_the_nets_shapes(net: Net, weights: Sequence[LayerWeights]) -> tuple[LayerWeights, ...]:
    """Return the weights, each blob of as many elements as the net's own in the net's shape.

    The elements keep their order, as where a fully connected layer becomes a convolution.
    """
    wanted: dict[str, Sequence[Shape]] = {}
    for step, shapes in zip(net.steps, wanted_shapes(net), strict=True):
        if shapes:
            wanted.setdefault(step.name, shapes)
    return tuple(_in_shapes(entry, wanted.get(entry.name, ())) for entry in weights)


def _in_shapes(entry: LayerWeights, wanted: Sequence[Shape]) -> LayerWeights:
    counts = [prod(shape) for shape in wanted]
    if [blob.numel() for blob in entry.blobs] != counts:
        return entry
    blobs = tuple(blob.reshape(shape) for blob, shape in zip(entry.blobs, wanted, strict=True))
    return replace(entry, blobs=blobs, legacy=frozenset())


def _way_out(net: Net, weights: Sequence[LayerWeights]) -> str:
    """Return the end of the error of weights that fit once they are reshaped; empty if none do."""
    fitting = zip(weights, with_the_nets_shapes(net, weights), strict=True)
    names = [one.name for one, new in fitting if _shapes(one.blobs) != _shapes(new.blobs)]
    if not names:
        return ""
    return f"; load with reshape_weights=True gives {names} the net's shapes, elements in order"


def with_fitting_weights(net: Net, weights: Sequence[LayerWeights], source: str = "weights") -> Net:
    """Return the net with those blobs that fit; the others start as Caffe's fillers start them.

    Of several layers of one name the first gets the weights, as in Caffe.
    """
    by_name = {entry.name: entry for entry in weights}
    steps = []
    wanted = wanted_shapes(net)
    for step, fresh, shapes in zip(net.steps, with_initial_weights(net).steps, wanted, strict=True):
        entry = by_name.pop(step.name, None)
        blobs = () if entry is None else _blobs(entry, shapes)
        steps.append(replace(step, blobs=blobs) if _shapes(blobs) == shapes else fresh)
    try:
        return with_shared_blobs(net.refilled(steps), _order(weights))
    except ShapeMismatchError as error:
        raise ShapeMismatchError(f"{source}: {error}") from None


def unused(net: Net, weights: Sequence[LayerWeights]) -> Unmatched:
    """Return the names in the file that a net made by `with_weights` did not take."""
    taken = {step.name for step in net.steps if step.blobs}
    left = (entry.name for entry in weights if entry.blobs and entry.name not in taken)
    return Unmatched(file=tuple(dict.fromkeys(left)))


def unmatched(net: Net, weights: Sequence[LayerWeights]) -> Unmatched:
    """Return the layers on both sides that have no match by name or by shape."""
    by_name = {entry.name: entry for entry in weights if entry.blobs}
    waiting = dict(by_name)
    missing, misfits = [], []
    owned = _owned(net, by_name)
    for index, (step, wanted) in enumerate(zip(net.steps, wanted_shapes(net), strict=True)):
        entry = waiting.pop(step.name, None) if wanted else None
        if entry is None and wanted and index not in owned:
            missing.append(step.name)
        if entry is not None and _shapes(_blobs(entry, wanted)) != wanted:
            misfits.append(Misfit(step.name, wanted, _shapes(entry.blobs)))
    return Unmatched(tuple(waiting), tuple(missing), tuple(misfits))


def wanted_shapes(net: Net) -> list[tuple[Shape, ...]]:
    """Return the shapes of the weight blobs of each step; none where the net computes them."""
    shapes = net.shapes()
    return [
        () if step.dynamic else step.layer.blob_shapes([shapes[b] for b in step.bottoms])
        for step in net.steps
    ]


def _owned(net: Net, by_name: Mapping[str, LayerWeights]) -> set[int]:
    """Return the indices of steps that share all of their weights with layers in the file."""
    given = {
        name
        for name, positions in shared_positions(net).items()
        if any(net.steps[position.step].name in by_name for position in positions)
    }
    return {
        index
        for index, step in enumerate(net.steps)
        if step.params and all(spec.name in given for spec in step.params)
    }


def _order(weights: Sequence[LayerWeights]) -> list[str]:
    return [entry.name for entry in weights]


def _shapes(blobs: Sequence[Tensor]) -> tuple[Shape, ...]:
    return tuple(tuple(blob.shape) for blob in blobs)


def _blobs(entry: LayerWeights, wanted: Sequence[Shape]) -> tuple[Tensor, ...]:
    """Return the blobs, those of old files without leading 1s that the net's shapes do not have."""
    return tuple(_todays(blob, index, entry, wanted) for index, blob in enumerate(entry.blobs))


def _todays(blob: Tensor, index: int, entry: LayerWeights, wanted: Sequence[Shape]) -> Tensor:
    if index not in entry.legacy or index >= len(wanted):
        return blob
    padded = (1,) * (_LEGACY_AXES - len(wanted[index])) + tuple(wanted[index])
    return blob.reshape(wanted[index]) if padded == tuple(blob.shape) else blob


def check_names_are_used_once(steps: Sequence[Step]) -> None:
    """Raise where two layers have one name and weights: Caffe would fill the first alone."""
    count = Counter(step.name for step in steps)
    for step in steps:
        if step.blobs and count[step.name] > 1:
            error = f"needs a name of its own for its weights, got {count[step.name]} layers of it"
            raise step.fault(CaffeFormatError(error))
