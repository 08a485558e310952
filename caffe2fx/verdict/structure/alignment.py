"""Alignment of the layers of two nets that are not the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.verdict.structure.partners import Pair, Partners, shapes_of


@dataclass
class Alignment:
    """Holds the values of a judged net that a reference net has too, and how layers differ.

    `inputs` are the reference's inputs in the judged net's order. `pairs` are layers of the judged
    net and their partners. `changes` states by layer name
    how a judged layer differs from its partner, and `rewired` are the layers and their partners
    whose bottoms are no partners. `added` are the judged layers without a partner and `missing` the
    reference's; `new_outputs` are outputs of added layers and the reference's in their places,
    `missing_outputs` and `extra` those that the reference or the judged net alone has.
    """

    values: dict[Value, Value] = field(default_factory=dict)
    inputs: tuple[Value, ...] = ()
    changes: dict[str, str] = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()
    rewired: list[Pair] = field(default_factory=list)
    added: tuple[Step, ...] = ()
    missing: tuple[Step, ...] = ()
    new_outputs: list[tuple[Value, Value]] = field(default_factory=list)
    missing_outputs: tuple[Value, ...] = ()
    extra: tuple[Value, ...] = ()


def align(judged: Net, reference: Net, *, is_cut: bool = False) -> Alignment:
    """Pair the layers of two nets (see Partners), and compare those of each pair.

    With `is_cut` the reference has other outputs by its user's choice, and ends there.
    """
    found = Alignment(inputs=_inputs(judged, reference))
    found.values.update(zip(judged.inputs, found.inputs, strict=False))
    partners = Partners(judged, reference, found.values)
    found.pairs, found.added, found.missing = partners.pairs, partners.added, partners.missing
    for step, partner in partners.pairs:
        if _is_rewired(step, partner, partners):
            found.rewired.append((step, partner))
        changes = "; ".join(_changes(step, partner, partners))
        if changes:
            found.changes[step.name] = changes
    if not is_cut:
        _compare_outputs(judged, reference, found, partners)
    return found


def _inputs(judged: Net, reference: Net) -> tuple[Value, ...]:
    """Return the reference's inputs by the names of the judged net's, else in their own order."""
    by_name = {value.blob: value for value in reference.inputs}
    if {value.blob for value in judged.inputs} == set(by_name):
        return tuple(by_name[value.blob] for value in judged.inputs)
    return reference.inputs


def _is_rewired(step: Step, partner: Step, partners: Partners) -> bool:
    """Return whether a layer reads something else than its partner does."""
    wanted = [partners.roots[value] for value in partner.reads]
    return [partners.root(value) for value in step.reads] != wanted


def _changes(step: Step, partner: Step, partners: Partners) -> Iterator[str]:
    """Yield each difference of a layer from its partner, with both sides."""
    mine, theirs = step.layer, partner.layer
    pairs: list[tuple[str, Any, Any]] = [("type", theirs.type, mine.type)]
    if type(mine) is type(theirs):
        names = [one.name for one in fields(mine)]  # type: ignore[arg-type]
        pairs += [(name, getattr(theirs, name), getattr(mine, name)) for name in names]
    if _is_rewired(step, partner, partners):
        pairs.append(("bottoms", _blobs(partner), _blobs(step)))
    pairs.append(("blobs of shapes", list(shapes_of(partner)), list(shapes_of(step))))
    pairs.append(("tops", len(partner.tops), len(step.tops)))
    for field_name, wanted, got in pairs:
        if wanted != got:
            yield f"needs {field_name} {_plain(wanted)}, got {_plain(got)}"


def _plain(value: Any) -> str:
    return value.name if isinstance(value, Enum) else repr(value)


def _blobs(step: Step) -> list[str]:
    return [str(value) for value in step.reads]


def _compare_outputs(judged: Net, reference: Net, found: Alignment, partners: Partners) -> None:
    """Find the outputs without a partner; those of layers without one are paired in order."""
    theirs = {partners.roots[value]: value for value in reference.outputs}
    mine = {value: partners.root(value) for value in judged.outputs}
    absent = [value for root, value in theirs.items() if root not in mine.values()]
    extra = [value for value, root in mine.items() if root not in theirs]
    new = [value for value in extra if value not in found.values]
    found.new_outputs = list(zip(new, absent, strict=False))
    found.values.update(found.new_outputs)
    paired = len(found.new_outputs)
    found.missing_outputs = tuple(absent[paired:])
    found.extra = tuple(value for value in extra if value not in new[:paired])
