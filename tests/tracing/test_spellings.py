"""Every form of a call that torch takes gives the net of the plain one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fx2caffe
from fx2caffe.lowering.registry import handlers
from fx2caffe.tracing.functions.signatures import NUMPY, Signature, by_position, signatures

X, SQUARE = (2, 3, 4), (3, 3)


@dataclass(frozen=True)
class Pair:
    """Calls the same function twice: as a user may write it, and plainly by position."""

    id: str
    variant: Callable[..., Any]
    plain: Callable[..., Any]
    shape: tuple[int, ...] = X


class Called(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


# Reductions, and others along an axis, by NumPy's names; the plain form by position.
ALONG = {
    name: ((lambda x, f=getattr(torch, name), g=given: f(x, *g, axis=1)),
           (lambda x, f=getattr(torch, name), g=given: f(x, *g, 1)))
    for name, given in {
        **dict.fromkeys(
            ("sum", "mean", "prod", "amax", "amin", "argmax", "argmin", "max", "min", "median",
             "logsumexp", "cumsum", "cumprod", "cummax", "softmax", "log_softmax", "sort",
             "argsort", "any", "all", "count_nonzero", "nansum", "unbind", "unsqueeze",
             "squeeze", "std", "var", "std_mean", "logcumsumexp"), ()),
        "topk": (2,), "kthvalue": (1,), "chunk": (3,), "tensor_split": (3,), "quantile": (0.5,),
    }.items()
}  # fmt: skip


def _tensor(result: Any) -> Any:
    return result if isinstance(result, Tensor) else result[0]


def _keeping(name: str) -> Pair:
    method = getattr(Tensor, name)
    return Pair(
        f"{name}_keepdims",
        lambda x: _tensor(method(x, axis=1, keepdims=True)),
        lambda x: _tensor(method(x, dim=1, keepdim=True)),
    )


PAIRS = [
    *(Pair(f"{name}_axis", lambda x, f=one: _tensor(f(x)), lambda x, f=two: _tensor(f(x)))
      for name, (one, two) in ALONG.items()),
    *map(_keeping, ("sum", "mean", "amax", "argmax", "max", "min", "std", "var", "logsumexp",
                    "median", "prod", "any", "all")),
    Pair("cat_axis", lambda x: torch.cat(tensors=(x, x), axis=1), lambda x: torch.cat((x, x), 1)),
    Pair("stack_axis", lambda x: torch.stack((x, x), axis=1), lambda x: torch.stack((x, x), 1)),
    Pair("add_x_x2", lambda x: torch.add(x=x, x2=x), lambda x: torch.add(x, x)),
    Pair("maximum_x1_x2", lambda x: torch.maximum(x1=x, x2=-x), lambda x: torch.maximum(x, -x)),
    Pair("exp_x", lambda x: torch.exp(x=x), torch.exp),
    Pair("exp_a", lambda x: torch.exp(a=x), torch.exp),
    Pair("mul_x2", lambda x: x.mul(x2=x), lambda x: x.mul(x)),
    Pair("where_names", lambda x: torch.where(condition=x > 0, input=x, other=-x),
         lambda x: torch.where(x > 0, x, -x)),
    Pair("where_method_names", lambda x: x.where(condition=x > 0, other=-x),
         lambda x: torch.where(x > 0, x, -x)),
    Pair("swapaxes_names", lambda x: torch.swapaxes(x, axis0=1, axis1=2),
         lambda x: x.transpose(1, 2)),
    Pair("addmm_names", lambda x: torch.addmm(input=x, mat2=x.t(), mat1=x),
         lambda x: torch.addmm(x, x, x.t()), SQUARE),
    Pair("addmv_names", lambda x: torch.addmv(x[0], mat=x, vec=x[1]),
         lambda x: torch.addmv(x[0], x, x[1]), SQUARE),
    Pair("baddbmm_names", lambda x: x.baddbmm(batch1=x, batch2=x, beta=0.5),
         lambda x: x.baddbmm(x, x, beta=0.5), (2, 3, 3)),
    Pair("mm_names", lambda x: torch.mm(x, mat2=x), lambda x: torch.mm(x, x), SQUARE),
    Pair("std_unbiased", lambda x: x.std(unbiased=False), lambda x: x.std(False)),
    Pair("softmax_of_no_axis_of_3", lambda x: nn.Softmax()(x), lambda x: F.softmax(x, 0)),
    Pair("softmax_of_no_axis_of_2", lambda x: nn.Softmax()(x), lambda x: F.softmax(x, 1), SQUARE),
    Pair("log_softmax_of_no_axis", lambda x: F.log_softmax(x), lambda x: F.log_softmax(x, 0)),
    Pair("softmax_level", lambda x: F.softmax(x, 1, 5), lambda x: F.softmax(x, 1)),
    Pair("softmax_level_dtype", lambda x: F.softmax(x, 1, dtype=torch.float32, _stacklevel=5),
         lambda x: F.softmax(x, 1)),
    Pair("add_alpha_between", lambda x: torch.add(x, 5, x), lambda x: x.add(x, alpha=5)),
    Pair("sub_alpha_between", lambda x: x.clone().sub_(5, x), lambda x: x.sub(x, alpha=5)),
    Pair("addcmul_value_between", lambda x: torch.addcmul(x, 5, x, x),
         lambda x: torch.addcmul(x, x, x, value=5)),
    Pair("addmm_weights_between", lambda x: torch.addmm(0.5, x, 2, x, x),
         lambda x: torch.addmm(x, x, x, beta=0.5, alpha=2), SQUARE),
    Pair("addmm_method_weights_before", lambda x: x.addmm(0.5, 2, x, x),
         lambda x: torch.addmm(x, x, x, beta=0.5, alpha=2), SQUARE),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.id)
def test_gives_the_net_of_the_plain_form(pair: Pair) -> None:
    x = torch.randn(pair.shape)
    one, two = (fx2caffe.export(Called(f), x) for f in (pair.variant, pair.plain))
    shapes = one.net.shapes(), two.net.shapes()
    types = [[step.layer for step in export.net.steps] for export in (one, two)]
    assert types[0] == types[1]
    assert list(shapes[0].values()) == list(shapes[1].values())
    assert one.verify().first_divergence is None  # any() of random values proves nothing


@pytest.mark.parametrize("alias", NUMPY)
def test_torch_takes_the_alias(alias: str) -> None:
    """Torch's parser alone knows its aliases; its error names an argument that it does not take."""
    x = torch.randn(2, 3)
    calls: dict[str, Callable[[], Tensor]] = {
        "input": lambda: torch.exp(**{alias: x}),
        "dim": lambda: torch.sum(x, **{alias: 0}),
        "keepdim": lambda: torch.sum(x, 0, **{alias: True}),
        "other": lambda: torch.add(x, **{alias: x}),
    }
    assert calls[NUMPY[alias]]().numel()


def test_leading_names_become_positions() -> None:
    """Whatever a handler calls its first parameters, they are given by position."""
    for target in handlers():
        for signature in () if isinstance(target, str | type) else signatures(target):
            needed = [name for name in signature.positional if name in signature.required]
            if needed == list(signature.positional[: len(needed)]):
                args, kwargs = by_position(target, (), dict.fromkeys(signature.positional))
                assert "input" not in kwargs and len(args) >= len(needed), target


def test_a_call_that_no_overload_takes_is_left_alone() -> None:
    assert by_position(torch.sum, (1,), {"nothing": 2}) == ((1,), {"nothing": 2})
    assert Signature(("input",)).bound((1, 2), {}) is None
