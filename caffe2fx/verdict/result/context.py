"""The context of a report: its model and inputs, the programs that ran, and the time it took."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.verdict.maps.map_details import Details, Key


@dataclass(frozen=True)
class Input:
    """Holds one input of the comparison: its shape, range, and the SHA-256 of its float32 bytes."""

    name: str
    shape: Shape
    low: float
    high: float
    sha256: str


@dataclass(frozen=True)
class Blob:
    """Holds the shape and statistics of a weight blob, or of a parameter of the model."""

    name: str
    shape: Shape
    low: float
    high: float
    mean: float
    norm: float


@dataclass(frozen=True)
class Parameters:
    """Holds the parameters of one layer on both sides.

    `differences` are the largest ones of each pair of blobs, None where shapes differ; they are
    empty where the blobs of the sides do not correspond, as after folding.
    """

    reference: tuple[Blob, ...]
    engine: tuple[Blob, ...]
    differences: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Context:
    """Holds the circumstances of a comparison.

    `net` is the judged net without its weights; `seconds` are those of each step of the work, and
    `layer_seconds` those of each layer in the engine, where that measures them. `details` are kept
    for few maps, and `parameters` for few layers. `refusals` are the reasons why nothing was
    exported; `is_check` states that nothing was compared, but an export was tried.
    """

    model: str = ""
    target: str = ""
    program: str = ""  # the engine's own name and version
    inputs: tuple[Input, ...] = ()
    net: Net | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    layer_seconds: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[Key, Details] = field(default_factory=dict)
    parameters: Mapping[str, Parameters] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    is_check: bool = False


def versions() -> dict[str, str]:
    """Return the versions of the programs that compute a reference."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }


def without_weights(net: Net) -> Net:
    """Return the net with empty blobs, so that a report keeps no weights alive."""
    return replace(net, steps=tuple(replace(step, blobs=()) for step in net.steps))


def digests(net: Net, inputs: Sequence[Tensor]) -> tuple[Input, ...]:
    """Return the shapes and statistics of a comparison's inputs."""
    return tuple(
        _digest(value.blob, tensor) for value, tensor in zip(net.inputs, inputs, strict=True)
    )


def _digest(name: str, tensor: Tensor) -> Input:
    values = tensor.detach().to(torch.float32).contiguous()
    low, high = (float(values.min()), float(values.max())) if values.numel() else (0.0, 0.0)
    found = hashlib.sha256(values.numpy().data).hexdigest()
    return Input(name, tuple(tensor.shape), low, high, found)


def blob(name: str, value: Tensor) -> Blob:
    """Return the shape and statistics of a blob."""
    values, shape = value.detach().float(), tuple(value.shape)
    if not values.numel():
        return Blob(name, shape, 0.0, 0.0, 0.0, 0.0)
    low, high = map(float, torch.aminmax(values))
    return Blob(name, shape, low, high, float(values.mean()), float(values.norm()))


def parameters(reference: Sequence[Tensor], engine: Sequence[Tensor]) -> Parameters:
    """Return the weight blobs of one layer on both sides, and their largest differences."""
    wanted, got = (
        tuple(blob(f"blob {index}", value) for index, value in enumerate(side))
        for side in (reference, engine)
    )
    pairs = zip(reference, engine, strict=False)
    return Parameters(wanted, got, tuple(_largest_difference(one, two) for one, two in pairs))


def _largest_difference(one: Tensor, two: Tensor) -> float | None:
    same = one.shape == two.shape and one.numel()
    return float((one.detach().float() - two.detach().float()).abs().max()) if same else None
