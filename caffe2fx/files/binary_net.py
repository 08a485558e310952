"""Binary nets of other Caffes: their field numbers mean something else, so they are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.unknown_fields import UnknownFieldSet

from caffe2fx.errors import CaffeFormatError
from caffe2fx.layers.layer import BVLC, Layer
from caffe2fx.layers.registry import registered
from caffe2fx.messages.common import Phase
from caffe2fx.messages.v1 import V1_TYPES

GIVE = "; give the prototxt, where fields have names"

# Field numbers of BVLC's that forks used for another field of the same message.
_AMBIGUOUS = {("PoolingParameter", 13), ("ConvolutionParameter", 16), ("ConvolutionParameter", 17)}


def refuse(net: Any, source: str) -> None:
    """Raise CaffeFormatError if the message holds fields that BVLC's Caffe does not have."""
    found = [f"  {line}" for layer in (*net.layer, *net.layers) for line in _in_layer(layer)]
    found += [f"  field {number} of the net" for number in _unknown(net)]
    if found:
        listed = "\n".join(dict.fromkeys(found))
        raise CaffeFormatError(f"{source} needs BVLC's own layers and fields{GIVE}; got\n{listed}")
    if not net.input and not any(map(_has_parameters, (*net.layer, *net.layers))):
        raise CaffeFormatError(f"{source} needs layers with their parameters{GIVE}; got weights")


def saved_phase(net: Any) -> Phase:
    """Return the phase that all layers state, as Caffe writes it; TEST if they state none."""
    stated = {layer.phase for layer in net.layer if layer.HasField("phase")}
    return Phase.TRAIN if stated == {Phase.TRAIN} else Phase.TEST


def _has_parameters(layer: Any) -> bool:
    """Return whether the layer has parameters: of weights files, only Caffe's own have any."""
    return any(field.name.endswith(("_param", "layer")) for field, _ in layer.ListFields())


def _in_layer(layer: Any) -> Iterator[str]:
    where = f"layer {layer.name!r}"
    type_ = layer.type if isinstance(layer.type, str) else V1_TYPES.get(layer.type, "")
    meanings = [kind for kind in registered().get(type_, ()) if BVLC in kind.dialects]
    if type_ in registered() and not meanings:
        yield f"{where} ({type_}), which forks have"
        return
    for number in _field_numbers(layer):
        yield f"{where} ({type_}), field {number}"
    own = _fields(meanings)
    for described, value in layer.ListFields():
        name = described.name
        if not name.endswith("_param") or not meanings:
            continue
        if name not in own:
            yield f"{where} ({type_}), field {described.number}"
            continue
        others = [field.number for field, _ in value.ListFields() if field.name not in own[name]]
        for number in (*_field_numbers(value), *others):
            yield f"{where} ({type_}), field {number} of {name}"


def _fields(meanings: list[type[Layer]]) -> dict[str, set[str]]:
    """Return the messages that a layer of these records reads, with the names of their fields."""
    own = {}
    for kind in meanings:
        fields = {name for name, _ in kind.wires()}
        own.update(dict.fromkeys(kind.parameter_names(), fields))
        own.update(
            {name: {n for n, _ in wire.type.wires()} for name, wire in kind.sibling_messages()}
        )
    return own


def _field_numbers(message: Any) -> Iterator[int]:
    """Yield the field numbers that BVLC's schema does not have, in this message and nested ones."""
    yield from _unknown(message)
    for described, value in message.ListFields():
        if (message.DESCRIPTOR.name, described.number) in _AMBIGUOUS:
            yield described.number
        if described.message_type is not None and not described.name.endswith("_param"):
            for item in [value] if hasattr(value, "ListFields") else value:
                yield from _field_numbers(item)


def _unknown(message: Any) -> list[int]:
    fields: Any = UnknownFieldSet(message)
    return [field.field_number for field in fields]
