"""Discrete Fourier transforms, as products of one axis at a time with constant matrices.

The matrix of a transform is what torch's own function gives for the unit vectors in float64, so
that lengths, norms and symmetries are torch's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.complex_pair import ComplexPair, parts_of
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.complex_calls import handles_complex
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import positive
from fx2caffe.ops.blocks import inside, side_by_side

Value = Symbol | ComplexPair
Transform = Callable[..., Tensor]  # torch's, along one axis
Axes = int | Sequence[int] | None

OF_REAL = (torch.fft.rfft, torch.fft.ihfft)  # transforms that take real values alone
LONGEST = 1 << 13  # elements of an axis, whose matrices are up to a gigabyte of weights


def along(net: Emitter, value: Value, axis: int, transform: Transform) -> Value:
    """Transform one axis; `transform` transforms the last axis of a constant."""
    present = value.present if isinstance(value, ComplexPair) else (value,)
    size = present[0].static_size(axis)
    if size > LONGEST:
        raise Refused(f"needs an axis of at most {LONGEST} elements for its matrix, got {size}")
    rows = torch.cat([transform(line) for line in unit_vectors(value, size)])
    both = side_by_side(net, present, axis, suffix="parts")
    if not rows.is_complex():
        return _product(net, both, axis, rows)
    parts = (
        None if part is None else _product(net, both, axis, part, name)
        for name, part in zip(("real", "imag"), parts_of(rows), strict=True)
    )
    return ComplexPair(*parts)


def unit_vectors(value: Value, size: int) -> list[Tensor]:
    """Return the unit vectors of each part that is not zero: those of the imaginary one times i."""
    eye = torch.eye(size, dtype=torch.float64)
    if not isinstance(value, ComplexPair):
        return [eye]
    units = zip((1, 1j), (value.real, value.imag), strict=True)
    return [eye * torch.tensor(unit, dtype=torch.complex128) for unit, part in units if part]


def _product(net: Emitter, bottom: Symbol, axis: int, rows: Tensor, suffix: str = "") -> Symbol:
    layer = AxisMatrix(axis=axis, rows=rows.shape[1])
    return net.add(layer, bottom, blobs=[rows.t().contiguous()], suffix=suffix)


def _in_turn(
    net: Emitter,
    value: Value,
    axes: Sequence[tuple[int, int | None]],
    last: Transform,
    others: Transform,
    norm: str | None,
) -> Value:
    """Transform several axes, the last by `last`: first where it takes real values, else last.

    `axes` are pairs of an axis and its length, None for the length that it has.
    """
    steps = [(axis, size, others) for axis, size in axes[:-1]]
    final = [(*axes[-1], last)]
    ordered = [*final, *steps] if last in OF_REAL else [*steps, *final]
    for index, (axis, size, transform) in enumerate(ordered):
        step = partial(transform, n=size, norm=norm)
        at = positive(axis, len(value.shape))
        name = "" if index == len(ordered) - 1 else f"axis{at}"
        value = inside(net, name, along, value, at, step) if name else along(net, value, at, step)
    return value


# Functions of torch.fft


def _lengths(rank: int, s: Axes, dim: Axes) -> list[tuple[int, int | None]]:
    """Return the axes with their lengths; torch takes the last ones for lengths alone."""
    sizes = [s] if isinstance(s, int) else None if s is None else list(s)
    axes = [dim] if isinstance(dim, int) else None if dim is None else list(dim)
    if axes is None:
        axes = list(range(rank))[-len(sizes) if sizes else 0 :]
    sizes = [-1] * len(axes) if sizes is None else sizes
    return [(a, None if size == -1 else size) for a, size in zip(axes, sizes, strict=True)]


def _registered(targets: Sequence[Any], last: Transform, others: Transform, dim: Axes) -> None:
    """Register transforms of one axis, of two and of several, which differ in their defaults."""

    def transformed(
        net: Emitter, input: Value, s: Axes = None, dim: Axes = dim, norm: str | None = None
    ) -> Value:
        axes = _lengths(len(input.shape), s, dim)
        return _in_turn(net, input, axes, last, others, norm)

    handles(*targets)(transformed)
    if last not in OF_REAL:
        handles_complex(*targets)(transformed)


for _kind in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    _last = getattr(torch.fft, _kind)
    _others = torch.fft.ifft if _kind in ("ifft", "irfft", "ihfft") else torch.fft.fft
    _registered([_last], _last, _others, -1)
    _registered([getattr(torch.fft, f"{_kind}2")], _last, _others, (-2, -1))
    _registered([getattr(torch.fft, f"{_kind}n")], _last, _others, None)


# Operators, in which torch.export's programs call them


FORWARD = ("backward", "ortho", "forward")  # by torch's number of a norm: 1, 1/sqrt(n), 1/n
INVERSE = ("forward", "ortho", "backward")


@handles(torch._fft_r2c)
def real_to_complex(
    net: Emitter, input: Symbol, dim: Sequence[int], normalization: int, onesided: bool
) -> Value:
    last = torch.fft.rfft if onesided else torch.fft.fft
    return _in_turn(
        net, input, _lengths(input.rank, None, dim), last, torch.fft.fft, FORWARD[normalization]
    )


@handles_complex(torch._fft_c2r)
def complex_to_real(
    net: Emitter, input: ComplexPair, dim: Sequence[int], normalization: int, last_dim_size: int
) -> Value:
    axes = [*((axis, None) for axis in dim[:-1]), (dim[-1], last_dim_size)]
    return _in_turn(net, input, axes, torch.fft.irfft, torch.fft.ifft, INVERSE[normalization])


@handles_complex(torch._fft_c2c)
def complex_to_complex(
    net: Emitter, input: ComplexPair, dim: Sequence[int], normalization: int, forward: bool
) -> Value:
    transform = torch.fft.fft if forward else torch.fft.ifft
    norm = (FORWARD if forward else INVERSE)[normalization]
    return _in_turn(net, input, [(axis, None) for axis in dim], transform, transform, norm)
