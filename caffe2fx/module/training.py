"""Training of a loaded net: the learning rates that its prototxt states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from caffe2fx.errors import CaffeError
from caffe2fx.messages.common import ParamSpec
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.net.step import Step

Multipliers = tuple[float, float]


def parameter_groups(
    module: CaffeGraphModule, *, lr: float, weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """Return parameter groups for a torch.optim optimizer, one for each lr_mult and decay_mult.

    `lr` and `weight_decay` are the solver's base_lr and weight_decay. torch.optim.SGD with these
    groups and the solver's momentum computes Caffe's updates while the learning rate stays.
    Parameters that need no gradient are left out; those that came from no layer count once.

    Raises CaffeError where one parameter of torch has several multipliers.
    """
    found: dict[nn.Parameter, Multipliers] = {}
    for step, owner in module.caffe.layers():
        for parameter, multipliers in _multipliers(step, owner):
            found[parameter] = _agreed(found.get(parameter), multipliers)
    groups: dict[Multipliers, list[nn.Parameter]] = {}
    for parameter in module.parameters():
        if parameter.requires_grad:
            groups.setdefault(found.get(parameter, _ONCE), []).append(parameter)
    return [
        {"params": members, "lr": lr * rate, "weight_decay": weight_decay * decay}
        for (rate, decay), members in groups.items()
    ]


_ONCE: Multipliers = (1.0, 1.0)


def _multipliers(step: Step, owner: nn.Module) -> Iterator[tuple[nn.Parameter, Multipliers]]:
    """Yield each parameter of the step's module with the multipliers in the file."""
    blobs = step.layer.blobs_of(owner)
    specs = (*step.params, *(ParamSpec(),) * len(blobs))
    found = [(spec.lr_mult, spec.decay_mult) for spec in specs[: len(blobs)]]
    by_blob = {id(blob): one for blob, one in zip(blobs, found, strict=True)}
    for parameter in owner.parameters():
        if id(parameter) in by_blob:
            yield parameter, by_blob[id(parameter)]
        elif len(set(found)) == 1:  # a module that keeps its blobs in another form
            yield parameter, found[0]
        else:
            raise step.fault(CaffeError(f"needs one lr_mult for all its blobs, got {found}"))


def _agreed(before: Multipliers | None, now: Multipliers) -> Multipliers:
    """Return the multipliers of a shared blob: those that some layer states; no file has two."""
    return now if before is None or before == _ONCE else before
