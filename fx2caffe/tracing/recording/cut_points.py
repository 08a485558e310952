"""Cut points: the result of a module, or any traced node, as an output of the net."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.fx import Graph, Node

from caffe2fx.errors import CaffeError
from fx2caffe.errors import Signal
from fx2caffe.tracing.model import pytree
from fx2caffe.tracing.values.tensor_meta import TensorMeta

Nodes = tuple[Node | None, ...]


class EndRun(Signal):
    """Raised to end forward once every output of the net has been computed."""


class Call(NamedTuple):
    """Names one call of a module: `nth` counts its calls from 0, None is the last."""

    path: str
    nth: int | None


class ModuleResults:
    """Holds the nodes that each call of a module returned, by module path, but no tensor.

    Where every wanted output names which call it means ("head:0"), the run ends as soon as the
    last of them has returned, so that nothing after it can be refused.
    """

    def __init__(
        self,
        root: nn.Module,
        node_of: Callable[[Tensor], Node | None],
        wanted: Sequence[str] | None,
    ) -> None:
        first = {id(module): path for path, module in root.named_modules()}
        twice = root.named_modules(remove_duplicate=False)
        self._paths = {path: first[id(module)] for path, module in twice}
        self._node_of = node_of
        self.wanted = wanted
        self.calls: dict[str, list[Nodes]] = {}
        calls = self.wanted_calls()
        self._awaited = calls if all(c is not None and c.nth is not None for c in calls) else []

    def note(self, path: str, result: Any) -> None:
        """Remember the result of the module at `path`. Raises EndRun after the last."""
        tensors = (result,) if isinstance(result, Tensor) else pytree.flatten(result).tensors
        if not tensors:
            return
        self.calls.setdefault(path, []).append(tuple(map(self._node_of, tensors)))
        if self._awaited and all(call and self._nodes(call) for call in self._awaited):
            raise EndRun

    def wanted_calls(self) -> list[Call | None]:
        """Return the module call that each wanted name means; None for the name of a node."""
        return [self._call(name) for name in self.wanted or ()]

    def _call(self, name: str) -> Call | None:
        """Return the module call that a name means, None if it means none."""
        if name in self._paths:
            return Call(self._paths[name], None)
        path, colon, index = name.rpartition(":")
        if colon and path in self._paths and index.isdigit():
            return Call(self._paths[path], int(index))
        return None

    def _nodes(self, call: Call) -> Nodes | None:
        made = self.calls.get(call.path, [])
        nth = len(made) - 1 if call.nth is None else call.nth
        return made[nth] if 0 <= nth < len(made) else None

    def cut(self, graph: Graph) -> list[tuple[str, Node]]:
        """Return names and nodes of the wanted outputs; a module's several results are numbered.

        Raises CaffeError for a name that is neither a module that ran nor a traced tensor.
        """
        traced = {node.name: node for node in graph.nodes if node.op not in ("get_attr", "output")}
        return [pair for name in self.wanted or () for pair in self._outputs_of(name, traced)]

    def _outputs_of(self, name: str, traced: Mapping[str, Node]) -> list[tuple[str, Node]]:
        call = self._call(name)
        if call is not None:
            nodes = self._returned(name, call)
            return [(f"{name}.{i}" if len(nodes) > 1 else name, n) for i, n in enumerate(nodes)]
        if name not in traced:
            raise CaffeError(f"{self._unknown(name)}{self._near(name, traced)}")
        if not isinstance(traced[name].meta["value"], TensorMeta):
            parts = ", ".join(user.name for user in traced[name].users)
            raise CaffeError(f"outputs needs one tensor a name, got {name!r}; its parts: {parts}")
        return [(name, traced[name])]

    def _returned(self, name: str, call: Call) -> list[Node]:
        nodes = self._nodes(call)
        if nodes is None:
            count = len(self.calls.get(call.path, []))
            raise CaffeError(
                f"outputs needs a module call that returns tensors, got {name!r}; "
                f"forward makes {count} of this module"
            )
        found = [node for node in nodes if node is not None]
        if len(found) < len(nodes):
            raise CaffeError(f"outputs needs tensors that follow from the inputs, got {name!r}")
        return found

    def _unknown(self, name: str) -> str:
        return f"outputs needs module paths or names of traced nodes, got {name!r}"

    def _near(self, name: str, traced: Mapping[str, Node]) -> str:
        known = [*(path for path in self.calls if path), *traced]
        near = difflib.get_close_matches(name, known, 5, 0.5) or known[:5]
        return f"; near names: {', '.join(map(repr, dict.fromkeys(near)))}"

    def names(self, graph: Graph) -> dict[str, tuple[tuple[str, ...], ...]]:
        """Return, by module path, the names of the live nodes that each call returned."""
        alive = set(graph.nodes)
        return {
            path: tuple(tuple(n.name for n in nodes if n and n in alive) for nodes in made)
            for path, made in self.calls.items()
        }


def as_one(count: int) -> pytree.Rebuild:
    """Puts the results at `count` cut points together: a lone one as it is, else a tuple."""
    return pytree.Rebuild(count, lambda values: next(values) if count == 1 else tuple(values))
