"""A Caffe net is float32 in memory of its own: so are the model and the inputs that are traced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from caffe2fx.errors import CaffeError
from fx2caffe.tracing import model_inputs, pytree
from fx2caffe.tracing.original import ALONE
from fx2caffe.tracing.snapshot import Snapshot


def inputs_in_float32(model: nn.Module, example_inputs: Any) -> Any:
    """Return the example inputs in float32 on the CPU; one that is so already is not copied."""
    args, kwargs = model_inputs.as_inputs(model, example_inputs)
    flat = pytree.flatten((args, kwargs))
    args, kwargs = flat.rebuild([_converted(tensor) for tensor in flat.tensors])
    return kwargs if kwargs else args


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """Within this block, hold all tensors of the model in float32 on the CPU; then restore them.

    Half precision converts exactly, double precision is rounded. Raises CaffeError for complex
    weights, and for tensors without numbers (meta).
    """
    with ExitStack() as stack:
        with ALONE:  # another thread may have this model in float32 just now
            foreign = isinstance(model, nn.Module) and any(map(_is_foreign, _tensors(model)))
            if foreign:
                stack.enter_context(ALONE)
                stack.enter_context(_converted_in_place(model))
        yield


@contextmanager
def _converted_in_place(model: nn.Module) -> Iterator[None]:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_complex() or (tensor.is_meta and not nn.parameter.is_lazy(tensor)):
            kind = "no values (device meta)" if tensor.is_meta else str(tensor.dtype)
            raise CaffeError(f"{name} needs real numbers, got {kind}")
    foreign = [tensor for tensor in Snapshot(model).tensors if _is_foreign(tensor)]
    memories = [tensor.detach() for tensor in foreign]
    try:
        for tensor in foreign:
            tensor.data = _converted(tensor)
        yield
    finally:
        for tensor, memory in zip(foreign, memories, strict=True):
            tensor.data = memory


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def _is_foreign(tensor: Tensor) -> bool:
    wide = tensor.is_floating_point() and tensor.dtype is not torch.float32
    return wide or tensor.is_complex() or tensor.device.type != "cpu"


def _converted(tensor: Tensor) -> Tensor:
    if not _is_foreign(tensor) or tensor.is_complex():
        return tensor
    return tensor.detach().to("cpu", torch.float32 if tensor.is_floating_point() else None)
