"""The arguments that torch's own tests draw for a function: OpInfo's samples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import OpInfo

from fx2caffe.tracing.functions.canonical import canonical_function
from tests.ops.draws import Draw, variants, why_left_out

MOST = 150  # samples looked at of one operation; some have thousands
DTYPES = (torch.float32, torch.int64, torch.bool)  # the first that the function takes


def _spellings(info: OpInfo) -> Iterator[Callable[..., Any]]:
    """Return the function, its method, its operator and its in-place form."""
    yield info.op
    for found in (info.method_variant, info.operator_variant):
        if found is not None:
            yield found
    if info.inplace_variant is not None:
        yield _written(info.inplace_variant)


def _written(function: Callable[..., Any]) -> Callable[..., Any]:
    def on_copy(value: Tensor, /, *args: Any, **kwargs: Any) -> Any:
        return function(value.clone(), *args, **kwargs)

    on_copy.__name__ = getattr(function, "__name__", "in_place")
    return on_copy


@cache
def _infos() -> dict[Any, list[OpInfo]]:
    """Return the entries of torch's table by the function that handlers know."""
    found: dict[Any, list[OpInfo]] = defaultdict(list)
    for info in op_db:
        spelled = [info.op, info.method_variant, *(alias.op for alias in info.aliases)]
        keys = {canonical_function(op) for op in spelled if op is not None}
        keys |= {_by_name(info.name), *(_by_name(alias.name) for alias in info.aliases)}
        for key in keys - {None}:
            found[key].append(info)
    return found


def _by_name(name: str) -> Any:
    """Return torch's function under the name of an entry ("nn.functional.relu", "sum")."""
    owner: Any = torch
    for part in name.split("."):
        owner = getattr(owner, part, None)
    return owner if owner is None else canonical_function(owner)


def samples(target: Any, count: int) -> tuple[list[Draw], Counter[str]]:
    """Return the draws for a function that prove something, and the others' count by rule.

    Where there are fewer than `count` they are drawn again, with other values and forms.
    """
    kept, left = list[Draw](), Counter[str]()
    for turn in range(count):
        before = len(kept)
        for info in _infos().get(target, ()):
            _sort_out(_draws(info, turn), kept, left)
        if len(kept) >= count or len(kept) == before:
            break
    return kept, left


def _sort_out(draws: Iterable[Draw], kept: list[Draw], left: Counter[str]) -> None:
    for draw in draws:
        reason = why_left_out(draw)
        if reason:
            left[reason] += 1
        else:
            kept.append(draw)


def _draws(info: OpInfo, turn: int) -> Iterable[Draw]:
    torch.manual_seed(turn)
    spellings = list(_spellings(info))
    for number, sample in enumerate(islice(_sampled(info), MOST), turn):
        args, kwargs = (sample.input, *sample.args), dict(sample.kwargs)
        function = spellings[number % len(spellings)]
        yield from variants(Draw(function, args, kwargs))


def _sampled(info: OpInfo) -> Iterator[Any]:
    dtype = next((dtype for dtype in DTYPES if dtype in info.dtypes), None)
    if dtype is not None:
        # Its own sample_inputs looks through all frames and their sources to name its caller.
        yield from info.sample_inputs_func(info, "cpu", dtype, requires_grad=False)
