"""save_weights writes the weights that the module holds, whatever it was loaded from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import caffe2fx
from caffe2fx.weights import caffemodel
from caffe2fx.weights.caffemodel import LayerWeights

X = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(1))
NEW = nn.BatchNorm2d(3)
NEW.running_mean, NEW.running_var = torch.tensor([0.5, -1, 2]), torch.tensor([1.5, 0.5, 3])
PLACE = (
    'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 5 } '
    '} } layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" }'
)


def statistics(factor: float) -> tuple[Tensor, ...]:
    return torch.tensor([0.3, -0.7, 1.1]), torch.tensor([2.1, 0.9, 1.3]), torch.tensor([factor])


def from_torch(norm: nn.BatchNorm2d) -> None:
    norm.load_state_dict({k: v for k, v in NEW.state_dict().items() if "run" in k}, strict=False)


def in_place(norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(torch.tensor([0.5, -1, 2]))
    norm.running_var.fill_(0.25)


def variance_alone(norm: nn.BatchNorm2d) -> None:
    norm.running_var = torch.tensor([1.5, 0.5, 3])


CHANGES: list[Callable[[nn.BatchNorm2d], object]] = [
    from_torch, in_place, variance_alone, nn.BatchNorm2d.reset_running_stats
]  # fmt: skip


@pytest.mark.parametrize("factor", [None, 0.0, 1.0, 999.98236], ids=str)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("ending", ["caffemodel", "caffemodel.h5"])
def test_changed_statistics_are_written(
    tmp_path: Path, factor: float | None, change: Callable[[nn.BatchNorm2d], None], ending: str
) -> None:
    text, path = loaded_files(tmp_path, factor)
    module = caffe2fx.load(text, path)
    change(module.get_submodule("bn"))  # type: ignore[arg-type]
    caffe2fx.save_weights(module, tuned := tmp_path / f"tuned.{ending}")
    torch.testing.assert_close(caffe2fx.load(text, tuned)(X), module(X), rtol=1e-6, atol=1e-6)


def loaded_files(folder: Path, factor: float | None) -> tuple[Path, Path | None]:
    """Return a net of one BatchNorm, and a file of its statistics unless there is no factor."""
    (text := folder / "net.prototxt").write_text(PLACE)
    if factor is None:
        return text, None
    caffemodel.write(path := folder / "net.caffemodel", "", [layer(factor)])
    return text, path


def layer(factor: float) -> LayerWeights:
    return LayerWeights("bn", "BatchNorm", statistics(factor))


@pytest.mark.parametrize("factor", [0.0, 1.0, 3.0, 999.98236])
def test_statistics_that_nobody_changed_keep_their_bits(tmp_path: Path, factor: float) -> None:
    module = caffe2fx.load(*loaded_files(tmp_path, factor))
    caffe2fx.save_weights(module, again := tmp_path / "again.caffemodel")
    (found,) = [one for one in caffemodel.read(again)[1] if one.name == "bn"]
    assert all(map(torch.equal, found.blobs, statistics(factor)))


@pytest.mark.pycaffe
@pytest.mark.parametrize("factor", [None, 0.0])
def test_real_caffe_has_the_changed_statistics(tmp_path: Path, factor: float | None) -> None:
    text, path = loaded_files(tmp_path, factor)
    from_torch((module := caffe2fx.load(text, path)).get_submodule("bn"))  # type: ignore[arg-type]
    caffe2fx.save_weights(module, tuned := tmp_path / "tuned.caffemodel")
    assert caffe2fx.compare(module, (text, tuned), X, engine="pycaffe").ok
