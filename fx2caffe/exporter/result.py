"""Export: a Caffe net made from a model, with all that saving and verifying it takes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from caffe2fx.engines import Engine, best_engine
from caffe2fx.engines import engine as engine_of
from caffe2fx.engines.dump import DumpEngine
from caffe2fx.errors import CaffeError, CaffeFileError, ShapeMismatchError
from caffe2fx.files import prototxt as text
from caffe2fx.files.dump_readers import read_dump
from caffe2fx.files.feature_dump import Dump, write_dump
from caffe2fx.module.builder import graph_module
from caffe2fx.module.graph_module import feature_maps
from caffe2fx.module.loader import read_net
from caffe2fx.module.save import named_for, prototxt_of, save, weights_suffix, write_weights
from caffe2fx.net.difference import first_difference
from caffe2fx.net.evaluate import Reference, StepwiseEvaluation
from caffe2fx.net.net import Net
from caffe2fx.net.step import Value
from caffe2fx.origin import Origin
from caffe2fx.plain_torch import plain_torch
from caffe2fx.verdict.both_sides import weights_of
from caffe2fx.verdict.dump_comparison import compare_with_dump
from caffe2fx.verdict.judge import judge
from caffe2fx.verdict.output_trial import with_outputs_tried
from caffe2fx.verdict.result.dump_report import DumpReport, Thresholds
from caffe2fx.verdict.result.report import Report
from caffe2fx.weights.atomic import file_errors
from caffe2fx.weights.mapped import check_unwritten
from caffe2fx.weights.pairing import check_pair, stated_in_text
from fx2caffe.exporter.module_map import Map, map_of
from fx2caffe.exporter.reference import run_reference, with_signals
from fx2caffe.exporter.verify_placeholders import FedPlaceholders
from fx2caffe.legalize.placeholders import Unverified
from fx2caffe.preprocessing import Preprocessing
from fx2caffe.targets import Target
from fx2caffe.tracing.batch.batch_analysis import Batch
from fx2caffe.tracing.model import model_inputs, pytree
from fx2caffe.tracing.tracer import Trace
from fx2caffe.tracing.values.samples import with_more


@dataclass(frozen=True, repr=False)
class Export:
    """Holds a Caffe net made from a model, and saves and verifies it.

    `inputs` and `outputs` are blob names in the model's own order (Caffe itself lists outputs
    alphabetically); `rebuild` puts results in that order into the model's own structure.
    `batch_faults` states why the prototxt works for the example's batch size only; it is empty
    where the batch may be changed in the Input layers. `example_inputs` are the model's own: where
    `preprocessing` (by input blob) is not empty, the net takes the raw pixels behind them.
    `unverified` lists the placeholders of refused operations (see `on_unsupported`).
    """

    net: Net
    trace: Trace
    example_inputs: tuple[Tensor, ...]
    nodes: Mapping[Value, str]
    target: Target
    batch: Batch = field(default_factory=Batch)
    batch_faults: tuple[str, ...] = ()
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)
    unverified: tuple[Unverified, ...] = ()

    def __repr__(self) -> str:
        return f"<Export for {self.target.name!r}: {self.net!r}>"

    def _repr_html_(self) -> str:
        return self.net._repr_html_()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the blob names of the inputs, in the model's order."""
        return tuple(value.blob for value in self.net.inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the blob names of the outputs, in the model's order."""
        return tuple(value.blob for value in self.net.outputs)

    @property
    def origins(self) -> dict[str, Origin]:
        """Return the module and the source line that each layer came from, by the layer's name."""
        return {step.name: step.origin for step in self.net.steps}

    @property
    def map(self) -> Map:
        """Return the tops of all layers with their modules, blobs, shapes and source lines."""
        return map_of(self.net, self.nodes, self.trace.returned)

    def save_map(self, path: str | Path) -> None:
        """Write `map` as .json or .tsv. Raises CaffeError for another suffix."""
        self.map.save(path)

    @property
    def rebuild(self) -> Callable[[Sequence[Any]], Any]:
        """Return the function that rebuilds the model's own results from a list as in `outputs`."""
        return self.trace.rebuild

    @property
    def batch_is_fixed(self) -> bool:
        """Return whether the net works for the example's batch only."""
        return bool(self.batch_faults)

    def save(self, prototxt: str | Path, weights: str | Path) -> None:
        """Write the net; weights ending in .h5 become HDF5. Old files are replaced last.

        Caffe finds no layers with "/" in their names in HDF5: both files have "_" there then.
        """
        text_rewrites = self.target.text_rewrites
        save(self.net, prototxt, weights, header=self._header(), text_rewrites=text_rewrites)

    def save_weights(self, prototxt: str | Path, weights: str | Path) -> None:
        """Write the weights only, for a prototxt that exists and stays unchanged.

        Raises CaffeError that names the first difference if anything but weights differs from
        that prototxt; the batch of its inputs may, where it is not fixed. Nothing is written then.
        """
        self._check_same(prototxt, weights)
        if os.path.realpath(prototxt) == os.path.realpath(weights):
            raise CaffeFileError(f"prototxt and weights need different paths, got {weights} twice")
        with file_errors():
            identifier = stated_in_text(prototxt)
        write_weights(named_for(self.net, weights), weights, identifier)

    def _check_same(self, prototxt: str | Path, weights: str | Path) -> None:
        with file_errors():
            found = text.read(prototxt)
        free = not self.batch_is_fixed
        difference = first_difference(named_for(self.net, weights), found, free_batch=free)
        if difference is not None:
            raise CaffeError(f"{prototxt} is another net than the model's: {difference}")

    @property
    def prototxt(self) -> str:
        """Return the text of the prototxt."""
        return prototxt_of(self.net, header=self._header(), text_rewrites=self.target.text_rewrites)

    def _header(self) -> str:
        # Source lines are left out, so that two machines write the same bytes.
        lines = [
            f"NOT VERIFIED, a placeholder: {one.layer}: {one.op} {one.reason}"
            for one in self.unverified
        ]
        if self.batch_faults:
            reasons = "; ".join(self.batch_faults[:3])
            lines.append(f"The batch of the Input layers is fixed: {reasons}")
        return "\n".join(line.replace("\n", " ") for line in lines)

    @plain_torch()
    def verify(
        self,
        engine: str | Engine = "torch",
        inputs: Any = None,
        *,
        batch: int | None = None,
        files: tuple[Path, Path] | None = None,
    ) -> Report:
        """Run the net in an engine and compare every feature map with the traced model.

        `engine` is a name (caffe2fx.engines.NAMES), "best" for the strongest there that runs nets
        of the target, or an Engine that is kept for many nets. `inputs` are the net's own (raw
        pixels where it does the preprocessing) and default to the example's; `batch` asks for that
        batch size, with other values. Without it, a net whose batch is free is also run with one
        sample more, for its outputs. `files`, a prototxt and its weights, are run in place of the
        net as it would be saved now. Raises EngineError where the engine is missing or dies,
        ShapeMismatchError for inputs of shapes on which the net does not run, and CaffeError for
        files of another net.
        """
        check_unwritten((*self.trace.module.parameters(), *self.trace.module.buffers()))
        chosen = best_engine(self.target.judges) if engine == "best" else engine
        values, runner = self.verify_inputs(inputs, batch), engine_of(chosen)
        if self.unverified:
            return self._verify_with_placeholders(values, runner, files)
        with ExitStack() as stack:
            if files is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                files = _files(self.net, folder)
                # Written as by `save` if the engine reads that, else as for every engine.
                text_rewrites = (
                    self.target.text_rewrites if runner.name in self.target.judges else ()
                )
                save(self.net, *files, text_rewrites=text_rewrites, durable=False)
            else:
                self._check_same(*files)
                with file_errors():
                    check_pair(*files)
            with file_errors():
                session = stack.enter_context(runner.open(*files))
            known = self.as_reference()
            net = named_for(self.net, files[1])
            judged = judge(net, session, known, values, engine=runner.name)
            report = self._with_context(judged, files)
            is_dump = isinstance(runner, DumpEngine)  # it holds only the run that was dumped
            has_batch = values[0].dim() > 0
            if batch is not None or self.batch_is_fixed or is_dump or not (report.ok and has_batch):
                return report
            more = with_more(values, 1)
            run_name = f"with a batch of {len(more[0])}"
            return with_outputs_tried(report, net, session, known, more, run_name)

    def _verify_with_placeholders(
        self, values: Sequence[Tensor], runner: Engine, files: tuple[Path, Path] | None
    ) -> Report:
        """Judge all but the placeholders, whose tops are fed from the reference."""
        if files is not None:
            raise CaffeError("files with placeholders cannot be run, got some")
        judged = FedPlaceholders(self.net, self.unverified, self.as_reference())
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            paths = _files(judged.net, folder)
            save(judged.net, *paths, durable=False)
            session = stack.enter_context(runner.open(*paths))
            given = judged.fed(values)
            report = judge(judged.net, session, judged.as_reference(), given, engine=runner.name)
            return self._with_context(judged.report(report), paths)

    def _with_context(self, report: Report, files: tuple[Path, Path]) -> Report:
        """Return the report with the model, the target, and the weights of the layers at fault."""
        net = named_for(self.net, files[1])
        weights = weights_of(report, lambda: read_net(*files), net)
        return report.with_context(model=self.net.name, target=self.target.name, parameters=weights)

    def verify_inputs(self, inputs: Any = None, batch: int | None = None) -> list[Tensor]:
        """Return the tensors that `verify` feeds to the net, for these inputs or the example's."""
        if batch is not None and self.batch_is_fixed:
            raise CaffeError(f"the batch is fixed: {'; '.join(self.batch_faults)}")
        generator = torch.Generator().manual_seed(0)
        if inputs is None:
            given = with_signals(self.example_inputs, batch, generator)
            return [self._raw(name, v) for name, v in zip(self.inputs, given, strict=True)]
        return with_signals(self._checked(inputs), batch, generator)

    def _checked(self, inputs: Any) -> list[Tensor]:
        """Return the caller's inputs of the net as tensors, in the net's order."""
        args, kwargs = model_inputs.as_inputs(self.trace.module, inputs)
        given = list(pytree.flatten((args, kwargs)).tensors)
        self._check_shapes(given)
        return given

    def _check_shapes(self, inputs: Sequence[Tensor]) -> None:
        wanted = [tuple(value.shape) for value in self.example_inputs]
        shapes = [tuple(value.shape) for value in inputs]
        if [len(shape) for shape in shapes] != [len(shape) for shape in wanted]:
            raise ShapeMismatchError(f"the net needs inputs like {wanted}, got {shapes}")
        if self.batch_is_fixed and shapes != wanted:
            raise ShapeMismatchError(f"the net needs inputs {wanted}, got {shapes}")
        self.net.reshaped(shapes).check_blobs()

    def _raw(self, blob: str, value: Tensor) -> Tensor:
        """Return the net's input (raw pixels, perhaps) for which the model gets `value`."""
        wanted = self.preprocessing.get(blob)
        return value if wanted is None else wanted.undo(value)

    def reference(self, inputs: Sequence[Tensor]) -> dict[Value, Tensor]:
        """Return the traced model's result for each value of the net that holds a traced node.

        They have the dtype of the inputs that are floats, float32 where all are integers.
        """
        floats = (value.dtype for value in inputs if value.is_floating_point())
        dtype = next(floats, torch.float32)
        return dict(self.as_reference().run([value.to(dtype) for value in inputs]))

    def dump(self, path: str | Path, inputs: Any = None) -> None:
        """Write every feature map of the model with the inputs and a manifest.

        A `path` ending in .npz or .safetensors becomes that file, any other a folder of .npy.
        `inputs` are the net's own and default to the example's.
        """
        values = self._inputs_or_example(inputs)
        fed = dict(zip(self.inputs, values, strict=True))
        write_dump(path, fed, feature_maps(self.net, self._all(values)), self.outputs)

    def compare(
        self,
        dump: str | Path | Dump,
        inputs: Any = None,
        *,
        thresholds: Thresholds | Mapping[str, float] | None = None,
    ) -> DumpReport:
        """Compare the net with the feature maps of a dump, as caffe2fx.compare does.

        Raises CaffeError for a net with placeholders, which nothing here can run.
        """
        if self.unverified:
            names = [one.layer for one in self.unverified]
            raise CaffeError(f"compare needs a net without placeholders, got layers {names}")
        read = dump if isinstance(dump, Dump) else read_dump(dump)
        given = None if inputs is None else tuple(self._inputs_or_example(inputs))
        return compare_with_dump(graph_module(self.net), read, given, thresholds=thresholds)

    def _inputs_or_example(self, inputs: Any) -> list[Tensor]:
        """Return the net's inputs: the caller's, or the example's, unchanged."""
        if inputs is not None:
            return self._checked(inputs)
        pairs = zip(self.inputs, self.example_inputs, strict=True)
        return [self._raw(name, value.detach()) for name, value in pairs]

    @torch.no_grad()
    def _all(self, inputs: Sequence[Tensor]) -> Iterator[tuple[Value, Tensor]]:
        """Yield every value of the net: the model's own, and those computed within a rewrite."""
        stream = StepwiseEvaluation(
            self.net, self.as_reference(), [value.float() for value in inputs]
        )
        for step in self.net.steps:
            stream.enter(step)
            yield from ((top, stream.values[top]) for top in step.tops)
            stream.leave(step)

    def as_reference(self) -> Reference:
        """Return the traced model as the verdict's reference."""
        return Reference({*self.nodes, *self.net.inputs}, self._stream)

    def _stream(self, inputs: Sequence[Tensor]) -> Iterator[tuple[Value, Tensor]]:
        fed = [
            self.preprocessing[name].apply(value) if name in self.preprocessing else value
            for name, value in zip(self.inputs, inputs, strict=True)
        ]
        given = dict(zip(self.net.inputs, inputs, strict=True))
        values: dict[str, list[Value]] = {}
        for value, node in self.nodes.items():
            if value not in given:
                values.setdefault(node, []).append(value)
        yield from given.items()
        found = run_reference(self.trace.module, self.batch, self.example_inputs, fed)
        for node, result in found:
            for value in values.get(node, ()):
                yield value, result.to(inputs[0].dtype)


def _files(net: Net, folder: str) -> tuple[Path, Path]:
    return Path(folder, "net.prototxt"), Path(folder, f"net{weights_suffix(net)}")
