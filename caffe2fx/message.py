"""Frozen dataclasses that are protobuf messages: the fields state name, number, type, default."""

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
    """How one field stands in Caffe's schema.

    `type` is a protobuf scalar name ("uint32"), an IntEnum class, a Message class, or
    `Shape`, which is the message BlobShape held as a plain tuple. `default` is the schema's
    own default, None where it states none; the record's default may differ (see `field`).
    `beside` says that it is no field of the record's own message (see `beside`), and `hint` that
    it has no part in what is computed (see `hint`).
    """

    number: int
    type: Any
    label: str = "optional"
    default: Any = None
    packed: bool = False
    beside: bool = False
    hint: bool = False


_UNSET: Any = object()


def field(number: int, type: Any, default: Any = None, *, absent: Any = _UNSET) -> Any:
    """Declare an optional field.

    `default` is the schema's default. `absent` is what the record holds when the file does
    not say: give None where Caffe tells an absent field from one at its default.
    """
    value = default if absent is _UNSET else absent
    wire = Wire(number, type, "optional", default)
    return dataclasses.field(default=value, metadata={"wire": wire})


def required(number: int, type: Any) -> Any:
    """Declare a field that Caffe's text parser insists on."""
    return dataclasses.field(metadata={"wire": Wire(number, type, "required")})


def forked(type: Any, default: Any = None, *, absent: Any = _UNSET) -> Any:
    """Declare an optional field that only forks of Caffe have in this message of BVLC's.

    Text names its fields, so that the numbers, in which the forks disagree, do not matter.
    """
    return field(0, type, default, absent=absent)


def hint(type: Any) -> Any:
    """Declare an optional field that only tells a fork how to run: the numbers stay the same.

    It is kept, so that text can be written as it was read.
    """
    return dataclasses.field(default=None, metadata={"wire": Wire(0, type, hint=True)})


def repeated(number: int, type: Any, *, packed: bool = False) -> Any:
    """Declare a repeated field; the record holds a tuple."""
    wire = Wire(number, type, "repeated", None, packed)
    return dataclasses.field(default=(), metadata={"wire": wire})


def beside(number: int, type: type[Message]) -> Any:
    """Declare a message that a layer has next to its own, as losses have loss_param.

    The field's name is the message's name in LayerParameter; absent it is at its defaults.
    """
    wire = Wire(number, type, beside=True)
    return dataclasses.field(default=type(), metadata={"wire": wire})


class Choice(enum.IntEnum):
    """Base of BVLC's enumerations to which forks of Caffe added members."""

    @property
    def is_forked(self) -> bool:
        """Whether only forks have this member: BVLC's Caffe cannot read its name."""
        raise NotImplementedError


class Message:
    """Base of all records that are messages; equal content makes equal records."""

    message: ClassVar[str]

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if value is not item.default:
                object.__setattr__(self, item.name, _normal(value, item.metadata["wire"]))
        for name, value in self._canonical().items():
            object.__setattr__(self, name, value)

    def _canonical(self) -> dict[str, Any]:
        """The fields to replace so that two ways of saying the same become one."""
        return {}

    @classmethod
    def wires(cls) -> Iterator[tuple[str, Wire]]:
        """Every field of the message with its place in the schema."""
        return ((name, wire) for name, wire in _wires(cls) if not wire.beside)

    @classmethod
    def beside(cls) -> Iterator[tuple[str, Wire]]:
        """The messages beside this one with their places in LayerParameter."""
        return ((name, wire) for name, wire in _wires(cls) if wire.beside)

    def fill(self, proto: ProtoMessage) -> None:
        """Write into `proto` every field that is not at its default."""
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            value, wire = getattr(self, item.name), item.metadata["wire"]
            if wire.beside:
                continue
            if wire.label == "required" or (value is not None and value != item.default):
                _write(proto, item.name, wire, value)

    @classmethod
    def parse(cls: type[T], proto: ProtoMessage) -> T:
        """The record that `proto` states; no required field may be absent."""
        values = {name: _read(proto, name, wire) for name, wire in cls.wires()}
        return cls(**{name: value for name, value in values.items() if value is not _UNSET})

    def beyond_bvlc(self) -> Iterator[tuple[str, Any]]:
        """What it says, or a message in it, in fields and members that only forks have."""
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            value, wire = getattr(self, item.name), item.metadata["wire"]
            if value is None or (value == item.default and not wire.beside):
                continue
            if is_message(wire.type):
                for one in value if wire.label == "repeated" else (value,):
                    yield from one.beyond_bvlc()
            elif wire.number == 0 or (isinstance(value, Choice) and value.is_forked):
                yield item.name, value

    def unhinted(self: T) -> T:
        """The same without what only tells a fork how to run it."""
        hints = {
            item.name: item.default
            for item in dataclasses.fields(self)  # type: ignore[arg-type]
            if item.metadata["wire"].hint or _is_forks_engine(getattr(self, item.name))
            if getattr(self, item.name) != item.default
        }
        return self.replace(**hints) if hints else self

    def replace(self: T, **changes: Any) -> T:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def __str__(self) -> str:
        said = (
            f"{item.name}={_show(getattr(self, item.name))}"
            for item in dataclasses.fields(self)  # type: ignore[arg-type]
            if getattr(self, item.name) != item.default
        )
        return f"{type(self).__name__}({', '.join(said)})"


def _wires(message: type[Message]) -> Iterator[tuple[str, Wire]]:
    for item in dataclasses.fields(message):  # type: ignore[arg-type]
        yield item.name, item.metadata["wire"]


def _normal(value: Any, wire: Wire) -> Any:
    """Tuples for lists, and for a float the shortest decimal that is the same float32."""
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
    """Whether a wire type is another record."""
    return isinstance(type_, type) and issubclass(type_, Message)


def is_enum(type_: Any) -> bool:
    """Whether a wire type is an enumeration."""
    return isinstance(type_, type) and issubclass(type_, enum.IntEnum)


def _show(value: Any) -> str:
    return value.name if isinstance(value, enum.Enum) else str(value)


def _write(proto: Any, name: str, wire: Wire, value: Any) -> None:
    target = getattr(proto, name)
    if wire.type is Shape or is_message(wire.type):
        items = value if wire.label == "repeated" else (value,)
        for item in items:
            place = target.add() if wire.label == "repeated" else target
            place.SetInParent() if wire.label != "repeated" else None
            _fill_one(place, item)
    elif wire.label == "repeated":
        target.extend(value)
    else:
        setattr(proto, name, value)


def _fill_one(place: Any, item: Any) -> None:
    if isinstance(item, Message):
        item.fill(place)
    else:
        place.dim.extend(item)


def _read(proto: Any, name: str, wire: Wire) -> Any:
    value = getattr(proto, name)
    if wire.label == "repeated":
        return tuple(_read_one(item, wire) for item in value)
    if not proto.HasField(name):
        return _UNSET
    return _read_one(value, wire)


def _read_one(value: Any, wire: Wire) -> Any:
    if wire.type is Shape:
        return tuple(value.dim)
    if is_message(wire.type) or is_enum(wire.type):
        return wire.type.parse(value) if is_message(wire.type) else wire.type(value)
    return value


def once_per_axis(values: Sequence[int], neutral: int | None = None) -> Shape:
    """Caffe's "once or once per axis" in its shortest form: (3, 3) is (3,), all neutral is ()."""
    shortest = tuple(values[:1]) if len(set(values)) == 1 else tuple(values)
    return () if shortest == (neutral,) else shortest


class Phase(enum.IntEnum):
    """What a net is run for."""

    TRAIN = 0
    TEST = 1


class VarianceNorm(enum.IntEnum):
    """Which fan a filler divides by."""

    FAN_IN = 0
    FAN_OUT = 1
    AVERAGE = 2


class DimCheckMode(enum.IntEnum):
    """Whether shared parameters must agree in shape or only in count."""

    STRICT = 0
    PERMISSIVE = 1


class Engine(Choice):
    """Which implementation a layer asks for; all give the same numbers. The last are forks'."""

    DEFAULT = 0
    CAFFE = 1
    CUDNN = 2
    MKL2017 = 3
    MKLDNN = 4
    NNPACK = 5

    @property
    def is_forked(self) -> bool:
        return self > Engine.CUDNN


def _is_forks_engine(value: Any) -> bool:
    return isinstance(value, Engine) and value.is_forked


class Type(enum.IntEnum):
    """NVIDIA's precisions."""

    DOUBLE = 0
    FLOAT = 1
    FLOAT16 = 2
    INT = 3
    UINT = 4
    BOOL = 5


class Precision(enum.IntEnum):
    """How Ristretto cuts numbers down."""

    DYNAMIC_FIXED_POINT = 0
    MINIFLOAT = 1
    INTEGER_POWER_OF_2_WEIGHTS = 2


class Rounding(enum.IntEnum):
    """How Ristretto rounds."""

    NEAREST = 0
    STOCHASTIC = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filler(Message):
    """How Caffe fills a blob that no file gives."""

    message = "FillerParameter"
    type: str = field(1, "string", "constant")
    value: float = field(2, "float", 0.0)
    min: float = field(3, "float", 0.0)
    max: float = field(4, "float", 1.0)
    mean: float = field(5, "float", 0.0)
    std: float = field(6, "float", 1.0)
    sparse: int = field(7, "int32", -1)
    variance_norm: VarianceNorm = field(8, VarianceNorm, VarianceNorm.FAN_IN)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetState(Message):
    """What include and exclude rules are held against."""

    message = "NetState"
    phase: Phase = field(1, Phase, Phase.TEST)
    level: int = field(2, "int32", 0)
    stage: tuple[str, ...] = repeated(3, "string")


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetStateRule(Message):
    """One include or exclude rule of a layer."""

    message = "NetStateRule"
    phase: Phase | None = field(1, Phase)
    min_level: int | None = field(2, "int32")
    max_level: int | None = field(3, "int32")
    stage: tuple[str, ...] = repeated(4, "string")
    not_stage: tuple[str, ...] = repeated(5, "string")

    def meets(self, state: NetState) -> bool:
        """Whether the net's state fulfils every part of this rule."""
        return (
            (self.phase is None or self.phase == state.phase)
            and (self.min_level is None or state.level >= self.min_level)
            and (self.max_level is None or state.level <= self.max_level)
            and all(stage in state.stage for stage in self.stage)
            and not any(stage in state.stage for stage in self.not_stage)
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParamSpec(Message):
    """Sharing and learning rate of one parameter blob."""

    message = "ParamSpec"
    name: str = field(1, "string", absent="")
    share_mode: DimCheckMode = field(2, DimCheckMode, absent=DimCheckMode.STRICT)
    lr_mult: float = field(3, "float", 1.0)
    decay_mult: float = field(4, "float", 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlobProto(Message):
    """A blob inside a message; large ones never pass through here (see caffemodel)."""

    message = "BlobProto"
    num: int = field(1, "int32", 0)
    channels: int = field(2, "int32", 0)
    height: int = field(3, "int32", 0)
    width: int = field(4, "int32", 0)
    data: tuple[float, ...] = repeated(5, "float", packed=True)
    diff: tuple[float, ...] = repeated(6, "float", packed=True)
    shape: Shape | None = field(7, Shape)
    double_data: tuple[float, ...] = repeated(8, "double", packed=True)
    double_diff: tuple[float, ...] = repeated(9, "double", packed=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantization(Message):
    """With how many bits and by which factors Intel's fork can run a layer in integers."""

    message = "QuantizationParameter"
    precision: Precision | None = hint(Precision)
    rounding_scheme: Rounding | None = hint(Rounding)
    bw_layer_in: int | None = hint("uint32")
    bw_layer_out: int | None = hint("uint32")
    bw_params: int | None = hint("uint32")
    fl_layer_in: Shape = repeated(6, "int32")
    fl_layer_out: Shape = repeated(7, "int32")
    fl_params: Shape = repeated(8, "int32")
    scale_in: tuple[float, ...] = repeated(20, "float")
    scale_out: tuple[float, ...] = repeated(21, "float")
    scale_params: tuple[float, ...] = repeated(22, "float")
    is_negative_input: bool | None = hint("bool")
    force_u8_input: bool | None = hint("bool")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryOptimization(Message):
    """Whether the fork of the temporal segment networks shares memory between blobs."""

    message = "MemoryOptimizationParameter"
    optimize_train: bool | None = hint("bool")
    optimize_test: bool | None = hint("bool")
    exclude_blob: tuple[str, ...] = repeated(3, "string")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerHints(Message):
    """How forks are to run a layer: with what precision, by which implementation.

    The weights are those of the net in float32, and so is what is computed here.
    """

    message = "LayerParameter"
    engine: str | None = hint("string")
    forward_type: Type | None = hint(Type)
    backward_type: Type | None = hint(Type)
    forward_math: Type | None = hint(Type)
    backward_math: Type | None = hint(Type)
    cudnn_math_override: int | None = hint("int32")
    debug: bool | None = hint("bool")
    quantization_param: Quantization | None = hint(Quantization)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerParameter(LayerHints):
    """What every layer states, whatever its type; the typed parts are the Layer records."""

    message = "LayerParameter"
    name: str = field(1, "string", absent="")
    type: str = field(2, "string", absent="")
    bottom: tuple[str, ...] = repeated(3, "string")
    top: tuple[str, ...] = repeated(4, "string")
    phase: Phase | None = field(10, Phase)
    loss_weight: tuple[float, ...] = repeated(5, "float")
    param: tuple[ParamSpec, ...] = repeated(6, ParamSpec)
    blobs: tuple[BlobProto, ...] = repeated(7, BlobProto)
    propagate_down: tuple[bool, ...] = repeated(11, "bool")
    include: tuple[NetStateRule, ...] = repeated(8, NetStateRule)
    exclude: tuple[NetStateRule, ...] = repeated(9, NetStateRule)
    user_text: str = forked("string", absent="")  # what usertext folds

    @property
    def hints(self) -> LayerHints:
        """What it says of how forks are to run the layer."""
        names = [item.name for item in dataclasses.fields(LayerHints)]
        return LayerHints(**{name: getattr(self, name) for name in names})

    def stands_in(self, state: NetState) -> bool:
        """Whether include and exclude rules keep this layer in a net of that state."""
        if self.include:
            return any(rule.meets(state) for rule in self.include)
        return not any(rule.meets(state) for rule in self.exclude)
