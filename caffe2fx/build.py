"""Net to torch.fx.GraphModule: one module a layer, no source file in between."""

from __future__ import annotations

import keyword
import operator
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from caffe2fx.caffemodel import LayerWeights
from caffe2fx.errors import CaffeFormatError, ShapeMismatchError
from caffe2fx.net import Net, Step, Value, is_input
from caffe2fx.sharing import tie, with_shared_blobs


def with_weights(net: Net, weights: Sequence[LayerWeights], *, source: str = "weights") -> Net:
    """The net with the blobs of a weights file, matched by layer name as Caffe does.

    Layers of the file that the net lacks are ignored; a layer that needs blobs and has none,
    or has others, is a ShapeMismatchError that names both sides. Two layers of one name are a
    CaffeFormatError if they take blobs: Caffe fills the first and leaves the other at random.
    """
    by_name: dict[str, LayerWeights] = {}
    for entry in weights:
        by_name[entry.name] = entry
    steps = tuple(_with_blobs(step, by_name.get(step.name)) for step in net.steps)
    _check_names_are_used_once(steps)
    try:
        filled = with_shared_blobs(replace(net, steps=steps), [entry.name for entry in weights])
        filled.check_blobs()
    except ShapeMismatchError as error:
        raise ShapeMismatchError(f"{source}: {error}") from None
    return filled


def _check_names_are_used_once(steps: Sequence[Step]) -> None:
    count = Counter(step.name for step in steps)
    for step in steps:
        if step.blobs and count[step.name] > 1:
            error = f"needs a name of its own for its weights, got {count[step.name]} layers of it"
            raise step.fault(CaffeFormatError(error))


def _with_blobs(step: Step, entry: LayerWeights | None) -> Step:
    return step if entry is None else replace(step, blobs=tuple(entry.blobs))


@dataclass(frozen=True)
class Names:
    """Where the steps of a net went in a GraphModule."""

    nodes: tuple[tuple[str, ...], ...]  # for each step the node of each top
    modules: Mapping[str, str]  # module name in the GraphModule -> layer name in Caffe


class CaffeView:
    """What a GraphModule built from a Caffe net still knows of it; found as `gm.caffe`."""

    def __init__(self, module: CaffeGraphModule, net: Net, names: Names) -> None:
        self._module = module
        self.net = net
        self.names = names

    @property
    def inputs(self) -> tuple[str, ...]:
        """Blob names of the inputs, in the order of the arguments of forward."""
        return tuple(value.blob for value in self.net.inputs)

    @property
    def input_ranks(self) -> tuple[int, ...]:
        """How many axes each input has, the batch included."""
        shapes = (s for step in self.net.steps if is_input(step) for s in step.top_shapes(()))
        return tuple(map(len, shapes))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Blob names of the outputs, in the order of the results of forward."""
        return tuple(value.blob for value in self.net.outputs)

    def values(self, *inputs: Any) -> dict[Value, Tensor]:
        """Every value of the net, those that are overwritten in place included."""
        recorder = _Recorder(self._module)
        recorder.run(*as_tensors(inputs, self.inputs, self.input_ranks))
        found: dict[Value, Tensor] = {}
        for step, nodes in zip(self.net.steps, self.names.nodes, strict=True):
            results = (recorder.results[node] for node in nodes)
            found.update(zip(step.tops, results, strict=True))
        return found

    def blobs(self, *inputs: Any) -> dict[str, Tensor]:
        """Every layer's result by Caffe name, like pycaffe's net.blobs after a forward.

        A blob that in-place layers overwrite stands under its own name with its final content,
        and under "blob@layer" with what each of its layers produced.
        """
        values = self.values(*inputs)
        last = {value.blob: value for value in sorted(values)}
        named: dict[str, Tensor] = {}
        for step in self.net.steps:
            for top in step.tops:
                final = last[top.blob]
                if final.version:
                    named[f"{top.blob}@{step.name}"] = values[top]
                if top == final:
                    named[top.blob] = values[top]
        return named


class _Recorder(fx.Interpreter):
    """Keeps what every node gives."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.results: dict[str, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        self.results[n.name] = result = super().run_node(n)
        return result


class CaffeGraphModule(fx.GraphModule):
    """A torch.fx.GraphModule that came from a Caffe net; `caffe` survives copies and pickling."""

    @property
    def caffe(self) -> CaffeView:
        """The net that this module was built from, its names, and `blobs(x)`."""
        net, names = self.meta["caffe"]
        return CaffeView(self, net, names)

    def __copy__(self) -> CaffeGraphModule:
        return _restored((fx.GraphModule, (self, self.graph)), dict(self.meta))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (super().__reduce__(), dict(self.meta))


def _restored(reduced: tuple[Any, ...], meta: dict[str, Any]) -> CaffeGraphModule:
    function, arguments = reduced[0], reduced[1]
    plain = function(*arguments)
    made = CaffeGraphModule(plain, plain.graph)
    made.meta.update(meta)
    made.training = plain.training  # not train(): a layer may be in another mode than the net
    return made


def as_tensors(
    inputs: Sequence[Any], names: Sequence[str], ranks: Sequence[int] | None = None
) -> tuple[Tensor, ...]:
    """Tensors in the net's order from tensors, arrays, a tuple or a dict by blob name.

    An array of rank 3 (C, H, W) gets its batch axis where the net's input has rank 4 (the
    default of `ranks`).
    """
    given: Any = inputs[0] if len(inputs) == 1 else inputs
    if isinstance(given, Mapping):
        _check_names(given, names)
        given = [given[name] for name in names]
    if not isinstance(given, (tuple, list)):
        given = [given]
    if len(given) != len(names):
        raise ShapeMismatchError(f"the net needs inputs {list(names)}, got {len(given)} of them")
    ranks = (4,) * len(names) if ranks is None else ranks
    return tuple(_as_tensor(value, rank) for value, rank in zip(given, ranks, strict=True))


def _check_names(given: Mapping[str, Any], names: Sequence[str]) -> None:
    if set(given) != set(names):
        raise ShapeMismatchError(f"the net needs inputs {list(names)}, got {sorted(given)}")


def _as_tensor(value: Any, rank: int) -> Tensor:
    if not isinstance(value, np.ndarray):
        return torch.as_tensor(value)
    tensor = torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))
    return tensor[None] if (tensor.dim(), rank) == (3, 4) else tensor


def graph_module(net: Net) -> CaffeGraphModule:
    """The net as a GraphModule of torch.nn modules (and Operations where torch.nn has none).

    Raises ShapeMismatchError or CaffeFormatError for what Caffe would abort on.
    """
    builder = _Builder(net)
    for step in net.steps:
        builder.add(step)
    return builder.finish()


class _Builder:
    """Wires the graph; the layers themselves come from the records."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.shapes = net.shapes()
        self.graph = fx.Graph()
        self.root = nn.Module()
        self.taken: set[str] = set()
        self.nodes: dict[Value, fx.Node] = {}
        self.step_nodes: list[tuple[str, ...]] = []
        self.module_names: dict[str, str] = {}
        self.modules: dict[int, nn.Module] = {}  # by the position of the step

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
        shapes = [self.shapes[bottom] for bottom in step.bottoms]
        step.check_blobs(shapes)
        name = identifier(step.name, self.taken)
        made = step.layer.module(shapes, step.blobs, len(step.tops))
        self.modules[len(self.step_nodes)] = made
        self.root.add_module(name, made)
        self.module_names[name] = step.name
        node = self.graph.call_module(name, tuple(self.nodes[b] for b in step.bottoms))
        tops = [node] if len(step.tops) == 1 else self._items(node, len(step.tops))
        self.nodes.update(zip(step.tops, tops, strict=True))
        self.step_nodes.append(tuple(top.name for top in tops))

    def _items(self, node: fx.Node, count: int) -> list[fx.Node]:
        return [self.graph.call_function(operator.getitem, (node, i)) for i in range(count)]

    def finish(self) -> CaffeGraphModule:
        tie(self.net, self.modules)
        results = [self.nodes[value] for value in self.net.outputs]
        self.graph.output(results[0] if len(results) == 1 else tuple(results))
        made = CaffeGraphModule(self.root, self.graph, class_name="CaffeNet")
        names = Names(tuple(self.step_nodes), self.module_names)
        made.meta["caffe"] = (self.net, names)
        return made.eval()


_RESERVED = {
    *dir(CaffeGraphModule),
    *vars(fx.GraphModule(nn.Module(), fx.Graph())),
    *keyword.kwlist,
    "self",  # the first argument of the generated forward
}


def identifier(name: str, taken: set[str]) -> str:
    """A Python name for any layer name, different from those taken; ASCII, never code."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    plain = plain if plain and not plain[0].isdigit() else f"_{plain}"
    plain = f"{plain}_" if plain in _RESERVED else plain
    number, candidate = 1, plain
    while candidate in taken:
        number, candidate = number + 1, f"{plain}_{number}"
    taken.add(candidate)
    return candidate
