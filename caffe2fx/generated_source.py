"""The source text that torch.fx generates for a GraphModule."""

from __future__ import annotations

import linecache
import weakref
from typing import Any

from torch import fx
from torch.fx import graph_module


def forget_with(module: fx.GraphModule) -> None:
    """Let torch forget the source of a module's forward when the module is gone.

    torch keeps it for tracebacks as long as the process lives: some KB for each export.
    """
    code = getattr(type(module).forward, "__code__", None)
    if code is not None:
        weakref.finalize(module, _forget, code.co_filename).atexit = False


def _forget(name: str) -> None:
    linecache.cache.pop(name, None)
    loader: Any = graph_module._loader
    loader.eval_cache.pop(name, None)
