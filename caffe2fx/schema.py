"""Caffe's protobuf schema, built from the records: there is no caffe.proto and no generated code.

The descriptors live in a pool of their own, so that a caffe_pb2 in the same process (pycaffe's)
neither disturbs them nor is disturbed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message as ProtoMessage

from caffe2fx.layers import REGISTRY
from caffe2fx.message import (
    BlobProto,
    LayerParameter,
    Message,
    NetState,
    Phase,
    Shape,
    Wire,
    is_enum,
    is_message,
)

_FIELD = descriptor_pb2.FieldDescriptorProto
_TOP_LEVEL_ENUMS: tuple[type[enum.IntEnum], ...] = (Phase,)
# NetParameter is the only message whose layers are not one record each.
_NET_FIELDS: tuple[tuple[str, Wire], ...] = (
    ("name", Wire(1, "string")),
    ("input", Wire(3, "string", "repeated")),
    ("input_shape", Wire(8, Shape, "repeated")),
    ("input_dim", Wire(4, "int32", "repeated")),
    ("force_backward", Wire(5, "bool", default=False)),
    ("state", Wire(6, NetState)),
    ("debug_info", Wire(7, "bool", default=False)),
    ("layer", Wire(100, LayerParameter, "repeated")),
)


@lru_cache(maxsize=1)
def pool() -> descriptor_pool.DescriptorPool:
    """The private pool that holds every message of the registered records."""
    made = descriptor_pool.DescriptorPool()
    made.Add(file_descriptor())
    return made


def new(message: str) -> ProtoMessage:
    """An empty protobuf message, for example `new("NetParameter")`."""
    return _class(message)()


@cache
def _class(message: str) -> type[ProtoMessage]:
    found = pool().FindMessageTypeByName(f"caffe.{message}")
    return message_factory.GetMessageClass(found)


def file_descriptor() -> descriptor_pb2.FileDescriptorProto:
    """The whole schema as protobuf describes files."""
    file = descriptor_pb2.FileDescriptorProto(
        name="caffe2fx/caffe.proto", package="caffe", syntax="proto2"
    )
    _describe(file, "BlobShape", [("dim", Wire(1, "int64", "repeated", packed=True))])
    _describe(file, "NetParameter", _NET_FIELDS)
    _describe(file, "LayerParameter", [*LayerParameter.wires(), *_typed_parameters()])
    for record in _reachable([BlobProto, LayerParameter, NetState, *REGISTRY.values()]):
        if record.message and record is not LayerParameter:
            _describe(file, record.message, record.wires())
    for numbers in _TOP_LEVEL_ENUMS:
        file.enum_type.append(_describe_enum(numbers))
    return file


def _typed_parameters() -> Iterator[tuple[str, Wire]]:
    typed = {layer.parameter: layer for layer in REGISTRY.values() if layer.parameter is not None}
    for (name, number), layer in typed.items():  # some layers share one message
        yield name, Wire(number, layer)


def _reachable(roots: Iterable[type[Message]]) -> list[type[Message]]:
    """The roots and all messages that their fields hold, each message once."""
    found: dict[str, type[Message]] = {}
    waiting = list(roots)
    while waiting:
        record = waiting.pop()
        if record.message not in found:
            found[record.message] = record
            waiting += [wire.type for _, wire in record.wires() if is_message(wire.type)]
    return list(found.values())


def _describe(
    file: descriptor_pb2.FileDescriptorProto, name: str, fields: Iterable[tuple[str, Wire]]
) -> None:
    message = file.message_type.add(name=name)
    for field_name, wire in fields:
        _describe_field(message, field_name, wire)


def _describe_field(message: descriptor_pb2.DescriptorProto, name: str, wire: Wire) -> None:
    label = _FIELD.Label.Value(f"LABEL_{wire.label.upper()}")
    made = message.field.add(name=name, number=wire.number, label=label)
    if wire.type is Shape or is_message(wire.type):
        target = "BlobShape" if wire.type is Shape else wire.type.message
        made.type, made.type_name = _FIELD.TYPE_MESSAGE, f".caffe.{target}"
    elif is_enum(wire.type):
        made.type, made.type_name = _FIELD.TYPE_ENUM, _enum_name(message, wire.type)
    else:
        made.type = _FIELD.Type.Value(f"TYPE_{wire.type.upper()}")
    if wire.default is not None:
        made.default_value = _default_text(wire.default)
    if wire.packed:
        made.options.packed = True


def _enum_name(message: descriptor_pb2.DescriptorProto, numbers: type[enum.IntEnum]) -> str:
    """Full name of an enumeration, which is nested into the message that uses it."""
    if numbers in _TOP_LEVEL_ENUMS:
        return f".caffe.{numbers.__name__}"
    if numbers.__name__ not in {nested.name for nested in message.enum_type}:
        message.enum_type.append(_describe_enum(numbers))
    return f".caffe.{message.name}.{numbers.__name__}"


def _describe_enum(numbers: type[enum.IntEnum]) -> descriptor_pb2.EnumDescriptorProto:
    made = descriptor_pb2.EnumDescriptorProto(name=numbers.__name__)
    for member in numbers:
        made.value.add(name=member.name, number=member.value)
    return made


def _default_text(default: Any) -> str:
    if isinstance(default, enum.Enum):
        return default.name
    return str(default).lower() if isinstance(default, bool) else str(default)
