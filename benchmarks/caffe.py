"""Measure exported nets in real Caffe.

A CNN is held against the net that one writes by hand for its architecture, and a transformer
against its own matrix products as InnerProduct layers. Both run in turns, in one process each.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path

import torch
import torchvision

import fx2caffe
from benchmarks.handwritten import NETS
from benchmarks.rows import Row
from benchmarks.turns import Ratio, in_turns
from caffe2fx.engines.pycaffe import Worker
from caffe2fx.layers import Convolution, InnerProduct
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step

TRANSFORMERS = ("swin_t",)


def forward(name: str, folder: Path) -> Ratio:
    """Time the exported net and the other in real Caffe."""
    model = torchvision.models.get_model(name, weights=None).eval()
    side = 299 if name.startswith("inception") else 224
    exported = fx2caffe.export(model, torch.randn(1, 3, side, side))
    exported.save(folder / "net.prototxt", folder / "net.caffemodel")
    other = NETS[name]() if name in NETS else "\n".join(products(exported.net))
    (folder / "other.prototxt").write_text(other, encoding="utf-8")
    with Worker() as one, Worker() as two:
        ours = Running(one, folder / "net.prototxt", folder / "net.caffemodel")
        theirs = Running(two, folder / "other.prototxt", None)
        return in_turns(ours.forward, theirs.forward)


class Running:
    """Holds a net in real Caffe, warm."""

    def __init__(self, worker: Worker, prototxt: Path, weights: Path | None) -> None:
        self.worker = worker
        given = "" if weights is None else str(weights)
        answer, _ = worker.ask("load", prototxt=str(prototxt), weights=given, phase="TEST")
        self.last = len(answer["layers"]) - 1

    def forward(self) -> None:
        """Run the net once."""
        self.worker.ask("run", blobs=[], start=0, end=self.last, wanted=[])


def products(net: Net) -> Iterator[str]:
    """Return an InnerProduct of the same size for each matrix product in the net."""
    shapes = net.shapes()
    for index, step in enumerate(net.steps):
        if isinstance(step.layer, InnerProduct | Convolution):
            rows, terms, columns, times = _sizes(step, [shapes[v] for v in step.reads], shapes)
            for turn in range(times):
                yield _product(f"{index}_{turn}", rows, terms, columns)


def _sizes(step: Step, reads: list[tuple[int, ...]], shapes: dict) -> tuple[int, int, int, int]:
    """Return rows, terms and columns of a product, and how many there are side by side."""
    weight = reads[1] if step.dynamic else tuple(step.blobs[0].shape)
    top = shapes[step.tops[0]]
    if isinstance(step.layer, InnerProduct):
        return prod(top) // step.layer.num_output, prod(weight) // top[-1], top[-1], 1
    group = step.layer.group
    return prod(top[2:]), prod(weight[1:]), top[1] // group, group * top[0]


def _product(name: str, rows: int, terms: int, columns: int) -> str:
    fill = 'data_filler { type: "constant" value: 0.5 }'
    return (
        f'layer {{ name: "x{name}" type: "DummyData" top: "x{name}" '
        f"dummy_data_param {{ shape {{ dim: {rows} dim: {terms} }} {fill} }} }}\n"
        f'layer {{ name: "y{name}" type: "InnerProduct" bottom: "x{name}" top: "y{name}" '
        f"inner_product_param {{ num_output: {columns} bias_term: false "
        'weight_filler { type: "xavier" } } }'
    )


ROWS = (
    *(Row("forward in Caffe", name, "a net written by hand", forward) for name in NETS),
    *(
        Row("forward in Caffe", name, "its products as InnerProduct", forward)
        for name in TRANSFORMERS
    ),
)
