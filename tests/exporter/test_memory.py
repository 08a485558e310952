"""Many exports in one process take no more memory than one: all that one made goes with it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

import caffe2fx
import fx2caffe
from caffe2fx.layers import ArgMax, Pooling, Power
from caffe2fx.layers.layer import RecordModule

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(4))


class Doubled(nn.Module):
    """A leaf of the user's own."""

    def forward(self, x: Tensor) -> Tensor:
        """Return twice the input."""
        return x * 2


@pytest.fixture
def doubled() -> Iterator[None]:
    """Emit one layer that doubles its bottom."""
    fx2caffe.register(Doubled)(lambda net, module, x: net.add(Power(scale=2.0), x))
    yield
    fx2caffe.unregister(Doubled)


def own() -> nn.Module:
    """Return modules of torch's and one of the user's."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Doubled())


def loaded(directory: Path) -> nn.Module:
    """Return a net of Caffe's in torch: its layers are leaves of a trace."""
    files = directory / "m.prototxt", directory / "m.caffemodel"
    fx2caffe.export(own(), X).save(*files)
    return caffe2fx.load(*files)


def alive() -> int:
    """Return how many nodes of graphs and parameters of models there are."""
    gc.collect()
    return sum(issubclass(type(thing), (fx.Node, nn.Parameter)) for thing in gc.get_objects())


@pytest.mark.usefixtures("doubled")
@pytest.mark.parametrize("origin", ["own", "loaded"])
def test_nothing_is_kept(tmp_path: Path, origin: str) -> None:
    before = alive()
    model = own() if origin == "own" else loaded(tmp_path)
    assert fx2caffe.export(model, X).verify().ok
    assert alive() > before
    del model
    assert alive() == before


LAYERS = {
    "Eltwise": 'bottom: "data" bottom: "data" top: "o"',
    "Concat": 'bottom: "data" bottom: "data" top: "o"',
    "Scale": 'bottom: "data" top: "o" scale_param { bias_term: true }',
    "Power": 'bottom: "data" top: "o" power_param { scale: 2 }',
    "Pooling": 'bottom: "data" top: "o" top: "m" pooling_param { kernel_size: 2 stride: 2 }',
    "Slice": 'bottom: "data" top: "o" top: "p"',
    "ArgMax": 'bottom: "data" top: "o" argmax_param { axis: 1 }',
}


@pytest.mark.parametrize("type_", LAYERS)
def test_many_more_samples_are_never_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type_: str
) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "data" type: "Input" top: "data"\n'
        "  input_param { shape { dim: [1, 4, 6, 6] } } }\n"
        f'layer {{ name: "o" type: "{type_}" {LAYERS[type_]} }}'
    )
    sizes = []
    compute = RecordModule.forward

    def counted(self: RecordModule, *values: Tensor) -> Tensor | tuple[Tensor, ...]:
        sizes.extend(len(value) for value in values if not value.is_meta)
        return compute(self, *values)

    model = caffe2fx.load(path)
    monkeypatch.setattr(RecordModule, "forward", counted)
    net = fx2caffe.export(model, torch.randn(1, 4, 6, 6))
    assert not net.batch_is_fixed and 1 <= max(sizes) <= 3


def test_operations_without_data_have_the_shapes_and_types_of_those_with() -> None:
    for dtype in (torch.float32, torch.float64):
        x = torch.randn(2, 4, 6, 6, dtype=dtype)
        for layer, tops in ((Pooling(kernel_size=2), 2), (Power(), 1), (ArgMax(axis=1), 1)):
            made = RecordModule(layer, (), tops)
            real, bare = made(x), made.without_data(x)
            for one, two in zip(pytree_list(real), pytree_list(bare), strict=True):
                assert two.is_meta and (one.shape, one.dtype) == (two.shape, two.dtype)


def pytree_list(result: object) -> list[Tensor]:
    return list(result) if isinstance(result, tuple) else [result]  # type: ignore[list-item]
