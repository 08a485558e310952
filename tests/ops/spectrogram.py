"""Short-time Fourier transforms."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.ops.chains import chain
from tests.rows import Row, function

SIGNAL = ((2, 40),)
WINDOW = torch.hann_window(8)


def quiet(function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """Call a function of torch's that warns of what a row is about: no window, real pairs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def spectrum(**options: Any) -> Callable[[], nn.Module]:
    """Return a row's module that takes the magnitudes of torch.stft."""
    given = {"window": WINDOW, "return_complex": True, **options}
    return function(lambda x: quiet(torch.stft, x, 8, **given).abs())


def there_and_back(**options: Any) -> Callable[[], nn.Module]:
    """Return a row's module that doubles the spectrum and inverts torch.stft."""
    own = {"window": WINDOW, "normalized": options.get("normalized", False)}
    hop = options.pop("hop_length", 2)

    def forward(x: Tensor) -> Tensor:
        z = torch.stft(x, 8, hop, return_complex=True, **own)
        return torch.istft(z * (1 + 0.5j), 8, hop, **{**own, **options})

    return function(forward)


def pairs(x: Tensor) -> Tensor:
    return quiet(torch.stft, x, 8, 4, window=WINDOW, return_complex=False)


def ends(x: Tensor) -> Tensor:
    z = quiet(torch.stft, x, 8, 4, center=False, return_complex=True)
    return quiet(torch.istft, z, 8, 4, center=False)


def two_sided(x: Tensor) -> Tensor:
    z = quiet(torch.stft, x, 8, 4, onesided=False, return_complex=True)
    return quiet(torch.istft, z, 8, 4, onesided=False)


def centered(x: Tensor) -> Tensor:
    return quiet(torch.ops.aten.stft.center, x, 8, return_complex=True).real


class Mel(nn.Module):
    """The log mel spectrogram of speech front ends."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", WINDOW)
        self.register_buffer("bank", torch.rand(5, 4, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        z = torch.stft(x, 8, 4, 8, self.window, return_complex=True)
        power = z.real.pow(2) + z.imag.pow(2)
        return (power.transpose(1, 2) @ self.bank).clamp(min=1e-5).log()


ROWS = [
    Row("stft", spectrum(), SIGNAL,
        layers={"Reshape": 2, "Slice": 1, "Concat": 1, "Convolution": 2, "Flatten": 2, "Power": 3,
                "Eltwise": 1}),
    Row("stft_hop", spectrum(hop_length=3, center=False), SIGNAL,
        layers={"Reshape": 2, "Convolution": 2, "Flatten": 2, "Power": 3, "Eltwise": 1}),
    Row("stft_short_window",
        spectrum(win_length=6, window=torch.hann_window(6), pad_mode="constant"), SIGNAL,
        layers={"Reshape": 3, "Im2col": 1, "Flatten": 3, "Convolution": 2, "Power": 3, "Eltwise":
                1}),
    Row("stft_normalized", spectrum(normalized=True, window=None), SIGNAL,
        layers={"Reshape": 2, "Slice": 1, "Concat": 1, "Convolution": 2, "Flatten": 2, "Power": 3,
                "Eltwise": 1}),
    Row("stft_two_sided", spectrum(onesided=False, pad_mode="replicate"), SIGNAL,
        layers={"Reshape": 2, "Slice": 1, "Concat": 1, "Convolution": 2, "Flatten": 2, "Power": 3,
                "Eltwise": 1}),
    Row("stft_of_one", function(lambda x: x[0].stft(8, 4, window=WINDOW, return_complex=True).imag),
        SIGNAL,
        layers={"DummyData": 1, "Crop": 1, "Flatten": 2, "Reshape": 2, "Slice": 1, "Concat": 1,
                "Convolution": 1}),
    Row("stft_of_complex",
        function(lambda x: (x * (1 + 2j)).stft(8, 4, window=WINDOW, return_complex=True).abs()),
        SIGNAL,
        layers={"Power": 5, "Reshape": 3, "Concat": 2, "Slice": 1, "Convolution": 2, "Flatten": 2,
                "Eltwise": 1}),
    Row("stft_of_complex_window",
        function(lambda x: torch.stft(x, 8, 4, window=WINDOW * (1 + 1j), return_complex=True).imag),
        SIGNAL, layers=chain("Reshape Slice Concat Reshape Convolution Flatten")),
    Row("stft_pairs", function(pairs), SIGNAL,
        layers={"Reshape": 4, "Slice": 1, "Concat": 2, "Convolution": 2, "Flatten": 2}),
    Row("stft_operator",
        function(lambda x: torch.ops.aten.stft(x, 8, 4, None, WINDOW, False, None, True).abs()),
        SIGNAL, layers={"Reshape": 2, "Convolution": 2, "Flatten": 2, "Power": 3, "Eltwise": 1}),
    Row("stft_operator_centered",
        function(centered), SIGNAL,
        layers=chain("Reshape Slice Concat Reshape Convolution Flatten")),
    Row("istft", there_and_back(), SIGNAL,
        layers={"Reshape": 4, "Slice": 2, "Concat": 2, "Convolution": 2, "Flatten": 3, "Power": 4,
                "Eltwise": 2, "Deconvolution": 1, "Scale": 1, "Silence": 1}),
    Row("istft_normalized", there_and_back(normalized=True), SIGNAL,
        layers={"Reshape": 4, "Slice": 2, "Concat": 2, "Convolution": 2, "Flatten": 3, "Power": 4,
                "Eltwise": 2, "Deconvolution": 1, "Scale": 1, "Silence": 1}),
    Row("istft_cut", there_and_back(length=30), SIGNAL,
        layers={"Reshape": 4, "Slice": 2, "Concat": 2, "Convolution": 2, "Flatten": 3, "Power": 4,
                "Eltwise": 2, "Deconvolution": 1, "Scale": 1, "Silence": 1}),
    Row("istft_longer", there_and_back(length=43), SIGNAL,
        layers={"Reshape": 4, "Slice": 2, "Concat": 2, "Convolution": 2, "Flatten": 3, "Power": 4,
                "Eltwise": 2, "Deconvolution": 1, "Scale": 1, "Silence": 1}),
    Row("istft_hop", there_and_back(hop_length=3), SIGNAL,
        layers={"Reshape": 4, "Slice": 2, "Concat": 2, "Convolution": 2, "Flatten": 3, "Power": 4,
                "Eltwise": 2, "Deconvolution": 1, "Scale": 1, "Silence": 1}),
    Row("istft_onesided", there_and_back(onesided=True), SIGNAL,
        layers={"Reshape": 4, "Slice": 2, "Concat": 2, "Convolution": 2, "Flatten": 3, "Power": 4,
                "Eltwise": 2, "Deconvolution": 1, "Scale": 1, "Silence": 1}),
    Row("istft_of_ends",
        function(ends), SIGNAL,
        layers={"Reshape": 4, "Convolution": 2, "Flatten": 3, "Concat": 1, "Deconvolution": 1,
                "Scale": 1}),
    Row("istft_of_real",
        function(lambda x: torch.istft(
            torch.stft(x, 8, 4, window=WINDOW, return_complex=True).real.cfloat(), 8, 4,
            window=WINDOW,
        )), SIGNAL,
        layers={"Reshape": 3, "Slice": 2, "Concat": 1, "Convolution": 1, "Flatten": 2,
                "Deconvolution": 1, "Scale": 1, "Silence": 1}),
    Row("log_mel", Mel, SIGNAL,
        layers={"Reshape": 3, "Slice": 1, "Concat": 1, "Convolution": 2, "Flatten": 3, "Power": 3,
                "Eltwise": 2, "Im2col": 1, "InnerProduct": 1, "Log": 1}),
    Row("stft_traced_window",
        function(lambda x, w: torch.stft(x, 8, 4, window=w, return_complex=True).abs()),
        ((2, 40), (8,)), refused="needs a constant window, got one that depends on the input"),
    Row("istft_two_sided",
        function(two_sided), SIGNAL,
        refused="torch.istft needs onesided=True and return_complex=False, got others"),
]  # fmt: skip
