"""OpInfo's samples with integers, masks and NaN: the net gives torch's values, or is refused."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

import fx2caffe
from caffe2fx import CaffeError
from caffe2fx.net.evaluate import StepwiseEvaluation, own_reference

pytestmark = [pytest.mark.sweep, pytest.mark.minutes]
SAMPLES, SECONDS = 4, 20
NAN = float("nan")
# Of equal elements torch gives the position of any, and the ends of a domain are not finite.
# LAPACK ends the process where a matrix holds NaN.
UNDEFINED = frozenset({"topk", "kthvalue", "sort", "argsort", "erfinv"})
DIES_OF_NAN = frozenset({"linalg.eig", "linalg.eigvals", "linalg.eigh", "linalg.eigvalsh"})


class Call(nn.Module):
    """Holds an operation with all its arguments, of which the tensors are inputs."""

    def __init__(self, function: Any, sample: Any) -> None:
        super().__init__()
        leaves, self.tree = tree_flatten((sample.input, sample.args, sample.kwargs))
        self.function, self.leaves = function, leaves
        self.indices = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]

    def inputs(self) -> tuple[Tensor, ...]:
        return tuple(self.leaves[index] for index in self.indices)

    def forward(self, *tensors: Tensor) -> Any:
        leaves = list(self.leaves)
        for index, tensor in zip(self.indices, tensors, strict=True):
            leaves[index] = tensor
        first, args, kwargs = tree_unflatten(leaves, self.tree)
        found = self.function(first, *args, **kwargs)
        return [value for value in tree_flatten(found)[0] if isinstance(value, Tensor)]


def samples(op: Any, kind: str) -> Iterator[Call]:
    dtype = {"integers": torch.int64, "masks": torch.bool}.get(kind, torch.float32)
    if dtype not in op.dtypes:
        return
    for count, sample in enumerate(op.sample_inputs("cpu", dtype, requires_grad=False)):
        if count == SAMPLES:
            return
        call = Call(op.op, sample)
        if not call.indices or any(not t.numel() for t in call.inputs()):
            continue
        if any(t.layout is not torch.strided for t in call.inputs()):
            continue
        if kind == "NaN" and not call.leaves[call.indices[0]].is_floating_point():
            continue
        if kind == "NaN":
            call.leaves[call.indices[0]] = _with_nan(call.leaves[call.indices[0]])
        yield call


def _with_nan(value: Tensor) -> Tensor:
    value = value.clone().contiguous()
    value.view(-1)[:: max(1, value.numel() // 3)] = NAN
    return value


def faults(call: Call) -> list[str]:
    """Return the faults of the net of a call; nothing if it is refused or right."""
    inputs = call.inputs()
    try:
        wanted = call(*[value.clone() for value in inputs])
    except Exception:  # torch refuses it
        return []
    try:
        exported = fx2caffe.export(call, inputs)
    except CaffeError:
        return []
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    fed = [value.float() for value in exported.example_inputs]
    stream = StepwiseEvaluation(exported.net, own_reference(exported.net), fed)
    found: dict[Any, Tensor] = {}
    for step in exported.net.steps:
        stream.enter(step)
        found |= {top: stream.values[top] for top in step.tops if top in exported.net.outputs}
        stream.leave(step)
    got = [found[value] for value in exported.net.outputs]
    return [
        f"wants {want.flatten()[:6].tolist()}, got {have.flatten()[:6].tolist()}"
        for want, have in zip(wanted, got, strict=True)
        if not _alike(want, have)
    ]


def _alike(want: Tensor, have: Tensor) -> bool:
    if want.is_complex():
        return False
    want = want.to(torch.float32)
    if want.shape != have.shape:
        return False
    return torch.allclose(have.float(), want, rtol=1e-3, atol=1e-4, equal_nan=True)


def _is_unwritten(name: str) -> bool:
    """Return whether an operation gives memory that nobody has written, whose values are chance."""
    return name.startswith(("empty", "new_empty"))


def _too_long(_: int, __: FrameType | None) -> None:
    raise TimeoutError


@pytest.mark.parametrize("kind", ["integers", "masks", "NaN"])
@pytest.mark.filterwarnings("ignore")
def test_samples(kind: str) -> None:
    op_db = pytest.importorskip("torch.testing._internal.common_methods_invocations").op_db
    wrong = []
    signal.signal(signal.SIGALRM, _too_long)
    left_out = UNDEFINED | (DIES_OF_NAN if kind == "NaN" else frozenset())
    for op in (op for op in op_db if op.name not in left_out and not _is_unwritten(op.name)):
        try:
            signal.alarm(SECONDS)
            for call in samples(op, kind):
                wrong += [f"{op.name}: {fault}" for fault in faults(call)]
        except TimeoutError:
            wrong.append(f"{op.name}: more than {SECONDS} seconds")
        finally:
            signal.alarm(0)
    assert not wrong, "\n".join(wrong)
