"""LayerParameter: the fields that every layer has, those of forks included."""

from __future__ import annotations

import dataclasses
import enum

from caffe2fx.messages.common import BlobProto, NetState, NetStateRule, ParamSpec, Phase
from caffe2fx.messages.message import Message, Shape, field, forked, hint, repeated


class Type(enum.IntEnum):
    """Selects one of NVIDIA's precisions."""

    DOUBLE = 0
    FLOAT = 1
    FLOAT16 = 2
    INT = 3
    UINT = 4
    BOOL = 5


class Precision(enum.IntEnum):
    """Selects how Ristretto reduces the precision of values."""

    DYNAMIC_FIXED_POINT = 0
    MINIFLOAT = 1
    INTEGER_POWER_OF_2_WEIGHTS = 2


class Rounding(enum.IntEnum):
    """Selects how Ristretto rounds."""

    NEAREST = 0
    STOCHASTIC = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantization(Message):
    """Holds the bits and the factors with which Intel's fork can run a layer in integers."""

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
    """Holds whether the fork of temporal segment networks shares memory between blobs."""

    message = "MemoryOptimizationParameter"
    optimize_train: bool | None = hint("bool")
    optimize_test: bool | None = hint("bool")
    exclude_blob: tuple[str, ...] = repeated(3, "string")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerHints(Message):
    """Holds how forks are to run a layer: in which precision, by which implementation.

    The net's weights are float32 whatever these fields hold, and so is all computation here.
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
    """Holds the fields that every layer has; the Layer records hold the typed parts."""

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
    user_text: str = forked("string", absent="")  # the fields that text_fields folds

    @property
    def hints(self) -> LayerHints:
        """Return the fields that only state how forks run the layer."""
        names = [item.name for item in dataclasses.fields(LayerHints)]
        return LayerHints(**{name: getattr(self, name) for name in names})

    def is_included(self, state: NetState) -> bool:
        """Return whether include and exclude rules keep this layer in a net of that state."""
        if self.include:
            return any(rule.meets(state) for rule in self.include)
        return not any(rule.meets(state) for rule in self.exclude)
