"""Measures of a map beside the verdict's, held against their definitions; details of few maps."""

from __future__ import annotations

import base64
import warnings
from math import inf, isnan, nan

import pytest
import torch
from torch import Tensor

import fx2caffe
from caffe2fx.verdict.maps import map_measures
from caffe2fx.verdict.maps.map_details import BINS, MOST_FAULTS, MOST_OTHERS, Album, details
from caffe2fx.verdict.maps.map_measures import measure
from caffe2fx.verdict.maps.measures import difference

SHAPES = [(), (5,), (2, 3), (2, 3, 4), (2, 3, 4, 5), (1, 1, 1, 1), (3, 70, 2, 2)]


def pair(shape: tuple[int, ...], *, positive: bool = False) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(len(shape))
    two = torch.randn(shape, generator=generator, dtype=torch.float64)
    two = two.abs() + 0.5 if positive else two
    return (two + 0.1 * torch.randn(shape, generator=generator, dtype=torch.float64)).float(), two


@pytest.mark.parametrize("piece", [1, 7, 2**22])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_measures_are_as_defined_whatever_the_pieces(
    shape: tuple[int, ...], positive: bool, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_measures, "PIECE", piece)
    mine, exact = pair(shape, positive=positive)
    found = measure(mine, exact)
    one, two, differences = mine.double(), exact, (mine.double() - exact).abs()

    def cosine(a: Tensor, b: Tensor) -> float:
        length = float(a.norm() * b.norm())
        return float((a * b).sum()) / length if length else float(torch.equal(a, b))

    assert found.max_abs == difference(mine, exact) == float(differences.max())
    assert found.cosine == pytest.approx(cosine(one, two))
    assert found.relu_cosine == pytest.approx(cosine(one.relu(), two.relu()))
    assert found.l2 == pytest.approx(float(differences.norm()))
    extent = float(exact.max() - exact.min())
    if extent:
        psnr = 10 * torch.log10(extent**2 / differences.square().mean())
        assert found.psnr == pytest.approx(float(psnr))
    assert float(differences[found.worst]) == found.max_abs
    assert found.values == (float(mine[found.worst]), float(exact[found.worst]))
    if len(shape) > 1:
        by_channel = differences.transpose(0, 1).flatten(1).amax(1)
        assert found.channels == shape[1] and found.channel == int(by_channel.argmax())
        assert found.wrong_channels == int((by_channel >= by_channel.max() / 2).sum())
        assert max(found.by_channel) == found.max_abs and len(found.by_channel) <= 32


def test_equal_maps_err_nowhere() -> None:
    mine, _ = pair((2, 3, 4))
    found = measure(mine, mine.double())
    assert (found.max_abs, found.l2, found.psnr) == (0.0, 0.0, inf)
    assert found.cosine == pytest.approx(1) and found.worst == () and found.channel is None


@pytest.mark.parametrize(
    ("mine", "wanted", "most"),
    [(nan, 1.0, inf), (1.0, nan, inf), (nan, nan, 0.0), (inf, 1.0, inf), (inf, inf, 0.0),
     (inf, -inf, inf), (1.0, inf, inf)],
)  # fmt: skip
def test_values_that_are_not_finite_are_counted_and_located(
    mine: float, wanted: float, most: float
) -> None:
    one, two = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    one[0, 2, 1, 0], two[0, 2, 1, 0] = mine, wanted
    found = measure(one, two)
    assert found.max_abs == difference(one, two) == most
    assert found.worst == ((0, 2, 1, 0) if most else ())
    assert found.nan == (int(isnan(mine)), int(isnan(wanted)))
    assert found.inf == (int(abs(mine) == inf), int(abs(wanted) == inf))


def test_other_shapes_and_empty_maps_have_no_measures() -> None:
    assert measure(torch.zeros(2), torch.zeros(3)).max_abs == inf
    assert measure(torch.zeros(0, 2), torch.zeros(0, 2)).max_abs == 0.0


def test_details_show_the_plane_of_the_largest_error() -> None:
    exact = torch.rand(2, 3, 200, 8, dtype=torch.float64)
    mine = exact.float()
    mine[1, 2, 150, 3] += 2
    found = details(mine, exact, measure(mine, exact))
    assert sum(found.mine) == sum(found.reference) == exact.numel() and len(found.mine) == BINS
    assert found.plane == (1, 2) and len(found.channels) == 3
    assert found.channels[2] > 1.9 and max(found.channels[:2]) < 1e-6
    differences = found.pictures[2]
    assert (differences.width, differences.height) == (8, 96) and differences.high == pytest.approx(
        2, abs=1e-5
    )
    grey = base64.b64decode(differences.grey)
    assert grey.index(255) == 150 * 96 // 200 * 8 + 3 and grey.count(255) == 1


def test_an_album_keeps_few_maps_the_failing_ones_first() -> None:
    album, (mine, exact) = Album(), pair((1, 2, 3, 3))
    shares = [0.1, 0.5, 0.2, 0.9, 0.3, *[2.0] * (MOST_FAULTS + 3)]
    for index, share in enumerate(shares):
        album.consider((str(index), ""), share, mine, exact, measure(mine, exact))
    kept = [layer for layer, _ in album.kept()]
    assert len(kept) == MOST_OTHERS + MOST_FAULTS
    assert {"1", "3", "4"} < set(kept) and "0" not in kept and kept[-1] == "12"


def test_a_verdict_measures_every_map_and_times_its_layers() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()
    report = fx2caffe.export(model, torch.randn(1, 3, 8, 8)).verify()
    assert report.ok
    for row in report.rows:
        assert row.measures.cosine == pytest.approx(1) and row.measures.max_abs == row.end_to_end
        assert report.context.layer_seconds[row.layer] >= 0
    assert report.context.inputs[0].shape == (1, 3, 8, 8) and report.context.program
    assert all(not step.blobs for step in report.context.net.steps)  # type: ignore[union-attr]


def test_infinities_are_measured_without_a_warning() -> None:
    same = torch.tensor([[inf, inf], [inf, inf]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure(same, same)
    assert found.max_abs == 0 and found.inf == (4, 4)
