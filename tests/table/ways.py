"""The way of one small model out and of one small net in, as it looks after each stage."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import fx2caffe.ops  # noqa: F401  # registers the handlers
from caffe2fx.files import prototxt
from caffe2fx.module.builder import graph_module
from caffe2fx.module.loader import read_net
from caffe2fx.net.net import Net
from fx2caffe.exporter.pipeline import Options, finish, legal_net
from fx2caffe.lowering.integer_magnitudes import IntegerRanges
from fx2caffe.lowering.lowering import Lowered, Lowering
from fx2caffe.targets import BVLC
from fx2caffe.tracing.batch.batch_analysis import find_batch
from fx2caffe.tracing.tracer import trace

MODEL = """\
class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self.norm(self.conv(x)))
        return y[:, 1:3].flatten(1)
"""
NET = """\
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "drop" include { phase: TRAIN } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
        pooling_param { pool: AVE global_pooling: true } }
"""


def small() -> nn.Module:
    """Return the model of MODEL."""
    names: dict[str, Any] = {"nn": nn, "F": nn.functional, "Tensor": Tensor}
    exec(compile("from __future__ import annotations\n" + MODEL, "small.py", "exec"), names)
    model: nn.Module = names["Small"]().eval()
    return model


def steps(net: Net | Lowered) -> str:
    """Return one line a step: tops, layer, bottoms and the shapes of its blobs."""
    return "\n".join(
        f"{', '.join(map(str, step.tops))} = {step.layer}({', '.join(map(str, step.bottoms))})"
        + "".join(f" {tuple(blob.shape)}" for blob in step.blobs)
        for step in net.steps
    )


def graph(module: torch.fx.GraphModule) -> str:
    """Return the FX graph of a module, a line a node."""
    return str(module.graph).strip()


def way_out() -> Iterator[tuple[str, str, str]]:
    """Return title, language and text of each stage of an export."""
    yield "The model", "python", MODEL
    model, x = small(), torch.zeros(2, 3, 8, 8)
    traced = trace(model, x)
    yield "trace (`tracing/`): an FX graph of torch functions", "text", graph(traced.module)
    names, batch = {"x": "data"}, find_batch(model, x, traced)
    integers = IntegerRanges(traced.module, (x,), names)
    lowered = Lowering(
        traced.module.graph, traced.module, batch, names, {}, integers=integers
    ).run()
    yield "lower (`lowering/`, `ops/`): a handler a function emits records", "text", steps(lowered)
    net = legal_net(lowered, dict(lowered.symbols), BVLC)
    title = "legalize (`legalize/`): rules rewrite what target `bvlc` does not have"
    yield title, "text", steps(net)
    net = finish(lowered, Options(BVLC)).net
    yield (
        "passes (`passes/`): BatchNorm is folded, tops that nobody reads are silenced",
        "text",
        steps(net),
    )
    yield "write: the prototxt", "protobuf", prototxt.text_of(net)


def way_in() -> Iterator[tuple[str, str, str]]:
    """Return title, language and text of each stage of a load."""
    yield "The prototxt", "protobuf", NET
    entries = prototxt.parse(NET, phase="TRAIN")
    title = "read (`files/`), in phase TRAIN: records in single assignment (`net/`)"
    yield title, "text", steps(entries)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.prototxt")
        path.write_text(NET, "utf-8")
        net = read_net(path, None)
    title = "in phase TEST, with blobs as Caffe's fillers start them (`weights/` reads a file's)"
    yield title, "text", steps(net)
    module = graph_module(net)
    yield "build (`module/`): an FX graph of torch.nn modules", "text", graph(module)
    children = "\n".join(f"{name}: {child}" for name, child in module.named_children())
    yield "its modules", "text", children


def page_of(way: Iterator[tuple[str, str, str]]) -> str:
    """Return the stages as Markdown."""
    return "\n".join(f"{title}:\n```{kind}\n{text.rstrip()}\n```" for title, kind, text in way)
