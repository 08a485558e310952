"""Discrete Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fft, nn

from tests.ops.chains import chain
from tests.rows import Row, function

SIGNAL = ((2, 3, 6),)
ODD = ((2, 3, 5),)
IMAGE = ((2, 3, 4, 6),)


def seen(body: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    """Return a row's module whose complex result is given as real pairs."""
    return function(lambda x: torch.view_as_real(body(x).resolve_conj()))


def aten(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(torch.ops.aten, name)
    return found


ROWS = [
    Row("rfft", seen(fft.rfft), SIGNAL,
        layers=chain("InnerProduct InnerProduct Reshape Reshape Concat")),
    Row("rfft_real", function(lambda x: fft.rfft(x).real), SIGNAL, layers=chain("InnerProduct")),
    Row("rfft_odd", seen(fft.rfft), ODD,
        layers=chain("InnerProduct InnerProduct Reshape Reshape Concat")),
    Row("rfft_cut", seen(lambda x: fft.rfft(x, n=4, norm="ortho")), SIGNAL,
        layers=chain("InnerProduct InnerProduct Reshape Reshape Concat")),
    Row("rfft_longer", seen(lambda x: fft.rfft(input=x, n=9, norm="forward")), SIGNAL,
        layers=chain("InnerProduct InnerProduct Reshape Reshape Concat")),
    Row("rfft_dim", seen(lambda x: fft.rfft(x, None, 1, "backward")), IMAGE,
        layers=chain("Convolution Convolution Reshape Reshape Concat")),
    Row("rfft_of_batch", seen(lambda x: fft.rfft(x, dim=0)), SIGNAL,
        layers=chain("Reshape Convolution Reshape P Reshape Reshape Concat"), fixed_batch=True),
    Row("fft", seen(fft.fft), SIGNAL,
        layers=chain("InnerProduct InnerProduct Reshape Reshape Concat")),
    Row("fft_of_fft", function(lambda x: fft.fft(fft.fft(x, dim=-1), dim=-2).real), SIGNAL,
        layers=chain("InnerProduct InnerProduct Concat Reshape Convolution Reshape")),
    Row("ifft_of_real", seen(lambda x: fft.ifft(x, 7)), SIGNAL,
        layers=chain("InnerProduct InnerProduct Reshape Reshape Concat")),
    Row("ifft", seen(lambda x: fft.ifft(x * (1 + 2j), norm="ortho")), SIGNAL,
        layers=chain("P P Concat InnerProduct InnerProduct Reshape Reshape Concat")),
    Row("irfft", function(lambda x: fft.irfft(fft.rfft(x) * 1j)), SIGNAL,
        layers=chain("InnerProduct InnerProduct P P P Concat InnerProduct")),
    Row("irfft_odd", function(lambda x: fft.irfft(fft.rfft(x).square(), n=5)), ODD,
        layers={"InnerProduct": 3, "Eltwise": 6, "Concat": 1}),
    Row("irfft_of_real", function(lambda x: fft.irfft(x, norm="forward")), SIGNAL,
        layers=chain("InnerProduct")),
    Row("hfft", function(lambda x: fft.hfft(x * (1 - 1j), n=5, norm="ortho")), SIGNAL,
        layers=chain("P P Concat InnerProduct")),
    Row("ihfft", seen(lambda x: fft.ihfft(x, norm="forward")), SIGNAL,
        layers=chain("InnerProduct InnerProduct Reshape Reshape Concat")),
    Row("fft2", function(lambda x: fft.fft2(x).real), IMAGE,
        layers={"Reshape": 4, "Convolution": 2, "Concat": 1, "InnerProduct": 1}),
    Row("ifft2", seen(lambda x: fft.ifft2(x, s=(3, 5), dim=(1, 3))), IMAGE,
        layers={"Convolution": 2, "Concat": 2, "InnerProduct": 2, "Reshape": 2}),
    Row("rfft2", seen(lambda x: fft.rfft2(x, norm="ortho")), IMAGE,
        layers={"InnerProduct": 2, "Concat": 2, "Reshape": 6, "Convolution": 2}),
    Row("rfft2_sizes", seen(lambda x: fft.rfft2(x, s=(-1, 4))), IMAGE,
        layers={"InnerProduct": 2, "Concat": 2, "Reshape": 6, "Convolution": 2}),
    Row("irfft2", function(lambda x: fft.irfft2(fft.rfft2(x) * (2 - 1j), s=(4, 5))), IMAGE,
        layers={"InnerProduct": 3, "Concat": 3, "Reshape": 8, "Convolution": 4, "Power": 4,
                "Eltwise": 2}),
    Row("hfft2", function(lambda x: fft.hfft2(fft.ihfft2(x), norm="ortho")), IMAGE,
        layers={"InnerProduct": 3, "Concat": 3, "Reshape": 8, "Convolution": 4}),
    Row("fftn", function(lambda x: fft.fftn(x, dim=(1, 2)).real), SIGNAL,
        layers={"Reshape": 4, "Convolution": 2, "Concat": 1, "InnerProduct": 1}),
    Row("fftn_of_all", seen(fft.fftn), SIGNAL,
        layers={"Reshape": 8, "Convolution": 3, "Concat": 2, "InnerProduct": 2}, fixed_batch=True),
    Row("ifftn", seen(lambda x: fft.ifftn(x, s=(4,), norm="forward")), SIGNAL,
        layers=chain("InnerProduct InnerProduct Reshape Reshape Concat")),
    Row("rfftn", seen(lambda x: fft.rfftn(x, dim=(2, 1))), IMAGE,
        layers={"Convolution": 4, "Concat": 2, "Reshape": 6}),
    Row("irfftn", function(lambda x: fft.irfftn(fft.rfftn(x, s=(2, 6)), s=(2, 6))), IMAGE,
        layers={"InnerProduct": 3, "Concat": 3, "Reshape": 8, "Convolution": 4}),
    Row("hfftn", function(lambda x: fft.hfftn(fft.ihfftn(x, dim=(1, 2)), dim=(1, 2))), SIGNAL,
        layers={"InnerProduct": 3, "Concat": 3, "Reshape": 8, "Convolution": 4}),
    Row("fftn_of_complex", seen(lambda x: fft.ifftn(fft.fftn(x * 1j, dim=(1, 2)), dim=(2,))),
        SIGNAL,
        layers={"Power": 1, "Reshape": 6, "Convolution": 2, "Concat": 3, "InnerProduct": 4}),
    Row("fft2_of_complex", seen(lambda x: fft.ifft2(fft.fft2(x * 1j), s=(2, 5))), SIGNAL,
        layers={"Power": 1, "Reshape": 10, "Convolution": 4, "Concat": 4, "InnerProduct": 4}),
    Row("fft_shifted", function(lambda x: fft.fftshift(fft.fft2(x), dim=(-2, -1)).imag), IMAGE,
        layers={"Reshape": 4, "Convolution": 2, "Concat": 3, "InnerProduct": 1, "Slice": 2}),
    Row("fft_shifted_back", function(lambda x: fft.ifftshift(fft.fft(x), -1).real), ODD,
        layers=chain("InnerProduct Slice Concat")),
    Row("fft_operator_r2c", seen(lambda x: aten("_fft_r2c")(x, [1, 2], 1, True)), SIGNAL,
        layers={"InnerProduct": 2, "Concat": 2, "Reshape": 6, "Convolution": 2}),
    Row("fft_operator_r2c_whole", seen(lambda x: aten("_fft_r2c")(x, [2], 2, False)), SIGNAL,
        layers=chain("InnerProduct InnerProduct Reshape Reshape Concat")),
    Row("fft_operator_c2c",
        seen(lambda x: aten("_fft_c2c")(x * (1 + 1j), [1, 2], 2, False)), SIGNAL,
        layers={"Power": 2, "Concat": 3, "Reshape": 6, "Convolution": 2, "InnerProduct": 2}),
    Row("fft_operator_c2c_forward",
        seen(lambda x: aten("_fft_c2c")(x * (1 + 1j), [2], 2, True)), SIGNAL,
        layers=chain("P P Concat InnerProduct InnerProduct Reshape Reshape Concat")),
    Row("fft_operator_c2r",
        function(lambda x: aten("_fft_c2r")(x * (1 + 1j), [1, 2], 2, 6)), SIGNAL,
        layers={"Power": 2, "Concat": 2, "Reshape": 4, "Convolution": 2, "InnerProduct": 1}),
    Row("fft_operator", seen(lambda x: aten("fft_rfft")(x, 4)), SIGNAL,
        layers=chain("InnerProduct InnerProduct Reshape Reshape Concat")),
    Row("fft_operator_of_parts",
        function(lambda x: aten("imag")(aten("_conj")(aten("fft_fft")(x)))), SIGNAL,
        layers=chain("InnerProduct P")),
    Row("fft_of_many", function(lambda x: fft.fft(x).real), ((1, 12000),),
        refused="needs an axis of at most 8192 elements for its matrix, got 12000"),
]  # fmt: skip
