"""What carries the batch is found, and an Export says where a net works for one batch only."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import caffe2fx
import fx2caffe
from caffe2fx.layers import Reshape
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Symbol
from tests.rows import Function


def flat(x: Tensor) -> Tensor:
    """A leaf whose handler below forgets that the first axis is the batch."""
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


def test_the_fixed_batch_is_written_into_the_prototxt(tmp_path: object) -> None:
    from pathlib import Path

    exported = fx2caffe.export(Function(lambda x: x.reshape(2, 48)), torch.randn(2, 3, 4, 4))
    path = Path(str(tmp_path)) / "net.prototxt"
    exported.save(path, path.with_suffix(".caffemodel"))
    assert path.read_text().startswith("# The batch of the Input layers is fixed: ")


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
    "a constant": lambda x: torch.broadcast_tensors(x, torch.arange(5.0))[1] + 0 * x.sum() + x,
    "a write": lambda x: first_written(x),
    "a write of a tail": lambda x: tail_written(x),
    "a squeeze": lambda x: x.mean((2, 3)).squeeze(),
    "a sum with what is repeated": lambda x: torch.einsum("bchw,bw->ch", x, torch.ones(1, 5)),
    "a sum that repeats it": lambda x: torch.tensordot(x, torch.ones(2, 4), ([0, 1], [0, 1])),
}


@pytest.mark.parametrize("name", CUTS)
def test_what_two_batches_do_not_tell(name: str) -> None:
    """A batch of 1 and of 2 look alike here; larger ones do not."""
    exported = fx2caffe.export(Function(CUTS[name]), torch.randn(1, 4, 6, 5))
    assert exported.batch_is_fixed and exported.verify().ok


def test_a_batch_without_samples_is_told() -> None:
    with pytest.raises(caffe2fx.CaffeError, match=r"got shape \(0, 3, 8, 8\)"):
        fx2caffe.export(torch.nn.Conv2d(3, 4, 3), torch.randn(0, 3, 8, 8))


def test_a_number_has_no_batch() -> None:
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
