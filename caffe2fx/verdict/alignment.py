"""Alignment of the layers of two nets that are not the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value, is_input

PASSING = frozenset({"Dropout", "Split"})  # their tops are their bottom


@dataclass
class Alignment:
    """Holds the values of a judged net that a reference net has too, and how layers differ.

    `inputs` are the reference's inputs in the judged net's order. `changes` states by layer name
    how a judged layer differs from its partner; `added` are the names of judged layers without a
    partner and `missing` the reference's layers without one; `missing_outputs` and `extra` are the
    outputs that the reference or the judged net alone has.
    """

    values: dict[Value, Value] = field(default_factory=dict)
    inputs: tuple[Value, ...] = ()
    changes: dict[str, str] = field(default_factory=dict)
    added: set[str] = field(default_factory=set)
    missing: tuple[Step, ...] = ()
    missing_outputs: tuple[Value, ...] = ()
    extra: tuple[Value, ...] = ()


def align(judged: Net, reference: Net, *, is_cut: bool = False) -> Alignment:
    """Pair the layers of two nets by their names, and the others by type, parameters and bottoms.

    With `is_cut` the reference has other outputs by its user's choice, and ends there.
    """
    found = Alignment(inputs=_inputs(judged, reference))
    found.values.update(zip(judged.inputs, found.inputs, strict=False))
    roots = _roots(reference)
    left = {step.name: step for step in reference.steps if not is_input(step)}
    names = {step.name for step in judged.steps}
    for step in judged.steps:
        if not is_input(step):
            partner = left.get(step.name) or _alike(step, found.values, roots, left, names)
            _pair(step, partner, found, roots)
            if partner is not None:
                del left[partner.name]
    found.missing = tuple(left.values())
    if not is_cut:
        _compare_outputs(judged, reference, found, roots)
    return found


def _inputs(judged: Net, reference: Net) -> tuple[Value, ...]:
    """Return the reference's inputs by the names of the judged net's, else in their own order."""
    by_name = {value.blob: value for value in reference.inputs}
    if {value.blob for value in judged.inputs} == set(by_name):
        return tuple(by_name[value.blob] for value in judged.inputs)
    return reference.inputs


def _roots(net: Net) -> dict[Value, Value]:
    """Return for each value the one that layers without an effect pass on as it."""
    roots: dict[Value, Value] = {}
    for step in net.steps:
        passing = step.layer.type in PASSING
        for top in step.tops:
            roots[top] = roots[step.bottoms[0]] if passing else top
    return roots


def _alike(
    step: Step,
    values: Mapping[Value, Value],
    roots: Mapping[Value, Value],
    left: Mapping[str, Step],
    names: set[str],
) -> Step | None:
    """Return the reference's layer of another name with equal parameters and equal bottoms."""
    reads = [_root(values.get(value), roots) for value in step.reads]
    for other in left.values():
        alike = other.layer == step.layer and _shapes(other) == _shapes(step)
        same_reads = reads == [roots[value] for value in other.reads]
        if alike and same_reads and other.name not in names:
            return other
    return None


def _root(value: Value | None, roots: Mapping[Value, Value]) -> Value | None:
    return None if value is None else roots[value]


def _shapes(step: Step) -> list[tuple[int, ...]]:
    return [tuple(blob.shape) for blob in step.blobs]


def _pair(step: Step, partner: Step | None, found: Alignment, roots: Mapping[Value, Value]) -> None:
    """Note the partners of the step's tops, and how the step differs from its partner."""
    if partner is not None and len(partner.tops) == len(step.tops):
        found.values.update(zip(step.tops, partner.tops, strict=True))
        changes = "; ".join(_changes(step, partner, found.values, roots))
        if changes:
            found.changes[step.name] = changes
        return
    found.added.add(step.name)
    if step.layer.type in PASSING and step.bottoms[0] in found.values:
        found.values.update(dict.fromkeys(step.tops, found.values[step.bottoms[0]]))


def _changes(
    step: Step, partner: Step, values: Mapping[Value, Value], roots: Mapping[Value, Value]
) -> Iterator[str]:
    """Yield each difference of a layer from its partner, with both sides."""
    mine, theirs = step.layer, partner.layer
    pairs: list[tuple[str, Any, Any]] = [("type", theirs.type, mine.type)]
    if type(mine) is type(theirs):
        names = [one.name for one in fields(mine)]  # type: ignore[arg-type]
        pairs += [(name, getattr(theirs, name), getattr(mine, name)) for name in names]
    if [_root(values.get(v), roots) for v in step.reads] != [roots[v] for v in partner.reads]:
        pairs.append(("bottoms", _blobs(partner), _blobs(step)))
    pairs.append(("blobs of shapes", _shapes(partner), _shapes(step)))
    for field_name, wanted, got in pairs:
        if wanted != got:
            yield f"needs {field_name} {_plain(wanted)}, got {_plain(got)}"


def _plain(value: Any) -> str:
    return value.name if isinstance(value, Enum) else repr(value)


def _blobs(step: Step) -> list[str]:
    return [str(value) for value in step.reads]


def _compare_outputs(
    judged: Net, reference: Net, found: Alignment, roots: Mapping[Value, Value]
) -> None:
    """Find the outputs without a partner; those of layers without one are paired in order."""
    theirs = {roots[value]: value for value in reference.outputs}
    mine = {value: _root(found.values.get(value), roots) for value in judged.outputs}
    absent = [value for root, value in theirs.items() if root not in mine.values()]
    extra = [value for value, root in mine.items() if root not in theirs]
    new = [value for value in extra if value not in found.values]
    for value, partner in zip(new, absent, strict=False):
        found.values[value] = partner
    paired = min(len(new), len(absent))
    found.missing_outputs = tuple(absent[paired:])
    found.extra = tuple(value for value in extra if value not in new[:paired])
