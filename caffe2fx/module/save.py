"""Write a net as Caffe's two files: weights first, prototxt last, each by rename."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from caffe2fx.errors import CaffeError, CaffeFileError
from caffe2fx.files.prototxt import text_of
from caffe2fx.files.text_rewrites import Respelling, rewritten_text
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.module.held_blobs import held_blobs
from caffe2fx.net.match_weights import check_names_are_used_once
from caffe2fx.net.net import Net
from caffe2fx.net.shared_weights import check_shared_values
from caffe2fx.net.unique_names import unique_name
from caffe2fx.weights import caffemodel
from caffe2fx.weights.atomic import file_errors, replacing, replacing_all
from caffe2fx.weights.mapped import check_unwritten
from caffe2fx.weights.pairing import comment, identifier_of


def save(
    net: Net,
    prototxt: str | Path,
    weights: str | Path,
    *,
    header: str = "",
    text_rewrites: Sequence[Respelling] = (),
    durable: bool = True,
) -> None:
    """Write prototxt and weights; a weights path ending in .h5 makes an HDF5 file.

    `text_rewrites` are the spellings of the program that is to read them, where it differs from
    Caffe. Both files state one identifier, by which `load` knows that they belong together. Beside
    an HDF5 file layers are named without "/" (`named_for`).
    `durable` files are on the disk before they get their names; scratch files need not be.

    Nothing is replaced unless both files were written whole. Raises CaffeFileError where a folder
    is missing, and where both paths are one file.
    """
    if os.path.realpath(prototxt) == os.path.realpath(weights):
        raise CaffeFileError(f"prototxt and weights need different paths, got {weights} twice")
    net = named_for(net, weights)
    layers = weights_of(net)
    text, identifier = _text_and_identifier(net, header, text_rewrites)
    with (
        file_errors(),
        replacing_all([weights, prototxt], durable=durable) as (new_weights, new_prototxt),
    ):
        write_layers(new_weights, str(weights), net.name, layers, identifier)
        new_prototxt.write_text(text, encoding="utf-8")


def named_for(net: Net, weights: str | Path) -> Net:
    """Return the net with layer names under which Caffe finds weights in a file of this name.

    In HDF5 "/" separates groups, and Caffe looks for layers in the first ones alone: there "_"
    takes its place. Blobs keep their names.
    """
    if not str(weights).endswith(".h5"):
        return net
    taken = {step.name for step in net.steps if "/" not in step.name}
    slashed = dict.fromkeys(step.name for step in net.steps if "/" in step.name)
    new = {name: unique_name(name.replace("/", "_"), taken) for name in slashed}
    steps = tuple(replace(step, name=new.get(step.name, step.name)) for step in net.steps)
    return replace(net, steps=steps)


def prototxt_of(net: Net, *, header: str = "", text_rewrites: Sequence[Respelling] = ()) -> str:
    """Return the text that `save` writes."""
    return _text_and_identifier(net, header, text_rewrites)[0]


def _text_and_identifier(
    net: Net, header: str, text_rewrites: Sequence[Respelling]
) -> tuple[str, str]:
    text = text_of(net)
    identifier = identifier_of(text)
    comments = "".join(f"# {line}\n" for line in header.splitlines())
    return comment(identifier) + comments + rewritten_text(text, text_rewrites), identifier


def save_weights(module: CaffeGraphModule, path: str | Path) -> None:
    """Write the weights that a loaded module now holds, for its untouched original prototxt.

    Raises CaffeError for a module that did not come from caffe2fx.load, or was loaded with
    optimize=True, or has other modules in place of those with weights, or such of another stride
    and the like: its weights are no longer those of the prototxt's layers. So too where weights
    that layers share differ, and where `outputs` cut off layers with weights, which Caffe would
    start at random.
    """
    if not isinstance(module, CaffeGraphModule):
        kind = type(module).__name__
        raise CaffeError(f"save_weights needs a module of caffe2fx.load, got {kind}")
    if module.is_optimized:
        raise CaffeError("save_weights needs a module loaded without optimize, got optimize=True")
    if lost := sorted(module.meta.get("caffe_cut_off", ())):
        message = "save_weights needs the weights of the whole net: load without outputs, which cut"
        raise CaffeError(f"{message} off {lost}")
    write_weights(current_net(module), path, module.meta.get("caffe_identifier", ""))


def write_weights(net: Net, path: str | Path, identifier: str | None = None) -> None:
    """Write the weights of a net alone; a path ending in .h5 makes an HDF5 file.

    `identifier` is the one in the prototxt that they are for, by default the one that `save` would
    write.
    """
    layers = weights_of(net)
    stated = identifier_of(text_of(net)) if identifier is None else identifier
    with file_errors(), replacing(path) as temporary:
        write_layers(temporary, str(path), net.name, layers, stated)


def current_net(module: CaffeGraphModule) -> Net:
    """Return the net of a loaded module with the weights that the module holds now.

    Raises CaffeError where the module's weights are no blobs of the net's layers: in modules of
    other types than load made, computed by hooks, or different ones under one shared name.
    """
    module.check_files()
    # By identity: names may come twice.
    modules = {id(step): made for step, made in module.caffe.layers()}
    net = module.caffe.net
    shapes = net.shapes()
    steps = tuple(
        replace(step, blobs=held_blobs(step, [shapes[v] for v in step.reads], modules[id(step)]))
        if step.blobs
        else step
        for step in net.steps
    )
    filled = net.refilled(steps)
    check_shared_values(filled)
    return filled


def weights_suffix(net: Net) -> str:
    """Return the suffix of a net's weights file that Caffe can read: HDF5 beyond 2 GB."""
    return ".caffemodel" if caffemodel.fits(net.name, weights_of(net)) else ".caffemodel.h5"


def write_layers(
    path: Path,
    name: str,
    net_name: str,
    layers: tuple[caffemodel.LayerWeights, ...],
    identifier: str,
) -> None:
    """Write the layers of a weights file that is to have this name: HDF5 if it ends in .h5."""
    check_unwritten(blob for layer in layers for blob in layer.blobs)
    if name.endswith(".h5"):
        from caffe2fx.weights import hdf5  # h5py is large

        hdf5.write(path, layers, identifier)
    else:
        caffemodel.write(path, net_name, layers, identifier)


def weights_of(net: Net) -> tuple[caffemodel.LayerWeights, ...]:
    """Return the layers of the net as a weights file lists them.

    A layer whose weights the net computes is left out; Caffe then keeps the weights that it has.
    Raises CaffeFormatError for two layers of one name, which no file can tell apart.
    """
    check_names_are_used_once(net.steps)
    return tuple(
        caffemodel.LayerWeights(
            step.name,
            step.layer.type,
            step.blobs,
            tuple(value.blob for value in step.bottoms),
            tuple(value.blob for value in step.tops),
        )
        for step in net.steps
        if step.layer.in_files and not step.dynamic
    )
