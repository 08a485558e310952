"""The builder of a GraphModule of torch.nn modules from a net, with identifiers for its names."""

from __future__ import annotations

import keyword
import operator
import re

from torch import fx, nn

from caffe2fx.module.graph_module import CaffeGraphModule, Names
from caffe2fx.net.net import Net
from caffe2fx.net.shared_weights import tie
from caffe2fx.net.step import Step, Value, is_input
from caffe2fx.net.unique_names import unique_name


def graph_module(net: Net) -> CaffeGraphModule:
    """Return the net as a GraphModule of torch.nn modules (RecordModules where torch.nn has none).

    Raises ShapeMismatchError or CaffeFormatError where Caffe would abort.
    """
    builder = _Builder(net)
    for step in net.steps:
        builder.add(step)
    return builder.finish()


class _Builder:
    """Wires the graph; the records build the modules of the layers."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.shapes = net.shapes()
        self.graph = fx.Graph()
        self.root = nn.Module()
        self.taken: set[str] = set()
        self.nodes: dict[Value, fx.Node] = {}
        self.step_nodes: list[tuple[str, ...]] = []
        self.module_names: dict[str, str] = {}
        self.modules: dict[int, nn.Module] = {}  # by the index of the step

    def add(self, step: Step) -> None:
        if is_input(step):
            self._placeholders(step)
        elif not step.tops:
            self.step_nodes.append(())  # Silence has no result, so that there is nothing to run
        else:
            self._module(step)

    def _placeholders(self, step: Step) -> None:
        nodes = [self.graph.placeholder(identifier(top.blob, self.taken)) for top in step.tops]
        self.nodes.update(zip(step.tops, nodes, strict=True))
        self.step_nodes.append(tuple(node.name for node in nodes))

    def _module(self, step: Step) -> None:
        shapes = [self.shapes[value] for value in step.reads]
        step.check_blobs(shapes)
        name = identifier(step.name, self.taken)
        made = step.module(shapes)
        self.modules[len(self.step_nodes)] = made
        self.module_names[name] = step.name
        node = self.graph.call_module(name, self._read(step))
        tops = [node] if len(step.tops) == 1 else self._items(node, len(step.tops))
        self.nodes.update(zip(step.tops, tops, strict=True))
        self.step_nodes.append(tuple(top.name for top in tops))

    def _read(self, step: Step) -> tuple[fx.Node, ...]:
        """Return the nodes that the step reads, detached where the file stops the gradient."""
        nodes = [self.nodes[value] for value in step.reads]
        for index in range(len(step.bottoms)):
            if not step.passes_gradient(index):
                nodes[index] = self.graph.call_method("detach", (nodes[index],))
        return tuple(nodes)

    def _items(self, node: fx.Node, count: int) -> list[fx.Node]:
        return [self.graph.call_function(operator.getitem, (node, i)) for i in range(count)]

    def finish(self) -> CaffeGraphModule:
        tie(self.net, self.modules)
        for name, made in zip(self.module_names, self.modules.values(), strict=True):
            self.root.add_module(name, made)
        results = [self.nodes[value] for value in self.net.outputs]
        self.graph.output(results[0] if len(results) == 1 else tuple(results))
        module = CaffeGraphModule(self.root, self.graph, class_name="CaffeNet")
        names = Names(tuple(self.step_nodes), self.module_names)
        module.meta["caffe"] = (self.net, names)
        return module.eval()


_RESERVED = {
    *dir(CaffeGraphModule),
    *vars(fx.GraphModule(nn.Module(), fx.Graph())),
    *keyword.kwlist,
    "self",  # the first argument of the generated forward
}


def identifier(name: str, taken: set[str]) -> str:
    """Return a Python name for any layer name, distinct from those taken; ASCII, never reserved."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    plain = plain if plain and not plain[0].isdigit() else f"_{plain}"
    plain = f"{plain}_" if plain in _RESERVED else plain
    return unique_name(plain, taken)
