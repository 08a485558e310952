"""Functions, methods, operators and in-place forms of one operation become one canonical call."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fx2caffe.ir import graph_functions
from fx2caffe.tracing.functions import aten, losses
from fx2caffe.tracing.functions.signatures import by_position
from fx2caffe.tracing.functions.torch_names import (
    ALIASES,
    CASTS,
    COMPLEX,
    FUNCTIONAL,
    IDENTITIES,
    RESHAPED,
    SWAPPED,
    VARARGS,
    Function,
    name_of,
)
from fx2caffe.tracing.functions.weak_cache import per_function

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Call(NamedTuple):
    """Holds a function with its arguments, in their canonical form."""

    target: Function
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@per_function
def position_of_inplace(function: Function) -> int | None:
    """Return the position of the parameter `inplace`; None for a function without one."""
    if name_of(function).owner != "F" or not inspect.isfunction(function):
        return None
    names = list(inspect.signature(function).parameters)
    return names.index("inplace") if "inplace" in names else None


def is_inplace_flag_set(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    position = position_of_inplace(function)
    if position is None:
        return False
    return bool(args[position] if len(args) > position else kwargs.get("inplace", False))


def written(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """Return the tensors that a call writes by its name, by `out` or by `inplace`."""
    out = kwargs.get("out")
    if out is not None:
        return [out] if isinstance(out, Tensor) else [t for t in out if isinstance(t, Tensor)]
    if not args or not isinstance(args[0], Tensor):
        return []
    named = _writes_by_name(function) or is_inplace_flag_set(function, args, kwargs)
    return [args[0]] if named else []


@per_function
def _writes_by_name(function: Function) -> bool:
    owner, name = name_of(function)
    if owner == "set":
        return name == "data"
    if name in RESHAPED or name in IDENTITIES or owner == "get":
        return False
    name = ALIASES.get(name, name)
    return name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))


@cache
def _home(name: str, owner: str) -> Function | None:
    """Return the canonical function of that name; None if torch has none."""
    if name in FUNCTIONAL or (owner == "F" and hasattr(F, name)):
        found: Function = getattr(F, name)
        return found
    for home in (torch, Tensor, torch._C._nn, torch._C._linalg, torch._C._fft):  # type: ignore[attr-defined]
        candidate = getattr(home, name, None)
        if callable(candidate) and not isinstance(candidate, type):
            return candidate  # type: ignore[no-any-return]
    return None


def canonical_function(function: Function) -> Function:
    """Return the function that nodes carry in place of this one; itself if there is no other."""
    return _other_form(function) or function


@per_function
def _other_form(function: Function) -> Function | None:
    owner, name = name_of(function)
    if function in _OPERATORS:
        owner, name = "torch", _OPERATORS[function]
    if owner not in ("F", "torch", "Tensor", "aten") and name not in COMPLEX:
        return None
    name = ALIASES.get(name, name)
    if name == "__getitem__":
        return operator.getitem
    if name == "__setitem__":
        return graph_functions.setitem
    if name in ("view", "reshape"):
        return torch.reshape
    if name.endswith("_") and not name.endswith("__"):
        name = ALIASES.get(name[:-1], name[:-1])
    packet = isinstance(function, torch._ops.OpOverloadPacket)
    return _home(name, owner) or (getattr(function, "default", None) if packet else None)


_OPERATORS: dict[Function, str] = {
    operator.add: "add", operator.sub: "sub", operator.mul: "mul", operator.truediv: "div",
    operator.floordiv: "floor_divide", operator.mod: "remainder", operator.pow: "pow",
    operator.matmul: "matmul", operator.neg: "neg", operator.abs: "abs", operator.eq: "eq",
    operator.ne: "ne", operator.lt: "lt", operator.le: "le", operator.gt: "gt",
    operator.ge: "ge", operator.and_: "bitwise_and", operator.or_: "bitwise_or",
    operator.xor: "bitwise_xor", operator.invert: "bitwise_not", operator.iadd: "add_",
    operator.getitem: "__getitem__", operator.imul: "mul_", operator.isub: "sub_",
    operator.itruediv: "div_",
}  # fmt: skip


def canonical(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Return the canonical form of a call, in which it writes none of its arguments.

    `1 - x`, `x.rsub(1)` and `torch.sub(1, x)` are all torch.sub(1, x); in-place forms and
    `out=` become the functional form. Prefers torch.nn.functional where it has the same
    leading parameters, then torch, then Tensor.
    """
    owner, name = name_of(function)
    kwargs = {key: value for key, value in kwargs.items() if key != "out"}
    args, kwargs = by_position(function, args, kwargs)
    args, kwargs = _without_inplace(function, args, kwargs)
    if name in SWAPPED and len(args) >= 2:
        args = (args[1], args[0], *args[2:])
    adapter = _ADAPTERS.get(name) if owner != "F" else _F_ADAPTERS.get(name)
    if adapter is not None:
        return adapter(function, args, kwargs)
    if (respell := _respelling(function)) is not None:
        return Call(*respell(*args, **kwargs))
    if owner in ("Tensor", "torch", "aten") and name in VARARGS:
        args, kwargs = _one_tuple(args, kwargs)
    return Call(canonical_function(function), args, kwargs)


@per_function
def _respelling(function: Function) -> Callable[..., Any] | None:
    """Return the function that makes an operator's call one of torch's API; None if none does."""
    owner, name = name_of(function)
    if owner not in ("aten", "torch", "Tensor") or inspect.isfunction(function):
        return None
    if name == "copy_":  # the tracer's own: a write of the whole
        return None
    if name.endswith("_") and not name.endswith("__"):
        name = name[:-1]
    return aten.RESPELLED.get(name)


def _without_inplace(
    function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Arguments:
    if not is_inplace_flag_set(function, args, kwargs):
        return args, kwargs
    position = position_of_inplace(function)
    if position is not None and len(args) > position:
        return (*args[:position], False, *args[position + 1 :]), kwargs
    return args, {**kwargs, "inplace": False}


def _one_tuple(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Give x.view(2, -1), x.view((2, -1)) and x.view(size=(2, -1)) the sizes as one tuple."""
    kwargs = dict(kwargs)
    sizes = args[1:] or next(
        ((kwargs.pop(k),) for k in ("size", "shape", "dims", "sizes", "repeats") if k in kwargs),
        (),
    )
    kwargs.pop("implicit", None)
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    return (args[0] if args else kwargs.pop("input"), tuple(sizes)), kwargs


def _view(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    if "dtype" in kwargs or (len(args) > 1 and isinstance(args[1], torch.dtype)):
        return Call(Tensor.view, args, kwargs)
    return Call(torch.reshape, *_one_tuple(args, kwargs))


def _like(target: Function) -> Callable[..., Call]:
    def adapt(_: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        other = args[1] if len(args) > 1 else kwargs["other"]
        return Call(target, (args[0], tuple(other.shape)), {})

    return adapt


def _to(_: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Turn all forms of x.to(...) into Tensor.to(x, dtype), since devices are no operation."""
    dtype = kwargs.get("dtype")
    other = kwargs.get("other")
    for value in args[1:]:
        dtype = value if isinstance(value, torch.dtype) else dtype
        other = value if isinstance(value, Tensor) else other
    dtype = other.dtype if isinstance(other, Tensor) else dtype
    return Call(Tensor.to, (args[0], args[0].dtype if dtype is None else dtype), {})


def _type(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    dtype = args[1] if len(args) > 1 else kwargs.get("dtype")
    if dtype is None:
        return Call(function, args, kwargs)
    if not isinstance(dtype, torch.dtype):
        dtype = torch.empty(0).type(dtype).dtype
    return Call(Tensor.to, (args[0], dtype), {})


def _cast(dtype: torch.dtype) -> Callable[..., Call]:
    return lambda _, args, __: Call(Tensor.to, (args[0], dtype), {})


def _type_as(_: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    other = args[1] if len(args) > 1 else kwargs["other"]
    return Call(Tensor.to, (args[0], other.dtype), {})


def _reverse(_: Function, args: tuple[Any, ...], __: dict[str, Any]) -> Call:
    return Call(torch.permute, (args[0], tuple(reversed(range(args[0].ndim)))), {})


def _last_two(_: Function, args: tuple[Any, ...], __: dict[str, Any]) -> Call:
    return Call(torch.transpose, (args[0], -2, -1), {})


def _where(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    if name_of(function).owner != "Tensor" and len(args) > 0:
        return Call(torch.where, args, kwargs)
    rest = [*args[1:], *(kwargs[k] for k in ("condition", "other") if k in kwargs)]
    return Call(torch.where, (rest[0], args[0], *rest[1:]), {})


def _split(_: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    kwargs = dict(kwargs)
    if "split_size" in kwargs:
        kwargs["split_size_or_sections"] = kwargs.pop("split_size")
    return Call(torch.split, args, kwargs)


def _norm(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Pass dtype by name: the method takes it where torch.norm takes `out`."""
    if name_of(function).owner == "Tensor" and len(args) > 4:
        args, kwargs = args[:4], {**kwargs, "dtype": args[4]}
    return Call(canonical_function(function), args, kwargs)


def _of_two(elementwise: Function) -> Callable[..., Call]:
    """Turn torch.max(x, y) into torch.maximum(x, y), and keep the reductions of one tensor."""

    def adapt(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        of_two = len(args) == 2 and isinstance(args[1], Tensor)
        return Call(elementwise if of_two else canonical_function(function), args, kwargs)

    return adapt


def _stft(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Give the operator without `center`, which pads nothing, the parameters of torch.stft."""
    overload = getattr(function, "_overloadname", None)
    centered = overload == "center" or isinstance(args[6] if len(args) > 6 else None, str)
    if name_of(function).owner == "aten" and not centered and "center" not in kwargs:
        args = (*args, *(None,) * (5 - len(args)))
        args, kwargs = (*args[:5], False, "constant", *args[5:]), dict(kwargs)
    return Call(torch.stft, args, kwargs)


def _joined(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Leave out the tensors without elements, which add nothing to the result."""
    kwargs = dict(kwargs)
    tensors = tuple(args[0] if args else kwargs.pop("tensors"))
    filled = tuple(tensor for tensor in tensors if tensor.numel())
    return Call(canonical_function(function), (filled or tensors, *args[1:]), kwargs)


def _softmax(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Pass dtype by name: torch.softmax takes it where F.softmax takes _stacklevel."""
    kwargs = {key: value for key, value in kwargs.items() if key != "_stacklevel"}
    if len(args) > 2:
        args, kwargs = args[:2], {**kwargs, "dtype": args[2]}
    return Call(canonical_function(function), args, kwargs)


def _f_softmax(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Drop _stacklevel, and pass the axis that torch takes if none is given."""
    kwargs = {key: value for key, value in kwargs.items() if key != "_stacklevel"}
    dim = args[1] if len(args) > 1 else kwargs.pop("dim", None)
    if dim is None:
        dim = 0 if args[0].ndim in (0, 1, 3) else 1
    return Call(function, (args[0], dim, *args[3:]), kwargs)


# Of functions whose weights once stood between their tensors: how many tensors, which weights.
_WEIGHTED = {
    **dict.fromkeys(("add", "sub"), (2, ("alpha",))),
    **dict.fromkeys(("addcmul", "addcdiv"), (3, ("value",))),
    **dict.fromkeys(("addmm", "addmv", "addr", "addbmm", "baddbmm"), (3, ("beta", "alpha"))),
}


def _weighted(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Turn torch.addcmul(x, 2, y, z), an old form, into torch.addcmul(x, y, z, value=2)."""
    function = canonical_function(function)
    count, names = _WEIGHTED[function.__name__]
    tensors = tuple(value for value in args if isinstance(value, Tensor))
    weights = [value for value in args if not isinstance(value, Tensor)]
    if len(tensors) == count and weights and isinstance(args[-1], Tensor):
        args, kwargs = tensors, {**kwargs, **dict(zip(names, weights, strict=False))}
    return Call(function, args, kwargs)


def _diagonal_filled(_: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Turn x.fill_diagonal_(value, wrap), which has no form without a write, into masked_fill."""

    def call(input: Tensor, fill_value: Any, wrap: bool = False) -> Call:
        mask = torch.zeros(input.shape, dtype=torch.bool).fill_diagonal_(True, wrap)
        return Call(torch.masked_fill, (input, mask, fill_value), {})

    return call(args[0], *args[1:], **kwargs)


def _grouped(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Return a product of groups of rows as a function that the reference runs in float64 too."""
    ranks = tuple(value.dim() for value in args[:2])
    offsets = args[2] if len(args) > 2 else kwargs.get("offs")
    if ranks == (2, 3) and offsets is not None:
        return Call(graph_functions.grouped_mm, (*args[:2], offsets), {})
    return Call(torch.bmm if ranks == (3, 3) else canonical_function(function), args[:2], {})


_F_ADAPTERS: dict[str, Callable[..., Call]] = {
    **dict.fromkeys(("softmax", "log_softmax", "softmin"), _f_softmax),
    "rms_norm": lambda _, args, kwargs: Call(*aten.rms_norm(*args, **kwargs)),
    "grouped_mm": _grouped,
    **dict.fromkeys(
        losses.FUNCTIONS, lambda f, args, kwargs: Call(*losses.functional(f, *args, **kwargs))
    ),
}
_ADAPTERS: dict[str, Callable[..., Call]] = {
    "view": _view, "view_as": _like(torch.reshape), "reshape_as": _like(torch.reshape),
    "expand_as": _like(Tensor.expand), "to": _to, "type": _type, "type_as": _type_as,
    "norm": _norm, "T": _reverse, "mT": _last_two, "where": _where, "split": _split,
    "split_copy": _split,
    **dict.fromkeys(
        ("cat", "concat", "concatenate", "hstack", "vstack", "row_stack", "dstack",
         "column_stack"), _joined
    ),
    **{form: _weighted for name in _WEIGHTED for form in (name, f"{name}_")},
    **dict.fromkeys(("_grouped_mm", "transformers.grouped_mm_fallback"), _grouped),
    "fill_diagonal_": _diagonal_filled, "stft": _stft,
    "max": _of_two(torch.maximum), "min": _of_two(torch.minimum), "t": _reverse, "t_": _reverse,
    "softmax": _softmax, "log_softmax": _softmax,
    **{name: _cast(dtype) for name, dtype in CASTS.items()},
}  # fmt: skip
