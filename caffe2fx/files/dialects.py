"""The choice of a record for a layer type to which the forks of Caffe gave several meanings.

A type with one meaning has it in every net. Of several, `dialect` decides; without one, the fields
that the text sets, the numbers of bottoms and tops, the number of weights in the file, and the
dialects that the net's other layers belong to alone. A type still ambiguous is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from caffe2fx.errors import CaffeError, CaffeFormatError
from caffe2fx.layers.any_data import data_layer
from caffe2fx.layers.layer import BVLC, Layer
from caffe2fx.layers.registry import records, registered
from caffe2fx.messages.message import Shape
from caffe2fx.origin import Origin


@dataclass(frozen=True)
class Hints:
    """Holds the information about a net besides its text that decides on a dialect.

    `blobs` maps a layer's name to the number of its weight blobs in the weights file.
    """

    dialect: str | None = None
    blobs: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dialect is not None and self.dialect not in dialects():
            known = ", ".join(dialects())
            raise CaffeError(f"dialect needs to be one of {known}, got {self.dialect!r}")


def dialects() -> list[str]:
    """Return the names of the Caffes that some record belongs to."""
    return sorted({name for record in records() for name in record.dialects})


def kinds(layers: Sequence[Any], origins: Sequence[Origin], hints: Hints) -> list[type[Layer]]:
    """Return the record class of each LayerParameter message.

    Raises CaffeFormatError for types that stay ambiguous, all of them at once, and for fields that
    the layer's type does not have.
    """
    found = [
        _candidates(layer, origin, hints) for layer, origin in zip(layers, origins, strict=True)
    ]
    spoken = {kind.dialects[0] for kind, *more in found if not more and len(kind.dialects) == 1}
    found = [_narrowed(candidates, spoken - {BVLC}) for candidates in found]
    unclear = [pair for pair in zip(layers, found, strict=True) if len(pair[1]) > 1]
    if unclear:
        listed = "\n".join(f"  {layer.name!r}: {_named(layer, kinds)}" for layer, kinds in unclear)
        raise CaffeFormatError(f"layers mean different things in different Caffes:\n{listed}")
    return [kind for (kind,) in found]


def _named(layer: Any, candidates: Sequence[type[Layer]]) -> str:
    choices = " or ".join(f"dialect={kind.dialects[0]!r} ({kind.__name__})" for kind in candidates)
    return f"{layer.type!r} needs {choices} to be given, got neither"


def _narrowed(candidates: list[type[Layer]], spoken: set[str]) -> list[type[Layer]]:
    """Return the candidates in a dialect that the rest of the net uses; all if there are none."""
    return [kind for kind in candidates if spoken.intersection(kind.dialects)] or candidates


def _candidates(layer: Any, origin: Origin, hints: Hints) -> list[type[Layer]]:
    meanings = tuple(kind for kind in _meanings(layer) if not kind.unknown_kind(layer))
    if hints.dialect is not None:
        meanings = _of(hints.dialect, meanings, layer)
    meanings = tuple(kind for kind in meanings if _matches(kind, layer)) or meanings
    objections = {kind: _objection(kind, layer, len(meanings)) for kind in meanings}
    fitting = [kind for kind, objection in objections.items() if objection is None]
    if fitting:
        return _with_blobs(fitting, layer, hints.blobs.get(layer.name, 0))
    several = len(_meanings(layer)) > 1
    why = "; ".join(
        f"as in {kind.dialects[0]!r} {fault}" if several else str(fault)
        for kind, fault in objections.items()
    )
    raise CaffeFormatError(f"layer {layer.name!r} ({layer.type}) {why} ({origin})")


def _meanings(layer: Any) -> tuple[type[Layer], ...]:
    """Return the records of the layer's type; a type without any is one that reads data."""
    return registered().get(layer.type) or (data_layer(layer.type),)


def _of(dialect: str, meanings: tuple[type[Layer], ...], layer: Any) -> tuple[type[Layer], ...]:
    """Return the records of the type in that dialect; all of them if it has none of its own.

    A fork's extension of a layer of BVLC's applies only where the text sets its fields.
    """
    own = tuple(kind for kind in meanings if dialect in kind.dialects)
    if any(BVLC in kind.dialects for kind in meanings):
        own = tuple(kind for kind in own if _matches(kind, layer))
    return own or meanings


def _matches(kind: type[Layer], layer: Any) -> bool:
    """Return whether the fields that the text sets, or the bottoms, can mean this record."""
    by_fields = kind.matches_fields(_set_fields(kind, layer))
    return by_fields or kind.matches_bottoms(len(layer.bottom))


def _objection(kind: type[Layer], layer: Any, meanings: int) -> str | None:
    """Return why the layer cannot be of that kind, None if it can.

    Where the type has one meaning, the layer itself checks its bottoms and tops later.
    """
    set_fields = _set_fields(kind, layer)
    if foreign := set_fields - {name for name, _ in kind.wires()}:
        return f"has no {', '.join(sorted(foreign))}"
    if meanings == 1:
        return None
    if not _matches(kind, layer):
        return f"needs other fields, got {', '.join(sorted(set_fields)) or 'none'}"
    for side, names, limits in (
        ("bottom", layer.bottom, kind.bottoms),
        ("top", layer.top, kind.tops),
    ):
        if not limits[0] <= len(names) <= limits[1]:
            return f"needs {limits[0]} {side}(s), got {len(names)}"
    return None


def _set_fields(kind: type[Layer], layer: Any) -> set[str]:
    """Return the fields that the text sets in the messages of this type, whatever its meaning."""
    names = {name for meaning in _meanings(layer) for name in meaning.parameter_names()}
    own = set(kind.parameter_names())
    given = [name for name in names if layer.HasField(name)]
    inside = {field.name for name in given for field, _ in getattr(layer, name).ListFields()}
    return inside | {name for name in given if name not in own}


def _with_blobs(fitting: list[type[Layer]], layer: Any, count: int) -> list[type[Layer]]:
    """Return those that take as many weight blobs as the file holds; all if there are none."""
    if len(fitting) == 1:
        return fitting
    bottoms: list[Shape] = [(1, 1, 1, 1)] * len(layer.bottom)
    taking = [kind for kind in fitting if len(kind.read(layer).blob_shapes(bottoms)) == count]
    return taking or fitting
