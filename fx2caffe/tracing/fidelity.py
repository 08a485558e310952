"""A traced graph is held once against the model's own run on the same inputs."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.node import map_aggregate

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


def without_the_first(outputs: Sequence[Tensor | None], samples: int) -> list[Tensor | None] | None:
    """Return outputs on one sample more without what belongs to the additional sample.

    None where that is not what belongs to the next sample, of which it is a copy.
    """
    for value in outputs:
        if value is not None and _has_one_more(value, samples) and _fault(value[:1], value[1:2]):
            return None
    return [
        value[1:] if value is not None and _has_one_more(value, samples) else value
        for value in outputs
    ]


def _has_one_more(value: Tensor, samples: int) -> bool:
    return value.dim() > 0 and len(value) == samples + 1


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


def lost_in_float32(
    module: fx.GraphModule, inputs: Sequence[Tensor], own: Sequence[Tensor | None]
) -> tuple[fx.Node, str] | None:
    """Return the first node in float64 and how the outputs differ where float32 takes its place.

    None where the graph has no such node, or its outputs are the model's all the same.
    """
    wide = next((node for node in module.graph.nodes if _is_wide(node)), None)
    if wide is None:
        return None
    try:
        with torch.no_grad():
            mine = module(*(tensor.clone() for tensor in inputs))
            narrow = _InFloat32(module).run(*(tensor.clone() for tensor in inputs))
    except Exception:  # a function of float64 alone: a refusal of its own
        return None
    for index, (graphs, models) in enumerate(zip(narrow, own, strict=True)):
        if models is not None and (fault := _fault(graphs.to(models.dtype), models)):
            noise = _noise(module, inputs, mine, index)
            if not _distance(graphs.to(models.dtype), models) <= NOISE * noise:
                return wide, f"output {index} {fault}"
    return None


def _is_wide(node: fx.Node) -> bool:
    is_call = node.op in ("call_function", "call_module")
    return is_call and getattr(node.meta.get("value"), "dtype", None) in _NARROWER


class _InFloat32(fx.Interpreter):
    """Runs a graph with float32 wherever it has float64."""

    def fetch_args_kwargs_from_env(self, n: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        found: tuple[tuple[Any, ...], dict[str, Any]] = super().fetch_args_kwargs_from_env(n)
        return map_aggregate(found, _narrowed)

    def run_node(self, n: fx.Node) -> Any:
        return map_aggregate(super().run_node(n), _narrowed)


_NARROWER = {torch.float64: torch.float32, torch.complex128: torch.complex64}


def _narrowed(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return _NARROWER.get(value, value)
    is_wide = isinstance(value, Tensor) and value.dtype in _NARROWER
    return value.to(_NARROWER[value.dtype]) if is_wide else value
