"""Engine `torch`: the files are loaded by caffe2fx itself and run as a GraphModule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from caffe2fx.engines.base import Closing
from caffe2fx.messages.message import Shape
from caffe2fx.module.builder import graph_module
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.module.loader import read_net
from caffe2fx.net.step import Step, Value, is_input


class EmbeddedEngine:
    """Runs nets in torch; always available, but proves our reading of the files, not Caffe's."""

    name = "torch"

    def why_missing(self) -> str | None:
        """Return None: it is always available."""
        return None

    def describe(self) -> str:
        """Return the version of torch that runs the net."""
        return f"torch {torch.__version__}, embedded"

    def open(self, prototxt: Path, caffemodel: Path, **options: Any) -> EmbeddedSession:
        """Load the two files."""
        return EmbeddedSession(graph_module(read_net(prototxt, caffemodel, **options)))


class EmbeddedSession(Closing):
    """Holds one loaded GraphModule."""

    def __init__(self, module: CaffeGraphModule) -> None:
        self.module = module
        self.net = module.caffe.net
        self.layers = {layer: name for name, layer in module.caffe.names.modules.items()}
        self._published: dict[str, Tensor] = {}
        self.program = f"torch {torch.__version__}"

    def reshape(self, shapes: Sequence[Shape]) -> None:
        """Check the shapes as Caffe would; the modules themselves accept any."""
        self.net = self.net.reshaped(shapes)
        self.net.shapes()

    def run(self, inputs: Sequence[Tensor]) -> Iterator[tuple[Step, tuple[Tensor, ...]]]:
        """Yield each step in order with its tops."""
        values: dict[Value, Tensor] = {}
        stream = self.module.caffe.stream(*inputs)
        for step in self.net.steps:
            started = perf_counter()
            while any(top not in values for top in step.tops):
                with torch.no_grad():
                    values.update([next(stream)])
            self.seconds = perf_counter() - started
            tops = tuple(values.pop(top) for top in step.tops)
            results = zip(step.tops, tops, strict=True)
            self._published.update({v.blob: t for v, t in results if v in self.net.outputs})
            yield step, tops

    def published(self) -> Mapping[str, Tensor]:
        """Return the outputs of the last run."""
        return self._published

    def feed(self, step: Step, bottoms: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the tops of one step for the given bottoms."""
        if is_input(step):
            return tuple(bottoms)
        if not step.tops:
            return ()
        module: nn.Module = self.module.get_submodule(self.layers[step.name])
        with torch.no_grad():
            result = module.forward(*bottoms)  # without the hooks of the process
        return result if isinstance(result, tuple) else (result,)
