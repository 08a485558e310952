"""Facts about a traced node: its function, the dtype of its result, and how it accumulates."""

from __future__ import annotations

import torch
from torch import fx

ACCUMULATE = 3  # position among the arguments of index_put
_REDUCE_AT = {"scatter": 4, "scatter_reduce": 4, "index_reduce": 4}
_OLDER = {"add": "sum", "multiply": "prod"}


def function_name(node: fx.Node) -> str:
    """Return the name of the function that a node calls, empty for one without a name."""
    return str(getattr(node.target, "__name__", ""))


def dtype_of(node: fx.Node) -> torch.dtype | None:
    """Return the dtype of a node's result, None where that is no tensor."""
    return getattr(node.meta.get("value"), "dtype", None)


def reduction_of(node: fx.Node) -> str:
    """Return how a write combines values with the elements that it writes to, "" if it does not.

    These are torch's names of scatter_reduce: sum, prod, mean, amax and amin.
    """
    name = function_name(node)
    if name.startswith("index_put") and len(node.args) > ACCUMULATE:
        return "sum" if node.args[ACCUMULATE] else ""
    if node.kwargs.get("accumulate") is True:
        return "sum"
    at = _REDUCE_AT.get(name, len(node.args))
    found = node.args[at] if at < len(node.args) else node.kwargs.get("reduce")
    return "" if found is None else _OLDER.get(str(found), str(found))


def accumulates(node: fx.Node) -> bool:
    """Return whether a write adds to, or multiplies, the elements that it writes to."""
    return reduction_of(node) in ("sum", "prod", "mean")
