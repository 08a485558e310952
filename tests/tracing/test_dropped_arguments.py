"""What torch's functions do not pass on to a mode is known for each of them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

import torch.nn.functional as F

from fx2caffe.tracing.functions.dropped_arguments import DROPPED


def _passed(function: ast.FunctionDef) -> Iterator[ast.Call]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "handle_torch_function":
            yield node


def _dropped() -> Iterator[tuple[str, str]]:
    """Yield each function with a parameter that its call of handle_torch_function lacks."""
    for function in ast.parse(inspect.getsource(F)).body:
        if isinstance(function, ast.FunctionDef):
            for call in _passed(function):
                given = [*call.args[2:], *(keyword.value for keyword in call.keywords)]
                walked = (node for value in given for node in ast.walk(value))
                names = {node.id for node in walked if isinstance(node, ast.Name)}
                parameters = (*function.args.args, *function.args.kwonlyargs)
                yield from ((function.name, p.arg) for p in parameters if p.arg not in names)


def test_each_dropped_argument_is_known() -> None:
    assert set(_dropped()) <= {(f.__name__, name) for f, name in DROPPED.items()}
