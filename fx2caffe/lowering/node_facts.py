"""Facts about a traced node: its function, the dtype of its result, and whether it accumulates."""

from __future__ import annotations

import torch
from torch import fx

ACCUMULATE = 3  # position among the arguments of index_put


def function_name(node: fx.Node) -> str:
    """Return the name of the function that a node calls, empty for one without a name."""
    return str(getattr(node.target, "__name__", ""))


def dtype_of(node: fx.Node) -> torch.dtype | None:
    """Return the dtype of a node's result, None where that is no tensor."""
    return getattr(node.meta.get("value"), "dtype", None)


def accumulates(node: fx.Node) -> bool:
    """Return whether a write adds to, or multiplies, the elements that it writes to."""
    if function_name(node).startswith("index_put") and len(node.args) > ACCUMULATE:
        return bool(node.args[ACCUMULATE])
    return node.kwargs.get("reduce") is not None or node.kwargs.get("accumulate") is True
