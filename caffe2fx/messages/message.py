"""Frozen dataclasses that are protobuf messages: each field has its name, number, type, default."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from google.protobuf.message import Message as ProtoMessage

Shape = tuple[int, ...]
T = TypeVar("T", bound="Message")


@dataclasses.dataclass(frozen=True)
class Wire:
    """Holds how one field is declared in Caffe's schema.

    `type` is a protobuf scalar name ("uint32"), an IntEnum class, a Message class, or `Shape`,
    which is the message BlobShape held as a plain tuple. `default` is the schema's own default,
    None where it has none; the record's default may differ (see `field`). `is_sibling` marks a
    sibling message of the layer's own (see `sibling_message`), and `hint` a field that does not
    change any value (see `hint`).
    """

    number: int
    type: Any
    label: str = "optional"
    default: Any = None
    packed: bool = False
    is_sibling: bool = False
    hint: bool = False


_UNSET: Any = object()


def field(number: int, type: Any, default: Any = None, *, absent: Any = _UNSET) -> Any:
    """Declare an optional field.

    `default` is the schema's default. `absent` is the record's value when the file does not set the
    field: give None where Caffe distinguishes an absent field from its default.
    """
    value = default if absent is _UNSET else absent
    wire = Wire(number, type, "optional", default)
    return dataclasses.field(default=value, metadata={"wire": wire})


def required(number: int, type: Any) -> Any:
    """Declare a field that Caffe's text parser requires."""
    return dataclasses.field(metadata={"wire": Wire(number, type, "required")})


def forked(type: Any, default: Any = None, *, absent: Any = _UNSET) -> Any:
    """Declare an optional field that only forks of Caffe have in this message of BVLC's.

    Text names its fields, so that the field numbers, in which the forks disagree, do not matter.
    """
    return field(0, type, default, absent=absent)


def hint(type: Any) -> Any:
    """Declare an optional field that only states how a fork runs: the results stay the same.

    It is kept, so that text can be written as it was read.
    """
    return dataclasses.field(default=None, metadata={"wire": Wire(0, type, hint=True)})


def repeated(number: int, type: Any, *, packed: bool = False) -> Any:
    """Declare a repeated field; the record holds a tuple."""
    wire = Wire(number, type, "repeated", None, packed)
    return dataclasses.field(default=(), metadata={"wire": wire})


def sibling_message(number: int, type: type[Message]) -> Any:
    """Declare a message that a layer has next to its own, as losses have loss_param.

    The field's name is the message's name in LayerParameter; an absent one is at its defaults.
    """
    wire = Wire(number, type, is_sibling=True)
    return dataclasses.field(default=type(), metadata={"wire": wire})


class Choice(enum.IntEnum):
    """Base of BVLC's enumerations to which forks of Caffe added members."""

    @property
    def is_forked(self) -> bool:
        """Return whether only forks have this member: BVLC's Caffe cannot read its name."""
        raise NotImplementedError

    @property
    def is_hint(self) -> bool:
        """Return whether the member selects an implementation alone, so that it may be left out."""
        return False


class Message:
    """Base of all records that are messages; equal content makes equal records."""

    message: ClassVar[str]

    def __post_init__(self) -> None:
        for name, default, wire in _Declared.of(type(self)).fields:
            value = getattr(self, name)
            if value is not default:
                object.__setattr__(self, name, _normal(value, wire))
        for name, value in self._canonical().items():
            object.__setattr__(self, name, value)

    def _canonical(self) -> dict[str, Any]:
        """Return the fields to replace so that two spellings of the same content become equal."""
        return {}

    @classmethod
    def wires(cls) -> Iterator[tuple[str, Wire]]:
        """Yield the name and the declaration of every field of the message."""
        return iter(_Declared.of(cls).own.items())

    @classmethod
    def sibling_messages(cls) -> Iterator[tuple[str, Wire]]:
        """Yield the name in LayerParameter and the declaration of each sibling message."""
        return ((name, wire) for name, wire in _wires(cls) if wire.is_sibling)

    def fill(self, proto: ProtoMessage) -> None:
        """Write into `proto` every field that is not at its default."""
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            value, wire = getattr(self, item.name), item.metadata["wire"]
            if wire.is_sibling:
                continue
            if wire.label == "required" or (value is not None and value != item.default):
                _write(proto, item.name, wire, value)

    @classmethod
    def parse(cls: type[T], proto: ProtoMessage) -> T:
        """Return the record that `proto` states; no required field may be absent."""
        wires = _Declared.of(cls).own
        given = ((item.name, value) for item, value in proto.ListFields())
        return cls(**{name: _read(value, wires[name]) for name, value in given if name in wires})

    def beyond_bvlc(self) -> Iterator[tuple[str, Any]]:
        """Yield name and value of each set field or enumeration member of forks, nested too."""
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            value, wire = getattr(self, item.name), item.metadata["wire"]
            if value is None or (value == item.default and not wire.is_sibling):
                continue
            if is_message(wire.type):
                for one in value if wire.label == "repeated" else (value,):
                    yield from one.beyond_bvlc()
            elif wire.number == 0 or (isinstance(value, Choice) and value.is_forked):
                yield item.name, value

    def unhinted(self: T) -> T:
        """Return a copy without the fields that only state how a fork runs it."""
        hints = {
            item.name: item.default
            for item in dataclasses.fields(self)  # type: ignore[arg-type]
            if item.metadata["wire"].hint or _is_hint(getattr(self, item.name))
            if getattr(self, item.name) != item.default
        }
        return self.replace(**hints) if hints else self

    def replace(self: T, **changes: Any) -> T:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def __str__(self) -> str:
        parts = (
            f"{item.name}={_show(getattr(self, item.name))}"
            for item in dataclasses.fields(self)  # type: ignore[arg-type]
            if getattr(self, item.name) != item.default
        )
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclasses.dataclass(frozen=True)
class _Declared:
    """Holds the fields of a class of messages: name, the record's default, declaration."""

    fields: tuple[tuple[str, Any, Wire], ...]
    own: dict[str, Wire]  # without the sibling messages

    @classmethod
    def of(cls, message: type[Message]) -> _Declared:
        """Return the fields of a class, found once."""
        if message not in _DECLARED:
            items = dataclasses.fields(message)  # type: ignore[arg-type]
            fields = tuple((item.name, item.default, item.metadata["wire"]) for item in items)
            own = {name: wire for name, _, wire in fields if not wire.is_sibling}
            _DECLARED[message] = cls(fields, own)
        return _DECLARED[message]


_DECLARED: dict[type[Message], _Declared] = {}


def _wires(message: type[Message]) -> Iterator[tuple[str, Wire]]:
    return ((name, wire) for name, _, wire in _Declared.of(message).fields)


def _normal(value: Any, wire: Wire) -> Any:
    """Return lists as tuples, and a float as the shortest decimal that is the same float32."""
    if wire.label == "repeated":
        return tuple(_normal_one(item, wire.type) for item in value)
    return value if value is None else _normal_one(value, wire.type)


def _normal_one(value: Any, type_: Any) -> Any:
    if type_ == "float":
        return float(str(np.float32(value)))
    if type_ is Shape:
        return tuple(int(size) for size in value)
    return type_(value) if is_enum(type_) else value


def is_message(type_: Any) -> bool:
    """Return whether a wire type is another record."""
    return isinstance(type_, type) and issubclass(type_, Message)


def is_enum(type_: Any) -> bool:
    """Return whether a wire type is an enumeration."""
    return isinstance(type_, type) and issubclass(type_, enum.IntEnum)


def _is_hint(value: Any) -> bool:
    return isinstance(value, Choice) and value.is_hint


def _show(value: Any) -> str:
    return value.name if isinstance(value, enum.Enum) else str(value)


def _write(proto: Any, name: str, wire: Wire, value: Any) -> None:
    target = getattr(proto, name)
    if wire.type is Shape or is_message(wire.type):
        items = value if wire.label == "repeated" else (value,)
        for item in items:
            entry = target.add() if wire.label == "repeated" else target
            entry.SetInParent() if wire.label != "repeated" else None
            _fill_one(entry, item)
    elif wire.label == "repeated":
        target.extend(value)
    else:
        setattr(proto, name, value)


def _fill_one(entry: Any, item: Any) -> None:
    if isinstance(item, Message):
        item.fill(entry)
    else:
        entry.dim.extend(item)


def _read(value: Any, wire: Wire) -> Any:
    if wire.label == "repeated":
        return tuple(_read_one(item, wire) for item in value)
    return _read_one(value, wire)


def _read_one(value: Any, wire: Wire) -> Any:
    if wire.type is Shape:
        return tuple(value.dim)
    if is_message(wire.type) or is_enum(wire.type):
        return wire.type.parse(value) if is_message(wire.type) else wire.type(value)
    return value


def once_per_axis(values: Sequence[int], neutral: int | None = None) -> Shape:
    """Return "once or once per axis" in its shortest form: (3, 3) is (3,), all neutral is ()."""
    shortest = tuple(values[:1]) if len(set(values)) == 1 else tuple(values)
    return () if shortest == (neutral,) else shortest
