"""The parameter names that torch's own parser takes for a function, and calls bound to them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from fx2caffe.tracing.functions.weak_cache import per_function

Function = Callable[..., Any]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]

# The names of NumPy's that torch's parser of arguments takes for its own.
NUMPY: Mapping[str, str] = {
    "axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input",
    "x2": "other",
}  # fmt: skip


@dataclass(frozen=True)
class Signature:
    """Holds the parameters of one overload: those by position, in order, and by name alone."""

    positional: tuple[str, ...]
    keyword: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()

    def own_name(self, name: str) -> str | None:
        """Return the parameter that a keyword means; None if the overload has none of that name."""
        for candidate in (name, NUMPY.get(name), "input" if name == "self" else None):
            if candidate in self.positional or candidate in self.keyword:
                return candidate
        return None

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Arguments | None:
        """Return the call with torch's own names and as much as possible by position.

        None where this overload does not take such a call.
        """
        named = {self.own_name(name): value for name, value in kwargs.items()}
        given = {*self.positional[: len(args)], *named}
        taken = len(args) <= len(self.positional) and len(named) == len(kwargs)
        if not taken or None in named or not self.required <= given:
            return None
        values = list(args)
        for name in self.positional[len(args) :]:
            if name not in named or name.startswith("_"):
                break
            values.append(named.pop(name))
        return tuple(values), {str(name): value for name, value in named.items()}


@per_function
def signatures(function: Function) -> tuple[Signature, ...]:
    """Return every overload of a torch function; none where torch has no signature of it."""
    if isinstance(function, torch._ops.OpOverload):
        return (_of_schema(function._schema, is_method=False),)
    if isinstance(function, torch._ops.OpOverloadPacket):
        overloads = (getattr(function, name) for name in function.overloads())  # type: ignore[no-untyped-call]
        return tuple(_of_schema(overload._schema, is_method=False) for overload in overloads)
    if inspect.isfunction(function):
        found = _of_python(inspect.signature(function))
        return () if found is None else (found,)
    name = getattr(function, "__name__", "")
    is_method = getattr(torch.Tensor, name, None) is function
    return tuple(_of_schema(schema, is_method) for schema in _schemas(name))


def _schemas(name: str) -> Iterable[Any]:
    """Return the overloads of an operator that take tensors and write none by name (`out=`)."""
    found = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
    return (schema for schema in found if _takes_tensors(schema) and not _writes_by_name(schema))


def _takes_tensors(schema: Any) -> bool:
    return any("Tensor" in str(argument.type) for argument in schema.arguments)


def _writes_by_name(schema: Any) -> bool:
    named = (a for a in schema.arguments if a.kwarg_only and a.alias_info is not None)
    return any(argument.alias_info.is_write for argument in named)


def _of_schema(schema: Any, is_method: bool) -> Signature:
    """Return a schema's parameters as Python names them: `self` is `input` in a function."""
    own = [argument for argument in schema.arguments if not argument.kwarg_only]
    if is_method:
        own.sort(key=lambda argument: argument.name != "self")
    return Signature(
        tuple(_python_name(argument) for argument in own),
        frozenset(argument.name for argument in schema.arguments if argument.kwarg_only),
        frozenset(_python_name(a) for a in schema.arguments if not a.has_default_value()),
    )


def _python_name(argument: Any) -> str:
    return "input" if argument.name == "self" else str(argument.name)


def _of_python(signature: inspect.Signature) -> Signature | None:
    """Return a Python function's parameters; None if it takes any number of arguments."""
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    if inspect.Parameter.VAR_POSITIONAL in kinds or inspect.Parameter.VAR_KEYWORD in kinds:
        return None
    parameters = signature.parameters.values()
    alone = {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    return Signature(
        tuple(p.name for p in parameters if p.name not in alone),
        frozenset(alone),
        frozenset(p.name for p in parameters if p.default is inspect.Parameter.empty),
    )


def by_position(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Return a call with torch's own parameter names, and leading keywords given by position.

    `torch.sum(x=y, axis=1, keepdims=True)` is torch.sum(y, 1, True). A call that none of the
    overloads takes is left as it is.
    """
    if not kwargs:
        return args, kwargs
    calls = (signature.bound(args, kwargs) for signature in signatures(function))
    return next((call for call in calls if call is not None), (args, kwargs))
