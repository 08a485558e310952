"""ComplexPair: a complex value of the traced model, as the symbols of its two parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from caffe2fx.messages.message import Shape
from fx2caffe.ir.symbol import Symbol


@dataclass(frozen=True)
class ComplexPair:
    """Holds the parts of a traced complex tensor; one that is None is zero, and one is not None."""

    real: Symbol | None
    imag: Symbol | None = None

    @property
    def present(self) -> tuple[Symbol, ...]:
        """Return the parts that are not zero, the real one first."""
        return tuple(part for part in (self.real, self.imag) if part is not None)

    @property
    def shape(self) -> Shape:
        """Return the shape at the example's batch size."""
        return self.present[0].shape

    @property
    def other_shape(self) -> Shape:
        """Return the shape at the other batch size."""
        return self.present[0].other_shape


def is_complex(value: Any) -> bool:
    """Return whether a traced value, constant, Python scalar or dtype is complex."""
    if isinstance(value, Tensor):
        return value.is_complex()
    if isinstance(value, torch.dtype):
        return value.is_complex
    return isinstance(value, ComplexPair | complex)


def has_complex(value: Any) -> bool:
    """Return whether anything complex is among the arguments of a call, or its results."""
    if isinstance(value, tuple | list):
        return any(map(has_complex, value))
    if isinstance(value, dict):
        return any(map(has_complex, value.values()))
    return is_complex(value)


def parts_of(value: Any) -> tuple[Any, Any]:
    """Return the real and the imaginary part of a value, None for one that is zero.

    The parts of a pair are symbols, those of a constant tensors, those of a Python scalar
    scalars. A real value is its own real part.
    """
    if isinstance(value, ComplexPair):
        return value.real, value.imag
    if not is_complex(value):
        return value, None
    real, imag = value.real, value.imag
    if not _is_filled(imag):
        return real, None
    return (real if _is_filled(real) else None), imag


def _is_filled(part: Any) -> bool:
    return bool((part != 0).any()) if isinstance(part, Tensor) else part != 0
