"""The batch that shapes tell is the one that further traces find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.dlpack import from_dlpack, to_dlpack

import fx2caffe
from caffe2fx.layers.layer import RecordModule
from fx2caffe.lowering.registry import leaves
from fx2caffe.tracing.batch import batch_analysis
from fx2caffe.tracing.batch.batch_analysis import by_shapes, find_batch
from fx2caffe.tracing.tracer import Trace, trace
from tests.layers.forks.forks import ROWS as FORKS
from tests.layers.row import Row as LayerRow
from tests.layers.test_rows import ROWS as BVLC
from tests.ops.test_ops import EXPORTED

LAYERS = (*BVLC.values(), *FORKS)

X = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(0))


class Plain(nn.Module):
    """A model of samples, one function of which is its argument."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.ones(1, 4, 6, 6))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(F.relu(x), self.weight)


def _leaves() -> dict[str, Any]:
    modules, functions = leaves()
    return {"leaf_modules": modules, "leaf_functions": functions}


def _of(model: nn.Module, x: Any) -> Trace:
    return trace(model, x, **_leaves())


KNOWN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "elementwise": lambda x, w: torch.tanh(x * w) + 1,
    "in place": lambda x, w: F.relu(x.mul_(w), inplace=True),
    "parts": lambda x, w: torch.cat(x.chunk(2, 1)[::-1], 1),
    "dtype and rank": lambda x, w: x * w if x.dim() == 4 and x.dtype == torch.float32 else x,
    "pooling": lambda x, w: F.adaptive_avg_pool2d(x, 1).flatten(1),
}


@pytest.mark.parametrize("name", KNOWN)
def test_shapes_tell_the_batch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = Plain(KNOWN[name]), torch.cat([X, X])
    first = _of(model, x)
    traced: list[object] = []
    monkeypatch.setattr(batch_analysis, "trace", lambda *args, **_: traced.append(args))
    assert not find_batch(model, x, first).faults
    assert not traced


def _unused(x: Tensor, w: Tensor) -> Tensor:
    x + x.mean((1, 2, 3)).exp()  # of one sample alone
    return x * w


def _one_of_two(x: Tensor, w: Tensor) -> Tensor:
    try:
        return x + torch.ones(1, 5, 6, 6)
    except RuntimeError:
        return x * w


def _written(before: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, w: before(x, w).mul_(x)


def _copied_and_written(copied: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    def part_of_each(x: Tensor, w: Tensor) -> Tensor:
        """Add a part to its written copy, which is the part itself if it is dense."""
        part = (x * w)[:, 1:3]
        return part + copied(part).mul_(2)

    return part_of_each


def _rest_and_start(x: Tensor, w: Tensor) -> Tensor:
    y = x * w
    rest, start = y[1:], y[:-1]  # of two samples these do not overlap
    return rest.mul_(2) + start


class _Sizes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes how many samples the result of the last operator has."""

    samples = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.samples = result.shape[0]
        return result


def _seen_by_a_mode(x: Tensor, w: Tensor) -> Tensor:
    with _Sizes() as sizes:  # type: ignore[no-untyped-call]
        y = x * w
    return y * sizes.samples


def _seen_in_a_derivative(x: Tensor, w: Tensor) -> Tensor:
    with torch.enable_grad():
        y: Any = x.requires_grad_().sum(1)
        samples = y.grad_fn._saved_self_sym_sizes[0]
    return y.detach() * samples  # type: ignore[no-any-return]


UNKNOWN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "size": lambda x, w: x * w if x.size(0) < 3 else x,
    "shape": lambda x, w: x * len(x),
    "memory": lambda x, w: x * w if x.stride(0) == 144 else x,
    "another way after an error": _one_of_two,
    "call that nothing uses": _unused,
    "call that gives its operand": lambda x, w: x.sum_to_size(1, 4, 6, 6) * w,
    "a constant like a value": lambda x, w: x + torch.zeros_like(x),
    "expand": lambda x, w: w.expand_as(x),
    "copy of a constant": lambda x, w: x.clone().copy_(w),
    "fill": lambda x, w: x.clone().fill_(2),
    "write into a constant": _written(lambda x, w: torch.ones(1, 4, 6, 6)),
    "write into a smaller value": _written(lambda x, w: x.mean(0, keepdim=True)),
    "slice of samples": lambda x, w: x[:5],
    "all samples in one": lambda x, w: x.reshape(1, -1),
    "samples in turns": lambda x, w: torch.cat([x, x]),
    "mean of samples": lambda x, w: x - x.mean(0, keepdim=True),
    "samples as channels": lambda x, w: F.conv_transpose2d(x[0:, 0], torch.ones(1, 2, 3, 3)),
    "empty": lambda x, w: torch.cat([x, x[:, :0]], 1) * w,
    "dense copy": _copied_and_written(Tensor.contiguous),
    "copy in a layout": _copied_and_written(
        lambda x: x[:, :1].to(memory_format=torch.channels_last)
    ),
    "sizes seen by a mode": _seen_by_a_mode,
    "sizes seen in a derivative": _seen_in_a_derivative,
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_shapes_do_not_tell_the_batch(name: str) -> None:
    model = Plain(UNKNOWN[name])
    assert by_shapes(model, X, _of(model, X)) is None


OF_TWO: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "dense copy": UNKNOWN["dense copy"],
    "rest": lambda x, w: x[1:] * w,
    "rest and start": _rest_and_start,
    "one sample more than given": lambda x, w: torch.cat([x, w]),
}


@pytest.mark.parametrize("name", OF_TWO)
def test_shapes_do_not_tell_the_batch_of_two_samples(name: str) -> None:
    model, x = Plain(OF_TWO[name]), torch.cat([X, X])
    assert by_shapes(model, x, _of(model, x)) is None


def test_shapes_do_not_tell_the_batch_of_inputs_in_another_layout() -> None:
    x = torch.cat([X, X], 3).permute(3, 1, 2, 0).flatten(2).transpose(0, 2)  # samples are last
    model = Plain(lambda x, w: x.flatten(1).mul_(2) + x.flatten(1))
    assert by_shapes(model, x, _of(model, x)) is None


def _disabled(x: Tensor, w: Tensor) -> Tensor:
    with torch._C.DisableTorchFunction():
        samples = len(x)
    return x * samples


def _in_a_thread(x: Tensor, w: Tensor) -> Tensor:
    with ThreadPoolExecutor(1) as pool:
        return x * pool.submit(len, x).result()


def _by_dlpack(x: Tensor, w: Tensor) -> Tensor:
    return x * len(from_dlpack(to_dlpack(x)))


@pytest.mark.parametrize("function", [_disabled, _in_a_thread, _by_dlpack])
def test_sizes_that_are_read_unseen_show_in_a_run_of_one_more(function: Any) -> None:
    net = fx2caffe.export(Plain(function), X)
    assert net.batch_is_fixed
    assert net.verify().ok


@pytest.mark.sweep
def test_every_row_has_the_batch_that_traces_find(monkeypatch: pytest.MonkeyPatch) -> None:
    models = ((row.id, row.model(), tuple(row.inputs())) for row in EXPORTED)
    seen = [_same_batch(*made, monkeypatch) for made in models]
    assert seen.count(True) > 300


@pytest.mark.sweep
def test_every_layer_has_the_batch_that_traces_find(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row for row in LAYERS if row.bottoms and row.tops and row.layer.has_meaning]
    models = ((row.id, Layer(row), tuple(row.inputs())) for row in rows)
    seen = [_same_batch(*made, monkeypatch) for made in models]
    assert seen.count(True) > 200


class Layer(nn.Module):
    """A model of one layer, behind a function that works on samples."""

    def __init__(self, row: LayerRow) -> None:
        super().__init__()
        self.layer = RecordModule(row.layer, row.blobs(), row.tops)

    def forward(self, *bottoms: Tensor) -> Any:
        return self.layer(*bottoms)


def _gives_an_input(model: nn.Module, x: Sequence[Tensor]) -> bool:
    results = model(*x)
    given = (results,) if isinstance(results, Tensor) else results
    return any(result is value for result in given for value in x)


def _same_batch(name: str, model: nn.Module, x: Any, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Hold the batch by shapes against that of two more traces; return whether there is one."""
    first = _of(model.eval(), x)
    known = by_shapes(model, x, first)
    if known is None or _gives_an_input(model, x):  # that is a call on shapes alone
        return False
    with monkeypatch.context() as patched:
        patched.setattr(batch_analysis, "by_shapes", lambda *_: None)
        found = find_batch(model, x, first, **_leaves())
    assert not found.faults, (name, found.faults)
    assert not found.repeated, name
    assert known.others == found.others, name
    return True
