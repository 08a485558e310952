"""Operators of a user's own, by torch.library.custom_op or, before 2.4, as a library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.library import Library

_LIBRARY = Library("fx2caffe_tests", "FRAGMENT")


def custom_op(schema: str, like: Callable[..., Any] | None = None) -> Callable[[Any], Any]:
    """Make a function an operator of that schema, whose result is like that of `like`."""
    name, signature = schema[: schema.index("(")], schema[schema.index("(") :]
    mutates = ("x",) if "(a!)" in schema else ()

    def make(function: Callable[..., Any]) -> Callable[..., Any]:
        if torch.__version__ >= "2.4":
            made = torch.library.custom_op(
                f"fx2caffe_tests::{name}", function, mutates_args=mutates, schema=signature
            )
            if like is not None:
                made.register_fake(like)
            return made
        return library_op(schema, like)(function)

    return make


def library_op(schema: str, like: Callable[..., Any] | None = None) -> Callable[[Any], Any]:
    """Make a function an operator of a device alone, of which torch counts no writes."""
    name = schema.partition("(")[0]

    def make(function: Callable[..., Any]) -> Callable[..., Any]:
        _LIBRARY.define(schema)
        _LIBRARY.impl(name, function, "CPU")
        if like is not None:
            _LIBRARY.impl(name, like, "Meta")
        return getattr(torch.ops.fx2caffe_tests, name)  # type: ignore[no-any-return]

    return make
