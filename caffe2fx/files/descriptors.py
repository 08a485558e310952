"""Caffe's protobuf schema, built from the records: there is no caffe.proto and no generated code.

The descriptors live in a pool of their own, so that a caffe_pb2 in the same process (pycaffe's)
neither disturbs them nor is disturbed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import count
from threading import Lock
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message as ProtoMessage

from caffe2fx.errors import CaffeError
from caffe2fx.files.v1_words import wires_of
from caffe2fx.layers.layer import BVLC, Layer
from caffe2fx.layers.registry import records
from caffe2fx.messages.common import BlobProto, NetState, Phase
from caffe2fx.messages.layer_parameter import LayerParameter, MemoryOptimization, Type
from caffe2fx.messages.message import Message, Shape, Wire, is_enum, is_message
from caffe2fx.messages.v1 import V1LayerParameter

_FIELD = descriptor_pb2.FieldDescriptorProto
_FREE = 100_000  # above the field numbers that Caffe and its forks use
_TOP_LEVEL_ENUMS: tuple[type[enum.IntEnum], ...] = (Phase,)
_LOCK = Lock()


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
    ("layers", Wire(2, V1LayerParameter, "repeated")),
)
# The precision, memory and machines with which forks run a net: read, and ignored here.
FORKED_NET_FIELDS: tuple[tuple[str, Wire], ...] = (
    ("default_forward_type", Wire(0, Type)),
    ("default_backward_type", Wire(0, Type)),
    ("default_forward_math", Wire(0, Type)),
    ("default_backward_math", Wire(0, Type)),
    ("global_grad_scale", Wire(0, "float")),
    ("global_grad_scale_adaptive", Wire(0, "bool")),
    ("default_conv_algos_override", Wire(0, "string")),
    ("default_cudnn_math_override", Wire(0, "int32")),
    ("eltwise_mem_sharing", Wire(0, "bool")),
    ("reduce_buckets", Wire(0, "int32")),
    ("engine", Wire(0, "string")),
    ("mem_param", Wire(0, MemoryOptimization)),
    ("bn_stats_batch_size", Wire(0, "uint32")),  # but for this one, see prototxt
)


def new(message: str) -> ProtoMessage:
    """Return an empty protobuf message, for example `new("NetParameter")`."""
    known = tuple(records())
    with _LOCK:
        return _classes(known)[f"caffe.{message}"]()


@lru_cache(maxsize=1)
def _classes(known: tuple[type[Layer], ...]) -> Mapping[str, type[ProtoMessage]]:
    """Return the class of every message of the registered records, in a pool of their own.

    All are made at once and kept. protobuf would make each when it is first reached and free it
    with its last message, which threads that parse at the same time do not survive.
    """
    pool, file = descriptor_pool.DescriptorPool(), file_descriptor()
    pool.Add(file)
    return message_factory.GetMessageClassesForFiles([file.name], pool)


def file_descriptor() -> descriptor_pb2.FileDescriptorProto:
    """Return the whole schema as protobuf describes files."""
    file = descriptor_pb2.FileDescriptorProto(
        name="caffe2fx/caffe.proto", package="caffe", syntax="proto2"
    )
    _describe(file, "BlobShape", [("dim", Wire(1, "int64", "repeated", packed=True))])
    net = _numbered([*_NET_FIELDS, *FORKED_NET_FIELDS])
    _describe(file, "NetParameter", net.items())
    today = _numbered([*LayerParameter.wires(), *_typed_parameters()])
    _describe(file, "LayerParameter", today.items())
    v1 = V1LayerParameter.typed(_typed_parameters())
    _describe(file, "V1LayerParameter", [*wires_of(V1LayerParameter), *v1])
    roots = [BlobProto, LayerParameter, V1LayerParameter, NetState, MemoryOptimization, *records()]
    for message, wires in _merged(_reachable(roots)).items():
        if message and message not in (LayerParameter.message, V1LayerParameter.message):
            _describe(file, message, wires.items())
    for kind in _TOP_LEVEL_ENUMS:
        file.enum_type.append(_describe_enum(kind))
    return file


def _typed_parameters() -> Iterator[tuple[str, Wire]]:
    """Yield the typed parameter messages of all layers, each name once."""
    ordered = sorted(records(), key=_is_forked)
    yield from _numbered(
        (name, wire) for record in ordered for name, wire in _parameters_of(record)
    ).items()


def _parameters_of(record: type[Layer]) -> Iterator[tuple[str, Wire]]:
    if record.parameter is not None:
        name, number = record.parameter
        yield name, Wire(number, record)
        yield from ((alias, Wire(0, record)) for alias in record.aliases)
    yield from record.sibling_messages()


def _reachable(roots: Iterable[type[Message]]) -> list[type[Message]]:
    """Return the roots and all messages that their fields hold, each record once."""
    found: list[type[Message]] = []
    waiting = list(roots)[::-1]
    while waiting:
        record = waiting.pop()
        if record not in found:
            found.append(record)
            wires = (*wires_of(record), *record.sibling_messages())
            waiting += [wire.type for _, wire in wires if is_message(wire.type)]
    return found


def _merged(records: Iterable[type[Message]]) -> dict[str, dict[str, Wire]]:
    """Return the fields of each message, from all records that read it: those of BVLC first."""
    fields: dict[str, list[tuple[str, Wire]]] = {}
    for record in sorted(records, key=_is_forked):
        fields.setdefault(record.message, []).extend(wires_of(record))
    return {message: _numbered(wires) for message, wires in fields.items()}


def _is_forked(record: type[Message]) -> bool:
    return issubclass(record, Layer) and BVLC not in record.dialects


def _numbered(wires: Iterable[tuple[str, Wire]]) -> dict[str, Wire]:
    """Return each field once, with a unique field number: the first of equal ones keeps it.

    Text is read by names alone, and no two forks agree on field numbers.
    """
    numbered: dict[str, Wire] = {}
    taken: set[int] = set()
    for name, wire in sorted(wires, key=lambda field: field[1].number == 0):
        if name not in numbered:
            own = wire.number and wire.number not in taken
            number = wire.number if own else next(n for n in count(_FREE) if n not in taken)
            numbered[name] = replace(wire, number=number)
            taken.add(number)
        elif numbered[name].label != wire.label or not _reads_alike(numbered[name], wire):
            raise CaffeError(f"field {name!r} is {numbered[name]} and {wire} in two records")
    return numbered


def _reads_alike(one: Wire, two: Wire) -> bool:
    return one.type == two.type or _message_name(one) == _message_name(two) != ""


def _message_name(wire: Wire) -> str:
    return wire.type.message if is_message(wire.type) else ""


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


def _enum_name(message: descriptor_pb2.DescriptorProto, kind: type[enum.IntEnum]) -> str:
    """Return the full name of an enumeration, which is nested into the message that uses it."""
    if kind in _TOP_LEVEL_ENUMS:
        return f".caffe.{kind.__name__}"
    if kind.__name__ not in {nested.name for nested in message.enum_type}:
        message.enum_type.append(_describe_enum(kind))
    return f".caffe.{message.name}.{kind.__name__}"


def _describe_enum(kind: type[enum.IntEnum]) -> descriptor_pb2.EnumDescriptorProto:
    made = descriptor_pb2.EnumDescriptorProto(name=kind.__name__)
    for name, member in kind.__members__.items():  # also other names of the same values
        made.value.add(name=name, number=member.value)
    if len(kind.__members__) > len(kind):
        made.options.allow_alias = True
    return made


def _default_text(default: Any) -> str:
    if isinstance(default, enum.Enum):
        return default.name
    return str(default).lower() if isinstance(default, bool) else str(default)
