"""A traced graph is held once against the model's own run on the same inputs."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, fx

from caffe2fx.net.precision import in_precision
from fx2caffe.tracing.model import pytree
from fx2caffe.tracing.model.module_calls import ModulePath
from fx2caffe.tracing.model.original import Original, bytes_of
from fx2caffe.tracing.recording.cut_points import Call, EndRun

SHARE = 1e-4  # of an output's largest value: functions in another form, in float32
NOISE = 16  # times the difference between the graph in float32 and in float64


def checksums(tensors: Sequence[Tensor]) -> dict[int, int]:
    """Return, by its id, a checksum of the memory of each tensor that lies on the CPU."""
    found: dict[int, int] = {}
    sums: dict[int, int] = {}
    for tensor in tensors:
        if tensor.layout is torch.strided and tensor.device.type == "cpu":
            storage = tensor.untyped_storage()
            if storage._cdata not in sums:
                sums[storage._cdata] = _checksum(storage)
            found[id(tensor)] = sums[storage._cdata]
    return found


def _checksum(storage: torch.UntypedStorage) -> int:
    if not storage.nbytes():
        return 0
    return zlib.crc32(bytes_of(storage).numpy().data)


class CutValues:
    """Copies the results of the calls that are cut points; ends the run after the last one."""

    def __init__(self, calls: Sequence[Call | None]) -> None:
        self._calls = calls
        self._paths = {call.path for call in calls if call is not None}
        self._made: dict[str, list[list[Tensor]]] = {}

    def note(self, path: str, result: Any) -> None:
        """Copy the result of the module at `path`. Raises EndRun after the last call."""
        copies = copied(result) if path in self._paths else []
        if copies:
            self._made.setdefault(path, []).append(copies)
            if all(call is not None and self._has(call) for call in self._calls):
                raise EndRun

    def _has(self, call: Call) -> bool:
        return call.nth is not None and len(self._made.get(call.path, ())) > call.nth

    def values(self) -> list[Tensor | None]:
        """Return the values in the order of the outputs; None for one that is no module call."""
        return [value for call in self._calls for value in self._of(call)]

    def _of(self, call: Call | None) -> Sequence[Tensor | None]:
        if call is None:
            return [None]
        return self._made[call.path][-1 if call.nth is None else call.nth]


def copied(output: Any) -> list[Tensor]:
    """Return the tensors of a result as copies, which the model cannot write."""
    return [tensor.detach().clone() for tensor in pytree.flatten(output).tensors]


def own_outputs(
    original: Original, calls: Sequence[Call | None] | None, args: Any, kwargs: Any
) -> list[Tensor | None]:
    """Run the model without a tracer; return its outputs, or the results of its cut points."""
    with torch.no_grad(), original.protected():
        if calls is None:
            return list(copied(original.run(*args, **kwargs)))
        values = CutValues(calls)
        path = ModulePath(original.root)
        with path.follow(lambda _: None, values.note), suppress(EndRun):
            original.run(*args, **kwargs)
        return values.values()


def first_difference(
    module: fx.GraphModule, inputs: Sequence[Tensor], own: Sequence[Tensor | None]
) -> str:
    """Return how the graph's first wrong output differs from the model's; empty if none does."""
    with torch.no_grad():
        mine = module(*(tensor.clone() for tensor in inputs))
    if len(mine) != len(own):
        return f"{len(own)} outputs in place of {len(mine)}"
    for index, (graphs, models) in enumerate(zip(mine, own, strict=True)):
        if models is not None and (fault := _fault(graphs, models)):
            noise = _noise(module, inputs, mine, index)
            if not _distance(graphs, models) <= NOISE * noise:
                return f"output {index} {fault}"
    return ""


def _fault(mine: Tensor, own: Tensor) -> str:
    if mine.shape != own.shape or mine.dtype != own.dtype:
        kinds = [f"{tuple(tensor.shape)} of {tensor.dtype}" for tensor in (own, mine)]
        return f"is {kinds[0]} in place of {kinds[1]}"
    distance, scale = _distance(mine, own), _scale(own)
    same = distance <= SHARE * scale
    return "" if same else f"differs by {distance:.3g}, values up to {scale:.3g}"


def _distance(mine: Tensor, own: Tensor) -> float:
    """Return the largest difference; for integers, whose order rounding may change, the share."""
    if mine.shape != own.shape or mine.dtype != own.dtype:
        return float("inf")
    differ = (mine != own) & ~(mine.isnan() & own.isnan())
    if not bool(differ.any()):
        return 0.0
    if not mine.is_floating_point():
        return float(differ.double().mean())
    largest = (mine[differ].double() - own[differ].double()).abs().max()
    return float(largest) if bool(largest.isfinite()) else float("inf")


def _scale(own: Tensor) -> float:
    finite = own[own.isfinite()].double() if own.is_floating_point() else own.new_zeros(0)
    return float(finite.abs().max()) if finite.numel() else 0.0


def _noise(
    module: fx.GraphModule, inputs: Sequence[Tensor], mine: Sequence[Tensor], index: int
) -> float:
    """Return how far output `index` in float32 is from float64; 0 where float64 fails."""
    wide = [x.double() if x.is_floating_point() else x.clone() for x in inputs]
    try:
        with in_precision(module, torch.float64) as twin, torch.no_grad():
            exact = twin(*wide)[index]
    except Exception:  # a model may ask for float32 by name
        return 0.0
    return _distance(mine[index], exact.to(mine[index].dtype))
