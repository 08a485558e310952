"""fx2caffe.export: an nn.Module in, a Caffe net out, with what is needed to prove it."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from caffe2fx.build import CaffeGraphModule
from caffe2fx.engines import engine as engine_of
from caffe2fx.errors import CaffeError, ShapeMismatchError
from caffe2fx.net import Net, Value
from caffe2fx.origin import Origin
from caffe2fx.report import Report
from caffe2fx.save import save
from caffe2fx.verdict import judge
from fx2caffe import ops, structure
from fx2caffe.batch import FOLLOW_SHAPES, Batch, find_batch
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.frames import origin_of
from fx2caffe.legalize import legalize
from fx2caffe.lower import Lowered, Lowering, leaves
from fx2caffe.passes.fold import fold_affine
from fx2caffe.passes.in_place import renamed_values, run_in_place
from fx2caffe.passes.outputs import expose_outputs
from fx2caffe.passes.prune import prune
from fx2caffe.targets import Target, target as target_of
from fx2caffe.trace import Trace, trace

__all__ = ["Export", "check", "export", "ops"]


@dataclass(frozen=True)
class Export:
    """A Caffe net made from a model.

    `inputs` and `outputs` are blob names in the model's own order (Caffe itself lists outputs
    alphabetically); `rebuild` puts results in that order into the model's own structure.
    `batch_faults` says why the prototxt works for the example's batch only; it is empty where
    the batch may be changed in the Input layers.
    """

    net: Net
    trace: Trace
    example_inputs: tuple[Tensor, ...]
    nodes: Mapping[Value, str]
    target: Target
    batch: Batch = field(default_factory=Batch)
    batch_faults: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Blob names of the inputs."""
        return tuple(value.blob for value in self.net.inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Blob names of the outputs."""
        return tuple(value.blob for value in self.net.outputs)

    @property
    def origins(self) -> dict[str, Origin]:
        """For each layer the module and the source line that it came from."""
        return {step.name: step.origin for step in self.net.steps}

    @property
    def rebuild(self) -> Callable[[Sequence[Any]], Any]:
        """Results in the order of `outputs` to what the model returns."""
        return self.trace.rebuild

    @property
    def batch_is_fixed(self) -> bool:
        """Whether the net works for the example's batch only."""
        return bool(self.batch_faults)

    def save(self, prototxt: str | Path, weights: str | Path) -> None:
        """Write the net; weights ending in .h5 become HDF5. Old files are replaced at the end."""
        save(self.net, prototxt, weights, header=self._header())

    def _header(self) -> str:
        if not self.batch_faults:
            return ""
        return f"The batch of the Input layers is fixed: {'; '.join(self.batch_faults[:3])}"

    def verify(
        self, engine: str = "torch", inputs: Any = None, *, batch: int | None = None
    ) -> Report:
        """Run the net in an engine and compare every feature map with the traced model.

        `inputs` default to the example's; `batch` repeats them with other numbers to that
        batch. Raises EngineError where the engine is missing or dies.
        """
        values = self._inputs(inputs, batch)
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
            self.save(*files)
            with engine_of(engine).open(*files) as session:
                return judge(self.net, session, self.reference, values, engine=engine)

    def _inputs(self, inputs: Any, batch: int | None) -> list[Tensor]:
        given = self.example_inputs
        if inputs is not None:
            args, kwargs = structure.as_inputs(self.trace.module, inputs)
            given = structure.flatten((args, kwargs)).tensors
        if batch is not None and self.batch_is_fixed:
            raise CaffeError(f"the batch is fixed: {'; '.join(self.batch_faults)}")
        generator = torch.Generator().manual_seed(0)
        return [_with_signal(value, batch, generator) for value in given]

    def reference(self, inputs: Sequence[Tensor]) -> dict[Value, Tensor]:
        """What the traced model gives for each value that stands for one of its nodes."""
        module = self.trace.module
        if inputs[0].dtype is torch.float64:
            module = copy.deepcopy(module).double()
        extra = inputs[0].shape[0] - self.example_inputs[0].shape[0] if inputs[0].dim() else 0
        recorder = _Reference(module, set(self.nodes.values()), self.batch, extra)
        with torch.no_grad():
            recorder.run(*inputs)
        dtype = inputs[0].dtype
        return {value: recorder.found[node].to(dtype) for value, node in self.nodes.items()}


class _Reference(fx.Interpreter):
    """Runs the traced graph, also with another batch, and keeps the wanted results."""

    def __init__(
        self, module: fx.GraphModule, wanted: set[str], batch: Batch, extra: int
    ) -> None:
        super().__init__(module)
        self.wanted, self.batch, self.extra = wanted, batch, extra
        self.found: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        if self.extra and n.target in FOLLOW_SHAPES:
            # The traced sizes are those of the example's batch.
            (source,) = n.all_input_nodes
            result: Any = self.env[source].reshape(self.batch.shape(n, self.extra))
        else:
            result = super().run_node(n)
        if n.name in self.wanted:
            self.found[n.name] = result
        return result


def _with_signal(value: Tensor, batch: int | None, generator: torch.Generator) -> Tensor:
    """The example itself, or random numbers of its shape where it is constant or too small."""
    shape = list(value.shape) if batch is None else [batch, *value.shape[1:]]
    flat = value.detach().reshape(-1)
    if batch is None and flat.numel() and bool((flat != flat[0]).any()):
        return value.detach()
    return torch.randn(shape, generator=generator)


def export(
    model: nn.Module,
    example_inputs: Any,
    *,
    target: str | Target = "bvlc",
    fold_batchnorm: bool = True,
    input_names: Sequence[str] | None = None,
) -> Export:
    """Turn a model into a Caffe net for `target`.

    `example_inputs`: a tensor, a tuple of forward's arguments, or a dict by argument name;
    numpy arrays are taken too. `fold_batchnorm` merges BatchNorm into the layer before it.
    The model is not changed. Raises UnsupportedError that lists every operation that cannot
    be exported exactly, with its module and source line.
    """
    has = target_of(target)
    modules, functions = leaves()
    options: dict[str, Any] = {"leaf_modules": modules, "leaf_functions": functions}
    model = nn.Sequential(model) if isinstance(model, tuple(modules)) else model
    traced = _run(model, example_inputs, **options)
    batch = find_batch(model, example_inputs, traced, **options)
    names = _input_names(traced, input_names)
    lowered = _lowered(model, traced, batch, names)
    net, nodes, faults = _optimized(lowered, has, fold_batchnorm)
    return Export(
        net=replace(net, name=_net_name(model)),
        trace=traced,
        example_inputs=_tensors(model, example_inputs),
        nodes=nodes,
        target=has,
        batch=batch,
        batch_faults=(*batch.faults, *lowered.batch_faults, *faults),
    )


def _run(model: nn.Module, example_inputs: Any, **options: Any) -> Trace:
    """Trace; an error of the model itself is told with the user's line, and chained."""
    try:
        return trace(model, example_inputs, **options)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, CaffeError):
            raise
        place = origin_of(error, "")
        raise ShapeMismatchError(f"the model does not run on these inputs: {error}; {place}") from error


def check(
    model: nn.Module, example_inputs: Any, *, target: str | Target = "bvlc"
) -> tuple[Refusal, ...]:
    """Every reason for which `model` cannot be exported for `target`; empty if it can.

    Nothing is written and nothing large is computed.
    """
    has = target_of(target)
    modules, functions = leaves()
    try:
        traced = _run(
            model, example_inputs, leaf_modules=modules, leaf_functions=functions, values="fake"
        )
        lowered = _lowered(model, traced, Batch(), _input_names(traced, None))
        legalize(lowered.steps, dict(lowered.symbols), has)
    except UnsupportedError as error:
        return error.refusals
    return ()


def _lowered(model: nn.Module, traced: Trace, batch: Batch, names: dict[str, str]) -> Lowered:
    graph = traced.module.graph
    return Lowering(graph, traced.module, batch.others, names, _module_names(model)).run()


def _tensors(model: nn.Module, example_inputs: Any) -> tuple[Tensor, ...]:
    return structure.flatten(structure.as_inputs(model, example_inputs)).tensors


def _input_names(traced: Trace, given: Sequence[str] | None) -> dict[str, str]:
    """Blob names of the placeholders: `data` for a single one, Caffe's habit."""
    own = [node.name for node in traced.module.graph.nodes if node.op == "placeholder"]
    names = list(given) if given is not None else (["data"] if len(own) == 1 else traced.input_names)
    if len(names) != len(own) or len(set(names)) != len(names):
        raise CaffeError(f"input_names needs {len(own)} different names, got {list(names)}")
    return dict(zip(own, names, strict=True))


def _net_name(model: nn.Module) -> str:
    return model.caffe.net.name if isinstance(model, CaffeGraphModule) else type(model).__name__


def _module_names(model: nn.Module) -> Mapping[str, str]:
    """Layer names of a model that came from Caffe itself, by module path."""
    return model.caffe.names.modules if isinstance(model, CaffeGraphModule) else {}


def _optimized(
    lowered: Lowered, has: Target, fold_batchnorm: bool
) -> tuple[Net, dict[Value, str], list[str]]:
    """Legalize and run the passes; follow which traced node each value stands for."""
    symbols = dict(lowered.symbols)
    emitter = legalize(lowered.steps, symbols, has)
    nodes = {symbols[value].value: node for value, node in lowered.nodes.items() if value in symbols}
    net = prune(Net(tuple(emitter.steps), tuple(symbols[s.value].value for s in lowered.outputs)))
    net = fold_affine(net) if fold_batchnorm else net
    net, copies = expose_outputs(net)
    nodes.update({copy: nodes[value] for copy, value in copies.items() if value in nodes})
    placed = run_in_place(net)
    renamed = renamed_values(net, placed)
    nodes = {renamed[value]: node for value, node in nodes.items() if value in renamed}
    return placed, nodes, emitter.batch_faults
