"""The first difference between two nets in anything but their weights."""

from __future__ import annotations

from dataclasses import fields
from itertools import zip_longest
from typing import Any

from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, is_input


def first_difference(wanted: Net, found: Net, *, free_batch: bool = False) -> str | None:
    """Return in words where and how `found` differs first from `wanted`; None where nothing does.

    Compared are the layers in their order: names, types, every parameter, bottoms, tops and param
    specs. With `free_batch` the first dimensions of the inputs may differ.
    """
    for mine, theirs in zip_longest(wanted.steps, found.steps):
        if mine is None:
            return f"the net needs no layer {theirs.name!r}, got one{_source_line(theirs)}"
        if theirs is None:
            return f"the net needs a layer {mine.name!r} ({mine.layer.type}), got none"
        fault = _difference(mine, theirs, free_batch)
        if fault is not None:
            return f"layer {mine.name!r} ({mine.layer.type}) {fault}{_source_line(theirs)}"
    if wanted.name != found.name:
        return f"the net needs name {wanted.name!r}, got {found.name!r}"
    return None


def _difference(mine: Step, theirs: Step, free_batch: bool) -> str | None:
    pairs: list[tuple[str, Any, Any]] = [
        ("name", mine.name, theirs.name),
        ("type", mine.layer.type, theirs.layer.type),
    ]
    if free_batch and is_input(mine) and is_input(theirs):
        pairs.append(("sizes after the batch", _tails(mine), _tails(theirs)))
    elif type(mine.layer) is type(theirs.layer):
        for field in fields(mine.layer):  # type: ignore[arg-type]
            values = getattr(mine.layer, field.name), getattr(theirs.layer, field.name)
            pairs.append((field.name, *values))
    pairs += [
        ("bottoms", _names(mine.bottoms), _names(theirs.bottoms)),
        ("tops", _names(mine.tops), _names(theirs.tops)),
        ("param", mine.params, theirs.params),
        ("computed weights", mine.dynamic, theirs.dynamic),
    ]
    for name, wanted, got in pairs:
        if wanted != got:
            return f"needs {name} {wanted!r}, got {got!r}"
    return None


def _tails(step: Step) -> list[Any]:
    return [shape[1:] for shape in step.top_shapes(())]


def _names(values: Any) -> list[str]:
    return [value.blob for value in values]


def _source_line(step: Step) -> str:
    return f" ({step.origin.file}:{step.origin.line})" if step.origin.file else ""
