"""caffe2fx.load: read two Caffe files, return one torch.fx.GraphModule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from caffe2fx.errors import CaffeError, CaffeFormatError, ShapeMismatchError
from caffe2fx.files import prototxt
from caffe2fx.files.dialects import Hints
from caffe2fx.files.plaintext import is_binary
from caffe2fx.messages.message import Shape
from caffe2fx.module.builder import graph_module
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.net.initial_weights import with_initial_weights
from caffe2fx.net.match_weights import (
    Unmatched,
    unmatched,
    unused,
    with_fitting_weights,
    with_the_nets_shapes,
    with_weights,
)
from caffe2fx.net.net import Net
from caffe2fx.net.step import is_input
from caffe2fx.net.subnet import ending_at
from caffe2fx.optimize.optimizer import optimized
from caffe2fx.weights import caffemodel
from caffe2fx.weights.atomic import file_errors
from caffe2fx.weights.caffemodel import LayerWeights
from caffe2fx.weights.mapped import Watch
from caffe2fx.weights.pairing import check_pair, stated_in_text

Path_ = str | Path


@dataclass(frozen=True, kw_only=True)
class Options:
    """Holds the options for the part of a net to load and its sizes; `load` documents each."""

    outputs: Sequence[str] | None = None
    phase: str | None = None
    level: int = 0
    stages: Sequence[str] = ()
    dialect: str | None = None
    batch: int | None = None
    shapes: Mapping[str, Shape] | None = None
    strict: bool = True
    reshape_weights: bool = False
    mmap: bool = True
    max_bytes: int | None = None


def read_net(prototxt: Path_, weights: Path_ | None, **options: Any) -> Net:
    """Return the net of two Caffe files with its weights, before it becomes a module.

    `options` are those of `load`, but for `freeze`.
    """
    chosen = Options(**options)
    net, _ = _read(prototxt, weights, chosen)
    return net if chosen.outputs is None else ending_at(net, chosen.outputs)


def describe(prototxt: Path_, weights: Path_ | None, **options: Any) -> Net:
    """Return the net as `load` reads it, but with no filler run where `weights` is None."""
    chosen = Options(**options)
    if weights is not None:
        return read_net(prototxt, weights, **options)
    with file_errors():
        return reshaped(_described(prototxt, (), chosen), chosen)


def read_weights(
    path: Path_, *, may_map: bool = True, max_bytes: int | None = None
) -> tuple[LayerWeights, ...]:
    """Return the layers of a .caffemodel, which may be mapped, or of a .caffemodel.h5."""
    if str(path).endswith(".h5"):
        from caffe2fx.weights import hdf5  # h5py is large

        return hdf5.read(path, max_bytes=max_bytes)
    return caffemodel.read(path, may_map=may_map)[1]


def load(
    prototxt: Path_,
    weights: Path_ | None = None,
    *,
    outputs: Sequence[str] | None = None,
    phase: str | None = None,
    level: int = 0,
    stages: Sequence[str] = (),
    dialect: str | None = None,
    batch: int | None = None,
    shapes: Mapping[str, Shape] | None = None,
    strict: bool = True,
    reshape_weights: bool = False,
    mmap: bool = True,
    max_bytes: int | None = None,
    freeze: bool = False,
    optimize: bool = False,
) -> CaffeGraphModule:
    """Load a Caffe net of any age as a torch.fx.GraphModule.

    Without `weights` the net starts as Caffe's fillers start it. A .caffemodel given as the
    prototxt is both, if Caffe itself wrote it: then the net is inside.

    `outputs` names the blobs that forward returns, in that order, as one tensor or a tuple; the
    default is Caffe's own, every blob that no layer reads, alphabetically. "conv1" is the final
    content of a blob, and "conv1@bn1" the output of layer bn1 in it.

    `phase` ("TRAIN" or "TEST"), `level` and `stages` are matched against the layers' include and
    exclude rules. The default is TEST, and for a .caffemodel in the place of the prototxt the phase
    in which Caffe saved it, since the layers of the other are not inside: TRAIN for a solver's
    snapshot. The module comes in the mode of its phase, train() or eval(), which Dropout and
    BatchNorm then follow as they do in Caffe.

    `dialect` is the Caffe that the net is for ("yolo", "segnet" ...); it matters only for layer
    types to which forks gave different meanings, and where the net itself leaves it open.

    `batch` replaces the first dimension of every input, `shapes` the whole shapes of the inputs
    that it names.

    With strict=False layers whose weights are missing or of other shapes start as without
    `weights`, and gm.caffe.unmatched lists them. With `reshape_weights` blobs that have as many
    elements as the net's, and another shape, take the net's shape, their elements in order: a fully
    connected layer's become those of a convolution.

    A .caffemodel beyond 16 MB is mapped: its weights are read as they are used, and before each use
    the module makes sure that nobody has written into the file in place (CaffeFileError), since its
    weights would change too. With mmap=False every file is read into memory at once.

    The values of an HDF5 file, which may be compressed, may take 64 MB and 16 times the file's size
    in memory, or `max_bytes`; weights that fillers make, the machine's memory, or `max_bytes`.

    With `freeze` parameters that Caffe's solver would not change (lr_mult 0) need no gradient.

    With `optimize` the module is for inference alone, and faster: BatchNorm and Scale are folded
    into the layer before them, functions that files spell in several layers are one torch call
    (ReLU6, hard-swish, SiLU, GELU, layer norm, products of matrices, pooling that rounds down), and
    layers that do nothing are gone; convolutions run with channels last in memory. The outputs are
    equal up to float32's rounding, where they are finite, for the sizes that the net has. gm.caffe
    shows the net that runs: blobs that vanished are not in it. save_weights and train() raise
    CaffeError; so does a phase other than TEST.

    Raises CaffeFormatError (text or bytes that Caffe would not take, and a text beside the weights
    of another net), UnknownLayerError (lists all layer types without a record), ShapeMismatchError
    (weights or sizes that do not fit) and CaffeFileError (a file that is missing, unreadable or a
    folder).
    """
    options = Options(
        outputs=outputs,
        phase=_default_phase(prototxt) if phase is None else phase,
        level=level,
        stages=stages,
        dialect=dialect,
        batch=batch,
        shapes=shapes,
        strict=strict,
        reshape_weights=reshape_weights,
        mmap=mmap,
        max_bytes=max_bytes,
    )
    whole, left = _read(prototxt, weights, options)
    net = whole if outputs is None else ending_at(whole, outputs)
    made = graph_module(_optimized(net, options) if optimize else net)
    if optimize:
        # torch convolves and pools faster so, and all layers between them keep the format.
        made.to(memory_format=torch.channels_last)
    made.meta["caffe_is_optimized"] = optimize
    made.meta["caffe_unmatched"] = left
    made.meta["caffe_is_cut"] = outputs is not None
    made.meta["caffe_cut_off"] = _with_weights_in(whole) - _with_weights_in(net)
    made.meta["caffe_watch"] = Watch.over(b for step in made.caffe.net for b in step.blobs)
    with file_errors():
        made.meta["caffe_identifier"] = stated_in_text(prototxt)
    if freeze:
        _freeze(made)
    return made.train(options.phase == "TRAIN")


def _optimized(net: Net, options: Options) -> Net:
    if options.phase != "TEST":
        raise CaffeError(f"optimize needs phase TEST, got {options.phase}: load without optimize")
    return optimized(net)


def _default_phase(path: Path_) -> str:
    """Return the phase of the net inside a .caffemodel; TEST for a text."""
    with file_errors():
        has_net = is_binary(path) and not str(path).endswith(".h5")
        return prototxt.phase_inside(path).name if has_net else "TEST"


def _read(
    prototxt_path: Path_, weights_path: Path_ | None, options: Options
) -> tuple[Net, Unmatched]:
    """Return the whole net, whatever its outputs are to be, and what did not match."""
    with file_errors():
        if weights_path is None and is_binary(prototxt_path):
            weights_path = prototxt_path
        entries = () if weights_path is None else _entries(weights_path, options)
        net = reshaped(_described(prototxt_path, entries, options), options)
        if options.reshape_weights:
            entries = with_the_nets_shapes(net, entries)
        if weights_path is not None:
            check_pair(prototxt_path, weights_path)
    if weights_path is None:
        filled, left = with_initial_weights(net, options.max_bytes), Unmatched()
    elif options.strict:
        filled = with_weights(net, entries, str(weights_path))
        left = unused(filled, entries)
    else:
        filled = with_fitting_weights(net, entries, str(weights_path))
        left = unmatched(net, entries)
    return filled, left


def _with_weights_in(net: Net) -> set[str]:
    return {step.name for step in net.steps if step.blobs}


def _entries(path: Path_, options: Options) -> tuple[LayerWeights, ...]:
    return read_weights(path, may_map=options.mmap, max_bytes=options.max_bytes)


def _described(path: Path_, weights: Sequence[LayerWeights], options: Options) -> Net:
    """Return the net of the prototxt, or the one inside a caffemodel."""
    phase, level, stages = options.phase, options.level, options.stages
    if is_binary(path):
        if str(path).endswith(".h5"):
            raise CaffeFormatError(f"{path} needs a prototxt beside it: HDF5 holds weights alone")
        return prototxt.inside(path, phase=phase, level=level, stages=stages)
    phase = phase or "TEST"
    hints = Hints(options.dialect, {entry.name: len(entry.blobs) for entry in weights})
    return prototxt.read(path, phase=phase, level=level, stages=stages, hints=hints)


def reshaped(net: Net, options: Options) -> Net:
    """Return the net with the input sizes that `options` give.

    ShapeMismatchError names the layer that does not fit them.
    """
    batch, shapes = options.batch, options.shapes or {}
    known = [value.blob for value in net.inputs]
    if missing := sorted(set(shapes) - set(known)):
        raise ShapeMismatchError(f"shapes needs inputs of the net, {known}, got {missing}")
    if shapes:
        net = net.reshaped(_input_shapes(net, shapes))
    if batch is not None:
        net = net.reshaped([_with_batch(shape, batch) for shape in _input_shapes(net, {})])
    return net


def _input_shapes(net: Net, given: Mapping[str, Shape]) -> list[Shape]:
    """Return the shape of every input: the given one, or the one in the text."""
    wanted = {name: tuple(shape) for name, shape in given.items()}
    return [
        shape
        for step in net.steps
        if is_input(step)
        for shape in step.input_shapes([wanted.get(top.blob) for top in step.tops])
    ]


def _with_batch(shape: Shape, batch: int) -> Shape:
    if not shape:
        raise ShapeMismatchError("batch needs inputs with axes, got a scalar")
    return (batch, *shape[1:])


def _freeze(module: CaffeGraphModule) -> None:
    for step, made in module.caffe.layers():
        for spec, blob in zip(step.params, step.layer.blobs_of(made), strict=False):
            if spec.lr_mult == 0 and isinstance(blob, nn.Parameter):
                blob.requires_grad_(False)
