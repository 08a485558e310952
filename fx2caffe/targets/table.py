"""Targets printed as text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from fx2caffe.targets.command import example
from fx2caffe.targets.limit import EVERY
from fx2caffe.targets.target import Target


def table(targets: Iterable[Target]) -> str:
    """Return a table of targets, one per line."""
    lines = [("target", "judged by", "layers", "limits", "what it is")]
    lines += [
        (
            target.name,
            ", ".join(target.judges),
            str(len(target.types)),
            str(sum(map(len, target.limits.values())) + len(target.without)),
            target.about,
        )
        for target in targets
    ]
    wide = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(line, wide, strict=False)), line[4]])
        for line in lines
    )


def page(target: Target) -> str:
    """Return all that is known of a target."""
    lines = [f"{target.name}: {target.about}", f"judged by: {', '.join(target.judges)}"]
    lines.append(f"placeholder for what it lacks, on request: {target.placeholder}")
    if target.batch is not None:
        lines.append(f"batch: {target.batch}")
    if target.outputs is not None:
        lines.append(f"outputs: at most {target.outputs}")
    if target.outputs_by_layer:
        lines.append("outputs: each the only top of the layer of its name, the first one last")
    if target.drops_batch:
        lines.append(
            "values: axis 0 is 1 wherever a layer reads the axes, and in outputs of 3 axes"
        )
    lines += [*_layers(target), "limits:"]
    lines += [
        f"  {type_}: {', '.join(found)}" for type_, found in sorted(limits_of(target).items())
    ]
    lines += [f"text: {r.type} {r.written!r} as {r.instead!r}" for r in target.text_rewrites]
    lines += [f"run in {one.program}: {example(one)}" for one in target.commands]
    return "\n".join(lines)


def _layers(target: Target) -> list[str]:
    listed = textwrap.fill(" ".join(sorted(target.types)), 96)
    return [f"{len(target.types)} layers:", textwrap.indent(listed, "  ")]


def limits_of(target: Target) -> dict[str, list[str]]:
    """Return the limits of each layer type that a target has, in words."""
    found: dict[str, list[str]] = {}
    for type_ in {*target.limits, *target.without} & {EVERY, *target.types}:
        limits = [limit.text for limit in target.limits.get(type_, ())]
        found[type_] = limits + [f"no {name}" for name in sorted(target.without.get(type_, ()))]
    return found
