"""Upgrade nets of 2013 and 2014 to today's form, step by step as Caffe itself does it.

V0: `layers { layer { name: "c" type: "conv" kernelsize: 3 } }`, with padding as layers;
V1: `layers { name: "c" type: CONVOLUTION convolution_param { kernel_size: 3 } }`;
V2, today's: `layer { name: "c" type: "Convolution" convolution_param { kernel_size: 3 } }`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from caffe2fx.errors import CaffeFormatError, UnknownLayerError
from caffe2fx.files.v1_words import words
from caffe2fx.messages.v1 import V1_TYPES, LayerType

INPUT_NAME = "input"  # the name of the layer that old input fields become
# V0's words for V1's layer types.
V0_TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}
Proto = Any  # messages of the descriptors' pool: their classes are made at run time


def upgrade(net: Proto, source: str) -> list[int | None]:
    """Bring a NetParameter of any age to today's form, in place.

    Returns for each layer that it then has the index of its entry in the file, None for the Input
    layer that old input fields become. Drops the fields that Caffe's upgrade drops with a log
    message: a field of another layer type in V0, and beside V0 layers `state` and `input_shape`.
    Raises CaffeFormatError, UnknownLayerError.
    """
    indices: list[int | None] = list(range(max(len(net.layers), len(net.layer))))
    if net.layers:
        if net.layer:
            raise CaffeFormatError(f"{source} needs `layer` or `layers` entries, got both")
        if any(layer.HasField("layer") for layer in net.layers):
            indices = _upgrade_v0(net, source)
        types = dict(words().values())
        for layer in net.layers:
            _move_transformation(layer)
            _upgrade_v1(layer, net.layer.add(), types[layer.type])
        net.ClearField("layers")
    if net.input and _upgrade_inputs(net, source):
        indices.insert(0, None)
    for layer in net.layer:
        _upgrade_batch_norm(layer)
    return indices


# V0 to V1


def _upgrade_v0(net: Proto, source: str) -> list[int | None]:
    _check_v0(net, source)
    kept = _without_padding(net, source)
    old = [net.layers[index] for index in kept]
    new = [type(layer)() for layer in old]
    for before, after in zip(old, new, strict=True):
        _upgrade_v0_layer(before, after)
    for name in ("layers", "input_shape", "state", "debug_info"):
        net.ClearField(name)
    net.layers.extend(new)
    return list(kept)


def _check_v0(net: Proto, source: str) -> None:
    if not all(layer.HasField("layer") for layer in net.layers):
        raise CaffeFormatError(
            f"{source} needs a `layer` inside all of its `layers` or inside none, got some"
        )
    unknown = [
        f"  {layer.layer.name!r}: {layer.layer.type!r}"
        for layer in net.layers
        if layer.layer.type not in V0_TYPES and layer.layer.type != "padding"
    ]
    if unknown:
        listed = "\n".join(unknown)
        raise UnknownLayerError(f"{source} needs layers that have no record:\n{listed}")


def _without_padding(net: Proto, source: str) -> list[int]:
    """Move the pads of padding layers into the convolutions and poolings that read them.

    data -> padding -> conv   becomes   data -> conv { pad }
    """
    writer: dict[str, int | None] = dict.fromkeys(net.input)
    originals = [type(layer).FromString(layer.SerializeToString()) for layer in net.layers]
    for index, layer in enumerate(net.layers):
        for position, blob in enumerate(originals[index].bottom):
            if blob not in writer:
                raise CaffeFormatError(
                    f"{source}: layer {layer.layer.name!r} needs bottom {blob!r} to be produced "
                    "before it, got no such blob"
                )
            source_index = writer[blob]
            if source_index is not None and originals[source_index].layer.type == "padding":
                _pad(layer, position, originals[source_index], source)
        writer.update(dict.fromkeys(layer.top, index))
    return [i for i, layer in enumerate(originals) if layer.layer.type != "padding"]


def _pad(layer: Proto, position: int, padding: Proto, source: str) -> None:
    where = f"{source}: layer {layer.layer.name!r} ({layer.layer.type})"
    if layer.layer.type not in ("conv", "pool"):
        raise CaffeFormatError(
            f"{where} needs a bottom that is not padded, got {padding.layer.name!r}"
        )
    sizes = len(layer.bottom), len(padding.bottom), len(padding.top)
    if sizes != (1, 1, 1):
        raise CaffeFormatError(
            f"{where} and its padding {padding.layer.name!r} need one bottom and one top each, "
            f"got {sizes}"
        )
    layer.layer.pad = padding.layer.pad
    layer.bottom[position] = padding.bottom[0]


# The field of V1 that a field of V0 becomes, for each of V0's types.
_CONV, _IP, _POOL = "convolution_param", "inner_product_param", "pooling_param"
_DATA, _IMAGES, _WINDOW = "data_param", "image_data_param", "window_data_param"
_HDF5 = "hdf5_data_param"
_V0_FIELDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "num_output": {"conv": (_CONV, "num_output"), "innerproduct": (_IP, "num_output")},
    "biasterm": {"conv": (_CONV, "bias_term"), "innerproduct": (_IP, "bias_term")},
    "weight_filler": {"conv": (_CONV, "weight_filler"), "innerproduct": (_IP, "weight_filler")},
    "bias_filler": {"conv": (_CONV, "bias_filler"), "innerproduct": (_IP, "bias_filler")},
    "pad": {"conv": (_CONV, "pad"), "pool": (_POOL, "pad")},
    "kernelsize": {"conv": (_CONV, "kernel_size"), "pool": (_POOL, "kernel_size")},
    "group": {"conv": (_CONV, "group")},
    "stride": {"conv": (_CONV, "stride"), "pool": (_POOL, "stride")},
    "pool": {"pool": (_POOL, "pool")},
    "dropout_ratio": {"dropout": ("dropout_param", "dropout_ratio")},
    "local_size": {"lrn": ("lrn_param", "local_size")},
    "alpha": {"lrn": ("lrn_param", "alpha")},
    "beta": {"lrn": ("lrn_param", "beta")},
    "k": {"lrn": ("lrn_param", "k")},
    "source": {
        "data": (_DATA, "source"),
        "hdf5_data": (_HDF5, "source"),
        "images": (_IMAGES, "source"),
        "window_data": (_WINDOW, "source"),
        "infogain_loss": ("infogain_loss_param", "source"),
    },
    "batchsize": {
        "data": (_DATA, "batch_size"),
        "hdf5_data": (_HDF5, "batch_size"),
        "images": (_IMAGES, "batch_size"),
        "window_data": (_WINDOW, "batch_size"),
    },
    "rand_skip": {"data": (_DATA, "rand_skip"), "images": (_IMAGES, "rand_skip")},
    "shuffle_images": {"images": (_IMAGES, "shuffle")},
    "new_height": {"images": (_IMAGES, "new_height")},
    "new_width": {"images": (_IMAGES, "new_width")},
    "concat_dim": {"concat": ("concat_param", "concat_dim")},
    "det_fg_threshold": {"window_data": (_WINDOW, "fg_threshold")},
    "det_bg_threshold": {"window_data": (_WINDOW, "bg_threshold")},
    "det_fg_fraction": {"window_data": (_WINDOW, "fg_fraction")},
    "det_context_pad": {"window_data": (_WINDOW, "context_pad")},
    "det_crop_mode": {"window_data": (_WINDOW, "crop_mode")},
    "hdf5_output_param": {"hdf5_output": ("", "hdf5_output_param")},
}
_V0_TRANSFORMATION = {
    "scale": "scale",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
    "mirror": "mirror",
}


def _upgrade_v0_layer(old: Proto, new: Proto) -> None:
    layer = old.layer
    new.bottom.extend(old.bottom)
    new.top.extend(old.top)
    new.type = LayerType[V0_TYPES[layer.type]]
    if layer.HasField("name"):
        new.name = layer.name
    for name in ("blobs", "blobs_lr", "weight_decay"):
        getattr(new, name).MergeFrom(getattr(layer, name))
    for name, owners in _V0_FIELDS.items():
        if _has(layer, name) and layer.type in owners:
            message, field_name = owners[layer.type]
            _set(getattr(new, message) if message else new, field_name, getattr(layer, name))
    for name, field_name in _V0_TRANSFORMATION.items():
        if layer.HasField(name):
            _set(new.transform_param, field_name, getattr(layer, name))


def _has(message: Proto, name: str) -> bool:
    return name in message.DESCRIPTOR.fields_by_name and message.HasField(name)


def _set(message: Proto, name: str, value: Any) -> None:
    """Set a field to its value, whether it is a scalar, a list of them or a message."""
    target = getattr(message, name)
    if hasattr(target, "append"):
        target.append(value)
    elif hasattr(target, "CopyFrom"):
        target.CopyFrom(value)
    else:
        setattr(message, name, value)


# V1 to V2


_FORMER_TRANSFORMATION = {"Data": _DATA, "ImageData": _IMAGES, "WindowData": _WINDOW}


def _move_transformation(layer: Proto) -> None:
    """Move scale, mean_file, crop_size and mirror from data layers' fields to transform_param."""
    former = _FORMER_TRANSFORMATION.get(V1_TYPES.get(layer.type, ""))
    if former is None or not layer.HasField(former):
        return
    message = getattr(layer, former)
    for name in _V0_TRANSFORMATION.values():
        if message.HasField(name):
            setattr(layer.transform_param, name, getattr(message, name))
            message.ClearField(name)


def _upgrade_v1(old: Proto, new: Proto, type_: str) -> None:
    new.type = type_
    if old.HasField("name"):
        new.name = old.name
    for name in ("bottom", "top", "include", "exclude", "blobs", "loss_weight"):
        getattr(new, name).MergeFrom(getattr(old, name))
    if old.user_text:
        new.user_text = old.user_text
    _upgrade_params(old, new)
    for described, value in old.ListFields():
        if described.name.endswith("_param"):
            getattr(new, described.name).CopyFrom(value)


def _upgrade_params(old: Proto, new: Proto) -> None:
    """Convert four lists with an item for each blob to one list of messages."""
    lists: Mapping[str, Sequence[Any]] = {
        "name": old.param,
        "share_mode": old.blob_share_mode,
        "lr_mult": old.blobs_lr,
        "decay_mult": old.weight_decay,
    }
    for _ in range(max(map(len, lists.values()))):
        new.param.add()
    for name, values in lists.items():
        for spec, value in zip(new.param, values, strict=False):
            setattr(spec, name, value)


# V2 to today's


def _upgrade_inputs(net: Proto, source: str) -> bool:
    """Convert `input:` fields to one Input layer in front; return whether there was one to make."""
    layers = [type(layer).FromString(layer.SerializeToString()) for layer in net.layer]
    shapes = _input_shapes(net, source)
    names = list(net.input) if shapes else _without_layer(net)
    net.ClearField("layer")
    if names:
        made = net.layer.add(name=INPUT_NAME, type="Input", top=names)
        for shape in shapes:
            made.input_param.shape.add(dim=shape)
    net.layer.extend(layers)
    for name in ("input", "input_dim", "input_shape"):
        net.ClearField(name)
    return bool(names)


def _without_layer(net: Proto) -> list[str]:
    """Return the inputs that no layer makes; Caffe ignores inputs if there are no shapes at all."""
    made = {top for layer in net.layer for top in layer.top}
    return [name for name in net.input if name not in made]


def _input_shapes(net: Proto, source: str) -> list[Sequence[int]]:
    """Return the shape of each input, none where the text has none; Caffe ignores excess ones."""
    shapes = [tuple(shape.dim) for shape in net.input_shape]
    dims, count = list(net.input_dim), len(net.input)
    if (not shapes and count > len(dims) // 4 > 0) or len(dims) in (1, 2, 3):
        raise CaffeFormatError(f"{source} needs four input_dim an input, got {len(dims)}")
    shapes = shapes or [tuple(dims[i : i + 4]) for i in range(0, 4 * count, 4) if dims]
    if 0 < len(shapes) < count:
        raise CaffeFormatError(f"{source} needs one shape an input, got {count} and {len(shapes)}")
    return list(shapes[:count])


def _upgrade_batch_norm(layer: Proto) -> None:
    """Set the multipliers of BatchNorm's three param specs to 0: its statistics are not learned."""
    if layer.type == "BatchNorm" and len(layer.param) == 3:
        for spec in layer.param:
            spec.lr_mult = spec.decay_mult = 0.0
