"""Two traces of one model side by side: which node of one is which of the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import fx

from fx2caffe.ir.graph_functions import index_map, sample_map

Pair = tuple[fx.Node, fx.Node]


def paired(first: fx.Graph, second: fx.Graph, *, maps_alike: bool = False) -> list[Pair] | None:
    """Return the nodes of two graphs in pairs, None where they call different operations.

    Operations are paired in order, constants by the arguments that read them: a view of a
    parameter may be the parameter itself in one trace and a constant of its own in the other.
    With `maps_alike` a map of each sample, as all maps of a single one are, may be one of all; the
    constants of such pairs are not paired.
    """
    ones, twos = _operations(first), _operations(second)
    operation = _operation if maps_alike else _call
    if list(map(operation, ones)) != list(map(operation, twos)):
        return None
    found: dict[Pair, None] = {}
    for one, two in zip(ones, twos, strict=True):
        if _call(one) != _call(two):
            found[one, two] = None
            continue
        read = _read(one), _read(two)
        constants = [[n.op == "get_attr" for n in nodes] for nodes in read]
        if constants[0] != constants[1]:
            return None
        found.update({p: None for p in zip(*read, strict=True) if p[0].op == "get_attr"})
        found[one, two] = None
    return list(found)


def alone(graph: fx.Graph, pairs: list[Pair]) -> list[Pair]:
    """Give each constant of the second graph a node of its own in the first, `graph`.

    before: two arguments read one constant in the first trace, and two in the second
    after:  they read two nodes of one constant, each paired with one
    """
    partners: dict[fx.Node, fx.Node] = {}
    made: dict[Pair, fx.Node] = {}
    for one, two in pairs:
        if partners.setdefault(one, two) is not two:
            with graph.inserting_after(one):
                made[one, two] = graph.create_node("get_attr", one.target, (), {})
            made[one, two].meta.update(one.meta)
    for one, two in pairs if made else ():
        if one.op != "get_attr":
            _reads_twins(one, iter(_read(two)), made)
    return [(made.get(pair, pair[0]), pair[1]) for pair in pairs]


def _reads_twins(node: fx.Node, others: Iterator[fx.Node], made: dict[Pair, fx.Node]) -> None:
    """Let a node read the constants that were made for those that its partner reads."""

    def twin(read: fx.Node) -> fx.Node:
        return made.get((read, next(others)), read)

    node.args, node.kwargs = fx.node.map_arg((node.args, node.kwargs), twin)


def same_arguments(one: fx.Node, two: fx.Node, names: dict[fx.Node, fx.Node]) -> bool:
    """Return whether two calls have equal arguments, constants apart.

    `names` maps the nodes of the second to those of the first.
    """
    mine = _plain(one, _name)
    return mine == _plain(two, lambda node: _name(names[node]))


def _name(node: fx.Node) -> str:
    return "constant" if node.op == "get_attr" else node.name


def _call(node: fx.Node) -> tuple[str, Any]:
    return node.op, node.target


def _operation(node: fx.Node) -> tuple[str, Any]:
    return node.op, index_map if node.target is sample_map else node.target


def _operations(graph: fx.Graph) -> list[fx.Node]:
    return [node for node in graph.nodes if node.op != "get_attr"]


def _read(node: fx.Node) -> list[fx.Node]:
    """Return the nodes among the arguments, each as often as it occurs."""
    found: list[fx.Node] = []
    fx.node.map_arg((node.args, node.kwargs), found.append)
    return found


def _plain(node: fx.Node, named: Callable[[fx.Node], Any]) -> str:
    return repr(fx.node.map_arg((node.args, node.kwargs), named))
