"""Every function that torch tests itself has a handler, or a reason why Caffe cannot express it.

The names are those of torch.testing's OpInfo database (torch 2.14), kept in tests/data because
the database needs packages that torch does not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from caffe2fx import compat
from fx2caffe import ops
from fx2caffe.lowering.complex_calls import complex_handlers
from fx2caffe.lowering.refusal_reasons import REASONS
from fx2caffe.lowering.registry import handlers
from fx2caffe.tracing.functions.aten import RESPELLED
from fx2caffe.tracing.functions.canonical import canonical_function
from fx2caffe.tracing.functions.torch_names import IDENTITIES, METADATA, READS, SHAPE_ONLY

NAMES = (Path(__file__).parents[1] / "data" / "opinfo.txt").read_text().split()
# These take no tensor, so that their result is a constant wherever they are called.
CONSTANTS = frozenset(
    """arange broadcast_shapes empty empty_permuted empty_strided eye full linspace logspace ones
    zeros randint randn scalar_tensor tril_indices triu_indices""".split()  # noqa: SIM905
)
# Torch computes these of other functions, as which they arrive; or the tracer respells them, or
# they give a real tensor as it is.
COMPOSED = frozenset(
    """T mT t conj conj_physical real expand_as reshape_as view_as zero_ bfloat16 bool byte
    cdouble cfloat chalf char double float half int long short
    nn.functional.softmin nn.functional.softsign
    nn.functional.tanhshrink nn.functional.upsample_bilinear nn.functional.upsample_nearest
    nn.functional.multi_head_attention_forward""".split()  # noqa: SIM905
)


def function_of(name: str) -> Callable[..., Any] | None:
    """Return the function that OpInfo calls by this name."""
    owner, _, last = name.removesuffix(".default").rpartition(".")
    own = {"nn.functional": F}.get(owner) or getattr(torch, owner or "none", None)
    homes = (own, torch, torch.Tensor, torch._C._nn, torch.ops.aten)
    return next((getattr(home, last) for home in homes if hasattr(home, last)), None)


def is_known(name: str) -> bool:
    """Return whether a function has a handler, a reason, or never becomes a node."""
    last, function = name.rpartition(".")[2].strip("_"), function_of(name)
    named = {last, name.rpartition(".")[2], name.replace(".", "_")}
    if named & set(REASONS) or name.startswith(("signal.windows.", "masked.")):
        return True
    if name in CONSTANTS | COMPOSED or function is None:
        return name in CONSTANTS | COMPOSED
    handled = handlers().keys() | complex_handlers().keys()
    tracer = IDENTITIES | SHAPE_ONLY | METADATA | READS
    return canonical_function(function) in handled or last in {*tracer, *RESPELLED}


def _last(name: str) -> str:
    return name.removesuffix(".default").rpartition(".")[2]


@pytest.mark.parametrize("name", NAMES)
def test_has_a_handler_or_a_reason(name: str) -> None:
    for later in compat.LATER:
        if later.function is None and later.path.endswith(f".{_last(name)}"):
            pytest.skip(f"torch has {name} since {later.since}")
    assert ops is not None and is_known(name)


def test_functions_without_handlers_are_in_the_database() -> None:
    assert set(NAMES) >= CONSTANTS | COMPOSED


def test_nothing_with_a_handler_has_a_reason_too() -> None:
    both = {getattr(target, "__name__", "") for target in handlers()} & set(REASONS)
    assert not both
