"""Other inputs reach branches that the example does not, or these are not proven."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

import fx2caffe
from caffe2fx.engines.embedded import EmbeddedSession
from caffe2fx.layers import Input, Parameter, Power, ReLU
from caffe2fx.module.builder import graph_module
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.verdict.judge import judge
from caffe2fx.verdict.reference.second_inputs import (
    constants_compared_with,
    draws,
    is_uniform,
    second_input,
)
from caffe2fx.verdict.result.report import Status
from tests.rows import Function
from tests.verdict.nets import reference


class Ids(nn.Module):
    """Positions are counted where no padding is, as RoBERTa does."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(50, 8), nn.Embedding(20, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 8))

    def forward(self, ids: Tensor) -> Tensor:
        mask = ids.ne(1).int()
        positions = torch.cumsum(mask, 1).type_as(mask) * mask
        found: Tensor = self.words(ids) + self.positions(positions.long() + 1)
        return found


class Prompted(Ids):
    """A learned row before the words: no id reaches it."""

    def forward(self, ids: Tensor) -> Tensor:
        rows = torch.cat([self.token.expand(len(ids), -1, -1), self.words(ids)], 1)
        return torch.cat([rows[:, :1].relu(), rows[:, 1:] * 2], 1)


def attention(x: Tensor, mask: Tensor) -> Tensor:
    """Compute attention with a mask of ones and zeros."""
    scores = (x @ x.mT).masked_fill((mask == 0)[:, None, :], -1e4)
    return scores.softmax(-1) @ x


def added(x: Tensor, mask: Tensor) -> Tensor:
    """Compute attention with a mask of zeros and infinities."""
    return (x @ x.mT + mask).softmax(-1) @ x


def padded(x: Tensor, padding: Tensor) -> Tensor:
    """Compute attention with a mask whose infinities the second inputs take away."""
    return (x @ x.mT + torch.zeros(1, 6).masked_fill(padding, -torch.inf)).softmax(-1) @ x


def pooled(x: Tensor, boxes: Tensor) -> Tensor:
    """Pool regions of images that the boxes name."""
    found: Tensor = roi_align(x, boxes, (3, 3), 1.0, 2)
    return found


X = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(3))
IMAGES = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(4))
FRACTIONS = torch.tensor([0, 0.3, 0.3, 0.5, 0.1])
BOXES = torch.tensor([[0, 1, 1, 8, 8], [1, 2, 3, 10, 9], [0, 0, 0, 5, 7]])
FEATURES = torch.randn(2, 4, generator=torch.Generator().manual_seed(5))
SORTED = torch.tensor([[0.5, 1.0, 1.5, 2.5, 2.5], [-1.5, -1.0, 0.0, 2.0, 2.0]])
VALUES = torch.tensor([[-1.0], [-3.0]])
ONES, SOME = torch.ones(1, 6).long(), torch.tensor([[1, 1, 1, 1, 0, 0]])
HIDDEN = torch.zeros(1, 1, 6).masked_fill(SOME == 0, -torch.inf)
ROWS: dict[str, tuple[Callable[[], nn.Module], Sequence[Tensor]]] = {
    "a mask of ones": (lambda: Function(attention), (X, ONES)),
    "a mask of floats": (lambda: Function(attention), (X, ONES.float())),
    "a mask of zeros": (lambda: Function(attention), (X, ONES * 0)),
    "a boolean mask": (lambda: Function(attention), (X, ONES.bool())),
    "some are masked": (lambda: Function(attention), (X, SOME)),
    "a padding mask": (lambda: Function(padded), (X, SOME == 0)),
    "a mask of infinities": (lambda: Function(added), (X, HIDDEN)),
    "ids without padding": (Ids, (torch.tensor([[3, 41, 7, 9, 22, 49, 4, 5, 17]]),)),
    "ids with padding": (Ids, (torch.tensor([[5, 7, 9, 1, 1, 8]]),)),
    "any of ones": (lambda: Function(lambda m: m.any(1)), (ONES.bool().repeat(2, 2),)),
    "all of zeros": (lambda: Function(lambda m: m.all(1)), (ONES.bool().repeat(2, 2) & False,)),
    "two ids": (lambda: nn.Embedding(10, 8), (torch.tensor([[1, 3]]),)),
    "one id": (lambda: nn.Embedding(10, 8), (torch.tensor([[3]]),)),
    "the only id": (lambda: nn.Embedding(1, 8), (torch.tensor([[0], [0]]),)),
    "a row that no id reaches": (Prompted, (torch.tensor([[5, 7, 9]]),)),
    "one row": (lambda: Function(lambda x: x > 0), (FEATURES[:1],)),
    "one row above 0": (lambda: Function(lambda x: (x > 0.5).float()), (FEATURES[:1].abs(),)),
    "one element": (lambda: Function(lambda x: (x > 0).float()), (FEATURES[:1, :1].abs(),)),
    "rows": (lambda: Function(lambda x: torch.where(x > 3, x, 0.5)), (FEATURES,)),
    "sorted rows": (lambda: Function(lambda x: torch.searchsorted(x, VALUES, right=True)),
                    (SORTED,)),
    "boxes": (lambda: Function(pooled), (IMAGES, BOXES.float())),
    "boxes with fractions": (lambda: Function(pooled), (IMAGES, BOXES + FRACTIONS)),
    "boxes of one image": (lambda: Function(pooled), (IMAGES[:1], BOXES[:1].float())),
}  # fmt: skip
UNPROVEN = {"the only id"}


@pytest.mark.parametrize("name", ROWS)
def test_rows(name: str) -> None:
    torch.manual_seed(0)
    make, inputs = ROWS[name]
    report = fx2caffe.export(make().eval(), tuple(inputs)).verify()
    wanted = Status.NOT_PROVEN if name in UNPROVEN else Status.EQUAL
    assert report.status is wanted, str(report)


@pytest.mark.parametrize("name", sorted({*ROWS} - UNPROVEN))
def test_other_inputs_mean_something(name: str) -> None:
    """A box names an image that is there, an id a row of its table."""
    make, inputs = ROWS[name]
    net = fx2caffe.export(make().eval(), tuple(inputs)).net
    most = [value.max() for value in inputs]
    for drawn in ([second_input(value) for value in inputs], *draws(net, inputs)):
        assert [(v.shape, v.dtype) for v in drawn] == [(v.shape, v.dtype) for v in inputs]
        if "boxes" in name:
            assert drawn[1][:, 0].int().max() < len(inputs[0])
        if "ids" in name:
            assert drawn[0].min() >= 0 and drawn[0].max() <= most[0]


def net_of(*layers: tuple[str, Any]) -> Net:
    """Return a chain of layers behind four integers."""
    steps = [Step("data", Input(shape=((1, 4),)), (), (Value("data"),))]
    for name, layer in layers:
        steps.append(Step(name, layer, steps[-1].tops, (Value(name),)))
    return Net(tuple(steps), steps[-1].tops)


MASK = net_of(("off", Power(scale=-1, shift=1)), ("mask", ReLU()))  # 1 where the input is 0


@pytest.mark.parametrize(
    ("judged", "faults"),
    [
        (MASK, []),
        # Right for the example's ones alone:
        (net_of(("off", Power(scale=-1, shift=1)), ("mask", ReLU(negative_slope=0.5))), []),
        (net_of(("off", Power(scale=-2, shift=2)), ("mask", ReLU())), ["off", "mask"]),
        (net_of(("off", Power(scale=0)), ("mask", ReLU())), ["off", "mask"]),
    ],
)
def test_faults_that_the_example_does_not_reach(judged: Net, faults: list[str]) -> None:
    ones = torch.ones(1, 4)
    assert is_uniform(ones) and not is_uniform(torch.tensor([1, 2]))
    session = EmbeddedSession(graph_module(judged))
    report = judge(MASK, session, reference(MASK), [ones], engine="torch")
    assert [row.layer for row in report.rows if row.status is Status.DIFFERS] == faults, report


def test_a_constant_that_should_follow_the_inputs_is_wrong_whatever_it_holds() -> None:
    class Baked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + (x * 2)

    x = torch.randn(1, 4)
    exported = fx2caffe.export(Baked(), x)
    net = exported.net
    doubled = next(step for step in net.steps if step.name == "mul")
    constant = Step("mul", Parameter(shape=(1, 4)), (), doubled.tops, (x * 2,))
    baked = Net(tuple(constant if s is doubled else s for s in net.steps), net.outputs)
    session = EmbeddedSession(graph_module(baked))
    report = judge(baked, session, exported.as_reference(), [x], engine="torch")
    first = report.first_divergence
    assert first is not None and first.layer == "mul" and "follow the inputs" in first.fault


def test_a_map_that_nothing_moves_is_not_proven() -> None:
    linear = nn.Linear(8, 8)
    nn.init.zeros_(linear.weight)
    dead = nn.Sequential(linear, nn.ReLU()).eval()
    report = fx2caffe.export(dead, X).verify()
    assert report.status is Status.NOT_PROVEN and not report.ok
    assert report.first_divergence is None and "2 NOT PROVEN" in report.summary()


def test_constants_compared_with() -> None:
    layers = [Power(shift=-3), Power(scale=2, shift=8), Power(scale=0), Power(shift=-torch.inf)]
    found = constants_compared_with(net_of(*((f"p{i}", layer) for i, layer in enumerate(layers))))
    assert found == [3.0, -4.0]
