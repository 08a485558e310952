"""The models of a user's own code: PACKAGE.MODULE:FACTORY, and the errors of one."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
import traceback
from types import ModuleType
from typing import Any

from torch import nn

from caffe2fx.errors import CaffeError


def from_factory(text: str) -> tuple[nn.Module, Any]:
    """Return the model of PACKAGE.MODULE:FACTORY, and its inputs (None if it gives none).

    The factory is an nn.Module, or a callable without arguments that gives one, or one with
    its inputs. Raises CaffeError if it is not there, raises, or gives something else.
    """
    factory = _factory(text)
    made = factory if isinstance(factory, nn.Module) else _called(text, factory)
    model, inputs = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module):
        raise CaffeError(f"{text} needs to give an nn.Module, got {type(model).__name__}")
    return model, inputs


def _factory(text: str) -> Any:
    module_name, colon, path = text.partition(":")
    if not (colon and path and all(part.isidentifier() for part in module_name.split("."))):
        raise CaffeError(f"model needs to be PACKAGE.MODULE:FACTORY, got {text!r}")
    found: Any = _module(module_name, text)
    for name in path.split("."):
        if not hasattr(found, name):
            near = difflib.get_close_matches(name, _public(found), 1)
            meant = f" (did you mean {near[0]!r}?)" if near else ""
            raise CaffeError(
                f"model needs to be PACKAGE.MODULE:FACTORY, got {text!r}: "
                f"{module_name} has no {name!r}{meant}"
            )
        found = getattr(found, name)
    return found


def _public(found: Any) -> list[str]:
    return [name for name in dir(found) if not name.startswith("_")]


def _module(name: str, text: str) -> ModuleType:
    if sys.path[:1] != [""]:
        sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # a script parses its arguments at import
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (name == missing or name.startswith(f"{missing}.")):
            raise CaffeError(
                f"model needs to be PACKAGE.MODULE:FACTORY, got {text!r}: {error}"
            ) from None
        raise CaffeError(f"importing {name} failed: {described(error)}") from error


def _called(text: str, factory: Any) -> Any:
    if not callable(factory):
        kind = type(factory).__name__
        raise CaffeError(f"{text} needs to be an nn.Module or to give one, got {kind}")
    missing = _required(factory)
    if missing:
        names = ", ".join(missing)
        raise CaffeError(
            f"{text} needs to be callable without arguments, got one that asks for {names}: "
            "name a function that calls it with them"
        )
    try:
        return factory()
    except (Exception, SystemExit) as error:
        raise CaffeError(f"{text} raised {described(error)}") from error


def _required(factory: Any) -> list[str]:
    """Return the names of the arguments without which the factory cannot be called."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # builtins have no signature
        return []
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    asked = (one for one in parameters if one.kind not in variable)
    return [one.name for one in asked if one.default is one.empty]


def described(error: BaseException) -> str:
    """Return an error of the user's code in one line, with the innermost line of that code."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{text.partition(' (')[0]} ({error.filename}:{error.lineno})"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame)]
    return f"{text} ({own[-1].filename}:{own[-1].lineno}: {own[-1].line})" if own else text


def _is_users(frame: traceback.FrameSummary) -> bool:
    """Return whether a frame is neither this file's, importlib's, nor an installed package's."""
    return not (
        frame.filename == __file__
        or frame.filename.startswith("<")
        or "site-packages" in frame.filename
    )
