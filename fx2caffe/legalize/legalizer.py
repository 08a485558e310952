"""Legalize: rewrite the layers that a target does not have until it has all of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from torch import Tensor

from caffe2fx.layers import Pooling
from caffe2fx.layers.layer import Layer
from caffe2fx.net.dynamic_weights import helpers
from caffe2fx.net.step import Dynamic, Step, Value, is_input
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.placeholder import Unsupported
from fx2caffe.ir.symbol import FixBatch, Refused, Symbol
from fx2caffe.ir.unpooling import note_indices
from fx2caffe.legalize.cuts import fuse_cuts
from fx2caffe.legalize.fusion import fuse_index_maps
from fx2caffe.legalize.rule import Cheapest, LayerCall, Rule, Tops, name_of
from fx2caffe.legalize.rules import rules_for
from fx2caffe.targets import TARGETS, Target


def legalize(
    steps: Sequence[Step],
    symbols: dict[Value, Symbol],
    target: Target,
    *,
    placeholders: bool = False,
) -> Emitter:
    """Rewrite the steps into layers that the target has; values keep their names.

    `symbols` gives the shapes of the inputs and receives those of all values.
    Raises UnsupportedError with a refusal for each step that no rule decomposes; with
    `placeholders` it goes out as Unsupported instead.
    """
    emitter = _LegalEmitter(target)
    refusals = []
    for step in fuse_cuts(tuple(fuse_index_maps(steps)), symbols):
        try:
            _legalize(step, symbols, emitter)
        except Refused as refused:
            if placeholders and not is_input(step) and not step.dynamic:
                _insert_placeholder(step, symbols, emitter, str(refused))
                continue
            accepting = _targets_that_accept(step, symbols, emitter)
            refusals.append(Refusal(step.layer.type, str(refused), step.origin, accepting))
            _continue_after_refusal(step, symbols, emitter)
    if refusals:
        raise UnsupportedError(refusals)
    return emitter


def _insert_placeholder(
    step: Step, symbols: dict[Value, Symbol], emitter: _LegalEmitter, reason: str
) -> None:
    bottoms = [symbols[bottom] for bottom in step.bottoms]
    shapes = step.layer.top_shapes([bottom.shape for bottom in bottoms], len(step.tops))
    if any(bottom.shape != bottom.other_shape for bottom in bottoms):
        emitter.fix_batch(f"{step.name} is a placeholder, whose shape is written")
    layer = Unsupported(op=step.layer.type, reason=reason, shapes=shapes, refused=step.layer)
    with emitter.at(step.name, step.origin):
        tops = emitter.add_many(layer, *bottoms, blobs=step.blobs, tops=len(step.tops))
    symbols.update(zip(step.tops, tops, strict=True))


def _targets_that_accept(
    step: Step, symbols: dict[Value, Symbol], emitter: _LegalEmitter
) -> tuple[str, ...]:
    """Return the names of the package's targets in which a refused step can be decomposed."""
    found = []
    for name, target in TARGETS.items():
        with suppress(Refused, FixBatch):
            _legalize(step, dict(symbols), emitter.for_target(target))
            found.append(name)
    return tuple(found)


def _legalize(step: Step, symbols: dict[Value, Symbol], emitter: _LegalEmitter) -> None:
    if is_input(step):
        reason = emitter.target.why_unsupported(step.layer, [], len(step.tops))
        if reason is not None:
            raise Refused(reason)
        emitter.steps.append(step)
        emitter.inputs += [symbols[top] for top in step.tops]
        emitter.unique(step.name)
        return
    bottoms = [symbols[bottom] for bottom in step.bottoms]
    dynamic = [symbols[weight.value] for weight in step.dynamic]
    with emitter.at(step.name, step.origin):
        tops = emitter.add_many(
            step.layer,
            *bottoms,
            blobs=step.blobs,
            tops=len(step.tops),
            dynamic=dynamic,
            loss_weight=step.loss_weight,
        )
    if isinstance(step.layer, Pooling):
        note_indices(emitter, step.layer, bottoms[0], tops)
    symbols.update(zip(step.tops, tops, strict=True))


def _continue_after_refusal(
    step: Step, symbols: dict[Value, Symbol], emitter: _LegalEmitter
) -> None:
    """Give the refused step's tops their shapes, so that later refusals are collected too."""
    bottoms = [symbols[bottom] for bottom in step.bottoms]
    emitter.steps.append(replace(step, bottoms=tuple(bottom.value for bottom in bottoms)))
    shapes = step.layer.top_shapes([b.shape for b in bottoms], len(step.tops))
    others = step.layer.top_shapes([b.other_shape for b in bottoms], len(step.tops))
    for value, shape, other in zip(step.tops, shapes, others, strict=True):
        symbols[value] = Symbol(value, shape, other)


class _LegalEmitter(Emitter):
    """Rewrites each layer it is given until the target has all of the result."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target
        self.in_caffe = target.in_caffe
        self._asked: list[tuple[Layer, tuple[Value, ...]]] = []  # the layers being rewritten

    def for_target(self, target: Target) -> _LegalEmitter:
        """Return a copy for another target; rules still see the steps that made their bottoms."""
        other = self.forked()
        other.target, other.in_caffe, other._asked = target, target.in_caffe, []
        return other

    def add_many(
        self,
        layer: Layer,
        *bottoms: Symbol,
        blobs: Sequence[Tensor] = (),
        suffix: str = "",
        tops: int = 1,
        dynamic: Sequence[Symbol] = (),
        loss_weight: tuple[float, ...] = (),
    ) -> tuple[Symbol, ...]:
        reason = self._why_unsupported(layer, bottoms, dynamic, tops)
        if reason is None:
            return super().add_many(
                layer,
                *bottoms,
                blobs=blobs,
                suffix=suffix,
                tops=tops,
                dynamic=dynamic,
                loss_weight=loss_weight,
            )
        if dynamic or loss_weight:
            raise Refused(reason)
        asked = layer, tuple(bottom.value for bottom in bottoms)
        if asked in self._asked:  # a rule that leads back to its own layer does not apply
            raise Refused(reason)
        self._asked.append(asked)
        try:
            return self._rewritten(reason, layer, bottoms, blobs, suffix, tops)
        finally:
            self._asked.pop()

    def _rewritten(
        self,
        reason: str,
        layer: Layer,
        bottoms: Sequence[Symbol],
        blobs: Sequence[Tensor],
        suffix: str,
        tops: int,
    ) -> tuple[Symbol, ...]:
        """Return the tops of the first rule whose layers the target has, or raise Refused."""
        call, reasons = LayerCall(layer, bottoms, blobs, tops), [reason]
        for rule in rules_for(layer, self.target.name):
            if isinstance(rule, Cheapest):
                made = self._by_cheapest(rule, call, suffix, reasons)
            else:
                made = self._by_rule(rule, call, suffix, reasons)
            if made is not None:
                return made
        raise Refused("; ".join(dict.fromkeys(reasons)))

    def _by_rule(
        self, rule: Rule, call: LayerCall[Any], suffix: str, reasons: list[str]
    ) -> Tops | None:
        """Return the tops that a rule gives; if it gives none, undo its layers and return None."""
        name, origin = self.scope
        mark = self.mark()
        origin = replace(origin, rules=(*origin.rules, name_of(rule)))
        try:
            with self.at(f"{name}/{suffix}" if suffix else name, origin):
                made = rule(self, call)
        except Refused as refused:
            reasons.append(str(refused))
            made = None
        if made is None:
            self.undo(mark)
        return made

    def _by_cheapest(
        self, choice: Cheapest, call: LayerCall[Any], suffix: str, reasons: list[str]
    ) -> Tops | None:
        """Return the tops of the rule that Cheapest chooses. Raises FixBatch if it must."""
        costs: dict[Rule, int] = {}
        fixed: FixBatch | None = None
        for rule in choice.rules:
            mark = self.mark()
            try:
                if self._by_rule(rule, call, suffix, reasons) is not None:
                    costs[rule] = self.cost - mark.cost
            except FixBatch as error:
                fixed = fixed or error
            self.undo(mark)
        if not costs and fixed is not None:
            raise fixed
        if not costs:
            return None
        return self._by_rule(choice.best(costs), call, suffix, [])

    def _why_unsupported(
        self, layer: Layer, bottoms: Sequence[Symbol], dynamic: Sequence[Symbol], tops: int
    ) -> str | None:
        """Return why the target cannot run the layer or those that fill its weights, else None."""
        if isinstance(layer, Unsupported):
            return None  # becomes the target's own placeholder later
        asked = [(layer, [bottom.shape for bottom in bottoms], tops)]
        for weight in dynamic:
            for step in helpers(Dynamic(weight.value, "", "", ""), weight.shape):
                asked.append((step.layer, [weight.shape for _ in step.bottoms], len(step.tops)))
        reasons = (self.target.why_unsupported(*each) for each in asked)
        return next((reason for reason in reasons if reason is not None), None)
