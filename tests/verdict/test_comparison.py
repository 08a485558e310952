"""caffe2fx.compare: outputs missing on one side, nets whose layers differ, injected faults."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx.errors import CaffeError
from caffe2fx.layers import (
    Concat,
    Convolution,
    Dropout,
    Eltwise,
    InnerProduct,
    Pooling,
    PoolMethod,
    Power,
    ReLU,
    Scale,
    Sigmoid,
    Softmax,
)
from caffe2fx.module.builder import graph_module
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.module.save import save
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value, is_input
from caffe2fx.verdict.reference.calibrate import calibrate
from caffe2fx.verdict.result.report import Status
from tests.rows import Function

Edit = Callable[[Net], Net]
X = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(6, 6, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(6, 6, 1)
        )
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = (x - self.body(x) * 0.5).relu()
        scores: Tensor = self.head(x.mean((2, 3)))
        return scores.softmax(1)


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)
        self.pool, self.end = nn.MaxPool2d(3, 1, 1), nn.Conv2d(11, 6, 3, padding=2, dilation=2)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([self.a(x).relu(), self.b(x).sigmoid(), self.pool(x)], 1)
        return torch.nn.functional.adaptive_max_pool2d(self.end(joined), 1).flatten(1)


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up = nn.Conv2d(3, 6, 3, 2, 1), nn.ConvTranspose2d(6, 3, 4, 2, 1)
        self.norm = nn.LocalResponseNorm(3)

    def forward(self, x: Tensor) -> Any:
        low = self.norm(self.stem(x).relu())
        return {"map": self.up(low), "more": [low.amax(1), torch.nn.functional.avg_pool2d(low, 2)]}


NETS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.PReLU(6), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4), nn.Softmax(1),
    ),
    "perceptron": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(432, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 8), nn.Tanh(),
        nn.Linear(8, 3),
    ),
    "separable": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3, 1, 1, groups=6),
        nn.BatchNorm2d(6), nn.ELU(0.7), nn.Conv2d(6, 8, 1), nn.AvgPool2d(2),
    ),
    "residual": Residual,
    "branches": Branches,
    "heads": Heads,
}  # fmt: skip


def loaded(name: str) -> CaffeGraphModule:
    """One of the nets as it is loaded, with weights that keep its signal alive."""
    torch.manual_seed(0)
    model = calibrate(NETS[name](), [X])
    net = fx2caffe.export(model, X, fold_batchnorm=name != "separable").net
    return graph_module(net)


def test_weights_without_elements_stay_as_they_are() -> None:
    layer = nn.Linear(4, 3)
    layer.register_parameter("none", nn.Parameter(torch.empty(0, 2)))
    calibrate(layer, [torch.randn(8, 4)])
    assert layer(torch.randn(8, 4)).isfinite().all()


LOADED = {name: loaded(name) for name in NETS}


def compared(name: str, net: Net, folder: Path, engine: str = "torch") -> Any:
    """Return the loaded net against the files of another."""
    files = folder / "net.prototxt", folder / "net.caffemodel"
    save(net, *files)
    return caffe2fx.compare(LOADED[name], files, X, engine=engine)


def with_step(net: Net, old: Step, new: Step) -> Net:
    return replace(net, steps=tuple(new if step is old else step for step in net.steps))


def scaled(step: Step) -> Step:
    return replace(step, blobs=(step.blobs[0] * 1.01, *step.blobs[1:]))


def rolled(step: Step) -> Step:
    return replace(step, blobs=(step.blobs[0].roll(1, 0), *step.blobs[1:]))


def shifted(step: Step) -> Step:
    return replace(step, blobs=(*step.blobs[:-1], step.blobs[-1] + 0.01))


def changes(step: Step) -> Iterator[tuple[str, Step]]:
    """Return every fault that a layer can have, by its name."""
    layer = step.layer
    if isinstance(layer, Convolution | InnerProduct | Scale) and len(step.blobs) > 0:
        yield "weight scaled", scaled(step)
        yield "rows rolled", rolled(step)
        if len(step.blobs) > 1:
            yield "shift of the bias", shifted(step)
    if isinstance(layer, Convolution) and layer.pad and layer.pad[0] and not layer.stride:
        yield "pad", replace(step, layer=layer.replace(pad=(0,)))
        yield "dilation", replace(step, layer=layer.replace(dilation=(3,)))
    if isinstance(layer, Pooling):
        other = PoolMethod.AVE if layer.pool is PoolMethod.MAX else PoolMethod.MAX
        yield "pool mode", replace(step, layer=layer.replace(pool=other))
    if isinstance(layer, ReLU):
        yield "slope", replace(step, layer=layer.replace(negative_slope=0.3))
        yield "operation", replace(step, layer=Sigmoid())
    if isinstance(layer, Softmax):
        yield "axis", replace(step, layer=layer.replace(axis=0))
    if isinstance(layer, Power):
        yield "shift", replace(step, layer=layer.replace(shift=layer.shift + 0.1))
    if isinstance(layer, Concat | Eltwise) and len(step.bottoms) > 1:
        yield "inputs swapped", replace(step, bottoms=step.bottoms[::-1])


def faults() -> Iterator[tuple[str, str, str]]:
    """Net, layer and fault of every one that leaves a net that runs."""
    for name, module in LOADED.items():
        net = module.caffe.net
        for step in net.steps:
            for fault, changed in changes(step):
                try:
                    with_step(net, step, changed).check_blobs()
                except caffe2fx.CaffeError:
                    continue  # Caffe itself would not load it
                yield name, step.name, fault


FAULTS = list(faults())


def test_the_faults_are_of_every_kind() -> None:
    assert {fault for _, _, fault in FAULTS} == {
        "weight scaled", "rows rolled", "shift of the bias", "pad", "dilation", "pool mode",
        "slope", "operation", "axis", "shift", "inputs swapped",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "layer", "fault"), FAULTS)
def test_a_fault_is_named(name: str, layer: str, fault: str, tmp_path: Path) -> None:
    net = LOADED[name].caffe.net
    step = next(step for step in net.steps if step.name == layer)
    report = compared(name, with_step(net, step, dict(changes(step))[fault]), tmp_path)
    first = report.first_divergence
    assert first is not None and first.layer == layer, str(report)
    assert [row.layer for row in report.rows if row.diverges] == [layer], str(report)
    assert report.status is Status.DIFFERS


def dropped(net: Net) -> Net:
    """Return a net with another Dropout behind the first layer and the first output."""
    net = with_blobs(net, lambda value, number: f"{value.blob}_{number}")
    made: list[Step] = []
    mapped: dict[Value, Value] = {}
    first = next(step for step in net.steps if not is_input(step)).tops[0]
    for step in net.steps:
        step = step.reading({v: mapped.get(v, v) for v in step.reads})
        made.append(step)
        for top in step.tops:
            if top == first or top == net.outputs[0]:
                mapped[top] = Value(f"{top.blob}_drop")
                made.append(Step(mapped[top].blob, Dropout(), (top,), (mapped[top],)))
    return replace(net, steps=tuple(made), outputs=tuple(mapped.get(v, v) for v in net.outputs))


def with_blobs(net: Net, name: Callable[[Value, int], str]) -> Net:
    """Return a net with every value but the inputs in a blob of its own, named by its index."""
    numbers = {v: i for i, v in enumerate(top for step in net.steps for top in step.tops)}
    new = {v: v if v in net.inputs else Value(name(v, i)) for v, i in numbers.items()}
    steps = [
        replace(step.reading(new), tops=tuple(new[top] for top in step.tops)) for step in net.steps
    ]
    return replace(net, steps=tuple(steps), outputs=tuple(new[v] for v in net.outputs))


def renamed(net: Net) -> Net:
    """Return a net with every layer and blob renamed, so that names sort in reverse."""
    net = with_blobs(net, lambda value, number: f"{900 - number}x")
    steps = [s if is_input(s) else replace(s, name=f"{s.name}_new") for s in net.steps]
    return replace(net, steps=tuple(steps))


EDITS: dict[str, Edit] = {"itself": lambda net: net, "Dropouts": dropped, "renamed": renamed}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("edit", EDITS)
def test_no_false_alarm(name: str, edit: str, tmp_path: Path) -> None:
    net = LOADED[name].caffe.net
    report = compared(name, EDITS[edit](net), tmp_path)
    assert report.ok, str(report)
    assert len(report.rows) >= sum(not is_input(step) and bool(step.tops) for step in net.steps)
    assert not any(row.unverified for row in report.rows)


@pytest.mark.parametrize("name", NETS)
def test_a_fault_is_named_in_a_net_of_other_names_and_a_layer_more(
    name: str, tmp_path: Path
) -> None:
    net = LOADED[name].caffe.net
    step = next(step for step in net.steps if step.blobs)
    report = compared(name, dropped(renamed(with_step(net, step, scaled(step)))), tmp_path)
    first = report.first_divergence
    assert first is not None and first.layer == f"{step.name}_new", str(report)


def test_shape_faults_are_reported_as_shapes(tmp_path: Path) -> None:
    net = LOADED["branches"].caffe.net
    step = next(step for step in net.steps if step.name == "end")
    report = compared("branches", with_step(net, step, dict(changes(step))["pad"]), tmp_path)
    first = report.first_divergence
    assert first is not None and first.end_to_end is None
    assert "it needs shape (2, 6, 12, 12), got (2, 6, 8, 8); needs pad (2,), got ()" in str(first)


class Two(nn.Module):
    def __init__(self, give: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 5, 3)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)
        self.give = give

    def forward(self, x: Tensor) -> Any:
        return self.give(self.a(x), self.b(x))


GIVES: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "both": lambda a, b: (a, b),
    "turned": lambda a, b: (b, a),
    "nested": lambda a, b: (a, [{"deep": (b,)}]),
    "named": lambda a, b: {"b": b, "a": a},
    "first": lambda a, b: a,
    "second": lambda a, b: [b],
}
MISSING = {"first": "b", "second": "a"}


@pytest.mark.parametrize("mine", GIVES)
@pytest.mark.parametrize("theirs", GIVES)
@pytest.mark.parametrize("kind", ["module and files", "files", "modules"])
def test_outputs(mine: str, theirs: str, kind: str, tmp_path: Path) -> None:
    """All of them count, in any nesting; one that is missing is a fault that names it.

    The order counts where both sides have one: blobs have none.
    """
    sides: list[Any] = [Two(GIVES[mine]).eval(), Two(GIVES[theirs]).eval()]
    for index, name in enumerate(("a", "b")):
        if kind == "files" or (kind == "module and files" and index == 1):
            files = tmp_path / f"{name}.prototxt", tmp_path / f"{name}.caffemodel"
            fx2caffe.export(sides[index], X).save(*files)
            sides[index] = files
    report = caffe2fx.compare(sides[0], sides[1], X)
    turned = kind == "modules" and {mine, theirs} in ({"both", "turned"}, {"nested", "turned"})
    equal = MISSING.get(mine) == MISSING.get(theirs) and not turned
    assert report.ok == equal, str(report)
    if not equal:
        assert report.first_divergence is not None
    alone = {MISSING.get(mine), MISSING.get(theirs)} - {None}
    if kind == "files" and len(alone) == 1:
        differing = {row.blob for row in report.rows if row.status is Status.DIFFERS}
        assert differing == (set() if equal else alone)


def test_a_wrong_output_is_seen_in_any_nesting(tmp_path: Path) -> None:
    model = Two(GIVES["nested"]).eval()
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    net = fx2caffe.export(model, X).net
    save(with_step(net, net.steps[2], scaled(net.steps[2])), *files)
    report = caffe2fx.compare(model, files, X)
    first = report.first_divergence
    assert first is not None and first.layer == "output 1.0.deep.0" and first.blob == "b"


def test_constant_outputs_beside_others_are_no_fault() -> None:
    model = Function(lambda x: (x * 2, torch.arange(3.0)))
    assert caffe2fx.compare(model, Function(lambda x: (x + x, torch.arange(3.0))), X).ok
    other = Function(lambda x: (x + x, torch.arange(3.0) + 1e-3))
    assert caffe2fx.compare(model, other, X).status is Status.DIFFERS
    constant = Function(lambda x: torch.arange(3.0))
    assert caffe2fx.compare(constant, constant, X).status is Status.NOT_PROVEN


PADDED = """layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "a" type: "Convolution" bottom: "x" top: "a"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "b" type: "Convolution" bottom: "x" top: "b"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }
"""


@pytest.mark.parametrize("engine", ["torch", pytest.param("pycaffe", marks=pytest.mark.pycaffe)])
def test_a_change_after_which_a_later_layer_cannot_run_is_named(
    tmp_path: Path, engine: str
) -> None:
    right, wrong, weights = (
        tmp_path / name for name in ("r.prototxt", "w.prototxt", "n.caffemodel")
    )
    right.write_text(PADDED)
    wrong.write_text(PADDED.replace("pad: 1", ""))
    module = caffe2fx.load(right)
    caffe2fx.save_weights(module, weights)
    with pytest.raises(
        CaffeError, match=r"against the reference layer 'a' needs pad \(1,\), got \(\)$"
    ):
        caffe2fx.compare(module, (wrong, weights), torch.randn(1, 3, 8, 8), engine=engine)
    lacking = re.sub(r'layer \{ name: "b".*\n.*\n', "", PADDED).replace('"b"', '"x"')
    wrong.write_text(lacking)
    with pytest.raises(CaffeError, match=r"reference layer 'b' \(Convolution\(.*\)\) is missing; "):
        caffe2fx.compare(module, (wrong, weights), torch.randn(1, 3, 8, 8), engine=engine)
    weights.write_bytes(b"")
    with pytest.raises(CaffeError) as error:
        caffe2fx.compare(module, (right, weights), torch.randn(1, 3, 8, 8), engine=engine)
    assert "against the reference" not in str(error.value)
