"""The values that carry the batch are found, and an Export states if its batch is fixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx.engines import Engine
from caffe2fx.layers import Reshape
from caffe2fx.messages.message import Shape
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Symbol
from fx2caffe.targets import TARGETS
from tests.rows import Function, types
from tests.targets.nets import thirds


def flat(x: Tensor) -> Tensor:
    """Return a leaf whose handler below forgets that the first axis is the batch."""
    return x.reshape(x.shape[0], -1)


def test_a_handler_that_bakes_the_batch_is_found_out() -> None:
    @fx2caffe.register(flat)
    def handler(net: Emitter, x: Symbol) -> Symbol:
        return net.add(Reshape(shape=(x.shape[0], -1)), x)

    try:
        exported = fx2caffe.export(Function(flat), torch.randn(2, 3, 4, 4))
    finally:
        fx2caffe.unregister(flat)
    assert exported.batch_is_fixed and "for another batch" in exported.batch_faults[0]
    assert exported.verify().ok


def test_the_fixed_batch_is_written_into_the_prototxt(tmp_path: Path) -> None:
    exported = fx2caffe.export(Function(lambda x: x.reshape(2, 48)), torch.randn(2, 3, 4, 4))
    path = tmp_path / "net.prototxt"
    exported.save(path, path.with_suffix(".caffemodel"))
    assert "\n# The batch of the Input layers is fixed: " in path.read_text()


def test_two_inputs_share_the_batch_and_a_third_has_none() -> None:
    def body(a: Tensor, b: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        return (a + b).flatten(1), table.relu()

    inputs = (torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.randn(5, 7))
    exported = fx2caffe.export(Function(body), inputs)
    assert not exported.batch_is_fixed
    shapes = exported.net.reshaped([(4, 3, 4), (4, 3, 4), (5, 7)]).shapes()
    assert [shapes[value] for value in exported.net.outputs] == [(4, 12), (5, 7)]


def first_written(x: Tensor) -> Tensor:
    y = x.clone()
    y[0, 1] = 5.0
    return y


def tail_written(x: Tensor) -> Tensor:
    y = x.clone()
    y[:-2] = 5.0
    return y


CUTS = {
    "a slice": lambda x: x[:4],
    "a step": lambda x: x[::2],
    "a roll": lambda x: x.roll(2, 0),
    "a split": lambda x: x.split(4)[0],
    "a chunk": lambda x: x.chunk(2)[0],
    "a branch": lambda x: x * 2 if x.shape[0] > 2 else x + 0,
    "a search": lambda x: x + x.relu().argmax(0),
    "a constant that is the same for five samples": (
        lambda x: x + (torch.arange(len(x)) < 5).float().view(-1, 1, 1, 1)
    ),
    "a constant": lambda x: (
        torch.arange(5.0).expand_as(x) + torch.arange(float(len(x))).view(-1, 1, 1, 1) + x
    ),
    "a write": lambda x: first_written(x),
    "a write of a tail": lambda x: tail_written(x),
    "a squeeze": lambda x: x.mean((2, 3)).squeeze(),
    "a sum with what is repeated": lambda x: torch.einsum("bchw,bw->ch", x, torch.ones(1, 5)),
    "a sum that repeats it": lambda x: torch.tensordot(x, torch.ones(2, 4), ([0, 1], [0, 1])),
}


@pytest.mark.parametrize("name", CUTS)
def test_batches_that_two_sizes_do_not_determine(name: str) -> None:
    """A batch of 1 and of 2 look alike here; larger ones do not."""
    exported = fx2caffe.export(Function(CUTS[name]), torch.randn(1, 4, 6, 5))
    assert exported.batch_is_fixed and exported.verify().ok


ONE_SAMPLE: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "a squeeze": (lambda x: x.squeeze() * 2, "squeeze is not with one sample what it is with 4"),
    "a squeeze of a vector": (lambda x: x.mean((1, 2)).squeeze(), "squeeze is not with one sample"),
    "a branch": (lambda x: x * 2 if len(x) > 3 else x + 0, "other operations with one sample"),
    "a factor": (lambda x: x * min(len(x), 3), "mul is not with one sample"),
    "a count": (lambda x: x.flatten(1).topk(min(len(x), 2))[0], "is not with one sample"),
    "a constant": (lambda x: x + torch.arange(min(3.0, len(x))), "is not with one sample"),
    "the first two": (lambda x: x[:2] + 1, "getitem is not with one sample"),
    "padded to four": (
        lambda x: torch.cat([x, x.new_ones(4 - len(x), 2, 3)]) if len(x) < 4 else x * 1,
        "other operations with one sample",
    ),
}


@pytest.mark.parametrize("name", ONE_SAMPLE)
def test_what_one_sample_is_not(name: str) -> None:
    """Four samples and more look alike here."""
    function, fault = ONE_SAMPLE[name]
    exported = fx2caffe.export(Function(function), torch.randn(4, 2, 3))
    assert exported.batch_is_fixed and fault in exported.batch_faults[0]


FREE: dict[str, Callable[[Tensor], Tensor]] = {
    "written through a view": lambda x: torch.ones(2, 3).t_().view(3, 2).mul_(2) @ x,
    "one sample picked": lambda x: x - x[:1],
    "a constant of each": lambda x: x + torch.arange(float(len(x))).view(-1, 1, 1) * 0 + 1,
    "a model that needs two": lambda x: x[1:2] - x if len(x) > 1 else x.view(5),
}  # fmt: skip


@pytest.mark.parametrize("name", FREE)
def test_one_sample_leaves_the_batch_free(name: str) -> None:
    exported = fx2caffe.export(Function(FREE[name]), torch.randn(4, 2, 3))
    assert not exported.batch_is_fixed, exported.batch_faults


def test_a_batch_without_samples_is_refused() -> None:
    with pytest.raises(caffe2fx.CaffeError, match=r"got shape \(0, 3, 8, 8\)"):
        fx2caffe.export(torch.nn.Conv2d(3, 4, 3), torch.randn(0, 3, 8, 8))


def test_a_scalar_has_no_batch() -> None:
    exported = fx2caffe.export(Function(lambda x: x * 2), torch.tensor(1.5))
    assert exported.verify(batch=3).ok


@pytest.mark.pycaffe
def test_a_search_counts_the_samples_there_are() -> None:
    def body(ends: Tensor, x: Tensor) -> Tensor:
        return torch.searchsorted(ends, x, right=True)

    exported = fx2caffe.export(Function(body), (torch.arange(4.0), torch.tensor([[0.5, 2.5]])))
    assert not exported.batch_is_fixed, exported.batch_faults
    more = torch.arange(7.0) - 1, torch.tensor([[1.5, 3.5]])
    assert exported.verify("pycaffe", more).ok


@pytest.mark.pycaffe
@pytest.mark.parametrize("batch", [1, 2])
def test_expand_as_follows_the_batch(batch: int) -> None:
    def body(x: Tensor) -> Tensor:
        return x * x.mean((2, 3), keepdim=True).expand_as(x) + x[:, :1].expand(len(x), 4, 6, 5)

    exported = fx2caffe.export(Function(body), torch.randn(batch, 4, 6, 5))
    assert not exported.batch_is_fixed, exported.batch_faults
    assert exported.verify("pycaffe", batch=3).ok


@pytest.mark.parametrize("target", [name for name, one in TARGETS.items() if one.batch is None])
def test_queries_keys_and_values_before_the_batch_follow_it(target: str) -> None:
    """They are cut by one Slice, also where no Silence ends a top that nothing reads."""
    exported = fx2caffe.export(Function(thirds), torch.randn(1, 4, 6, 6), target=target)
    assert not exported.batch_is_fixed, exported.batch_faults
    assert types(exported.net).count("Slice") == 1
    assert exported.verify(batch=3).ok


def test_a_batch_behind_other_axes_is_not_moved_by_filters() -> None:
    """No layer of the target moves it: the filters that move other axes leave it where it is."""

    def body(x: Tensor) -> Tensor:
        return (x.reshape(len(x), 2, 2, 6, 6).permute(1, 0, 2, 4, 3) * 2).flatten(1)

    target = TARGETS["rknn"].derived("few", remove=["Permute"])
    exported = fx2caffe.export(Function(body), torch.randn(3, 4, 6, 6), target=target)
    assert exported.batch_is_fixed and exported.verify().ok


class Token(nn.Module):
    """A class token before the tokens, and their positions."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 5))
        self.position = nn.Parameter(torch.randn(1, 5, 5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position


class Twice(nn.Module):
    """A parameter that is read as it is, and again for each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.randn(1, 4, 5))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + self.p, torch.cat([x, self.p.expand(len(x), -1, -1)], 1)


class StepsFirst(nn.Module):
    """Tokens whose batch is their second axis."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(2, 1, 5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.token.expand(-1, len(x), -1), x.transpose(0, 1)]) * 2


def shifted(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, 1:] = x[:, :-1]
    y[:, :1, 2:] = x[:, 3:, 2:]
    return y


def of_each_token(x: Tensor) -> Tensor:
    return x.reshape(-1, 5) * torch.arange(4.0).repeat(len(x))[:, None]


def masked(x: Tensor) -> Tensor:
    mask = torch.ones(len(x), 4, 5, dtype=torch.bool).tril()
    return x.masked_fill(mask, 0.0) + torch.where(mask, x, torch.zeros_like(x))


def diagonal_filled(x: Tensor) -> Tensor:
    y = x.clone()
    y.diagonal(dim1=1, dim2=2).fill_(0.5)
    return y


def row_by_row(x: Tensor) -> Tensor:
    y = x.clone()
    for row in range(1, 4):
        y[:, row : row + 1].add_(y[:, row - 1 : row].relu())
    return y


def transposed_doubled(x: Tensor) -> Tensor:
    y = x * 1.5
    y.transpose(1, 2)[:, 1].mul_(2)
    return y


TABLE = torch.arange(10.0).view(1, 5, 2) / 4
# Functions of (N, 4, 5) with constants that follow the batch, and the layers that some become.
FOLLOWING: dict[str, tuple[Callable[..., object], tuple[str, ...]]] = {
    "a factor": (lambda x: x * torch.arange(5.0).expand_as(x), ("Scale",)),
    "a factor that one element is": (lambda x: torch.full_like(x, 0.5) * x, ("Power",)),
    "a new tensor": (lambda x: x + x.new_full((len(x), 1, 1), 0.5), ("Power",)),
    "a maximum": (lambda x: torch.maximum(x, torch.arange(5.0).expand_as(x) / 8), ()),
    "a mask": (masked, ("Scale", "Scale", "Eltwise")),
    "zeros beside": (lambda x: torch.cat([x, torch.zeros_like(x[:, :1])], 1), ()),
    "places to write to": (shifted, ()),
    "a diagonal": (lambda x: diagonal_filled(x), ()),
    "row by row": (lambda x: row_by_row(x), ()),
    "a view that is written": (lambda x: transposed_doubled(x), ()),
    "a constant of each token": (of_each_token, ()),
    "an output": (lambda x: (x * 2, torch.arange(3.0).repeat(len(x), 1)), ()),
    "a matrix": (lambda x: torch.matmul(x, TABLE.expand(len(x), -1, -1)), ("InnerProduct",)),
    "matrices": (lambda x: torch.bmm(TABLE.mT.expand(len(x), -1, -1), x.mT), ()),
    "products": (lambda x: x @ x.mT, ()),
    "a token": (Token(), ()),
    "a parameter twice": (Twice(), ()),
    "a token of steps": (StepsFirst(), ()),
}


@pytest.mark.pycaffe
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", FOLLOWING)
def test_constants_follow_the_batch(name: str, batch: int, caffe: Engine) -> None:
    body, layers = FOLLOWING[name]
    model = body if isinstance(body, nn.Module) else Function(body)
    exported = fx2caffe.export(model.eval(), torch.randn(batch, 4, 5))
    assert not exported.batch_is_fixed, exported.batch_faults
    assert not layers or types(exported.net) == layers
    assert exported.verify(caffe, batch=3).ok


@pytest.mark.pycaffe
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_a_constant_is_right_whatever_the_input(
    value: float, caffe: Engine, tmp_path: Path
) -> None:
    """Caffe's Power of scale 0 does not read its bottom."""
    model = Function(lambda x: (x * 2, torch.arange(3.0).repeat(len(x), 1)))
    exported = fx2caffe.export(model, torch.randn(2, 4))
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    exported.save(*files)
    with caffe.open(*files) as session:
        ran = {
            top: made
            for step, tops in session.run([torch.full((2, 4), value)])
            for top, made in zip(step.tops, tops, strict=True)
        }
    assert ran[exported.net.outputs[1]].tolist() == [[0.0, 1.0, 2.0]] * 2


def test_products_that_are_too_many_fix_the_batch() -> None:
    exported = fx2caffe.export(Function(lambda x: x @ x.mT), torch.randn(1, 600, 50))
    assert "a net for any batch holds each of 18000000 products" in exported.batch_faults[0]


def row_of_a_base_that_is_written(x: Tensor) -> Tensor:
    base = x + 0
    row = base[0, 1:]
    base.unsqueeze(1).mul_(2)
    return row


def broadcast_in_a_dead_branch(x: Tensor) -> Tensor:
    x * torch.ones(2, 1)
    return x * 2


def runs_with_two_samples_at_most(x: Tensor) -> Tensor:
    return x * 2 if len(x) < 3 else x.reshape(-1, 5)


FIXED = [
    (row_of_a_base_that_is_written, "the model runs other operations with another batch"),
    (broadcast_in_a_dead_branch, "does not run with another batch: The size of tensor a"),
    (runs_with_two_samples_at_most, "does not run with another batch: shape '"),
]


@pytest.mark.parametrize(("function", "fault"), FIXED, ids=[f.__name__ for f, _ in FIXED])
def test_a_batch_of_one_that_is_none(function: Callable[[Tensor], Tensor], fault: str) -> None:
    exported = fx2caffe.export(Function(function), torch.randn(1, 4))
    assert exported.batch_is_fixed and fault in exported.batch_faults[0]
    assert exported.verify().ok


def keeps(x: Tensor) -> Tensor:
    """Return a leaf whose handler is right for the batches that the emitter asks about."""
    return x * 1


class Bends(Reshape):
    """Reshapes larger batches otherwise."""

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        shape = bottoms[0]
        return (shape,) if shape[0] < 4 else ((shape[0] // 3, 3 * shape[1], *shape[2:]),)


def test_a_net_is_held_against_the_shapes_of_a_large_batch() -> None:
    @fx2caffe.register(keeps)
    def handler(net: Emitter, x: Symbol) -> Symbol:
        return net.add(Bends(shape=(0, 0)), x)

    try:
        exported = fx2caffe.export(Function(keeps), torch.randn(2, 4))
    finally:
        fx2caffe.unregister(keeps)
    assert exported.batch_is_fixed and "with a large batch" in exported.batch_faults[0]
