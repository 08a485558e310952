"""The traced model as the verdict's reference, which runs at any batch and in any precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.node import map_aggregate

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.net.evaluate import WithoutHooks, streamed
from caffe2fx.net.precision import in_precision
from fx2caffe.tracing.batch.batch_analysis import EXPANDS, FOLLOW_SHAPES, Batch
from fx2caffe.tracing.batch.repeated import grown


def run_reference(
    module: fx.GraphModule, batch: Batch, example: Sequence[Tensor], inputs: Sequence[Tensor]
) -> Iterator[tuple[str, Any]]:
    """Yield the results of a traced graph's nodes, in order, in the float dtype of the inputs.

    Raises ShapeMismatchError where the graph does not run on inputs of these shapes.
    """
    extra = inputs[0].shape[0] - example[0].shape[0] if inputs and inputs[0].dim() else 0
    kinds = [None if own.is_floating_point() else own.dtype for own in example]
    typed = [value.to(kind) if kind else value for value, kind in zip(inputs, kinds, strict=True)]
    precision = inputs[0].dtype if inputs else torch.float32
    runner = _Wide if precision is torch.float64 else _Runner
    nodes = streamed(runner(module, batch, extra), *typed)
    while (found := _next(nodes, example, inputs)) is not None:
        yield found


def _next(
    nodes: Iterator[tuple[fx.Node, Any]], example: Sequence[Tensor], inputs: Sequence[Tensor]
) -> tuple[str, Any] | None:
    try:
        with torch.no_grad():
            node, result = next(nodes)
    except StopIteration:
        return None
    except (RuntimeError, ValueError) as error:
        raise ShapeMismatchError(
            f"the traced model needs inputs {_shapes(example)}, got {_shapes(inputs)}: {error}"
        ) from error
    return node.name, map_aggregate(result, _resolved)


def _resolved(result: Any) -> Any:
    """Return a tensor that is not the negative view of another, as the imaginary part may be."""
    return result.resolve_neg() if isinstance(result, Tensor) else result


def _shapes(tensors: Sequence[Tensor]) -> list[tuple[int, ...]]:
    return [tuple(tensor.shape) for tensor in tensors]


class _Runner(WithoutHooks):
    """Runs the traced graph, at another batch size too."""

    def __init__(self, module: fx.GraphModule, batch: Batch, extra: int) -> None:
        super().__init__(module)
        self.batch, self.extra = batch, extra

    def run_node(self, n: fx.Node) -> Any:
        if self.extra and n.target in FOLLOW_SHAPES:
            # The traced sizes hold for the example's batch size.
            source, *_ = n.all_input_nodes  # a size may be a tensor, too
            value, shape = self.env[source], self.batch.shape(n, self.extra)
            return value.expand(shape) if n.target in EXPANDS else value.reshape(shape)
        if self.extra and n.op == "get_attr":
            return self._constant(n)
        return super().run_node(n)

    def _constant(self, n: fx.Node) -> Any:
        """Return a constant, of the size that it has at this batch."""
        value: Tensor = super().run_node(n)
        repeated = self.batch.repeated.get(n.name)
        if repeated is None:
            return value
        return grown(value, repeated, self.batch.shape(n, self.extra)[repeated.axis])


class _Wide(_Runner):
    """Runs the traced graph in float64, even where the model names float32.

    Each constant is widened where it is read: a copy of all would be twice the model.
    """

    def call_module(
        self, target: fx.node.Target, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        with in_precision(self.fetch_attr(str(target)), torch.float64) as twin:
            return twin.forward(*args, **kwargs)

    def fetch_args_kwargs_from_env(self, n: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        found: tuple[tuple[Any, ...], dict[str, Any]] = super().fetch_args_kwargs_from_env(n)
        return map_aggregate(found, _wide_dtype)

    def run_node(self, n: fx.Node) -> Any:
        # Functions without a dtype give float32 too: `.float()`, and factories by default.
        return map_aggregate(super().run_node(n), _wide_tensor)


_WIDER = {torch.float32: torch.float64, torch.complex64: torch.complex128}


def _wide_dtype(argument: Any) -> Any:
    return _WIDER.get(argument, argument) if isinstance(argument, torch.dtype) else argument


def _wide_tensor(result: Any) -> Any:
    narrow = isinstance(result, Tensor) and result.dtype in _WIDER
    return result.to(_WIDER[result.dtype]) if narrow else result


def with_signals(
    values: Sequence[Tensor], batch: int | None, generator: torch.Generator
) -> list[Tensor]:
    """Apply `with_signal` to each input; those with the first one's batch size get the new one."""
    own = values[0].shape[:1] if values else ()
    return [
        with_signal(value, batch if own and value.shape[:1] == own else None, generator)
        for value in values
    ]


def with_signal(value: Tensor, batch: int | None, generator: torch.Generator) -> Tensor:
    """Return the example, or random values where it is constant or another batch is asked for."""
    shape = list(value.shape) if batch is None else [batch, *value.shape[1:]]
    flat = value.detach().reshape(-1)
    if batch is None and flat.numel() and bool((flat != flat[0]).any()):
        return value.detach()
    if not value.is_floating_point() and flat.numel():
        # Indices into a table, for example: other values than the example's own may be invalid.
        return flat[torch.randint(flat.numel(), shape, generator=generator)]
    return torch.randn(shape, generator=generator)
