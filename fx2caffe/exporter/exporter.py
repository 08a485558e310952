"""fx2caffe.export: an nn.Module in, a Caffe net out, with what is needed to prove it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from caffe2fx.errors import CaffeError
from caffe2fx.layers.layer import BVLC, RecordModule
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.net.step import Value
from caffe2fx.plain_torch import on_cpu
from fx2caffe import ops
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.exporter.growth import check_growth
from fx2caffe.exporter.non_finite import refuse_lost
from fx2caffe.exporter.pipeline import Finished, Options, finish, legal_net
from fx2caffe.exporter.result import Export
from fx2caffe.ir.symbol import BatchFixed
from fx2caffe.lowering.integer_magnitudes import IntegerRanges, Ranges
from fx2caffe.lowering.lowering import Lowered, Lowering
from fx2caffe.lowering.registry import leaves
from fx2caffe.preprocessing import Preprocessing
from fx2caffe.targets import Target, find_target
from fx2caffe.tracing import model_inputs, pytree
from fx2caffe.tracing.batch_analysis import Batch, find_batch
from fx2caffe.tracing.precision import in_float32, inputs_in_float32
from fx2caffe.tracing.tracer import Trace, trace

__all__ = ["check", "export", "ops"]

T = TypeVar("T", covariant=True)


@on_cpu()
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
    input_ranges: Ranges | None = None,
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
    those a meaning, and `Export.unverified` lists them. `input_ranges` are the (low, high) of
    inputs by blob name: with them it is known whether integers stay within 2^24; without them
    the example tells, and what it does not tell is warned of.

    The model is not changed. Raises UnsupportedError that lists every operation that cannot
    be exported exactly, with its module and source line, and CaffeError for options that do
    not fit the model.
    """
    model, inputs = _prepared(model, example_inputs)
    has = find_target(target)
    if on_unsupported not in ("refuse", "custom"):
        raise CaffeError(f"on_unsupported needs to be refuse or custom, got {on_unsupported!r}")

    def exported(options: dict[str, Any], custom: bool = False) -> Export:
        traced = trace(model, inputs, held_to_model=True, **options)
        batch = find_batch(model, inputs, traced, **options)
        names = _input_names(model, traced, input_names)
        integers = IntegerRanges(traced.module, _tensors(model, inputs), names, input_ranges)

        def made(batch: Batch) -> tuple[Lowered, Finished]:
            lowered = _lowered(model, traced, batch, names, integers, placeholders=custom)
            if outputs is None:
                lowered.blobs.update(_output_names(model, lowered))
            wanted = _by_blob(preprocessing, lowered)
            rest = _net_name(model), fold_batchnorm, wanted, name_limit, name_alphabet, custom
            parameters = {parameter.data_ptr() for parameter in traced.module.parameters()}
            finished = finish(lowered, Options(has, *rest, parameters))
            check_growth(finished, traced.module, batch)
            return lowered, finished

        (lowered, finished), faults = _for_any_batch(made, batch, has)
        wanted = _by_blob(preprocessing, lowered)
        raw = {
            new.blob: wanted[old.blob]
            for old, new in zip(lowered.symbols, finished.net.inputs, strict=True)
            if old.blob in wanted
        }
        values = _tensors(model, inputs), finished.nodes, has, batch, faults, raw
        result = Export(finished.net, traced, *values, finished.unverified)
        refuse_lost(result)
        return result

    with in_float32(model):
        plain = _trace_options(outputs)
        return _taking_apart(model, has, plain, exported, custom=on_unsupported == "custom")


class _Made(Protocol[T]):
    """What is made of a model that is traced with these options, with placeholders or without."""

    def __call__(self, options: dict[str, Any], custom: bool = False) -> T: ...


def _taking_apart(
    model: nn.Module,
    target: Target,
    options: dict[str, Any],
    made: _Made[T],
    *,
    custom: bool = False,
) -> T:
    """What `made` gives for a model that is traced with these options.

    Where the target lacks layers that only forks of Caffe have, and so refuses, the model is
    traced once more as if torch's functions stood there that such layers mean; and if some of
    these are refused too, a last time with the layers that they stand in left whole. So only
    what cannot be said at all is refused, or a placeholder with `custom`.
    """
    try:
        return made(options)
    except UnsupportedError as refused:
        first = refused
    apart = {path: module for path, module in _named(model) if _lacks(target, module)}
    if apart:
        try:
            return made({**options, "taken_apart": _among(apart)})
        except UnsupportedError as refused:
            for refusal in refused.refusals:
                apart.pop(refusal.origin.module, None)
    if not (apart or custom):
        raise first
    return made({**options, "taken_apart": _among(apart)}, custom)


def _named(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The model's parts by their paths."""
    found: list[tuple[str, nn.Module]] = []
    if isinstance(model, nn.Module):
        found.extend(model.named_modules())
    return found


def _among(parts: Mapping[str, nn.Module]) -> Callable[[nn.Module], bool]:
    chosen = {id(module) for module in parts.values()}
    return lambda module: id(module) in chosen


def _lacks(target: Target, module: nn.Module) -> bool:
    """Whether the module is a layer that only forks of Caffe have, and not the target."""
    if not isinstance(module, RecordModule):
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
        return made(Batch()), tuple(refusal.portable for refusal in error.refusals)


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


@on_cpu()
def check(
    model: nn.Module,
    example_inputs: Any,
    *,
    target: str | Target = "bvlc",
    outputs: Sequence[str] | None = None,
    input_ranges: Ranges | None = None,
) -> tuple[Refusal, ...]:
    """Every reason for which `model` cannot be exported for `target`; empty if it can.

    Nothing is written and nothing large is computed. `outputs` and `input_ranges` are those
    of `export`.
    """
    has = find_target(target)
    model, inputs = _prepared(model, example_inputs)

    def tried(options: dict[str, Any], custom: bool = False) -> tuple[Refusal, ...]:
        traced = trace(model, inputs, values="fake", **options)
        names = _input_names(model, traced, None)
        integers = IntegerRanges(traced.module, _tensors(model, inputs), names, input_ranges)
        lowered = _lowered(model, traced, Batch(), names, integers)
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
    integers: IntegerRanges,
    *,
    placeholders: bool = False,
) -> Lowered:
    own = _module_names(model)
    what = traced.module.graph, traced.module, batch.others, names, own
    return Lowering(
        *what, integers=integers, placeholders=placeholders, tops=_module_tops(model)
    ).run()


def _tensors(model: nn.Module, example_inputs: Any) -> tuple[Tensor, ...]:
    return pytree.flatten(model_inputs.as_inputs(model, example_inputs)).tensors


def _input_names(model: nn.Module, traced: Trace, given: Sequence[str] | None) -> dict[str, str]:
    """Blob names of the placeholders: those that they had in Caffe, or `data` for a single one."""
    own = [node.name for node in traced.module.graph.nodes if node.op == "placeholder"]
    usual = ["data"] if len(own) == 1 else traced.input_names
    if isinstance(model, CaffeGraphModule) and len(own) == len(model.caffe.inputs):
        usual = list(model.caffe.inputs)
    names = list(usual if given is None else given)
    if len(names) != len(own) or len(set(names)) != len(names):
        raise CaffeError(f"input_names needs {len(own)} different names, got {list(names)}")
    return dict(zip(own, names, strict=True))


def _net_name(model: nn.Module) -> str:
    return model.caffe.net.name if isinstance(model, CaffeGraphModule) else type(model).__name__


def _module_names(model: nn.Module) -> Mapping[str, str]:
    """Layer names of a model that came from Caffe itself, by module path."""
    return model.caffe.names.modules if isinstance(model, CaffeGraphModule) else {}


def _module_tops(model: nn.Module) -> Mapping[str, Sequence[str]]:
    """What the tops of the layers of such a model are called, by module path."""
    if not isinstance(model, CaffeGraphModule):
        return {}
    layers = zip(model.caffe.names.modules, model.caffe.layers(), strict=True)
    return {path: [top.blob for top in step.tops] for path, (step, _) in layers}


def _output_names(model: nn.Module, lowered: Lowered) -> dict[Value, str]:
    """What the outputs were called in Caffe."""
    names = model.caffe.outputs if isinstance(model, CaffeGraphModule) else ()
    if len(names) != len(lowered.outputs):
        return {}
    return dict(zip((output.value for output in lowered.outputs), names, strict=True))
