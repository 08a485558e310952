"""Nets cut at module paths and traced nodes end in exactly the values there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import fx2caffe
from caffe2fx.errors import CaffeError
from caffe2fx.verdict.reference.calibrate import calibrate
from fx2caffe.exporter.result import Export
from tests.rows import types

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Body(nn.Module):
    """A stem that is called twice, a write after a module returned, and parts not for Caffe."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 3, padding=1)
        self.pair = Pair()
        self.unused = nn.ReLU()
        self.table = Constant()

    def forward(self, x: Tensor) -> Any:
        first = self.stem(x)
        first += 1
        second = self.stem(first).relu()
        high, low = self.pair(second)
        if float(high.sum()) > 1e9:
            return high
        return torch.lgamma(low + self.table())


class Pair(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return _Two(high=x * 2, low=x - 1)


class _Two(dict):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        return iter(self.values())


class Constant(nn.Module):
    def forward(self) -> Tensor:
        return torch.ones(1)


@pytest.fixture
def model() -> nn.Module:
    return Body().eval()


def cut(model: nn.Module, *outputs: str) -> Export:
    return fx2caffe.export(model, X, outputs=outputs)


def results(exported: Export) -> list[Tensor]:
    values = exported.reference([X])
    return [values[value] for value in exported.net.outputs]


def test_the_call_that_is_named(model: Any) -> None:
    first = cut(model, "stem:0")
    assert types(first.net) == ("Convolution",)
    # A later write into the tensor is not part of the module's result.
    torch.testing.assert_close(results(first)[0], model.stem(X))
    both = cut(model, "stem:1", "stem:0")
    torch.testing.assert_close(results(both)[0], model.stem(model.stem(X) + 1))
    torch.testing.assert_close(results(both)[1], model.stem(X))
    assert both.verify().ok


def test_refusals_after_numbered_calls_do_not_matter(model: nn.Module) -> None:
    assert cut(model, "pair:0").verify().ok
    assert fx2caffe.check(model, X, outputs=["pair:0"]) == ()
    with pytest.raises(fx2caffe.UnsupportedError, match="reads the data"):
        cut(model, "pair")
    assert len(fx2caffe.check(model, X, outputs=["pair"])) == 1


def test_several_results_of_one_module(model: Any) -> None:
    exported = cut(model, "pair:0")
    second = model.stem(model.stem(X) + 1).relu()
    high, low = results(exported)
    torch.testing.assert_close(high, second * 2)
    torch.testing.assert_close(low, second - 1)
    assert exported.trace.output_names == ("pair:0.0", "pair:0.1")
    assert exported.rebuild([1, 2]) == (1, 2)
    assert cut(model, "stem:0").rebuild([1]) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unused:0", "a module call that returns tensors, got 'unused:0'; forward makes 0"),
        ("stem:2", "got 'stem:2'; forward makes 2"),
        ("layer", "names of traced nodes, got 'layer'"),
        ("layr3", "near names: 'layer3'"),
        ("relu_99", "near names: 'relu_9"),
        ("chunk", "one tensor a name, got 'chunk'; its parts: getitem_1, getitem_2"),
        ("table", "tensors that follow from the inputs, got 'table'"),
    ],
)
def test_names_that_are_none(name: str, message: str) -> None:
    with pytest.raises(CaffeError, match=message):
        fx2caffe.export(Named().eval(), X, outputs=[name])


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.layer3 = nn.Conv2d(3, 4, 1), nn.ReLU()
        self.unused, self.table = nn.ReLU(), Constant()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(self.stem(x)[:, :3]) * self.table()
        for _ in range(12):
            x = torch.relu(x)
        a, b = self.layer3(x).chunk(2, 1)
        return a + b


def test_a_path_alone_is_the_last_call() -> None:
    model = Named().eval()
    exported = fx2caffe.export(model, X, outputs=["stem", "relu_11"])
    stem = model.stem(model.stem(X)[:, :3])
    torch.testing.assert_close(results(exported)[0], stem)
    torch.testing.assert_close(results(exported)[1], stem.relu())
    assert exported.verify().ok


@pytest.mark.parametrize("outputs", [[], "layer3"])
def test_outputs_is_a_list_of_names(outputs: Any) -> None:
    with pytest.raises(CaffeError, match="outputs needs a list"):
        fx2caffe.export(Named().eval(), X, outputs=outputs)


@pytest.mark.pycaffe
def test_a_real_net() -> None:
    model: Any = calibrate(torchvision.models.resnet18(weights=None), [torch.randn(2, 3, 64, 64)])
    x = torch.randn(1, 3, 64, 64)
    stem = nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool, model.layer1)
    with torch.no_grad():
        layer2 = model.layer2(stem(x))
        layer3 = model.layer3(layer2)
    exported = fx2caffe.export(model, x, outputs=["layer3", "relu_1", "layer2"])
    values = exported.reference([x])
    found = [values[value] for value in exported.net.outputs]
    torch.testing.assert_close(found[0], layer3)
    torch.testing.assert_close(found[2], layer2)
    assert not any(step.name.startswith(("layer4", "fc")) for step in exported.net.steps)
    report = exported.verify("pycaffe")
    assert report.ok, str(report)


def test_hooks_of_the_model_itself_count() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()).eval()
    model[0].register_forward_hook(lambda _, __, result: result * 2)
    for name in ("0", "0:0"):
        exported = fx2caffe.export(model, X, outputs=[name])
        torch.testing.assert_close(results(exported)[0], model[0](X))
    assert len(model[0]._forward_hooks) == 1


def test_an_input_and_the_same_tensor_twice() -> None:
    model = nn.Sequential(nn.Identity(), nn.Conv2d(3, 3, 1), nn.Identity()).eval()
    exported = fx2caffe.export(model, X, outputs=["0", "1", "2"])
    assert len(set(exported.outputs)) == 3
    for mine, theirs in zip(results(exported), (X, model(X), model(X)), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert exported.verify().ok


def test_nothing_is_kept_alive() -> None:
    import weakref
    from queue import SimpleQueue

    made: SimpleQueue[Any] = SimpleQueue()  # a list would be put back as it was

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x * 2
            made.put(weakref.ref(y))
            return y

    fx2caffe.export(nn.Sequential(Watched(), nn.ReLU()), X, outputs=["0"])
    assert not made.empty()
    while not made.empty():
        assert made.get()() is None
