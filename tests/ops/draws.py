"""One call of a torch function with random arguments, and its checks.

Every draw has to end in one of these: refused with a reason, or equal in real Caffe. Draws that
prove nothing either way are left out by the rules of `why_left_out`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import fx2caffe
from caffe2fx.engines import Engine, Session
from caffe2fx.module.save import save
from caffe2fx.net.evaluate import complete
from caffe2fx.net.step import is_input
from caffe2fx.verdict.judge import judge
from caffe2fx.verdict.maps.measures import ALONE, difference, largest
from caffe2fx.verdict.result.report import Report
from fx2caffe.exporter.result import Export

MORE_SAMPLES = 2
LARGE = 10_000  # elements: a large draw takes seconds and proves no more than a small one
FAINT = 0.1  # of a map's size: a map that moves by less shows little of the function


@dataclass(frozen=True)
class Draw:
    """Holds a function, its arguments, and which of their tensors are traced (by index)."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    traced: tuple[int, ...] = (0,)

    @property
    def tensors(self) -> list[Tensor]:
        """Return all tensors among the arguments."""
        return [leaf for leaf in pytree.tree_leaves(self._arguments) if isinstance(leaf, Tensor)]

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Return the traced ones."""
        tensors = self.tensors
        return tuple(tensors[index] for index in self.traced)

    @property
    def _arguments(self) -> tuple[Any, ...]:
        return self.args, self.kwargs

    def call(self, inputs: Sequence[Tensor]) -> Any:
        """Return the function's result with other tensors for the traced ones."""
        return self.called(dict(zip(self.traced, inputs, strict=True)))

    def called(self, given: Mapping[int, Tensor]) -> Any:
        """Return the function's result with other tensors for some arguments."""
        leaves, spec = pytree.tree_flatten(self._arguments)
        indices = [index for index, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        for number, index in enumerate(indices):
            leaves[index] = given.get(number, leaves[index])
        args, kwargs = pytree.tree_unflatten(leaves, spec)
        return self.function(*args, **kwargs)

    def __str__(self) -> str:
        stated = [
            *map(_literal, self.args),
            *(f"{k}={_literal(v)}" for k, v in self.kwargs.items()),
        ]
        name = getattr(self.function, "__name__", str(self.function))
        return f"{name}({', '.join(stated)}), traced {list(self.traced)}"


def _literal(argument: Any) -> str:
    def short(leaf: Any) -> Any:
        kind = isinstance(leaf, Tensor)
        return f"{str(leaf.dtype).removeprefix('torch.')}{list(leaf.shape)}" if kind else leaf

    return str(pytree.tree_map(short, argument)).replace("'", "")


class Called(nn.Module):
    """Runs a draw as a model, whose tensors that are not traced are buffers."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.draw = draw
        for index, tensor in enumerate(draw.tensors):
            if index not in draw.traced:
                self.register_buffer(str(index), tensor.clone())

    def forward(self, *inputs: Tensor) -> Any:
        constants = {int(name): value for name, value in self.named_buffers()}
        return self.draw.called({**constants, **dict(zip(self.draw.traced, inputs, strict=True))})


def variants(draw: Draw) -> list[Draw]:
    """Return a draw with its first tensor traced, with all floating ones, and with all."""
    tensors = draw.tensors
    floats = tuple(n for n, tensor in enumerate(tensors) if tensor.is_floating_point())
    choices = {floats[:1] or (0,), floats or (0,), tuple(range(len(tensors)))}
    return [Draw(draw.function, draw.args, draw.kwargs, traced) for traced in sorted(choices)]


def why_left_out(draw: Draw) -> str:
    """Return the rule by which a draw is not asked for; empty if it is.

    No net is fed with NaN, and the verdict takes a map of NaN for unproven. float16 and complex
    numbers are refused in tests of their own, and Caffe has no blobs without elements.
    """
    inputs = draw.tensors
    if not inputs:
        return "takes no tensor"
    if fault := _no_blob(inputs):
        return f"takes {fault}"
    if sum(value.numel() for value in inputs) > LARGE:
        return "is large"
    if _is_unpromised(draw):
        return "has a result that torch does not promise"
    try:
        with torch.no_grad():
            state = torch.get_rng_state()
            results = results_of(draw.call([value.clone() for value in draw.inputs]))
    except Exception:
        return "is refused by torch"
    if not torch.equal(state, torch.get_rng_state()):
        return "is random"
    if sum(value.numel() for value in results) > LARGE:
        return "is large"
    fault = _no_blob(results) if results else "no tensor"
    if not fault and results[0].is_floating_point() and not any(map(torch.any, results)):
        fault = "zeros alone"  # as a product that is too small for float32
    return f"gives {fault}" if fault else ""


def _is_unpromised(draw: Draw) -> bool:
    """Return whether a draw searches unsorted values, or needs digits that torch has wrong."""
    name, value = getattr(draw.function, "__name__", ""), draw.tensors[0]
    if name == "special_ndtr":
        return bool((value < -7).all())
    return name == "searchsorted" and not torch.equal(value, value.sort(-1)[0])


def results_of(result: Any) -> list[Tensor]:
    """Return the tensors of a result."""
    return [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]


def _no_blob(values: Sequence[Tensor]) -> str:
    for value in values:
        if value.layout is not torch.strided:
            return "a layout that is not dense"
        if value.is_complex() or value.is_quantized:
            return "complex or quantized numbers"
        if not value.numel():
            return "no elements"
        if value.is_floating_point() and bool(value.isnan().any()):
            return "NaN"
    return ""


def outcome(draw: Draw, engine: Engine) -> str:
    """Return how a draw ends: "refused", "equal" or "still". Raises AssertionError otherwise.

    A draw is still where a second input moves nothing: it is compared by its size.
    """
    model = Called(draw).eval()
    with torch.no_grad():
        wanted = results_of(model(*(value.clone() for value in draw.inputs)))
    try:
        exported = fx2caffe.export(model, draw.inputs)
    except fx2caffe.UnsupportedError as error:
        _check_refusals(error)
        return "refused"
    _check_trace(exported, draw.inputs, wanted)
    ends = {_judged(exported, engine, batch) for batch in _batches(exported, draw)}
    return "still" if "still" in ends else "equal"


def _check_refusals(error: fx2caffe.UnsupportedError) -> None:
    assert error.refusals
    for refusal in error.refusals:
        assert refusal.reason, refusal
        assert refusal.origin.line > 0, refusal


def _check_trace(exported: Export, inputs: Sequence[Tensor], wanted: Sequence[Tensor]) -> None:
    """Check that the reference of the verdict is torch's own result of the function."""
    with torch.no_grad():
        found = results_of(exported.trace.module(*map(_narrow, inputs)))
    _check_close(found, list(map(_narrow, wanted)))


def _narrow(value: Tensor) -> Tensor:
    """Convert double precision to float32, as models are exported."""
    return value.float() if value.dtype is torch.float64 else value


def _check_close(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> None:
    assert len(found) == len(wanted), (len(found), len(wanted))
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(_narrow(mine), theirs, equal_nan=True)


def _batches(exported: Export, draw: Draw) -> Iterator[list[Tensor]]:
    """Return the inputs, and those of a larger batch where the batch is free."""
    yield list(exported.example_inputs)
    if exported.batch_is_fixed or not draw.inputs[0].dim():
        return
    batch = len(draw.inputs[0])
    grown = [_grown(value) if value.shape[:1] == (batch,) else value for value in draw.inputs]
    try:
        with torch.no_grad():
            wanted = results_of(draw.call([value.clone() for value in grown]))
    except (RuntimeError, ValueError, IndexError):
        return  # torch refuses that batch: there is no result to compare with
    reference = exported.reference([value.float() for value in grown])
    known = complete(exported.net, reference)
    found = [known[value] for value in exported.net.outputs]
    _check_close(found, [theirs.to(found[0].dtype) for theirs in wanted])
    yield [value if value.is_floating_point() else value.float() for value in grown]


def _grown(value: Tensor) -> Tensor:
    """Return more samples: the same values in another order, and others between them.

    Equal values would come in an order that torch does not promise (topk, median), and sorted
    values have to stay so (searchsorted).
    """
    shape = (len(value) + MORE_SAMPLES, *value.shape[1:])
    order = torch.randperm(value.numel(), generator=torch.Generator().manual_seed(0))
    own = value.reshape(-1)[order]
    laps = [own]
    while len(laps) * len(own) < prod(shape):
        laps.append(_between(laps[-1]) if value.is_floating_point() else own)
    grown = torch.cat(laps)[: prod(shape)].reshape(shape)
    return grown.sort(-1)[0] if torch.equal(value, value.sort(-1)[0]) else grown


def _between(values: Tensor) -> Tensor:
    return 0.4 * values + 0.6 * values.roll(1) if len(values) > 1 else 0.97 * values


def _judged(exported: Export, engine: Engine, values: list[Tensor]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        save(exported.net, *files)
        with engine.open(*files) as session:
            report = judge(
                exported.net, session, exported.as_reference(), values, engine=engine.name
            )
            if report.ok:
                return "equal"
            _check_by_size(exported, session, values, report)
    return "still"


def _check_by_size(
    exported: Export, session: Session, values: list[Tensor], report: Report
) -> None:
    """Check the errors of the maps at fault against the size of their map.

    That is for those about which the second input says nothing (it moves them by little, by
    nothing, or out of the function's domain), and for layers that are right alone but amplify
    the rounding of those before (x ** y of large y).
    """
    exact = complete(exported.net, exported.reference([value.double() for value in values]))
    rows = iter(report.rows)
    for step, (_, tops) in zip(exported.net.steps, session.run(values), strict=True):
        for value, top in zip(step.tops, tops, strict=True):
            row = None if is_input(step) else next(rows)
            if row is not None and row.fault:
                size = largest(exact[value])
                assert not (row.diverges and row.signal > FAINT * size), str(report)
                assert difference(top, exact[value]) <= ALONE * size, str(report)


__all__ = ["Draw", "outcome", "results_of", "variants", "why_left_out"]
