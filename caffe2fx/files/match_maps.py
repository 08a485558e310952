"""Match the arrays of a dump to the values of a net: by layer and blob names, and by shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
import torch
from torch import Tensor

from caffe2fx.errors import CaffeError, ShapeMismatchError
from caffe2fx.files.feature_dump import Array, Dump, FeatureMap
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value

ROUGHLY = 0.05  # share of the largest magnitude by which quantizing may change an input


@dataclass(frozen=True)
class Matched:
    """Holds the values of a net that a dump has, and the maps of the dump that are `left`.

    `wrong` states for a value why its array cannot be it; `inexact` are values that were quantized.
    """

    values: dict[Value, Tensor] = field(default_factory=dict)
    wrong: dict[Value, str] = field(default_factory=dict)
    inexact: frozenset[Value] = frozenset()
    left: tuple[FeatureMap, ...] = ()

    @property
    def only_dump(self) -> tuple[str, ...]:
        """Return the names of the maps that are left: of their layers, as far as those are known.

        A blob's name may be that of another map, where in-place layers overwrite it.
        """
        return tuple(one.layer or one.name for one in self.left)


@dataclass(frozen=True)
class _NamedValue:
    """Holds a value of a net with all the names by which a dump may call it."""

    value: Value
    step: Step
    index: int
    names: tuple[str, ...]


Keys = Iterable[Hashable]


def match_maps(net: Net, dump: Dump) -> Matched:
    """Pair the maps of a dump with the values of a net.

    First decides the layer together with the blob, then the blob, then the layer alone, and at last
    the form of either that a file name keeps. A name that fits several is no partner. Where more
    names are layers than are blobs, the dump goes by layers, and they come first: "conv1" is then
    the output of layer conv1, and not the blob after its in-place layers.
    """
    left, candidates = list(dump.maps), _named_values(net)
    found: dict[Value, FeatureMap] = {}
    for of_map, of_value in _rules(left, candidates):
        for one, candidate in _pairs(left, candidates, of_map, of_value):
            found[candidate.value] = one
            left = [other for other in left if other is not one]
            candidates = [other for other in candidates if other is not candidate]
    return _fitted(net, found, tuple(left))


def _named_values(net: Net) -> list[_NamedValue]:
    named: dict[Value, list[str]] = {}
    for name, value in {**_counted_names(net), **net.names()}.items():
        named.setdefault(value, []).append(name)
    return [
        _NamedValue(top, step, index, tuple(named.get(top, ())))
        for step in net.steps
        for index, top in enumerate(step.tops)
    ]


def _counted_names(net: Net) -> dict[str, Value]:
    """Return the names by which tpu-mlir tells the values of one blob apart, by its CaffeConverter.

    The last is the blob; those before it are "blob/1", "blob/2" ..., counted from the end. Dropout
    has no value there.
    """
    written: dict[str, list[Value]] = {}
    for step in net.steps:
        if step.layer.type != "Dropout":
            for top in step.tops:
                written.setdefault(top.blob, []).append(top)
    return {
        f"{blob}/{count}": value
        for blob, values in written.items()
        for count, value in enumerate(values[-2::-1], 1)
    }


def _pairs(
    maps: Iterable[FeatureMap],
    candidates: Iterable[_NamedValue],
    of_map: Callable[[FeatureMap], Keys],
    of_value: Callable[[_NamedValue], Keys],
) -> list[tuple[FeatureMap, _NamedValue]]:
    """Return the pairs of a map and a value that share a key which nothing else has."""
    by_key: dict[Hashable, tuple[list[FeatureMap], list[_NamedValue]]] = {}
    for one in maps:
        for key in set(of_map(one)):
            by_key.setdefault(key, ([], []))[0].append(one)
    for candidate in candidates:
        for key in set(of_value(candidate)):
            by_key.setdefault(key, ([], []))[1].append(candidate)
    pairs = [(m[0], p[0]) for m, p in by_key.values() if len(m) == len(p) == 1]
    return _without_conflicts(pairs)


def _without_conflicts(
    pairs: list[tuple[FeatureMap, _NamedValue]],
) -> list[tuple[FeatureMap, _NamedValue]]:
    """Return each map and each value once: two keys may give the same pair, or contradict."""
    maps: set[int] = set()
    taken: set[Value] = set()
    kept = []
    for one, candidate in pairs:
        if id(one) not in maps and candidate.value not in taken:
            kept.append((one, candidate))
        maps.add(id(one))
        taken.add(candidate.value)
    return kept


def _plain(name: str) -> str:
    """Return the form of a name that a file name keeps: lower case, other characters as "_"."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower())


def _layer_of(one: FeatureMap) -> Keys:
    return [(one.layer or one.name, one.output)]


_Rule = tuple[Callable[[FeatureMap], Keys], Callable[[_NamedValue], Keys]]
_BY_BOTH: _Rule = (
    lambda one: [(one.layer, one.blob)] if one.layer else [],
    lambda candidate: [(candidate.step.name, candidate.value.blob)],
)
_BY_NAME: _Rule = (lambda one: [one.name], lambda candidate: candidate.names)
_BY_LAYER: _Rule = (_layer_of, lambda candidate: [(candidate.step.name, candidate.index)])
_BY_BLOB: _Rule = (
    lambda one: [one.blob] if one.blob else [],
    lambda candidate: [candidate.value.blob],
)
_BY_PLAIN_NAME: _Rule = (
    lambda one: [_plain(one.name)],
    lambda candidate: [_plain(name) for name in candidate.names],
)
_BY_PLAIN_LAYER: _Rule = (
    lambda one: [(_plain(one.name), one.output)],
    lambda candidate: [(_plain(candidate.step.name), candidate.index)],
)


def _rules(maps: Sequence[FeatureMap], candidates: Sequence[_NamedValue]) -> tuple[_Rule, ...]:
    """Return the rules in their order for this dump."""
    by_plain_name = (_BY_PLAIN_NAME, _BY_PLAIN_LAYER)
    blobs, layers = (len(_pairs(maps, candidates, *rule)) for rule in by_plain_name)
    if layers > blobs:
        return (_BY_BOTH, _BY_LAYER, _BY_NAME, _BY_BLOB, *reversed(by_plain_name))
    return (_BY_BOTH, _BY_NAME, _BY_LAYER, _BY_BLOB, *by_plain_name)


def _fitted(net: Net, found: Mapping[Value, FeatureMap], left: tuple[FeatureMap, ...]) -> Matched:
    shapes = net.shapes()
    matched = Matched(
        inexact=frozenset(v for v, one in found.items() if not one.is_exact),
        left=left,
    )
    for value, one in found.items():
        array = fitted(one.value, shapes[value], one.layout)
        if array is None:
            matched.wrong[value] = misfit(one, shapes[value])
        else:
            matched.values[value] = torch.tensor(array, dtype=torch.float32)
    return matched


def misfit(one: FeatureMap, shape: Shape) -> str:
    """Return why an array cannot be a map of that shape, with both sides named."""
    shapes = f"shape {list(one.value.shape)} in the dump, {list(shape)} in the net"
    other = next(layout for layout in ("NHWC", "NCHW") if layout != one.layout)
    hint = f" (in layout {other} it fits)" if fitted(one.value, shape, other) is not None else ""
    return shapes + hint


def fitted(value: Array, shape: Shape, layout: str) -> Array | None:
    """Return the array in the shape; None if it does not have the same elements in the same order.

    The array may be flat, or without axes of size 1 (the batch's among them).
    """
    channels_last = layout == "NHWC" and len(shape) > 2
    wanted = (shape[0], *shape[2:], shape[1]) if channels_last else shape
    flat = value.ndim == 1 or value.shape == (*shape[:1], prod(shape[1:]))
    same = [s for s in value.shape if s != 1] == [s for s in wanted if s != 1]
    if value.size != prod(shape) or not (flat or same):
        return None
    array = value.reshape(wanted)
    return np.moveaxis(array, -1, 1) if channels_last else array


def own_inputs(net: Net, dump: Dump) -> dict[Value, tuple[Tensor, bool]]:
    """Return the inputs that a dump was made from, each with whether it is exact."""
    matched = match_maps(net, dump)
    found = {value: (matched.values[value], value not in matched.inexact)
             for value in net.inputs if value in matched.values}  # fmt: skip
    for value in net.inputs:
        if value.blob in dump.inputs:
            found[value] = torch.tensor(dump.inputs[value.blob]), True
    return found


def check_same_input(name: str, mine: Tensor, theirs: Tensor, exact: bool) -> None:
    """Raise unless an input equals the dump's, as far as the dump's precision shows.

    That is to float32's last bits, or roughly where the dump has it quantized.
    """
    if mine.shape != theirs.shape:
        shapes = f"{list(theirs.shape)} as in the dump, got {list(mine.shape)}"
        raise ShapeMismatchError(f"input {name!r} needs the shape {shapes}")
    one, other = mine.double(), theirs.double()
    difference = float((one - other).abs().max()) if one.numel() else 0.0
    if difference > (1e-6 if exact else ROUGHLY) * float(other.abs().max()):
        raise CaffeError(
            f"input {name!r} needs the values that the dump was made from, "
            f"got others by {difference:g}"
        )


def names_of_outputs(outputs: Sequence[Tensor], blobs: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return for each output of a model its name in a Caffe net, by shapes and values.

    Caffe lists outputs alphabetically and not in the model's order, so that nothing else shows it;
    the pair that differs least is taken first. ShapeMismatchError where one has no partner.
    """
    pairs = [
        (float((value.double() - blob.double()).norm()), index, name)
        for index, value in enumerate(outputs)
        for name, blob in blobs.items()
        if value.shape == blob.shape
    ]
    found: dict[int, str] = {}
    for _, index, name in sorted(pairs):
        if index not in found and name not in found.values():
            found[index] = name
    if len(found) < len(outputs):
        theirs = {name: list(blob.shape) for name, blob in blobs.items()}
        mine = [list(value.shape) for value in outputs]
        raise ShapeMismatchError(f"the model needs outputs like the net's {theirs}, got {mine}")
    return tuple(found[index] for index in range(len(outputs)))
