"""caffe2fx.load: two Caffe files in, one torch.fx.GraphModule out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from caffe2fx import caffemodel, hdf5, prototxt
from caffe2fx.atomic import file_errors
from caffe2fx.build import CaffeGraphModule, graph_module, with_weights
from caffe2fx.errors import CaffeFormatError
from caffe2fx.fresh import with_fresh_blobs
from caffe2fx.net import Net, Step, Value

Path_ = str | Path


def read_net(
    prototxt_path: Path_,
    weights_path: Path_ | None,
    *,
    outputs: Sequence[str] | None = None,
    phase: str = "TEST",
) -> Net:
    """The net of two Caffe files with its weights, before it becomes a module."""
    with file_errors():
        net = prototxt.read(prototxt_path, phase=phase)
        if weights_path is None:
            net = with_fresh_blobs(net)
        else:
            net = with_weights(net, read_weights(weights_path), source=str(weights_path))
    return net if outputs is None else ending_at(net, outputs)


def read_weights(path: Path_) -> tuple[caffemodel.LayerWeights, ...]:
    """The layers of a .caffemodel, or of a .caffemodel.h5."""
    if str(path).endswith(".h5"):
        return hdf5.read(path)
    return caffemodel.read(path)[1]


def load(
    prototxt: Path_,
    weights: Path_ | None = None,
    *,
    outputs: Sequence[str] | None = None,
    phase: str = "TEST",
) -> CaffeGraphModule:
    """Load a Caffe net as a torch.fx.GraphModule.

    Without `weights` the net starts as Caffe's fillers start it.
    `outputs` names the blobs that forward returns, in that order; the default is Caffe's own,
    every blob that no layer reads, alphabetically. forward returns one tensor, or a tuple.

    Raises CaffeFormatError (text or bytes that Caffe would not take), UnknownLayerError (lists
    all layer types without a record), ShapeMismatchError (weights or sizes that do not fit) and
    CaffeFileError (a file that is missing, unreadable or a folder).
    """
    return graph_module(read_net(prototxt, weights, outputs=outputs, phase=phase))


def ending_at(net: Net, outputs: Sequence[str]) -> Net:
    """The part of the net that the named blobs need, with them as its outputs."""
    last = {top.blob: top for step in net.steps for top in step.tops}
    missing = [name for name in outputs if name not in last]
    if missing:
        raise CaffeFormatError(f"outputs need to be blobs of the net, got {missing}")
    wanted = tuple(last[name] for name in outputs)
    return replace(net, steps=_needed(net.steps, wanted), outputs=wanted)


def _needed(steps: Sequence[Step], wanted: Sequence[Value]) -> tuple[Step, ...]:
    alive = set(wanted)
    kept = []
    for step in reversed(steps):
        if alive.intersection(step.tops):
            kept.append(step)
            alive.update(step.bottoms)
    return tuple(reversed(kept))
