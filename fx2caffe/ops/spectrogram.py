"""Short-time Fourier transforms: stft as a strided convolution, istft as a deconvolution."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx.layers import Convolution, Deconvolution
from fx2caffe.ir.complex_pair import ComplexPair, parts_of
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import PADDING, index_map
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.complex_calls import handles_complex
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops import complex as complex_values
from fx2caffe.ops import index_map as moves
from fx2caffe.ops.blocks import inside, side_by_side, times
from fx2caffe.ops.fourier import Value, unit_vectors

ONE_SIDED = "needs onesided=True and return_complex=False, got others"


@handles(torch.stft)
@handles_complex(torch.stft)
def stft(
    net: Emitter,
    input: Value,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
    *,
    out: Expected,
) -> Value:
    """Convolve the signal, padded if `center`, by the transforms of a frame's unit vectors."""
    _check_window(window)
    if align_to_window:
        raise Refused("needs frames that are not aligned to the window, got align_to_window=True")
    parts = input.present if isinstance(input, ComplexPair) else (input,)
    lines = [viewed(net, part, lambda s: (*_batch(s, 1), 1, s[-1]), "line") for part in parts]
    signal = side_by_side(net, lines, 1, suffix="parts")
    if center:
        signal = inside(net, "pad", moves.pad, signal, (n_fft // 2, n_fft // 2), pad_mode)
    frame = partial(
        torch.stft, n_fft=n_fft, hop_length=n_fft, win_length=win_length, window=_wide(window),
        center=False, normalized=normalized, onesided=onesided, return_complex=True,
    )  # fmt: skip
    rows = [frame(line) for line in unit_vectors(input, n_fft)]
    weight = torch.cat(rows, 2).permute(1, 2, 0)[:, :, None]
    made = _filtered(net, signal, weight, hop_length or n_fft // 4, len(input.shape) == 1)
    if out.meta.dtype.is_complex:
        return made
    return inside(net, "pairs", complex_values.view_as_real, made, out=out)


def _check_window(window: Any) -> None:
    if isinstance(window, Symbol | ComplexPair):
        raise Refused("needs a constant window, got one that depends on the input")


def _wide(window: Tensor | None) -> Tensor | None:
    """Return a window in double precision."""
    if window is None:
        return None
    return window.to(torch.complex128 if window.is_complex() else torch.float64)


def _batch(shape: Sequence[int], inner: int) -> tuple[int, ...]:
    """Return the batch axis of a shape that has `inner` axes more, 1 where it has none."""
    return tuple(shape[:-inner]) or (1,)


def _filtered(net: Emitter, signal: Symbol, weight: Tensor, hop: int, single: bool) -> ComplexPair:
    """Convolve lines (batch, parts, time) by complex filters; `single` takes the batch away."""
    image = viewed(net, signal, lambda s: (*s[:2], 1, s[2]), "image")
    filters = Convolution(
        num_output=len(weight), bias_term=False, kernel_h=1, kernel_w=weight.shape[-1],
        stride_h=1, stride_w=hop,
    )  # fmt: skip
    made = []
    for name, part in zip(("real", "imag"), parts_of(weight), strict=True):
        top = None if part is None else net.add(filters, image, blobs=[part], suffix=name)
        made.append(None if top is None else viewed(net, top, _frames(single), f"{name}/frames"))
    return ComplexPair(*made)


def _frames(single: bool) -> Any:
    return lambda s: (s[1], s[3]) if single else (s[0], s[1], s[3])


@handles_complex(torch.istft)
def istft(
    net: Emitter,
    input: ComplexPair,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
    *,
    out: Expected,
) -> Symbol:
    """Add up the windowed frames by a deconvolution and divide by the sum of squared windows."""
    _check_window(window)
    bins = n_fft // 2 + 1
    if return_complex or input.shape[-2] != bins or onesided is False:
        raise Refused(ONE_SIDED)
    hop = hop_length or n_fft // 4
    taps = _padded_window(window, win_length or n_fft, n_fft)
    norm = "ortho" if normalized else "backward"
    rows = [torch.fft.irfft(x, n_fft, norm=norm) * taps for x in unit_vectors(input, bins)]
    images = [viewed(net, p, lambda s: (*_batch(s, 2), s[-2], 1, s[-1])) for p in input.present]
    both = side_by_side(net, images, 1, suffix="parts")
    frames = input.shape[-1]
    added = Deconvolution(
        num_output=1, bias_term=False, kernel_h=1, kernel_w=n_fft, stride_h=1, stride_w=hop
    )
    whole = net.add(added, both, blobs=[torch.cat(rows)[:, None, None]], suffix="frames")
    first = n_fft // 2 if center else 0
    kept = range(first, first + out.shape[-1])
    there = whole.shape[-1]
    indices = [at if at < there else PADDING for at in kept]
    cut = index_map(net, whole, {3: indices}, suffix="signal")
    line = viewed(net, cut, lambda s: (s[0], s[3]) if len(input.shape) == 3 else s[3:], "line")
    sums = F.conv_transpose1d(
        torch.ones(1, 1, frames, dtype=torch.float64), taps.square()[None, None], stride=hop
    )
    factor = F.pad(sums[0, 0], (0, max(0, kept.stop - there)), value=1.0)[kept.start : kept.stop]
    return times(net, line, factor.reciprocal().float())


def _padded_window(window: Tensor | None, length: int, n_fft: int) -> Tensor:
    """Return the window in float64, with zeros on both sides to the size of a frame."""
    own = torch.ones(length, dtype=torch.float64) if window is None else window.double()
    left = (n_fft - length) // 2
    return F.pad(own, (left, n_fft - length - left))
