"""Example inputs: the caller's tensors, arrays and names become the arguments of forward."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from caffe2fx.errors import CaffeError
from fx2caffe.tracing.model.pytree import flatten


def check_model(model: Any) -> None:
    """Raise CaffeError for a model that is no nn.Module instance and no function."""
    if isinstance(model, type):
        raise CaffeError(f"model needs an instance, got the class {model.__name__}: call it first")
    if not callable(model):
        raise CaffeError(f"model needs an nn.Module or a function, got {type(model).__name__}")


def check_inputs(tensors: Iterable[Tensor]) -> None:
    """Raise CaffeError for example inputs that a blob can not hold, with the way out."""
    for tensor in tensors:
        reason = unlike_a_blob(tensor)
        if reason:
            raise CaffeError(f"the example inputs need {reason}")
        if not tensor.numel():
            got = tuple(tensor.shape)
            raise CaffeError(f"the example inputs need elements in them, got shape {got}")


def unlike_a_blob(tensor: Tensor) -> str:
    """Return why a tensor is not dense, real and in memory, with the way out; "" if it is."""
    if tensor.is_nested:
        return "dense tensors, got a nested one: pass x.to_padded_tensor(0.0)"
    if tensor.layout is not torch.strided:
        return f"dense tensors, got {tensor.layout}: pass x.to_dense()"
    if tensor.is_quantized:
        return f"floats or integers, got {tensor.dtype}: pass x.dequantize()"
    if tensor.is_complex():
        return f"real numbers, got {tensor.dtype}: pass torch.view_as_real(x), or x.real and x.imag"
    if tensor.is_meta:
        return "values, got a tensor on device meta: pass torch.empty_like(x, device='cpu')"
    return ""


def as_inputs(
    model: nn.Module | Callable[..., Any], example_inputs: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and keyword arguments of forward that `example_inputs` gives.

    A tuple or list gives the arguments in order; a dict whose keys are forward's own
    parameter names gives them by name; anything else is the one argument. NumPy arrays
    become tensors: floating ones take the model's dtype, and one of three axes (C, H, W)
    gets a batch axis in front. Raises CaffeError for tensors that no blob can hold.
    """
    args, kwargs = _arguments(model, example_inputs)
    check_inputs(flatten((args, kwargs)).tensors)
    return args, kwargs


def _arguments(
    model: nn.Module | Callable[..., Any], example_inputs: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    dtype = _dtype_of(model)
    if isinstance(example_inputs, dict) and _names_parameters(model, example_inputs):
        return (), {name: _as_tensors(value, dtype) for name, value in example_inputs.items()}
    if type(example_inputs) in (tuple, list):
        return tuple(_as_tensors(value, dtype) for value in example_inputs), {}
    return (_as_tensors(example_inputs, dtype),), {}


def _dtype_of(model: nn.Module | Callable[..., Any]) -> torch.dtype:
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    floating = (p.dtype for p in parameters if p.dtype.is_floating_point)
    return next(floating, torch.get_default_dtype())


def signature_of(model: nn.Module | Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature of forward, to which inputs are bound; None if it has none."""
    try:
        return inspect.signature(model.forward if isinstance(model, nn.Module) else model)
    except (TypeError, ValueError):
        return None


def _names_parameters(model: nn.Module | Callable[..., Any], inputs: dict[Any, Any]) -> bool:
    signature = signature_of(model)
    if signature is None or not all(isinstance(key, str) for key in inputs):
        return False
    parameters = signature.parameters.values()
    keywords = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return keywords or all(key in signature.parameters for key in inputs)


def _as_tensors(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, np.ndarray):
        return _as_tensor(value, dtype)
    if type(value) in (tuple, list):
        return type(value)(_as_tensors(item, dtype) for item in value)
    if type(value) is dict:
        return {key: _as_tensors(item, dtype) for key, item in value.items()}
    return value


def _as_tensor(array: np.ndarray[Any, Any], dtype: torch.dtype) -> Tensor:
    tensor = torch.tensor(array)
    if not tensor.is_floating_point():
        return tensor
    return (tensor[None] if tensor.ndim == 3 else tensor).to(dtype)


def input_names(
    model: nn.Module | Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[str, ...]:
    """Return a name for each input tensor: forward's parameter, with a suffix for each nesting."""
    names = [f"{_parameter(model, i)}" for i in range(len(args))] + list(kwargs)
    leaves = [flatten(value).paths for value in (*args, *kwargs.values())]
    return tuple(
        "_".join((name, *path)) for name, paths in zip(names, leaves, strict=True) for path in paths
    )


def _parameter(model: nn.Module | Callable[..., Any], position: int) -> str:
    signature = signature_of(model)
    parameters = list(signature.parameters.values()) if signature is not None else []
    for index, parameter in enumerate(parameters):
        if parameter.kind is parameter.VAR_POSITIONAL:
            return f"{parameter.name}_{position - index}"
        if index == position:
            return parameter.name
    return f"input_{position}"
