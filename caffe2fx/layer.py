"""The record of a Caffe layer type: parameters, shapes, weight blobs and meaning in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from caffe2fx.errors import CaffeError, ShapeMismatchError
from caffe2fx.message import Message, Shape

L = TypeVar("L", bound="type[Layer]")
MANY = 1 << 30
Sharing = Literal["never", "always", "one bottom", "one top"]


class Layer(Message):
    """Base of all layer records.

    A subclass is a frozen dataclass whose fields are the fields of the layer's own message.
    It states `type` (Caffe's type name), `parameter` (name and number of its field in
    LayerParameter; None for a layer without parameters), how many bottoms and tops it takes,
    whether Caffe computes it rightly when its top is its bottom (`in_place`), and when its
    tops are its bottom's memory under another name (`shares_memory`).
    """

    type: ClassVar[str] = ""
    parameter: ClassVar[tuple[str, int] | None] = None
    bottoms: ClassVar[tuple[int, int]] = (1, 1)
    tops: ClassVar[tuple[int, int]] = (1, 1)
    in_place: ClassVar[bool] = False
    shares_memory: ClassVar[Sharing] = "never"

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        """The meaning: what Caffe's forward gives in the TEST phase, one tensor a top."""
        raise NotImplementedError(f"{self.type} has no torch meaning")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        """Shapes of the tops; by default those of the meaning, run without data."""
        inputs = [torch.empty(shape, device="meta") for shape in bottoms]
        blobs = [torch.empty(shape, device="meta") for shape in self.blob_shapes(bottoms)]
        return tuple(tuple(top.shape) for top in self.compute(inputs, blobs, tops))

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        """Shapes of the weight blobs, in file order."""
        return ()

    @property
    def is_constant(self) -> bool:
        """Whether the tops follow from the bottoms' shapes alone, whatever the bottoms hold."""
        return False

    def reduction(self, bottoms: Sequence[Shape]) -> int:
        """How many terms are summed for one number of the result."""
        return 1

    def module(
        self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int
    ) -> nn.Module:
        """A module with this meaning; torch.nn's own where one is exactly equal."""
        return Operation(self, blobs, tops)

    def blobs_of(self, module: nn.Module) -> tuple[Tensor, ...]:
        """The weight blobs that a module made by `module` now holds, in file order."""
        if isinstance(module, Operation):
            return module.blobs
        return tuple(module.parameters())

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        """Raise what Caffe would abort with, in words; the caller adds the layer's name."""
        _check_count("bottom", len(bottoms), self.bottoms)
        _check_count("top", tops, self.tops)


def _check_count(what: str, got: int, limits: tuple[int, int]) -> None:
    low, high = limits
    if low <= got <= high:
        return
    wanted = str(low) if low == high else f"at least {low}" if high == MANY else f"{low} to {high}"
    raise ShapeMismatchError(f"needs {wanted} {what}(s), got {got}")


class Operation(nn.Module):
    """A layer that torch.nn has no twin for: its record and its blobs as parameters."""

    def __init__(self, layer: Layer, blobs: Sequence[Tensor], tops: int) -> None:
        super().__init__()
        self.layer = layer
        self.tops = tops
        self._count = len(blobs)
        for index, blob in enumerate(blobs):
            self.register_parameter(f"blob{index}", nn.Parameter(blob))

    @property
    def blobs(self) -> tuple[Tensor, ...]:
        """The weight blobs in file order."""
        return tuple(getattr(self, f"blob{index}") for index in range(self._count))

    def forward(self, *bottoms: Tensor) -> Tensor | tuple[Tensor, ...]:
        tops = self.layer.compute(bottoms, self.blobs, self.tops)
        return tops[0] if self.tops == 1 else tops

    def extra_repr(self) -> str:
        return str(self.layer)


_REGISTRY: dict[str, type[Layer]] = {}


def register(layer: L) -> L:
    """Class decorator: make a record known under its Caffe type name."""
    if layer.type in _REGISTRY:
        raise CaffeError(f"layer type {layer.type!r} is registered twice")
    _REGISTRY[layer.type] = layer
    return layer


def registered() -> dict[str, type[Layer]]:
    """The records registered so far; `caffe2fx.layers.REGISTRY` is complete."""
    return dict(_REGISTRY)


def axis_of(axis: int, rank: int, *, most: int | None = None) -> int:
    """Caffe's CanonicalAxisIndex: negative axes count from the end."""
    limit = rank if most is None else most
    if not -rank <= axis < limit:
        raise ShapeMismatchError(f"needs an axis in [{-rank}, {limit}), got {axis}")
    return axis + rank if axis < 0 else axis
