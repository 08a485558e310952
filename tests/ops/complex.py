"""Complex values: pairs of real ones, and what is made of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.ops.chains import chain
from tests.rows import Row, Shape, function

SIGNAL = ((2, 3, 6),)
IMAGE = ((2, 3, 4, 6),)
PAIRS = ((2, 3, 4, 2),)


def weight(*shape: int) -> Tensor:
    """Return complex constants whose parts are neither 0 nor alike."""
    count = torch.Size(shape).numel()
    numbers = torch.linspace(-1.5, 1.5, 2 * count).reshape(2, *shape)
    return torch.complex(numbers[0] + 0.1, numbers[1].cos())


class Learned(nn.Module):
    """Multiplies by a complex weight that is a parameter: real pairs, or complex itself."""

    def __init__(self, shape: Shape, pairs: bool) -> None:
        super().__init__()
        own = weight(*shape)
        self.weight = nn.Parameter(torch.view_as_real(own) if pairs else own)

    def forward(self, x: Tensor) -> Tensor:
        own = self.weight if self.weight.is_complex() else torch.view_as_complex(self.weight)
        return torch.fft.irfft(torch.fft.rfft(x) * own, n=x.shape[-1])


def of_pair(body: Callable[[Tensor], Any]) -> Callable[[], nn.Module]:
    """Return a row's module that takes its input's last axis of size 2 for complex numbers."""
    return function(lambda x: body(torch.view_as_complex(x)))


def seen(body: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    """Return a row's module of a pair whose result is complex, and is given as real pairs."""
    return of_pair(lambda z: torch.view_as_real(body(z).resolve_conj()))


def all_seen(body: Callable[[Tensor], list[Tensor]]) -> Callable[[], nn.Module]:
    """Return a row's module of a pair with several complex results, given as real pairs."""
    return of_pair(lambda z: [torch.view_as_real(made) for made in body(z)])


AT = torch.tensor([2, 0])
PLACES = torch.tensor([[2, 0, 1, 2], [0, 1, 2, 0]])


def views(z: Tensor) -> list[Tensor]:
    moved = z.permute(0, 2, 1).movedim(1, 2).unflatten(2, (2, 2))
    return [
        moved.narrow(1, 1, 2), moved.select(3, 1), torch.slice_copy(z, 1, 1, 3), z.split(3, 2)[1],
        z.tensor_split(2, 1)[0], z.unbind(1)[1], z[:, :1].squeeze(1),
    ]  # fmt: skip


def copies(z: Tensor) -> list[Tensor]:
    first = z[:, :1]
    return [
        first.expand(-1, 3, -1), torch.broadcast_to(first, z.shape), z.repeat(1, 2, 1),
        z.tile((1, 1, 2)), z.repeat_interleave(2, 1), z.unfold(2, 2, 1),
    ]  # fmt: skip


def of_matrix(z: Tensor) -> list[Tensor]:
    z = z[0]
    return [
        z.fliplr(), z.flipud(), z.rot90(), z.tril(), z.triu(), z.diagonal(), z[0].diag_embed(),
        z.diff(), torch.hstack([z, z]), torch.vstack([z, z]), torch.dstack([z, z]),
        torch.column_stack([z, z]), torch.as_strided(z * 1, (2, 3), (4, 1)),
        torch.constant_pad_nd(z, (1, 0)),
    ]  # fmt: skip


def by_index(z: Tensor) -> list[Tensor]:
    z = z[0]
    return [
        z.index_select(0, AT), z.gather(0, PLACES), torch.take_along_dim(z, PLACES, 0),
        z.index_copy(0, AT, z[:2] * 1j), z.index_add(0, AT, z[:2]),
        z.scatter(0, PLACES[:1], z[1:2]), z.scatter_add(0, PLACES[:1], z[1:2]),
    ]  # fmt: skip


def products(z: Tensor) -> list[Tensor]:
    return [
        torch.mm(z[0], weight(4, 2)), torch.mv(z[0], weight(4)), torch.dot(z[0, 0], weight(4)),
        torch.bmm(z, weight(4, 2).expand(len(z), 4, 2)),
        torch.baddbmm(weight(2), z, weight(4, 2).expand(len(z), 4, 2)),
        torch.addmv(weight(3), z[0], weight(4), beta=2),
    ]  # fmt: skip


def written(z: Tensor) -> Tensor:
    z = z * 1
    z *= torch.tensor(1j)
    z[:, 1] = z[:, 0]
    z[:, 2].mul_(2j)
    return z


def discarding(z: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (z * 1j).float()


def filled(x: Tensor) -> Tensor:
    z = torch.fft.rfft(x)
    made = torch.zeros(x.shape[0], 3, 4, dtype=torch.cfloat)
    made[:, :, :2] = torch.einsum("bix,iox->box", z[:, :, :2], weight(3, 3, 2))
    return torch.fft.irfft(made, n=6)


ROWS = [
    Row("complex_real", of_pair(lambda z: z.real), PAIRS, layers=chain("Slice Flatten Silence")),
    Row("complex_imag", of_pair(lambda z: z.imag), PAIRS, layers=chain("Slice Flatten Silence")),
    Row("complex_abs", of_pair(torch.abs), PAIRS,
        layers=chain("Slice Flatten Flatten P P E P")),
    Row("complex_angle", of_pair(torch.angle), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "AbsVal": 2, "Eltwise": 18, "Power": 19, "Threshold": 3}),
    Row("complex_abs_of_real", function(lambda x: (x * 1j).abs()), SIGNAL, layers=chain("P A")),
    Row("complex_norm", of_pair(lambda z: torch.linalg.vector_norm(z, dim=1)), PAIRS,
        layers={"Slice": 1, "Flatten": 3, "Power": 5, "Eltwise": 1, "Reshape": 1, "Convolution":
                1}),
    Row("complex_norm_2", of_pair(lambda z: z.norm(dim=1)), PAIRS,
        layers={"Slice": 1, "Flatten": 3, "Power": 5, "Eltwise": 1, "Reshape": 1, "Convolution":
                1}),
    Row("view_as_real", seen(lambda z: z), PAIRS,
        layers=chain("Slice Flatten Flatten Reshape Reshape Concat")),
    Row("complex_real_of_real", function(lambda x: torch.real(x) * 2), SIGNAL, layers=chain("P")),
    Row("complex_of_parts", function(lambda x, y: torch.fft.ifft(torch.complex(x, y)).imag),
        SIGNAL * 2, layers=chain("Concat InnerProduct")),
    Row("complex_of_constant", function(lambda x: torch.complex(x, torch.ones(6)).abs()),
        SIGNAL, layers=chain("P B P P E P")),
    Row("polar", function(lambda x: torch.view_as_real(torch.polar(x.abs(), x))), SIGNAL,
        layers={"AbsVal": 2, "Power": 17, "Eltwise": 13, "ReLU": 2, "Reshape": 2, "Concat": 1}),
    Row("polar_of_constant", function(lambda x: torch.polar(x, torch.ones(3, 6)).imag), SIGNAL,
        layers=chain("S")),
    Row("complex_cast", function(lambda x: torch.view_as_real(x.cfloat())), SIGNAL,
        layers=chain("P Reshape Reshape Concat")),
    Row("complex_cast_to", function(lambda x: x.to(torch.complex64).real), SIGNAL,
        layers=chain("P")),
    Row("complex_cast_back", of_pair(discarding), PAIRS,
        layers=chain("Slice Flatten P P Silence")),
    Row("complex_conj", seen(lambda z: z.conj()), PAIRS,
        layers=chain("Slice Flatten Flatten P Reshape Reshape Concat")),
    Row("complex_conj_physical", of_pair(lambda z: z.conj_physical().imag), PAIRS,
        layers=chain("Slice Flatten P Silence")),
    Row("complex_adjoint", seen(lambda z: z.mH), PAIRS,
        layers={"Slice": 1, "Reshape": 4, "Im2col": 2, "Flatten": 2, "Power": 1, "Concat": 1}),
    Row("complex_negative", seen(lambda z: -z), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Power": 2, "Reshape": 2, "Concat": 1}),
    Row("complex_plus_complex", seen(lambda z: z + z.roll(1, 2)), PAIRS,
        layers={"Slice": 3, "Flatten": 2, "Concat": 3, "Eltwise": 2, "Reshape": 2}),
    Row("complex_plus_real", of_pair(lambda z: (z + z.real).abs()), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Eltwise": 2, "Power": 3}),
    Row("complex_plus_number", function(lambda x: (x + (2 + 1j)).abs()), SIGNAL,
        layers=chain("P P P P P E P")),
    Row("complex_plus_constant", seen(lambda z: torch.add(z, weight(3, 4), alpha=2)), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Bias": 2, "Reshape": 2, "Concat": 1}),
    Row("complex_minus_constant", seen(lambda z: weight(4) - z), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Power": 2, "Bias": 2, "Reshape": 2, "Concat": 1}),
    Row("complex_sum_grows", function(lambda x: torch.view_as_real(x[:, :1] * 1j + x)), SIGNAL,
        layers=chain("Slice P Tile Reshape Reshape Concat Silence")),
    Row("complex_times_complex", seen(lambda z: z * z.flip(1)), PAIRS,
        layers={"Slice": 3, "Flatten": 2, "Concat": 3, "Eltwise": 6, "Reshape": 2}),
    Row("complex_times_real", seen(lambda z: z.real * z), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Eltwise": 2, "Reshape": 2, "Concat": 1}),
    Row("complex_times_number", seen(lambda z: z * (1 - 2j)), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Power": 4, "Eltwise": 2, "Reshape": 2, "Concat": 1}),
    Row("complex_times_imaginary", seen(lambda z: 2j * z), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Power": 3, "Reshape": 2, "Concat": 1}),
    Row("complex_times_constant", seen(lambda z: z * weight(3, 1)), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Scale": 4, "Eltwise": 2, "Reshape": 2, "Concat": 1}),
    Row("complex_addcmul", seen(lambda z: torch.addcmul(z, z, weight(4))), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Scale": 4, "Eltwise": 4, "Reshape": 2, "Concat": 1}),
    Row("complex_square", seen(torch.square), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Eltwise": 6, "Reshape": 2, "Concat": 1}),
    Row("complex_power", seen(lambda z: z**3), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Eltwise": 12, "Reshape": 2, "Concat": 1}),
    Row("complex_over_real", seen(lambda z: z / (z.imag.square() + 1)), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Power": 4, "Eltwise": 2, "Reshape": 2, "Concat": 1}),
    Row("complex_over_number", seen(lambda z: z / (1 + 2j)), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Power": 4, "Eltwise": 2, "Reshape": 2, "Concat": 1}),
    Row("complex_over_constant", seen(lambda z: z / weight(3, 4)), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Scale": 4, "Eltwise": 2, "Reshape": 2, "Concat": 1}),
    Row("complex_over_complex", seen(lambda z: z / (z.conj() * z + 1)), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Power": 4, "Eltwise": 17, "Reshape": 2, "Concat": 1}),
    Row("complex_reciprocal", seen(lambda z: torch.reciprocal(z + (5 + 5j))), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Power": 6, "Eltwise": 5, "Reshape": 2, "Concat": 1}),
    Row("complex_exp", seen(torch.exp), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Exp": 1, "Power": 17, "Eltwise": 13, "AbsVal": 1, "ReLU":
                2, "Reshape": 2, "Concat": 1}),
    Row("complex_exp_of_imaginary", function(lambda x: torch.exp(1j * x).imag), SIGNAL,
        layers={"Power": 10, "Eltwise": 6, "ReLU": 2}),
    Row("complex_log", of_pair(lambda z: torch.log(z + 2).real), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Power": 4, "Eltwise": 1, "Log": 1}),
    Row("complex_matmul", seen(lambda z: z @ weight(4, 5)), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "InnerProduct": 4, "Eltwise": 2, "Reshape": 2, "Concat":
                1}),
    Row("complex_matmul_traced", seen(lambda z: z.mT @ z.real.cfloat()), PAIRS,
        layers={"Slice": 1, "Flatten": 5, "Reshape": 8, "Im2col": 4, "Tile": 2, "Scale": 2,
                "Convolution": 2, "Concat": 1}),
    Row("complex_linear", seen(lambda z: nn.functional.linear(z, weight(5, 4), weight(5))), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "InnerProduct": 4, "Eltwise": 2, "Bias": 2, "Reshape": 2,
                "Concat": 1}),
    Row("complex_addmm", seen(lambda z: torch.addmm(weight(5), z[0], weight(4, 5), alpha=2)),
        PAIRS,
        layers={"Slice": 1, "Flatten": 4, "DummyData": 2, "Crop": 2, "InnerProduct": 4, "Eltwise":
                2, "Power": 2, "Bias": 2, "Reshape": 2, "Concat": 1}),
    Row("complex_einsum", seen(lambda z: torch.einsum("bcx,ocx->box", z, weight(5, 3, 4))), PAIRS,
        layers={"Slice": 1, "Reshape": 14, "Im2col": 8, "Flatten": 8, "Convolution": 4, "Eltwise":
                2, "Concat": 1}),
    Row("complex_einsum_of_one", seen(lambda z: torch.einsum("bcx->bxc", z)), PAIRS,
        layers={"Slice": 1, "Reshape": 4, "Im2col": 2, "Flatten": 2, "Concat": 1}),
    Row("complex_tensordot", seen(lambda z: torch.tensordot(z, weight(4, 2), 1)), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "InnerProduct": 4, "Eltwise": 2, "Reshape": 2,
                "Concat": 1}),
    Row("complex_outer", of_pair(lambda z: torch.outer(z[0, 0], weight(3)).imag), PAIRS,
        layers={"Slice": 1, "Flatten": 4, "DummyData": 2, "Crop": 2, "Reshape": 2, "Parameter": 2,
                "Tile": 2, "Scale": 2, "Eltwise": 1}),
    Row("complex_sum", of_pair(lambda z: z.sum(1).abs()), PAIRS,
        layers={"Slice": 1, "Flatten": 4, "Reshape": 2, "Convolution": 2, "Power": 3, "Eltwise":
                1}),
    Row("complex_mean", of_pair(lambda z: z.mean(-1, keepdim=True).imag), PAIRS,
        layers=chain("Slice Flatten Reduction Reshape Silence")),
    Row("complex_cumsum", seen(lambda z: z.cumsum(2)), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "InnerProduct": 2, "Reshape": 2, "Concat": 1}),
    Row("complex_moves", seen(lambda z: z.transpose(1, 2)[:, 1:].flatten(1).unsqueeze(1)), PAIRS,
        layers={"Slice": 3, "Reshape": 6, "Im2col": 2, "Flatten": 4, "Concat": 1, "Silence": 1}),
    Row("complex_chunk", of_pair(lambda z: [p.imag for p in z.chunk(2, 2)]), PAIRS,
        layers=chain("Slice Flatten Slice Silence")),
    Row("complex_roll", seen(lambda z: z.roll(1, 1)), PAIRS,
        layers={"Slice": 3, "Flatten": 2, "Concat": 3, "Reshape": 2}),
    Row("complex_cat", seen(lambda z: torch.cat([z, z.real, weight(1, 3, 4).expand_as(z)], 1)),
        PAIRS,
        layers={"Slice": 1, "Flatten": 3, "Reshape": 5, "Pooling": 1, "Power": 2, "InnerProduct": 2,
                "Concat": 3}),
    Row("complex_stack", seen(lambda z: torch.stack([z, z * 1j], 1)), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Power": 3, "Reshape": 6, "Concat": 3}),
    Row("complex_pad", seen(lambda z: nn.functional.pad(z, (1, 2))), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Reshape": 6, "Im2col": 2, "DummyData": 2, "Crop": 2,
                "Concat": 1}),
    Row("complex_where", seen(lambda z: torch.where(z.real > 0, z, 0)), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Threshold": 1, "Eltwise": 2, "Reshape": 2, "Concat": 1}),
    Row("complex_where_constant", seen(lambda z: torch.where(z.real > 0, weight(4), z)), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Threshold": 1, "Eltwise": 4, "Scale": 2, "Reshape": 2,
                "Concat": 1}),
    Row("complex_masked_fill", seen(lambda z: z.masked_fill(z.imag > 0, 1 + 2j)), PAIRS,
        layers={"Slice": 1, "Flatten": 2, "Threshold": 1, "Eltwise": 4, "Reshape": 2, "Concat": 1}),
    Row("complex_written", seen(written), PAIRS,
        layers={"Slice": 9, "Flatten": 6, "Power": 8, "Reshape": 6, "Concat": 5, "Silence": 1}),
    Row("complex_written_zeros", function(filled), SIGNAL,
        layers={"InnerProduct": 3, "Slice": 4, "Reshape": 14, "Im2col": 8, "Flatten": 10,
                "Convolution": 4, "Eltwise": 2, "Pooling": 1, "Power": 3, "Tile": 1, "Concat": 3,
                "Silence": 1}),
    Row("complex_weight_of_pairs", lambda: Learned((4,), pairs=True), SIGNAL,
        layers={"InnerProduct": 3, "Scale": 4, "Eltwise": 2, "Concat": 1}),
    Row("complex_weight", lambda: Learned((4,), pairs=False), SIGNAL,
        layers={"InnerProduct": 3, "Scale": 4, "Eltwise": 2, "Concat": 1}),
    Row("complex_views", all_seen(views), PAIRS,
        layers={"Slice": 13, "Flatten": 10, "Reshape": 20, "Im2col": 4, "Concat": 7, "Silence": 1}),
    Row("complex_copies", all_seen(copies), PAIRS,
        layers={"Slice": 3, "Flatten": 6, "Tile": 10, "Reshape": 16, "InnerProduct": 2, "Concat": 6,
                "Silence": 1}),
    Row("complex_matrix", all_seen(of_matrix), PAIRS,
        layers={"Slice": 13, "Flatten": 10, "DummyData": 6, "Crop": 6, "Concat": 28, "Reshape": 44,
                "Im2col": 4, "Scale": 6, "Convolution": 2, "Tile": 2, "Eltwise": 2, "Power": 2,
                "Silence": 1}),
    Row("complex_by_index", all_seen(by_index), PAIRS,
        layers={"Slice": 11, "Flatten": 18, "DummyData": 2, "Crop": 2, "Concat": 13, "Reshape": 50,
                "Convolution": 12, "Power": 3, "Eltwise": 4, "Parameter": 2, "Embed": 2, "Scale": 2,
                "Im2col": 2, "Silence": 1}),
    Row("complex_products", all_seen(products), PAIRS,
        layers={"Slice": 1, "Flatten": 27, "DummyData": 8, "Crop": 8, "InnerProduct": 22, "Eltwise":
                12, "Reshape": 31, "Pooling": 1, "Power": 5, "Im2col": 4, "Tile": 4, "Scale": 4,
                "Convolution": 4, "Bias": 4, "Concat": 6}),
    Row("complex_output", of_pair(lambda z: z * 2), PAIRS,
        refused="needs real outputs, got a complex one: return torch.view_as_real(z)"),
    Row("complex_tanh", of_pair(lambda z: z.tanh().real), PAIRS,
        refused="torch.tanh needs real numbers, got complex ones: take z.real and z.imag"),
    Row("complex_pad_of_ones", of_pair(lambda z: nn.functional.pad(z, (1, 2), value=1.0).imag),
        PAIRS, refused="needs complex values to be padded with 0, got 1.0"),
    Row("complex_power_of_half", of_pair(lambda z: (z**0.5).real), PAIRS,
        refused="needs a power from 1 to 4 of complex values, got 0.5"),
    Row("complex_to_integers", of_pair(lambda z: z.to(torch.int32)), PAIRS,
        refused="needs complex values to stay complex64 or become float32, got torch.int32"),
    Row("complex_alpha", of_pair(lambda z: torch.add(z, z, alpha=1j).imag), PAIRS,
        refused="needs a real alpha, got 1j"),
    Row("conjugate_of_written", of_pair(lambda z: _conjugate_of_written(z * 1)), PAIRS,
        refused="is read with another dtype or sign than it was written"),
    Row("written_part", of_pair(lambda z: _written_part(z * 1)), PAIRS,
        refused="is read with another dtype or sign than it was written"),
]  # fmt: skip


def _conjugate_of_written(z: Tensor) -> Tensor:
    view = z.conj()
    z.mul_(2)
    return view.imag


def _written_part(z: Tensor) -> Tensor:
    z.real.mul_(2)
    return z.abs()
