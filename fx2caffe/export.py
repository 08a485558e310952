"""fx2caffe.export: an nn.Module in, a Caffe net out, with what is needed to prove it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from caffe2fx import prototxt as text
from caffe2fx.atomic import file_errors
from caffe2fx.build import CaffeGraphModule
from caffe2fx.difference import first_difference
from caffe2fx.engines import Engine
from caffe2fx.engines import engine as engine_of
from caffe2fx.errors import CaffeError, CaffeFileError, ShapeMismatchError
from caffe2fx.layer import BVLC, Operation
from caffe2fx.net import Net, Value
from caffe2fx.origin import Origin
from caffe2fx.pairing import check_pair, stated_in_text
from caffe2fx.report import Report
from caffe2fx.save import prototxt_of, save, weights_suffix, write_weights
from caffe2fx.stream import Reference
from caffe2fx.verdict import judge
from fx2caffe import ops, structure
from fx2caffe.around import Around
from fx2caffe.batch import Batch, find_batch
from fx2caffe.emit import BatchFixed
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.legalize.unsupported import Unverified
from fx2caffe.lower import Lowered, Lowering, leaves
from fx2caffe.map import Map, map_of
from fx2caffe.passes.preprocess import Preprocessing
from fx2caffe.pipeline import Finished, Options, finish, legal_net
from fx2caffe.precision import in_float32, inputs_in_float32
from fx2caffe.reference import run_reference, with_signals
from fx2caffe.targets import Target
from fx2caffe.targets import target as target_of
from fx2caffe.trace import Trace, trace

__all__ = ["Export", "check", "export", "ops"]

T = TypeVar("T")


@dataclass(frozen=True)
class Export:
    """A Caffe net made from a model.

    `inputs` and `outputs` are blob names in the model's own order (Caffe itself lists outputs
    alphabetically); `rebuild` puts results in that order into the model's own structure.
    `batch_faults` says why the prototxt works for the example's batch only; it is empty where
    the batch may be changed in the Input layers. `example_inputs` are the model's own: where
    `preprocessing` (by input blob) is not empty, the net takes the raw pixels behind them.
    `unverified` lists the placeholders for what the target cannot say (see `on_unsupported`).
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
    def map(self) -> Map:
        """Which module became which layer and blob."""
        return map_of(self.net, self.nodes, self.trace.returned)

    def save_map(self, path: str | Path) -> None:
        """Write `map` as .json or .tsv."""
        self.map.save(path)

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
        spelling = self.target.spelling
        save(self.net, prototxt, weights, header=self._header(), spelling=spelling)

    def save_weights(self, prototxt: str | Path, weights: str | Path) -> None:
        """Write the weights alone, for a prototxt that is there already and stays as it is.

        Raises CaffeError that names the first difference if anything but weights differs from
        that prototxt; the batch of its inputs may, where it is not fixed. Nothing is written then.
        """
        self._check_same(prototxt)
        if os.path.realpath(prototxt) == os.path.realpath(weights):
            raise CaffeFileError(f"prototxt and weights need different paths, got {weights} twice")
        with file_errors():
            identifier = stated_in_text(prototxt)
        write_weights(self.net, weights, identifier)

    def _check_same(self, prototxt: str | Path) -> None:
        with file_errors():
            found = text.read(prototxt)
        free = not self.batch_is_fixed
        difference = first_difference(self.net, found, free_batch=free)
        if difference is not None:
            raise CaffeError(f"{prototxt} is another net than the model's: {difference}")

    @property
    def prototxt(self) -> str:
        """The text of the prototxt."""
        return prototxt_of(self.net, header=self._header(), spelling=self.target.spelling)

    def _header(self) -> str:
        lines = [f"NOT VERIFIED, a placeholder: {one}" for one in self.unverified]
        if self.batch_faults:
            reasons = "; ".join(self.batch_faults[:3])
            lines.append(f"The batch of the Input layers is fixed: {reasons}")
        return "\n".join(line.replace("\n", " ") for line in lines)

    def verify(
        self,
        engine: str | Engine = "torch",
        inputs: Any = None,
        *,
        batch: int | None = None,
        files: tuple[Path, Path] | None = None,
    ) -> Report:
        """Run the net in an engine and compare every feature map with the traced model.

        `engine` is a name (caffe2fx.engines.NAMES), or an Engine that is kept for many nets.
        `inputs` are what the net takes (raw pixels where it does the preprocessing) and default
        to the example's; `batch` repeats them with other numbers to that batch. `files`, a
        prototxt and its weights, are run in place of the net as it would be saved now. Raises
        EngineError where the engine is missing or dies, ShapeMismatchError for inputs of shapes
        on which the net does not run, and CaffeError for files of another net.
        """
        values, runner = self.verify_inputs(inputs, batch), engine_of(engine)
        if self.unverified:
            return self._verify_around(values, runner, files)
        with ExitStack() as stack:
            if files is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                files = _files(self.net, folder)
                save(self.net, *files, durable=False)  # as every engine reads it
            else:
                self._check_same(files[0])
                with file_errors():
                    check_pair(*files)
            with file_errors():
                session = stack.enter_context(runner.open(*files))
            return judge(self.net, session, self.as_reference(), values, engine=runner.name)

    def _verify_around(
        self, values: Sequence[Tensor], runner: Engine, files: tuple[Path, Path] | None
    ) -> Report:
        """Judge all but the placeholders: what follows them is fed with the reference's values."""
        if files is not None:
            raise CaffeError("files with placeholders cannot be run, got some")
        around = Around(self.net, self.unverified, self.as_reference())
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            paths = _files(around.net, folder)
            save(around.net, *paths, durable=False)
            session = stack.enter_context(runner.open(*paths))
            given = around.fed(values)
            report = judge(around.net, session, around.as_reference(), given, engine=runner.name)
        return around.report(report)

    def verify_inputs(self, inputs: Any = None, batch: int | None = None) -> list[Tensor]:
        """The tensors that `verify` feeds the net with."""
        if batch is not None and self.batch_is_fixed:
            raise CaffeError(f"the batch is fixed: {'; '.join(self.batch_faults)}")
        generator = torch.Generator().manual_seed(0)
        if inputs is None:
            given = with_signals(self.example_inputs, batch, generator)
            return [self._raw(name, v) for name, v in zip(self.inputs, given, strict=True)]
        args, kwargs = structure.as_inputs(self.trace.module, inputs)
        given = list(structure.flatten((args, kwargs)).tensors)
        self._check_shapes(given)
        return with_signals(given, batch, generator)

    def _check_shapes(self, inputs: Sequence[Tensor]) -> None:
        wanted = [tuple(value.shape) for value in self.example_inputs]
        shapes = [tuple(value.shape) for value in inputs]
        if [len(shape) for shape in shapes] != [len(shape) for shape in wanted]:
            raise ShapeMismatchError(f"the net needs inputs like {wanted}, got {shapes}")
        if self.batch_is_fixed and shapes != wanted:
            raise ShapeMismatchError(f"the net needs inputs {wanted}, got {shapes}")
        self.net.reshaped(shapes).check_blobs()

    def _raw(self, blob: str, value: Tensor) -> Tensor:
        """What the net takes in order that the model is fed with `value`."""
        wanted = self.preprocessing.get(blob)
        return value if wanted is None else wanted.undo(value)

    def reference(self, inputs: Sequence[Tensor]) -> dict[Value, Tensor]:
        """What the traced model gives for each value that stands for one of its nodes."""
        return dict(self.as_reference().run(inputs))

    def as_reference(self) -> Reference:
        """The traced model as the verdict's reference."""
        return Reference({*self.nodes, *self.net.inputs}, self._stream)

    def _stream(self, inputs: Sequence[Tensor]) -> Iterator[tuple[Value, Tensor]]:
        fed = [
            self.preprocessing[name].apply(value) if name in self.preprocessing else value
            for name, value in zip(self.inputs, inputs, strict=True)
        ]
        values: dict[str, list[Value]] = {}
        for value, node in self.nodes.items():
            if value not in self.net.inputs:
                values.setdefault(node, []).append(value)
        yield from zip(self.net.inputs, inputs, strict=True)
        found = run_reference(self.trace.module, self.batch, self.example_inputs, fed)
        for node, result in found:
            for value in values.get(node, ()):
                yield value, result.to(inputs[0].dtype)


def _files(net: Net, folder: str) -> tuple[Path, Path]:
    return Path(folder, "net.prototxt"), Path(folder, f"net{weights_suffix(net)}")


def export(
    model: nn.Module,
    example_inputs: Any,
    *,
    target: str | Target = "bvlc",
    outputs: Sequence[str] | None = None,
    preprocessing: Preprocessing | Mapping[str, Preprocessing] | None = None,
    fold_batchnorm: bool = True,
    input_names: Sequence[str] | None = None,
    name_limit: int | None = None,
    name_alphabet: str | None = None,
    on_unsupported: str = "refuse",
) -> Export:
    """Turn a model into a Caffe net for `target`.

    `example_inputs`: a tensor, a tuple of forward's arguments, or a dict by argument name;
    numpy arrays are taken too. Models in half or double precision, or on another device, are
    exported as float32. `outputs` cuts the net at module paths (what the last call of
    "layer3" returned, or the first of "layer3:0"; where every name has its number, what comes
    after is not even run) or names of traced nodes. `preprocessing` makes the net take raw
    pixels; with several inputs it is a dict by blob name. `fold_batchnorm` merges BatchNorm
    into the layer before it. `input_names` are the inputs' blob names. `name_limit` (in
    characters) and `name_alphabet` (a regular expression for one character) limit layer and
    blob names; beyond 2 GB, which only HDF5 holds, they have no "/" in any case. With
    `on_unsupported="custom"` what would be refused goes out as the target's own placeholder (a
    Custom layer for nnie, a Python layer for others): such a net runs only where somebody gives
    those a meaning, and `Export.unverified` lists them.

    The model is not changed. Raises UnsupportedError that lists every operation that cannot
    be exported exactly, with its module and source line, and CaffeError for options that do
    not fit the model.
    """
    model, inputs = _prepared(model, example_inputs)
    has = target_of(target)
    if on_unsupported not in ("refuse", "custom"):
        raise CaffeError(f"on_unsupported needs to be refuse or custom, got {on_unsupported!r}")
    custom = on_unsupported == "custom"

    def exported(options: dict[str, Any]) -> Export:
        traced = trace(model, inputs, held_to_model=True, **options)
        batch = find_batch(model, inputs, traced, **options)
        names = _input_names(traced, input_names)

        def made(batch: Batch) -> tuple[Lowered, Finished]:
            lowered = _lowered(model, traced, batch, names, placeholders=custom)
            wanted = _by_blob(preprocessing, lowered)
            rest = _net_name(model), fold_batchnorm, wanted, name_limit, name_alphabet, custom
            parameters = {parameter.data_ptr() for parameter in traced.module.parameters()}
            return lowered, finish(lowered, Options(has, *rest), parameters)

        (lowered, finished), faults = _for_any_batch(made, batch, has)
        wanted = _by_blob(preprocessing, lowered)
        raw = {
            new.blob: wanted[old.blob]
            for old, new in zip(lowered.symbols, finished.net.inputs, strict=True)
            if old.blob in wanted
        }
        values = _tensors(model, inputs), finished.nodes, has, batch, faults, raw
        return Export(finished.net, traced, *values, finished.unverified)

    with in_float32(model):
        return _taking_apart(model, has, _trace_options(outputs), exported)


def _taking_apart(
    model: nn.Module, target: Target, options: dict[str, Any], made: Callable[[dict[str, Any]], T]
) -> T:
    """What `made` gives for a model that is traced with these options.

    Where the target lacks layers that only forks of Caffe have, and so refuses, the model is
    traced once more as if torch's functions stood there that such layers mean.
    """
    apart = partial(_lacks, target)
    try:
        return made(options)
    except UnsupportedError as refused:
        if not any(map(apart, model.modules())):
            raise
        try:
            return made({**options, "taken_apart": apart})
        except UnsupportedError:
            raise refused from None


def _lacks(target: Target, module: nn.Module) -> bool:
    """Whether the module is a layer that only forks of Caffe have, and not the target."""
    if not isinstance(module, Operation):
        return False
    return BVLC not in module.layer.dialects and not target.has(module.layer)


def _for_any_batch(
    made: Callable[[Batch], T], batch: Batch, target: Target
) -> tuple[T, tuple[str, ...]]:
    """What `made` gives for any batch, or else for the example's alone and the reasons for it."""
    if batch.faults:
        return made(Batch()), batch.faults
    if target.batch is not None:
        return made(Batch()), (f"target {target.name!r} runs batch {target.batch} only",)
    try:
        return made(batch), ()
    except BatchFixed as error:
        return made(Batch()), (str(error),)
    except UnsupportedError as error:
        return made(Batch()), tuple(map(str, error.refusals))


def _prepared(model: nn.Module, example_inputs: Any) -> tuple[nn.Module, Any]:
    """The model and the inputs that are traced in place of the caller's."""
    modules, _ = leaves()
    for part in model.modules() if isinstance(model, nn.Module) else ():
        if isinstance(part, CaffeGraphModule):
            part.check_files()
    inputs = inputs_in_float32(model, example_inputs)
    return nn.Sequential(model) if isinstance(model, tuple(modules)) else model, inputs


def _trace_options(outputs: Sequence[str] | None) -> dict[str, Any]:
    modules, functions = leaves()
    if outputs is not None and (isinstance(outputs, str) or not outputs):
        raise CaffeError(f"outputs needs a list of one name or more, got {outputs!r}")
    return {"leaf_modules": modules, "leaf_functions": functions, "outputs": outputs}


def _by_blob(
    given: Preprocessing | Mapping[str, Preprocessing] | None, lowered: Lowered
) -> dict[str, Preprocessing]:
    """The preprocessing of each input blob that has one."""
    names = [value.blob for value in lowered.symbols]
    if not isinstance(given, Preprocessing):
        return dict(given or {})
    if len(names) != 1:
        raise CaffeError(f"preprocessing needs a dict by input for {names}, got {given}")
    return {names[0]: given}


def check(
    model: nn.Module,
    example_inputs: Any,
    *,
    target: str | Target = "bvlc",
    outputs: Sequence[str] | None = None,
) -> tuple[Refusal, ...]:
    """Every reason for which `model` cannot be exported for `target`; empty if it can.

    Nothing is written and nothing large is computed. `outputs` are those of `export`.
    """
    has = target_of(target)
    model, inputs = _prepared(model, example_inputs)

    def tried(options: dict[str, Any]) -> tuple[Refusal, ...]:
        traced = trace(model, inputs, values="fake", **options)
        lowered = _lowered(model, traced, Batch(), _input_names(traced, None))
        legal_net(lowered, dict(lowered.symbols), has)
        return ()

    try:
        with in_float32(model):
            return _taking_apart(model, has, _trace_options(outputs), tried)
    except UnsupportedError as error:
        return error.refusals


def _lowered(
    model: nn.Module,
    traced: Trace,
    batch: Batch,
    names: dict[str, str],
    *,
    placeholders: bool = False,
) -> Lowered:
    own = _module_names(model)
    graph, root = traced.module.graph, traced.module
    return Lowering(graph, root, batch.others, names, own, placeholders=placeholders).run()


def _tensors(model: nn.Module, example_inputs: Any) -> tuple[Tensor, ...]:
    return structure.flatten(structure.as_inputs(model, example_inputs)).tensors


def _input_names(traced: Trace, given: Sequence[str] | None) -> dict[str, str]:
    """Blob names of the placeholders: `data` for a single one, Caffe's habit."""
    own = [node.name for node in traced.module.graph.nodes if node.op == "placeholder"]
    usual = ["data"] if len(own) == 1 else traced.input_names
    names = list(usual if given is None else given)
    if len(names) != len(own) or len(set(names)) != len(names):
        raise CaffeError(f"input_names needs {len(own)} different names, got {list(names)}")
    return dict(zip(own, names, strict=True))


def _net_name(model: nn.Module) -> str:
    return model.caffe.net.name if isinstance(model, CaffeGraphModule) else type(model).__name__


def _module_names(model: nn.Module) -> Mapping[str, str]:
    """Layer names of a model that came from Caffe itself, by module path."""
    return model.caffe.names.modules if isinstance(model, CaffeGraphModule) else {}
