"""All refusals of a model at once: those of its run, and those of its recorded operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe2fx.errors import CaffeError
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.exporter.source import Source
from fx2caffe.ir.symbol import FixBatch
from fx2caffe.tracing.batch.batch_analysis import Batch
from fx2caffe.tracing.tracer import Trace, Untraceable


def traced_or_refused(source: Source, run: Callable[..., Trace], **how: Any) -> Trace:
    """Return the trace that `run` makes. Raises UnsupportedError with every refusal of the model.

    A run on fake values ends where the model reads its data. So the model is then run on the
    example itself, and its other refusals are found.
    """
    try:
        return run(**how)
    except Untraceable as first:
        error = first
    if how.get("values") == "fake":
        try:
            run(**{**how, "values": "real"})
        except Untraceable as second:
            error = second
    raise UnsupportedError((*error.refusals, *_of_recorded(source, error))) from error.__cause__


def _of_recorded(source: Source, error: Untraceable) -> list[Refusal]:
    """Return the refusals of the functions that the run recorded, but for those it refused."""
    try:
        names = source.input_names(error.recorded, None)
        source.lowering(error.recorded, Batch(), names, None)
    except UnsupportedError as found:
        known = {_key(refusal) for refusal in error.refusals}
        others = dict.fromkeys(found.refusals)  # calls of one line may be refused alike
        return [refusal for refusal in others if _key(refusal) not in known]
    except (CaffeError, FixBatch):  # of a graph that ends in its middle
        pass
    return []


def _key(refusal: Refusal) -> tuple[str, object]:
    return refusal.op.rpartition(".")[2].strip("_"), refusal.origin
