"""fx2caffe.export: from an nn.Module to a Caffe net, with all that verifying it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from caffe2fx.plain_torch import on_cpu
from caffe2fx.progress import advance
from fx2caffe import ops
from fx2caffe.errors import Refusal, Refusals, UnsupportedError
from fx2caffe.exporter.attempts import Leaves, expanding_refused_leaves, for_any_batch
from fx2caffe.exporter.growth import check_growth
from fx2caffe.exporter.non_finite import refuse_lost
from fx2caffe.exporter.options import ExportOptions
from fx2caffe.exporter.pipeline import Finished, Options, finish, legal_net
from fx2caffe.exporter.refusals import traced_or_refused
from fx2caffe.exporter.result import Export
from fx2caffe.exporter.source import Source
from fx2caffe.lowering.integer_magnitudes import Ranges
from fx2caffe.lowering.registry import leaves
from fx2caffe.preprocessing import Preprocessing
from fx2caffe.targets import Target, find_target
from fx2caffe.tracing.batch.batch_analysis import Batch, find_batch
from fx2caffe.tracing.model.original import ALONE, Reach
from fx2caffe.tracing.model.precision import in_float32, replaced_precisions
from fx2caffe.tracing.tracer import Trace, trace

__all__ = ["check", "export", "ops"]


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
    """Export a model as a Caffe net for `target`.

    `example_inputs`: a tensor, a tuple of forward's arguments, or a dict by argument name; numpy
    arrays are taken too. Models in half or double precision, or on another device, are exported as
    float32, and so are casts to the precision that they have. `outputs` cuts the net at module
    paths (the result of the last call of "layer3", or of the first as "layer3:0"; where every name
    has an index, the rest of the model is not run) or names of traced nodes. `preprocessing` makes
    the net take raw pixels; with several inputs it is a dict by blob name. `fold_batchnorm` merges
    BatchNorm into the layer before it. `input_names` are the inputs' blob names. `name_limit` (in
    characters) and `name_alphabet` (a regular expression for one character) limit layer and blob
    names; beyond 2 GB, which only HDF5 holds, they have no "/" in any case. With
    `on_unsupported="custom"` refused operations become the target's own placeholder (a Custom layer
    for nnie, a Python layer for others): such a net runs only where those are implemented, and
    `Export.unverified` lists them. `input_ranges` are the (low, high) of inputs by blob name: they
    decide whether integers stay within 2^24; without them the example does, with a warning where it
    cannot.

    The net is the model's next call: state that a model keeps between calls (a counter, a cache) is
    constant in it. Neither the model nor its state is changed.

    Raises UnsupportedError that lists every operation that cannot be exported exactly, with its
    module and source line, and CaffeError for options that do not fit the model.
    """
    options = ExportOptions(
        find_target(target),
        outputs,
        preprocessing,
        fold_batchnorm,
        input_names,
        name_limit,
        name_alphabet,
        on_unsupported,
        input_ranges,
    )
    replaced = replaced_precisions(model, example_inputs)
    with in_float32(model):
        source = Source.prepared(model, example_inputs, replaced)
        build = partial(_exported, source, options)
        placeholders = options.placeholders
        return expanding_refused_leaves(
            build, source.parts, options.target, placeholders=placeholders
        )


def _exported(source: Source, options: ExportOptions, expand: Leaves, placeholders: bool) -> Export:
    """Trace, lower, legalize and run the passes, for any batch if that is possible."""
    how = _tracing(source, options, expand)
    advance("export", 0, 4, "trace")
    with ALONE:
        how["reach"] = Reach(source.model)
        run = partial(trace, source.model, source.inputs)
        traced = traced_or_refused(source, run, held_to_model=True, **how)
        advance("export", 1, 4, "find the batch")
        batch = find_batch(source.model, source.inputs, traced, **how)
    names = source.input_names(traced, options.input_names)
    wanted = options.preprocessing_of(list(names.values()))

    def net_for(batch: Batch) -> Finished:
        advance("export", 2, 4, "lower")
        lowered = source.lowering(
            traced, batch, names, options.input_ranges, placeholders=placeholders
        )
        if options.outputs is None:
            lowered.blobs.update(source.output_blobs(lowered))
        advance("export", 3, 4, "legalize and optimize")
        finished = finish(lowered, _for_net(source, traced, options, wanted, placeholders))
        check_growth(finished, traced.module, batch)
        return finished

    finished, faults = for_any_batch(net_for, batch, options.target)
    blobs = zip(names.values(), finished.net.inputs, strict=True)
    exported = Export(
        net=finished.net,
        trace=traced,
        example_inputs=source.tensors,
        nodes=finished.nodes,
        target=options.target,
        batch=batch,
        batch_faults=faults,
        preprocessing={new.blob: wanted[name] for name, new in blobs if name in wanted},
        unverified=finished.unverified,
    )
    refuse_lost(exported)
    return exported


def _tracing(source: Source, options: ExportOptions, expand: Leaves) -> dict[str, Any]:
    """Return the arguments of trace: its leaves, where the net ends, and replaced precisions."""
    modules, functions = leaves()
    return {
        "leaf_modules": modules,
        "leaf_functions": functions,
        "outputs": options.outputs,
        "is_expanded": expand,
        "replaced": source.replaced,
    }


def _for_net(
    source: Source,
    traced: Trace,
    options: ExportOptions,
    preprocessing: Mapping[str, Preprocessing],
    placeholders: bool,
) -> Options:
    return Options(
        target=options.target,
        name=source.name,
        fold_batchnorm=options.fold_batchnorm,
        preprocessing=preprocessing,
        name_limit=options.name_limit,
        name_alphabet=options.name_alphabet,
        placeholders=placeholders,
        parameters={parameter.data_ptr() for parameter in traced.module.parameters()},
    )


@on_cpu()
def check(
    model: nn.Module,
    example_inputs: Any,
    *,
    target: str | Target = "bvlc",
    outputs: Sequence[str] | None = None,
    input_ranges: Ranges | None = None,
) -> Refusals:
    """Return every reason for which `model` cannot be exported for `target`; () if it can.

    They are a tuple of Refusal, which `save("report.html")` writes as a report.

    Nothing is written. Nothing large is computed, unless the model reads its data: then it is run
    once, so that the operations after that are checked too. `outputs` and `input_ranges` are those
    of `export`.
    """
    options = ExportOptions(find_target(target), outputs, input_ranges=input_ranges)
    source = Source.prepared(model, example_inputs, replaced_precisions(model, example_inputs))

    def tried(expand: Leaves, placeholders: bool) -> tuple[Refusal, ...]:
        run = partial(trace, source.model, source.inputs)
        traced = traced_or_refused(source, run, values="fake", **_tracing(source, options, expand))
        names = source.input_names(traced, None)
        lowered = source.lowering(traced, Batch(), names, options.input_ranges)
        legal_net(lowered, dict(lowered.symbols), options.target)
        return ()

    try:
        with in_float32(model):
            found = expanding_refused_leaves(
                tried, source.parts, options.target, placeholders=False
            )
        return Refusals(found)
    except UnsupportedError as error:
        return error.refusals
