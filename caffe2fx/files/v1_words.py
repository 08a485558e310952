"""The words for layer types in texts of 2014, those of registered records included."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import replace

from caffe2fx.layers.registry import registered
from caffe2fx.messages.message import Message, Wire
from caffe2fx.messages.v1 import OUR_FIELDS, V1_LAYERS, V0LayerParameter, V1LayerParameter


def wires_of(message: type[Message]) -> Iterator[tuple[str, Wire]]:
    """Yield the fields of a message; those of V0 and V1 with the ones that the records imply."""
    if message is V1LayerParameter:
        known = {word: number for word, (number, _) in words().items()}
        for name, wire in message.wires():
            kind = enum.IntEnum("LayerType", known) if name == "type" else wire.type
            yield name, replace(wire, type=kind)
        return
    yield from message.wires()
    if message is V0LayerParameter and "HDF5Output" in registered():
        yield "hdf5_output_param", Wire(1001, registered()["HDF5Output"][0])


def words() -> dict[str, tuple[int, str]]:
    """Return V1's words for layer types, each with its enumeration value and today's name.

    Forks of V1's days had words of their own (CROP, INTERP, BN). So every registered type has its
    name as a word, and that in capitals, with and without underscores between its parts; a word
    that several types could mean is left out.
    """
    known = {word: (number, type_) for word, number, type_ in V1_LAYERS}
    meant = {word: types for word, types in meanings().items() if len(types) == 1}
    for index, (word, (type_,)) in enumerate(sorted(meant.items())):
        known.setdefault(word, (OUR_FIELDS + index, type_))
    return known


def meanings() -> dict[str, list[str]]:
    """Return for each such word the types that V1 has no word for and it could mean, in order."""
    types = sorted(registered().keys() - {type_ for _, _, type_ in V1_LAYERS})
    types = [type_ for type_ in types if type_.isidentifier()]
    found = {type_: [type_] for type_ in types}
    for type_ in types:
        parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type_).upper()
        for word in {parted, type_.upper()} - set(types):
            found.setdefault(word, []).append(type_)
    return found
