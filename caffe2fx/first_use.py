"""Public names that a package imports at their first use, so that importing it costs nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def first_use(
    package: str, names: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions `__getattr__` and `__dir__` of a package.

    `names` are the public names by the module that has them; submodules are found as well, as if
    they had been imported.
    """
    modules = {name: module for module, group in names.items() for name in group}

    def attribute(name: str) -> Any:
        value = _resolved(package, name, modules)
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return attribute, listed


def _resolved(package: str, name: str, modules: Mapping[str, str]) -> Any:
    if name in modules:
        return getattr(import_module(modules[name]), name)
    if not name.startswith("_") and find_spec(f"{package}.{name}") is not None:
        return import_module(f"{package}.{name}")
    raise AttributeError(f"module {package!r} has no attribute {name!r}")
