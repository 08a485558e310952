"""Source: the model that is exported, its example inputs, and the names that Caffe gave it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from caffe2fx.errors import CaffeError
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.net.step import Value
from fx2caffe.lowering.integer_magnitudes import IntegerRanges, Ranges
from fx2caffe.lowering.lowering import Lowered, Lowering
from fx2caffe.lowering.registry import leaves
from fx2caffe.tracing.batch.batch_analysis import Batch
from fx2caffe.tracing.model import model_inputs, pytree
from fx2caffe.tracing.model.precision import Replaced, inputs_in_float32
from fx2caffe.tracing.tracer import Trace


@dataclass(frozen=True)
class Source:
    """Holds a model with example inputs in float32; one that came from Caffe keeps its names.

    `replaced` are the precisions that its weights and inputs had before.
    """

    model: nn.Module
    inputs: Any
    replaced: Replaced = frozenset()

    @classmethod
    def prepared(cls, model: nn.Module, example_inputs: Any, replaced: Replaced) -> Source:
        """Return the source to trace; a model that is a leaf itself gets a module around it."""
        for part in model.modules() if isinstance(model, nn.Module) else ():
            if isinstance(part, CaffeGraphModule):
                part.check_files()
        inputs = inputs_in_float32(model, example_inputs)
        is_leaf = isinstance(model, tuple(leaves()[0]))
        return cls(nn.Sequential(model) if is_leaf else model, inputs, replaced)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Return the tensors of the example inputs, in order."""
        return pytree.flatten(model_inputs.as_inputs(self.model, self.inputs)).tensors

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Return the modules of the model by path; a plain function has none."""
        return dict(self.model.named_modules()) if isinstance(self.model, nn.Module) else {}

    @property
    def name(self) -> str:
        """Return the name of the net."""
        caffe = self._caffe
        return type(self.model).__name__ if caffe is None else caffe.caffe.net.name

    @property
    def _caffe(self) -> CaffeGraphModule | None:
        return self.model if isinstance(self.model, CaffeGraphModule) else None

    def input_names(self, traced: Trace, given: Sequence[str] | None) -> dict[str, str]:
        """Return blob names by placeholder: the given ones, those in Caffe, or `data` for one."""
        own = [node.name for node in traced.module.graph.nodes if node.op == "placeholder"]
        usual: Sequence[str] = ["data"] if len(own) == 1 else traced.input_names
        if self._caffe is not None and len(own) == len(self._caffe.caffe.inputs):
            usual = self._caffe.caffe.inputs
        names = list(usual if given is None else given)
        if len(names) != len(own) or len(set(names)) != len(names):
            raise CaffeError(f"input_names needs {len(own)} different names, got {names}")
        return dict(zip(own, names, strict=True))

    def lowering(
        self,
        traced: Trace,
        batch: Batch,
        names: Mapping[str, str],
        ranges: Ranges | None,
        *,
        placeholders: bool = False,
    ) -> Lowered:
        """Lower the traced graph. Raises UnsupportedError with all refusals."""
        return Lowering(
            traced.module.graph,
            traced.module,
            batch,
            names,
            {} if self._caffe is None else self._caffe.caffe.names.modules,
            integers=IntegerRanges(traced.module, self.tensors, names, ranges),
            placeholders=placeholders,
            tops=self._tops(),
        ).run()

    def _tops(self) -> Mapping[str, Sequence[str]]:
        """Return the blobs of each layer of a net that came from Caffe, by module path."""
        if self._caffe is None:
            return {}
        layers = zip(self._caffe.caffe.names.modules, self._caffe.caffe.layers(), strict=True)
        return {path: [top.blob for top in step.tops] for path, (step, _) in layers}

    def output_blobs(self, lowered: Lowered) -> dict[Value, str]:
        """Return the blob names that the outputs of a net from Caffe had there."""
        names = () if self._caffe is None else self._caffe.caffe.outputs
        if len(names) != len(lowered.outputs):
            return {}
        return dict(zip((output.value for output in lowered.outputs), names, strict=True))
