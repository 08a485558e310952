"""Legalize: rewrite what the target lacks into what it has, until nothing is left."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from caffe2fx.layer import Layer
from caffe2fx.net import Step, Value, is_input
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.legalize import (
    activation,
    axis_matrix,
    binary,
    gather,
    index_map,
    permute,
    pooling,
    reduce,
    standardize,
)
from fx2caffe.legalize.fuse import fuse_index_maps
from fx2caffe.legalize.rules import rules_for
from fx2caffe.targets import Target


def legalize(
    steps: Sequence[Step], symbols: dict[Value, Symbol], target: Target
) -> Emitter:
    """The steps in the target's own layers; values keep their names.

    `symbols` gives the shapes of the inputs and receives those of all values.
    Raises UnsupportedError with a refusal for each step that no rule can say.
    """
    emitter = _LegalEmitter(target)
    refusals = []
    for step in fuse_index_maps(steps):
        try:
            _legalize(step, symbols, emitter)
        except Refused as refused:
            refusals.append(Refusal(step.layer.type, str(refused), step.origin))
            _assume(step, symbols)
    if refusals:
        raise UnsupportedError(refusals)
    return emitter


def _legalize(step: Step, symbols: dict[Value, Symbol], emitter: _LegalEmitter) -> None:
    if is_input(step):
        emitter.steps.append(step)
        emitter.unique(step.name)
        return
    bottoms = [symbols[bottom] for bottom in step.bottoms]
    with emitter.at(step.name, step.origin):
        tops = emitter.add_many(step.layer, *bottoms, blobs=step.blobs, tops=len(step.tops))
    symbols.update(zip(step.tops, tops, strict=True))


def _assume(step: Step, symbols: dict[Value, Symbol]) -> None:
    """Go on after a refusal as if the step had been said, so that all are found."""
    bottoms = [symbols[bottom] for bottom in step.bottoms]
    shapes = step.layer.top_shapes([b.shape for b in bottoms], len(step.tops))
    others = step.layer.top_shapes([b.other for b in bottoms], len(step.tops))
    for value, shape, other in zip(step.tops, shapes, others, strict=True):
        symbols[value] = Symbol(value, shape, other)


class _LegalEmitter(Emitter):
    """An emitter that rewrites what it is given until the target has it."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target

    def add_many(
        self,
        layer: Layer,
        *bottoms: Symbol,
        blobs: Sequence[Tensor] = (),
        role: str = "",
        tops: int = 1,
    ) -> tuple[Symbol, ...]:
        lacking = self.target.lacks(layer, [bottom.shape for bottom in bottoms])
        if lacking is None:
            return super().add_many(layer, *bottoms, blobs=blobs, role=role, tops=tops)
        name, origin = self.scope
        reasons = []
        for rule in rules_for(layer):
            try:
                with self.at(f"{name}/{role}" if role else name, origin):
                    return rule(self, layer, bottoms, blobs, tops)
            except Refused as refused:
                reasons.append(str(refused))
        raise Refused("; ".join([lacking, *reasons]))


__all__ = [
    "activation",
    "axis_matrix",
    "binary",
    "gather",
    "index_map",
    "legalize",
    "permute",
    "pooling",
    "reduce",
    "standardize",
]
