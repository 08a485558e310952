"""Values whose axis 0 is no batch of 1 get an axis before it in `portable`: ncnn drops axis 0."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import fx2caffe
from caffe2fx.layers import BatchNorm, Concat, Input, Power, ReLU, Reshape, Slice, Softmax
from caffe2fx.net.evaluate import complete
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from fx2caffe.passes.lift_samples import dropped_axes, lift_samples
from fx2caffe.targets import TARGETS
from tests.rows import Function

X = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(1))
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "elementwise": lambda x: (x.transpose(0, 1).relu() * 2).transpose(0, 1),
    "softmax_of_rows": lambda x: x[0].softmax(1),
    "columns": lambda x: torch.cat((x[0], x[0] * 2), 1),
    "rows": lambda x: torch.cat((x[0], x[0].tanh()), 0)[None],
    "one_row": lambda x: x[0][1:2].sigmoid(),
    "outer": lambda x: torch.outer(x[0, 0], x[0, 1]),
    "vander": lambda x: torch.vander(x[0, 0]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_axis_is_dropped(name: str) -> None:
    exported = fx2caffe.export(Function(FUNCTIONS[name]), X, target="portable")
    assert not dropped_axes(exported.net)
    report = exported.verify("torch")
    assert report.ok, str(report)


@pytest.mark.parametrize("module", [nn.LSTM, nn.GRU, nn.RNN], ids=lambda module: module.__name__)
def test_recurrent_nets(module: type[nn.RNNBase]) -> None:
    model = module(3, 2, batch_first=True).eval()
    exported = fx2caffe.export(Function(lambda x: model(x)[0]), X, target="portable")
    assert not dropped_axes(exported.net)


def test_outputs_that_would_be_dropped_are_refused() -> None:
    with pytest.raises(fx2caffe.UnsupportedError, match=r"whose axis 0 is 1 in .*\(4, 1, 3\)"):
        fx2caffe.export(Function(lambda x: x.transpose(0, 1)), X, target="portable")
    assert fx2caffe.export(Function(lambda x: x.transpose(0, 1)), X, target="opencv").outputs


def of(*layers: object) -> Net:
    """Return a chain of layers, each a layer or one with its names of tops."""
    steps: list[Step] = [Step("x", Input(shape=((1, 12),)), (), (Value("x"),))]
    for index, layer in enumerate(layers):
        tops = (Value(f"v{index}"),)
        if isinstance(layer, Slice):
            tops = (Value(f"v{index}"), Value(f"v{index}b"))
        steps.append(Step(f"v{index}", layer, steps[-1].tops[:1], tops))  # type: ignore[arg-type]
    return Net(tuple(steps), steps[-1].tops)


CHAINS = {
    "slice": of(Reshape(shape=(4, 3)), ReLU(), Slice(axis=0, slice_point=(1,))),
    "softmax": of(Reshape(shape=(4, 3)), Softmax(axis=0), Reshape(shape=(1, 12))),
    "concat": of(Reshape(shape=(4, 3, 1)), Concat(axis=2), Power(scale=2), Reshape(shape=(1, 12))),
    "copied_dims": of(Reshape(shape=(4, 1, 3)), Reshape(shape=(0, -1)), Reshape(shape=(1, 12))),
}


@pytest.mark.parametrize("name", CHAINS)
def test_what_is_lifted_computes_the_same(name: str) -> None:
    net = CHAINS[name]
    made = lift_samples(net, TARGETS["portable"]).net
    x = {net.steps[0].tops[0]: torch.randn(1, 12)}
    before, after = complete(net, x), complete(made, x)
    for value in net.outputs:
        torch.testing.assert_close(after[value], before[value])
    assert made != net and lift_samples(net, TARGETS["opencv"]).net is net


def test_layers_of_channels_are_not_lifted() -> None:
    """A BatchNorm counts channels on axis 1: its values stay, and are refused."""
    net = of(Reshape(shape=(4, 3)), ReLU(), BatchNorm(), Reshape(shape=(1, 12)))
    made = lift_samples(net, TARGETS["portable"]).net
    assert set(dropped_axes(made)) == {Value("v1/sample"), Value("v2")}
