"""The check that a net whose batch is free has the traced shapes at a much larger batch too."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from caffe2fx.errors import CaffeError
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from fx2caffe.exporter.pipeline import Finished
from fx2caffe.ir.symbol import FixBatch
from fx2caffe.tracing.batch.batch_analysis import Batch, result_varies
from fx2caffe.tracing.values.samples import MANY_MORE


def check_growth(finished: Finished, traced: fx.GraphModule, batch: Batch) -> None:
    """Raise FixBatch where a blob does not grow with the batch as its traced value does."""
    if not batch.others:
        return
    net, nodes = finished.net, {node.name: node for node in traced.graph.nodes}
    inputs = [node for node in nodes.values() if node.op == "placeholder"]
    try:
        shapes = net.reshaped(_grown(net, inputs, batch)).shapes()
    except CaffeError as error:
        raise FixBatch(f"the net does not run with a large batch: {error}") from error
    for value, name in finished.nodes.items():
        if value in shapes and name in batch.others and not result_varies(traced, nodes[name]):
            wanted = batch.shape(nodes[name], MANY_MORE)
            if shapes[value] != wanted:
                got = f"{shapes[value]} in place of {wanted}"
                raise FixBatch(f"blob {value.blob} is {got} with a large batch")


def _grown(net: Net, placeholders: Sequence[fx.Node], batch: Batch) -> list[Shape]:
    """Return the input shapes with many more samples; raw pixels have their model input's batch."""
    shapes = net.shapes()
    pairs = zip(net.inputs, placeholders, strict=True)
    return [(*batch.shape(node, MANY_MORE)[:1], *shapes[value][1:]) for value, node in pairs]
