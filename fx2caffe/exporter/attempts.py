"""The rounds of an export: for any batch or for one, with the leaves whole or expanded.

The refusals of a round are a value by which the next round is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from torch import nn

from caffe2fx.layers.layer import BVLC, RecordModule
from caffe2fx.origin import Origin
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.ir.symbol import FixBatch
from fx2caffe.targets import Target
from fx2caffe.tracing.batch.batch_analysis import Batch

T = TypeVar("T")
Leaves = Callable[[nn.Module], bool]  # which leaf modules are expanded


@dataclass(frozen=True)
class Attempt(Generic[T]):
    """Holds the outcome of a round: a result, or the refusals; and why the batch was fixed."""

    result: T | None
    refusals: tuple[Refusal, ...] = ()
    batch_faults: tuple[str, ...] = ()

    @classmethod
    def of(cls, build: Callable[[], T]) -> Attempt[T]:
        """Return the result of `build`, or its refusals."""
        try:
            return cls(build())
        except FixBatch as error:
            return cls(None, (Refusal("net", str(error), Origin()),), (str(error),))
        except UnsupportedError as error:
            faults = tuple(refusal.portable for refusal in error.refusals)
            return cls(None, error.refusals, faults)

    def done(self) -> T:
        """Return the result. Raises UnsupportedError where there is none."""
        if self.result is None:
            raise UnsupportedError(self.refusals)
        return self.result


def for_any_batch(
    build: Callable[[Batch], T], batch: Batch, target: Target
) -> tuple[T, tuple[str, ...]]:
    """Return the net for any batch and (), or that for the example's with the reasons for it.

    Raises UnsupportedError where there is neither.
    """
    faults = batch.faults
    if not faults and target.batch is not None:
        faults = (f"target {target.name!r} runs batch {target.batch} only",)
    attempt: Attempt[T] = Attempt(None, batch_faults=faults)
    for size in (Batch(),) if faults else (batch, Batch()):
        faults = attempt.batch_faults
        attempt = Attempt.of(partial(build, size))
        if attempt.result is not None:
            break
    return attempt.done(), faults


def expanding_refused_leaves(
    build: Callable[[Leaves, bool], T],
    parts: Mapping[str, nn.Module],
    target: Target,
    *,
    placeholders: bool,
) -> T:
    """Return `build`'s result with the leaves whole, or else with those expanded that can be.

    Where the target does not have layers that only forks of Caffe have, the model is traced again
    with the torch functions that define such layers in their place; if some of these are refused
    too, a last time with those layers whole. So only operations that cannot be expressed at all are
    refused, or become placeholders. Raises UnsupportedError.
    """
    expanded = {path: part for path, part in parts.items() if _may_expand(target, part)}
    first = attempt = Attempt.of(partial(build, _among({}), False))
    if attempt.result is None and expanded:
        attempt = Attempt.of(partial(build, _among(expanded), False))
        refused = {refusal.origin.module for refusal in attempt.refusals}
        expanded = {path: part for path, part in expanded.items() if path not in refused}
    if attempt.result is None and (expanded or placeholders):
        attempt = Attempt.of(partial(build, _among(expanded), placeholders))
        return attempt.done()
    return attempt.done() if attempt.result is not None else first.done()


def _among(parts: Mapping[str, nn.Module]) -> Leaves:
    chosen = {id(module) for module in parts.values()}
    return lambda module: id(module) in chosen


def _may_expand(target: Target, module: nn.Module) -> bool:
    """Return whether a module is a fork's layer that may decompose into layers of the target.

    A layer whose elements decide its shape has no decomposition: tracing a suppression of
    overlapping boxes takes minutes, and is refused in the end.
    """
    if not isinstance(module, RecordModule):
        return False
    layer = module.layer
    is_missing = BVLC not in layer.dialects and not target.has(layer)
    return is_missing and layer.has_meaning and not layer.has_dynamic_shape
