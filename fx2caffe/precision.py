"""A Caffe net is float32 in memory of its own: so are the model and the inputs that are traced."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from caffe2fx.errors import CaffeError
from fx2caffe import structure
from fx2caffe.shadow import Shadow


def in_float32(model: nn.Module, example_inputs: Any) -> tuple[nn.Module, Any]:
    """The model and its inputs in float32 on the CPU; what is so already is not copied.

    Half precision converts exactly, double precision is rounded. The caller's model is not
    changed. Raises CaffeError for complex weights, and for tensors without numbers (meta).
    """
    args, kwargs = structure.as_inputs(model, example_inputs)
    flat = structure.flatten((args, kwargs))
    args, kwargs = flat.rebuild([_converted(tensor) for tensor in flat.tensors])
    inputs = kwargs if kwargs else args
    if not isinstance(model, nn.Module) or not any(map(_is_foreign, _tensors(model))):
        return model, inputs
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_complex() or (tensor.is_meta and not nn.parameter.is_lazy(tensor)):
            kind = "no numbers (device meta)" if tensor.is_meta else str(tensor.dtype)
            raise CaffeError(f"{name} needs real numbers, got {kind}")
    # The tracer's own copy: it shares the memory of the parameters that stay as they are.
    twin = Shadow(model).root
    return _moved(twin), inputs


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def _is_foreign(tensor: Tensor) -> bool:
    wide = tensor.is_floating_point() and tensor.dtype is not torch.float32
    return wide or tensor.is_complex() or tensor.device.type != "cpu"


def _converted(tensor: Tensor) -> Tensor:
    if not _is_foreign(tensor) or tensor.is_complex():
        return tensor
    return tensor.detach().to("cpu", torch.float32 if tensor.is_floating_point() else None)


def _moved(twin: nn.Module) -> nn.Module:
    twin.to("cpu", torch.float32)
    for module in twin.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and _is_foreign(value):
                setattr(module, name, _converted(value))
    return twin
