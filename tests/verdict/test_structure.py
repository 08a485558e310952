"""Layers missing on one side, one more, or under other names are found by weights and structure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx.layers import (
    Dropout,
    Flatten,
    Power,
    ReLU,
)
from caffe2fx.module.builder import graph_module
from caffe2fx.module.save import save
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value, is_input
from caffe2fx.verdict.reference.calibrate import calibrate
from caffe2fx.verdict.result.report import Status
from caffe2fx.verdict.structure.alignment import align
from tests.verdict.test_comparison import (
    EDITS,
    FAULTS,
    LOADED,
    X,
    changes,
    compared,
    renamed,
    with_blobs,
    with_step,
)


def without(net: Net, gone: Step) -> Net:
    """Return a net without a layer: its bottom goes to its readers."""
    new = dict.fromkeys(gone.tops, gone.bottoms[0])
    steps = tuple(step.reading(new) for step in net.steps if step is not gone)
    return replace(net, steps=steps, outputs=tuple(new.get(v, v) for v in net.outputs))


def with_one_more(net: Net, before: Step) -> Net:
    """Return a net with a Power behind a layer."""
    index = net.steps.index(before)
    net = with_blobs(net, lambda value, number: f"{value.blob}_{number}")
    before = net.steps[index]
    new = {before.tops[0]: Value("more")}
    steps = [step.reading(new) for step in net.steps]
    more = Step("more", Power(scale=0.7, shift=0.2), before.tops, (Value("more"),))
    steps.insert(index + 1, more)
    return replace(net, steps=tuple(steps), outputs=tuple(new.get(v, v) for v in net.outputs))


STRUCTURES: dict[str, Callable[[Net, Step], Net]] = {"missing": without, "more": with_one_more}
WITHOUT_EFFECT = (Dropout, Flatten)


def structural_faults() -> Iterator[tuple[str, str, str]]:
    """Net, layer and change of every layer that can go, or have another one behind it."""
    for name in ("plain", "branches", "heads"):
        net = LOADED[name].caffe.net
        for step in net.steps:
            for kind, change in STRUCTURES.items():
                if is_input(step) or len(step.bottoms) != 1:
                    continue
                try:
                    change(net, step).check_blobs()
                except caffe2fx.CaffeError:
                    continue
                yield name, step.name, kind


@pytest.mark.parametrize(
    ("name", "layer", "kind", "edit"),
    [(*row, edit) for row, edit in zip(structural_faults(), cycle(EDITS), strict=False)],
)
def test_a_layer_missing_or_more_is_named(
    name: str, layer: str, kind: str, edit: str, tmp_path: Path
) -> None:
    """Its readers are right, and follow it; one without an effect is no fault."""
    net = LOADED[name].caffe.net
    step = next(step for step in net.steps if step.name == layer)
    report = compared(name, EDITS[edit](STRUCTURES[kind](net, step)), tmp_path)
    is_output = step.tops[0] in net.outputs
    if kind == "missing" and isinstance(step.layer, WITHOUT_EFFECT) and not is_output:
        assert report.ok, str(report)
        assert [row.layer for row in report.rows if row.unverified] == [layer]
        return
    wanted = layer if kind == "missing" else "more_new" if edit == "renamed" else "more"
    first = report.first_divergence
    assert first is not None and first.layer == wanted, str(report)
    assert "no such layer" in first.verdict
    assert [row.layer for row in report.rows if row.diverges] == [wanted], str(report)
    assert not any(row.status is Status.DIFFERS for row in report.rows[: report.rows.index(first)])


@pytest.mark.parametrize(("name", "layer", "fault"), {row[2]: row for row in FAULTS}.values())
def test_a_fault_is_named_in_a_renamed_net(
    name: str, layer: str, fault: str, tmp_path: Path
) -> None:
    net = LOADED[name].caffe.net
    step = next(step for step in net.steps if step.name == layer)
    changed = with_step(net, step, dict(changes(step))[fault])
    report = compared(name, renamed(changed), tmp_path)
    first = report.first_divergence
    assert first is not None and first.layer == f"{layer}_new", str(report)
    assert [row.layer for row in report.rows if row.diverges] == [f"{layer}_new"], str(report)


class Numbered(nn.Sequential):
    """Convolutions and ReLUs whose names are their numbers, with more modules behind the second."""

    def __init__(self, more: list[nn.Module]) -> None:
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for index in range(5):
            layers += [nn.Conv2d(3 if index == 0 else 6, 6, 3, padding=1), nn.ReLU()]
        calibrate(nn.Sequential(*layers), [X])
        super().__init__(*layers[:2], *more, *layers[2:])


MOVED: dict[str, tuple[list[nn.Module], list[str]]] = {
    "a Dropout": ([nn.Dropout()], []),
    "two Dropouts": ([nn.Dropout(), nn.Dropout()], []),
    "another operation": ([nn.Tanh()], ["2"]),
    "a layer like the next": ([nn.Conv2d(6, 6, 3, 1, 1), nn.Tanh()], ["2", "3"]),
}


@pytest.mark.parametrize("kind", MOVED)
def test_names_that_moved_on_are_no_fault(kind: str, tmp_path: Path) -> None:
    """One module more in an nn.Sequential gives all layers behind it other names."""
    more, layers = MOVED[kind]
    files = [(tmp_path / f"{n}.prototxt", tmp_path / f"{n}.caffemodel") for n in "ab"]
    for modules, paths in zip(([], more), files, strict=True):
        fx2caffe.export(Numbered(modules).eval(), X).save(*paths)
    report = caffe2fx.compare(*files, X)
    assert [row.layer for row in report.rows if row.diverges] == layers, str(report)
    assert report.ok == (not layers), str(report)


def test_a_missing_layer_whose_name_another_has_is_a_row_and_a_box_of_its_own(
    tmp_path: Path,
) -> None:
    """The net lacks a ReLU, and the names behind it moved on."""
    net = graph_module(fx2caffe.export(Numbered([]), X).net).caffe.net
    gone = next(step for step in net.steps if step.name == "3")
    short = with_blobs(without(net, gone), lambda value, number: str(number))
    names = [s.name if int(s.name) < 3 else str(int(s.name) - 1) for s in short.steps[1:]]
    steps = [replace(s, name=name) for s, name in zip(short.steps[1:], names, strict=True)]
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    save(replace(short, steps=(short.steps[0], *steps)), *files)
    report = caffe2fx.compare(graph_module(net), files, X)
    assert [row.layer for row in report.rows if row.diverges] == ["3 (reference)"], str(report)
    drawn = report.context.net
    assert drawn is not None and [step.name for step in drawn.steps[1:]] == [
        row.layer for row in report.rows if row.type
    ]
    makers = drawn.producers()
    (box,) = (step for step in drawn.steps if step.name == "3 (reference)")
    assert makers[box.bottoms[0]].name == "2" and box.layer == ReLU()
    (reader,) = (step for step in drawn.steps if box.tops[0] in step.reads)
    assert reader.name == "3"


def test_weights_that_two_layers_exchanged_are_named(tmp_path: Path) -> None:
    net = graph_module(fx2caffe.export(Numbered([]), X).net).caffe.net
    one, two = (next(s for s in net.steps if s.name == name) for name in ("2", "6"))
    changed = with_step(net, one, replace(one, blobs=two.blobs))
    changed = with_step(changed, two, replace(two, blobs=one.blobs))
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    save(changed, *files)
    report = caffe2fx.compare(graph_module(net), files, X)
    assert [row.layer for row in report.rows if row.diverges] == ["2", "6"], str(report)


class Sums(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.branches = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        for branch in self.branches:
            x = x + branch(x).sigmoid()
        return x


@pytest.mark.parametrize("kind", STRUCTURES)
@pytest.mark.parametrize("layer", ["branches.0", "sigmoid", "branches.1", "sigmoid_1"])
def test_sums_behind_a_change_keep_their_partners(kind: str, layer: str) -> None:
    """One branch of the sum is unknown; the other, under another name, is not."""
    net = fx2caffe.export(Sums().eval(), X).net
    step = next(step for step in net.steps if step.name == layer)
    found = align(renamed(STRUCTURES[kind](net, step)), net)
    names = [step.name for step in found.added], [step.name for step in found.missing]
    assert names == (([], [layer]) if kind == "missing" else (["more_new"], []))
