"""The weight blobs of a layer, as the module that it became holds them now.

Users change what load made: they train and prune it, and put other modules in its place. The blobs
are those of the file's layer only while the module is of the type that load made, and has its
strides and the like.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from caffe2fx.errors import CaffeError, ShapeMismatchError
from caffe2fx.layers.layer import Layer
from caffe2fx.messages.message import Shape
from caffe2fx.net.shared_weights import Reshaped
from caffe2fx.net.step import Step

_STATED = (bool, int, float, str, tuple)  # types of what a module has of its layer
_FREE = ("training", "momentum")  # of no effect on what the weights compute


def held_blobs(step: Step, reads: Sequence[Shape], module: nn.Module) -> tuple[Tensor, ...]:
    """Return the blobs of a step that its module holds, in the shapes of the file.

    `reads` are the shapes of what the step reads.
    Raises CaffeError, with the layer's name and the way out, where they are not those of the layer.
    """
    try:
        _check_type(step, reads, module)
        for part in module.modules():
            _check_tensors(part)
        blobs = step.layer.blobs_of(module)
        if list(map(_sizes, blobs)) != list(map(_sizes, step.blobs)):
            wanted, got = ([tuple(blob.shape) for blob in them] for them in (step.blobs, blobs))
            raise ShapeMismatchError(f"needs weights of shapes {wanted}, got {got}")
        _check_parameters(step, reads, module)
    except CaffeError as error:
        raise step.fault(error) from None
    pairs = zip(blobs, step.blobs, strict=True)
    return tuple(blob.detach().reshape(old.shape) for blob, old in pairs)


def _check_type(step: Step, reads: Sequence[Shape], module: nn.Module) -> None:
    """Raise unless the module is of the type that load made; parametrizations are none."""
    if isinstance(module, Reshaped):
        return
    made, got = type(step.module(reads)), _type_of(module)
    if got is not made:
        raise CaffeError(
            f"needs the module that load made, {_name(made)}, got {_name(got)}: put it back, with "
            "the weights copied into it"
        )


def _check_parameters(step: Step, reads: Sequence[Shape], module: nn.Module) -> None:
    """Raise if the module has another stride, eps or the like than its prototxt."""
    if isinstance(module, Reshaped):
        return
    for name, value in vars(step.module(reads)).items():
        stated = isinstance(value, (*_STATED, Layer)) and not name.startswith("_")
        if stated and name not in _FREE and getattr(module, name, None) != value:
            found = getattr(module, name, None)
            raise CaffeError(f"needs {name} {value} as in its prototxt, got {found}: put it back")


def _name(kind: type[nn.Module]) -> str:
    return f"{kind.__module__.partition('.')[0]}'s {kind.__name__}"


def _type_of(module: nn.Module) -> type[nn.Module]:
    found: type[nn.Module] = type_before_parametrizations(module)
    return found


def _check_tensors(module: nn.Module) -> None:
    """Raise for weights that hooks compute at each forward, and for tensors without elements."""
    computed = [name for name, value in vars(module).items() if isinstance(value, Tensor)]
    if computed:
        raise CaffeError(
            f"needs {computed[0]} to be a parameter, got one that a hook computes: remove the hook "
            "first (torch.nn.utils.prune.remove, remove_weight_norm ...)"
        )
    for name, value in (*module._parameters.items(), *module._buffers.items()):
        if name.startswith("running_") and value is None:
            raise CaffeError(f"needs {name}, got None")
        if value is not None and (value.is_meta or value.layout is not torch.strided):
            kind = "a meta tensor" if value.is_meta else value.layout
            raise CaffeError(f"needs {name} as a dense tensor in memory, got {kind}")


def _sizes(blob: Tensor) -> Shape:
    """Return the shape without axes of size 1."""
    return tuple(size for size in blob.shape if size != 1)
