"""How large a net is: parameters, multiply-adds and the memory of its blobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from caffe2fx.layers import Deconvolution
from caffe2fx.layers.layer import Layer
from caffe2fx.layers.recurrent import Recurrent
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.step import Value

FLOAT = 4  # bytes


@dataclass(frozen=True)
class Totals:
    """Holds the sizes of a net.

    `parameters` counts elements of weights, shared ones once; `multiply_adds` are those of
    convolutions, products and recurrent layers. `separate` are the bytes of all tops, `memory`
    those that Caffe takes for them: a layer in place, and one whose top is the memory of its
    bottom, take none.
    """

    layers: int
    parameters: int
    multiply_adds: int
    separate: int
    memory: int

    def __str__(self) -> str:
        return (
            f"{self.layers} layers, {self.parameters:,} parameters, "
            f"{self.multiply_adds:,} multiply-adds, blobs {megabytes(self.memory)} "
            f"({megabytes(self.separate)} without layers in place)"
        )


def megabytes(count: int) -> str:
    """Return a number of bytes for a person."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"


def totals(net: Net) -> Totals:
    """Return the sizes of a net with the shapes that its inputs have."""
    shapes = net.shapes()
    weights: dict[object, int] = {}
    work = 0
    for step in net.steps:
        reads = [shapes[bottom] for bottom in step.bottoms]
        blobs = step.layer.blob_shapes(reads)
        if not step.dynamic:
            names = [param.name for param in step.params]
            for index, shape in enumerate(blobs):
                shared = names[index] if index < len(names) else ""
                weights[shared or (step.name, index)] = prod(shape)
        work += multiply_adds(step.layer, reads, [shapes[top] for top in step.tops])
    separate = sum(FLOAT * prod(shape) for shape in shapes.values())
    return Totals(len(net.steps), sum(weights.values()), work, separate, _memory(net, shapes))


def multiply_adds(layer: Layer, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
    """Return the products that a layer with weights sums up, 0 for one that sums none."""
    weights = [shape for shape in layer.blob_shapes(bottoms) if len(shape) > 1]
    if not weights or not tops:
        return 0
    if isinstance(layer, Deconvolution):
        return prod(bottoms[0]) * prod(weights[0][1:])
    if isinstance(layer, Recurrent):
        return prod(bottoms[0][:2]) * sum(map(prod, weights))
    length = layer.accumulation_length(bottoms)
    return int(length) * prod(tops[0]) if length > 1 else 0


def _memory(net: Net, shapes: dict[Value, Shape]) -> int:
    """Return the bytes of the distinct memories that hold all values."""
    homes: dict[Value, object] = {}
    sizes: dict[object, int] = {}
    for step in net.steps:
        for top in step.tops:
            home = homes[step.bottoms[0]] if step.shares_memory else top.blob
            homes[top] = home
            sizes[home] = max(sizes.get(home, 0), FLOAT * prod(shapes[top]))
    return sum(sizes.values())
