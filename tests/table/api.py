"""The reference pages, fx2caffe/API.md and caffe2fx/API.md: every public name's hover text."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.table import markdown

ROOT = Path(__file__).parents[2]
PACKAGES = ("fx2caffe", "caffe2fx")
HEAD = """# {package}: the reference

Every public name, with what an editor shows for it. The guide is [GUIDE.md](GUIDE.md). This page is
written by `python -m tests.table api`; a test holds it.
"""


def page(package: str) -> str:
    """Return the page of a package: a section a public name, in the order of the alphabet."""
    module = importlib.import_module(package)
    sections = [section(name, getattr(module, name)) for name in module.__all__]
    return HEAD.format(package=package) + "".join(sections)


def section(name: str, value: Any) -> str:
    """Return a name's heading, signature and docstring; of a class also its public members'."""
    lines = ["", f"## {name}", f"```python\n{signature(name, value)}\n```", _text(value)]
    if inspect.isclass(value) and not issubclass(value, BaseException):
        for member, inner in members(value):
            lines += ["", f"### {name}.{member}", *_member(member, inner)]
    return "\n".join(lines) + "\n"


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties of a class that have a docstring, as written."""
    for name, value in vars(kind).items():
        inner = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        if not name.startswith("_") and inspect.getdoc(inner) and _is_code(inner):
            yield name, inner


def _is_code(value: Any) -> bool:
    return isinstance(value, property) or inspect.isfunction(value)


def _member(name: str, value: Any) -> list[str]:
    if isinstance(value, property):
        return [f"Property. {_text(value)}"]
    return [f"```python\n{signature(name, value)}\n```", _text(value)]


def signature(name: str, value: Any) -> str:
    """Return the head of a function or class as its source has it, one argument a line if long."""
    if inspect.isclass(value) and issubclass(value, BaseException):
        return f"class {name}({', '.join(base.__name__ for base in value.__bases__)})"
    stated = inspect.signature(value)
    kind = "class" if inspect.isclass(value) else "def"
    end = "" if kind == "class" else f" -> {_annotation(stated.return_annotation)}"
    arguments = _arguments(stated)
    line = f"{kind} {name}({', '.join(arguments)}){end}"
    if len(line) <= 100:
        return line
    inner = "".join(f"    {argument},\n" for argument in arguments)
    return f"{kind} {name}(\n{inner}){end}"


def _arguments(stated: inspect.Signature) -> list[str]:
    """Return the arguments' texts, with the bare star before those that go by keyword alone."""
    kinds = [argument.kind for argument in stated.parameters.values()]
    texts = [_argument(argument) for argument in stated.parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds and inspect.Parameter.KEYWORD_ONLY in kinds:
        texts.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    return texts


def _argument(argument: inspect.Parameter) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    text = stars.get(argument.kind, "") + argument.name
    typed = argument.annotation is not inspect.Parameter.empty
    text += f": {_annotation(argument.annotation)}" if typed else ""
    if argument.default is inspect.Parameter.empty:
        return text
    return text + (" = " if typed else "=") + repr(argument.default)


def _annotation(value: Any) -> str:
    return value if isinstance(value, str) else inspect.formatannotation(value)


def _text(value: Any) -> str:
    return inspect.getdoc(value) or ""


def write() -> None:
    """Write both pages."""
    for package in PACKAGES:
        markdown.write(ROOT / package / "API.md", page(package))
