"""Deliberate faults in a net's files: the verdict finds each, and names exactly that layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from caffe2fx.layers import PoolMethod
from caffe2fx.net.net import Net
from tests.verdict.nets import IMAGES, at, right_net, verdict, with_step

ENGINES = ["torch", pytest.param("pycaffe", marks=pytest.mark.pycaffe)]
Change = Callable[[torch.Tensor], None]


def blob(name: str, index: int, change: Change) -> Callable[[Net], Net]:
    """Return a fault in one weight blob."""

    def with_fault(net: Net) -> Net:
        step = at(net, name)
        blobs = [value.clone() for value in step.blobs]
        change(blobs[index])
        return with_step(net, replace(step, blobs=tuple(blobs)))

    return with_fault


def parameter(name: str, **changes: object) -> Callable[[Net], Net]:
    """Return a fault in the parameters of one layer."""

    def with_fault(net: Net) -> Net:
        step = at(net, name)
        return with_step(net, replace(step, layer=step.layer.replace(**changes)))

    return with_fault


def nudge(value: torch.Tensor) -> None:
    """Change one element by a thousandth of the blob's scale."""
    value.view(-1)[0] += value.abs().max() * 1e-3


def swap(value: torch.Tensor) -> None:
    """Swap two channels of the result."""
    value[[0, 1]] = value[[1, 0]]


FAULTS: dict[str, tuple[str, Callable[[Net], Net]]] = {
    "one weight": ("conv", blob("conv", 0, nudge)),
    "one weight of a group": ("branch", blob("branch", 0, nudge)),
    "one weight of fc": ("fc", blob("fc", 0, nudge)),
    "a bias": ("conv", blob("conv", 1, nudge)),
    "all biases": ("fc", blob("fc", 1, lambda bias: bias.add_(1e-3))),
    "a channel swapped": ("conv", blob("conv", 0, swap)),
    "a channel swapped, last layer with weights": ("fc", blob("fc", 0, swap)),
    "kernel flipped": ("conv", blob("conv", 0, lambda w: w.copy_(w.flip(-1).clone()))),
    "kernel transposed": ("conv", blob("conv", 0, lambda w: w.copy_(w.mT.clone()))),
    "a mean": ("bn", blob("bn", 0, nudge)),
    "a variance": ("bn", blob("bn", 1, nudge)),
    "the factor": ("bn", blob("bn", 2, lambda factor: factor.mul_(1.001))),
    "wrong eps": ("bn", parameter("bn", eps=1e-3)),
    "statistics of the batch": ("bn", parameter("bn", use_global_stats=False)),
    "scale": ("scale", blob("scale", 0, nudge)),
    "scale's bias": ("scale", blob("scale", 1, nudge)),
    "slope": ("relu", parameter("relu", negative_slope=0.01)),
    "a coefficient": ("sum", parameter("sum", coeff=(1, 0.501))),
    "no coefficients": ("sum", parameter("sum", coeff=())),
    "padding": ("strided", parameter("strided", pad=(1,))),
    "padding of one side": ("strided", parameter("strided", pad=(0, 1))),
    "pooling method": ("pool", parameter("pool", pool=PoolMethod.MAX)),
    "pooling kernel": ("pool", parameter("pool", kernel_size=4)),
    "softmax axis": ("prob", parameter("prob", axis=0)),
}  # fmt: skip


@pytest.fixture(scope="module")
def net() -> Net:
    return right_net()


@pytest.mark.parametrize("engine", ENGINES)
def test_without_a_fault_every_map_passes(net: Net, engine: str, tmp_path: Path) -> None:
    report = verdict(net, net, tmp_path, engine)
    assert report.ok and bool(report), str(report)
    assert report.first_divergence is None
    assert [row.layer for row in report.rows] == [step.name for step in net.steps[1:]]
    assert report.rows[0].origin.file.endswith("right.prototxt")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("layer", "fault"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found_in_its_layer(
    net: Net, layer: str, fault: Callable[[Net], Net], engine: str, tmp_path: Path
) -> None:
    report = verdict(net, fault(net), tmp_path, engine)
    assert not report.ok and not report
    first = report.first_divergence
    assert first is not None and first.layer == layer, str(report)
    assert [row.layer for row in report.rows if row.diverges] == [layer], str(report)
    assert not any(row.fault for row in report.rows[: report.rows.index(first)])


@pytest.mark.parametrize("engine", ENGINES)
def test_bottoms_in_another_order_show_end_to_end(net: Net, engine: str, tmp_path: Path) -> None:
    """The layer computes rightly; its bottoms in the files are wrong."""
    step = at(net, "sum")
    swapped = with_step(net, replace(step, bottoms=step.bottoms[::-1]))
    report = verdict(net, swapped, tmp_path, engine)
    first = report.first_divergence
    assert first is not None and first.layer == "sum" and not first.diverges
    assert not report.ok


@pytest.mark.parametrize("engine", ENGINES)
def test_a_fault_that_changes_a_shape_is_found_in_its_layer(
    net: Net, engine: str, tmp_path: Path
) -> None:
    """The layers behind it cannot be fed; the report still names the one that is wrong."""
    files = with_step(net, at(net, "prob"))
    steps = tuple(step for step in files.steps if step.name not in ("concat", "fc", "prob"))
    short = replace(files, steps=steps, outputs=(*at(net, "strided").tops, *at(net, "pool").tops))
    fault = parameter("conv", pad=(0,))(short)
    report = verdict(short, fault, tmp_path, engine)
    first = report.first_divergence
    assert first is not None and first.layer == "conv"


@pytest.mark.parametrize("engine", ENGINES)
def test_another_batch_is_judged_too(net: Net, engine: str, tmp_path: Path) -> None:
    report = verdict(net, net, tmp_path, engine, torch.cat([IMAGES, IMAGES.flip(0), IMAGES]) * 0.9)
    assert report.ok and report.rows[0].shape == (6, 6, 8, 8)
    assert not verdict(net, FAULTS["slope"][1](net), tmp_path, engine, IMAGES[:1]).ok
