"""A Caffe net is float32 in memory of its own: so are the model and the inputs that are traced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from caffe2fx.errors import CaffeError
from fx2caffe.tracing.functions.canonical import written
from fx2caffe.tracing.functions.torch_names import CASTS, Function, name_of
from fx2caffe.tracing.model import model_inputs, pytree
from fx2caffe.tracing.model.original import ALONE
from fx2caffe.tracing.model.snapshot import Snapshot
from fx2caffe.tracing.values.tensor_meta import map_tensors, tensors_in

Replaced = frozenset[torch.dtype]


def inputs_in_float32(model: nn.Module, example_inputs: Any) -> Any:
    """Return the example inputs in float32 on the CPU; one that is so already is not copied."""
    args, kwargs = model_inputs.as_inputs(model, example_inputs)
    flat = pytree.flatten((args, kwargs))
    args, kwargs = flat.rebuild([_converted(tensor) for tensor in flat.tensors])
    return kwargs if kwargs else args


def replaced_precisions(model: nn.Module, example_inputs: Any) -> Replaced:
    """Return the floating point types of weights and example inputs that become float32."""
    args, kwargs = model_inputs.as_inputs(model, example_inputs)
    own = _tensors(model) if isinstance(model, nn.Module) else []
    found = {tensor.dtype for tensor in (*pytree.flatten((args, kwargs)).tensors, *own)}
    return frozenset(kind for kind in found if kind.is_floating_point) - {torch.float32}


def asked_in_float32(replaced: Replaced) -> AbstractContextManager[Any]:
    """Within this block, hold calls of torch that name a replaced precision to float32."""
    return _InFloat32(replaced) if replaced else nullcontext()


class _InFloat32(TorchFunctionMode):
    """Lets a model that is in float32 for its export name the precision that it had before.

    A cast to that precision is one to float32, and a tensor of it that meets float32 (a constant
    that forward makes, or reads from outside the model) is converted, as the weights are.
    """

    def __init__(self, replaced: Replaced) -> None:
        super().__init__()
        self._replaced = replaced
        self._types = {torch.empty(0, dtype=kind).type() for kind in replaced}

    def __torch_function__(
        self, func: Function, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        operands = tensors_in((args, kwargs))
        if not operands:
            return func(*args, **kwargs)
        name = name_of(func)
        if name.owner == "Tensor" and CASTS.get(name.name) in self._replaced:
            func = Tensor.float
        args = tuple(map(self._kind, args))
        kwargs = {key: self._kind(value) for key, value in kwargs.items()}
        if any(tensor.dtype is torch.float32 for tensor in operands):
            kept = {id(tensor) for tensor in written(func, args, kwargs)}
            args, kwargs = map_tensors((args, kwargs), lambda one: self._met(one, kept))
        return func(*args, **kwargs)

    def _kind(self, value: Any) -> Any:
        """Return float32 for an argument that names a replaced precision, else the argument."""
        if isinstance(value, type(torch.FloatTensor)):
            named = value.dtype in self._replaced
        elif isinstance(value, str):
            named = value in self._types
        else:
            named = isinstance(value, torch.dtype) and value in self._replaced
        return torch.float32 if named else value

    def _met(self, tensor: Tensor, kept: set[int]) -> Tensor:
        if tensor.dtype not in self._replaced or id(tensor) in kept:
            return tensor
        return tensor.float()


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """Within this block, hold all tensors of the model in float32 on the CPU; then restore them.

    Half precision converts exactly, double precision is rounded, and complex numbers become pairs
    of float32. Raises CaffeError for tensors without data (meta).
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
        if tensor.is_meta and not nn.parameter.is_lazy(tensor):
            raise CaffeError(f"{name} needs values, got none (device meta)")
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
    return tensor.dtype is not _dtype(tensor) or tensor.device.type != "cpu"


def _converted(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", _dtype(tensor)) if _is_foreign(tensor) else tensor


def _dtype(tensor: Tensor) -> torch.dtype:
    """Return the dtype in which a tensor is traced."""
    if tensor.is_complex():
        return torch.complex64
    return torch.float32 if tensor.is_floating_point() else tensor.dtype
