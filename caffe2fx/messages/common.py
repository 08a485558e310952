"""Messages that layers and nets share: fillers, blobs, settings of parameters, net states."""

from __future__ import annotations

import dataclasses
import enum

from caffe2fx.messages.message import Choice, Message, Shape, field, repeated


class Phase(enum.IntEnum):
    """Selects the phase that a net is run in."""

    TRAIN = 0
    TEST = 1


class VarianceNorm(enum.IntEnum):
    """Selects the fan that a filler divides by."""

    FAN_IN = 0
    FAN_OUT = 1
    AVERAGE = 2


class DimCheckMode(enum.IntEnum):
    """Selects whether shared parameters must agree in shape or only in count."""

    STRICT = 0
    PERMISSIVE = 1


class Engine(Choice):
    """Selects the implementation of a layer; all give equal values. The last are forks'."""

    DEFAULT = 0
    CAFFE = 1
    CUDNN = 2
    MKL2017 = 3
    MKLDNN = 4
    NNPACK = 5

    @property
    def is_forked(self) -> bool:
        return self > Engine.CUDNN

    @property
    def is_hint(self) -> bool:
        return self.is_forked


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filler(Message):
    """Holds how Caffe fills a blob for which no file has values."""

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
    """Holds the phase, level and stages that include and exclude rules are matched against."""

    message = "NetState"
    phase: Phase = field(1, Phase, Phase.TEST)
    level: int = field(2, "int32", 0)
    stage: tuple[str, ...] = repeated(3, "string")


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetStateRule(Message):
    """Holds one include or exclude rule of a layer."""

    message = "NetStateRule"
    phase: Phase | None = field(1, Phase)
    min_level: int | None = field(2, "int32")
    max_level: int | None = field(3, "int32")
    stage: tuple[str, ...] = repeated(4, "string")
    not_stage: tuple[str, ...] = repeated(5, "string")

    def meets(self, state: NetState) -> bool:
        """Return whether the net's state fulfils every part of this rule."""
        return (
            (self.phase is None or self.phase == state.phase)
            and (self.min_level is None or state.level >= self.min_level)
            and (self.max_level is None or state.level <= self.max_level)
            and all(stage in state.stage for stage in self.stage)
            and not any(stage in state.stage for stage in self.not_stage)
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParamSpec(Message):
    """Holds sharing and learning rate of one parameter blob."""

    message = "ParamSpec"
    name: str = field(1, "string", absent="")
    share_mode: DimCheckMode = field(2, DimCheckMode, absent=DimCheckMode.STRICT)
    lr_mult: float = field(3, "float", 1.0)
    decay_mult: float = field(4, "float", 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlobProto(Message):
    """Holds a blob inside a message; large ones never pass through it (see caffemodel)."""

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
