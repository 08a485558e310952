"""Layers that look like a pattern, and compute something else or are needed by others, stay."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import caffe2fx
from tests.rows import types

INPUT = """layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 1 dim: 4 dim: 9 dim: 9 } } }"""


def layer(top: str, type: str, bottoms: str, more: str = "") -> str:
    """Return the text of a layer that has the name of its top."""
    read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{top}" type: "{type}" {read} top: "{top}" {more} }}\n'


def power(top: str, bottom: str, **fields: float) -> str:
    return layer(top, "Power", bottom, f"power_param {{ {stated(**fields)} }}")


def eltwise(top: str, bottoms: str, operation: str) -> str:
    return layer(top, "Eltwise", bottoms, f"eltwise_param {{ operation: {operation} }}")


def stated(**fields: float) -> str:
    return " ".join(f"{name}: {value}" for name, value in fields.items())


def upper(top: str, bottom: str, limit: float, **negation: float) -> str:
    """Return the layers of min(bottom, limit)."""
    low, bound, high = (f"{top}_{part}" for part in ("negative", "bound", "high"))
    return (power(low, bottom, scale=-1, **negation) + power(bound, low, scale=0, shift=-limit)
            + eltwise(high, f"{low} {bound}", "MAX") + power(top, high, scale=-1))  # fmt: skip


def clip(top: str, bottom: str, slope: float = 0.0, **negation: float) -> str:
    """Return the layers of a clamp to [0, 6], but for a slope and a power."""
    low = layer(f"{top}_low", "ReLU", bottom, f"relu_param {{ negative_slope: {slope} }}")
    return low + upper(top, f"{top}_low", 6, **negation)


def crop(more: str = "", height: int = 4) -> str:
    """Return the layers of a pooling that rounds down."""
    pool = layer("up", "Pooling", "x", "pooling_param { kernel_size: 2 stride: 2 }")
    shape = f"shape {{ dim: 1 dim: 4 dim: {height} dim: 4 }}"
    size = f'layer {{ name: "n" type: "DummyData" top: "n" dummy_data_param {{ {shape} }} }}\n'
    return pool + size + layer("y", "Crop", "up n", f"crop_param {{ {more} }}")


AFFINE = """scale_param { axis: 3 num_axes: -1 bias_term: true
  filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 } }"""


def affine(name: str, type: str, bottom: str, more: str = "") -> str:
    """Return a convolution or a Scale with random weights."""
    own = {"Scale": "scale_param { filler { %s } bias_term: true bias_filler { %s } }",
           "Convolution": "convolution_param { num_output: 4 kernel_size: 1 weight_filler { %s } "
                          "bias_filler { %s } }"}[type]  # fmt: skip
    filler = 'type: "gaussian" std: 1'
    return layer(name, type, bottom, own % (filler, filler) + more)


def norm(mean_of: str, variance_of: str, rest: int = 0) -> str:
    """Return the layers of a layer norm over the last axis, but for what they read."""
    over = "reduction_param { axis: %s coeff: %s operation: %s }"
    return (layer("m", "Reduction", mean_of, over % (3 - rest, -1, "MEAN"))
            + layer("c", "Bias", "x m", "bias_param { axis: 0 }")
            + layer("v", "Reduction", variance_of, over % (3, 1 / 9, "SUMSQ"))
            + power("i", "v", power=-0.5, shift=1)
            + layer("n", "Scale", "c i", "scale_param { axis: 0 }")
            + layer("y", "Scale", "n", AFFINE))  # fmt: skip


def matmul(weight: float = 1, bias: str = "false", more: str = "") -> str:
    """Return the layers of a product of matrices by 2 groups, but for what is given."""
    shape = "reshape_param {{ shape {{ dim: 0 dim: 4 {} }} }}"
    return (TANH + layer("a", "Reshape", "t", shape.format("dim: 81"))
            + layer("b", "Reshape", "x", shape.format("dim: 1 dim: 81"))
            + pairs_and_sums(2, weight, f"bias_term: {bias} {more}"))  # fmt: skip


def pairs_and_sums(axis: int, weight: float = 1, more: str = "bias_term: false") -> str:
    filler = f'weight_filler {{ type: "constant" value: {weight} }}'
    sums = f"num_output: 2 group: 2 kernel_size: 1 {more} {filler}"
    return (layer("w", "Tile", "b", f"tile_param {{ axis: {axis} tiles: 81 }}")
            + layer("p", "Scale", "w a", "scale_param { axis: 0 }")
            + layer("y", "Convolution", "p", f"convolution_param {{ {sums} }}"))  # fmt: skip


def gelu(leading: float, scale: float = 1.0) -> str:
    """Return the layers of gelu by tanh, with one more factor that is nearly 0."""
    return (eltwise("q", "x x", "PROD") + power("h", "q", scale=leading, shift=0.071354814)
            + eltwise("p", "h q", "PROD") + power("l", "p", scale=scale, shift=1.5957692)
            + eltwise("i", "x l", "PROD") + layer("s", "Sigmoid", "i") + SILU)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """Holds the layers after the input, and the types of those that are left."""

    id: str
    text: str
    layers: tuple[str, ...]


SIGMOID, TANH = layer("s", "Sigmoid", "x"), layer("t", "TanH", "x")
SILU = eltwise("y", "x s", "PROD")
CLAMP = ("ReLU", "Power", "Power", "Eltwise", "Power")
UPPER = CLAMP[1:]
GATE = power("g", "t", shift=3) + clip("c", "g")
WEIGHTED = "(weighted top)"
LOSS = "loss_weight: 1"
STOP = "propagate_down: false"
BIAS = power("six", "n", scale=0, shift=-6, power=2)
NORM = ("Reduction", "Bias", "Reduction", "Power", "Scale", "Scale")
GELU = ("Eltwise", "Power", "Eltwise", "Power", "Eltwise", "Sigmoid", "Eltwise")
MATMUL = ("TanH", "Reshape", "Reshape", "Tile", "Scale", "Convolution")
RATES = "param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 }"
ROWS = (
    Row("clamp, as it is rewritten", clip("y", "x"), ("Clip",)),
    Row("clamp below 0 with a slope", clip("y", "x", slope=0.5), CLAMP),
    Row("clamp of a square", clip("y", "x", power=2), CLAMP),
    Row("clamp by a square", layer("l", "ReLU", "x") + power("n", "l", scale=-1) + BIAS
        + eltwise("h", "n six", "MAX") + power("y", "h", scale=-1), CLAMP),
    Row("clamps that overlap", clip("c", "x") + power("b", "c", scale=0, shift=-3)
        + eltwise("h", "c b", "MAX") + power("y", "h", scale=-1),
        ("Clip", "Power", "Eltwise", "Power")),
    Row("silu, as it is rewritten", SIGMOID + SILU, ("Swish",)),
    Row("silu whose gate is read", SIGMOID + SILU + layer("z", "TanH", "s"),
        ("Sigmoid", "Eltwise", "TanH")),
    Row("silu whose gate counts in the loss", layer("s", "Sigmoid", "x", LOSS) + SILU,
        ("Sigmoid", WEIGHTED, "Eltwise")),
    Row("silu that counts in the loss", SIGMOID + layer("y", "Eltwise", "x s", LOSS
        + " eltwise_param { operation: PROD }"), ("Sigmoid", "Eltwise")),
    Row("silu whose gate stops gradients", layer("s", "Sigmoid", "x", STOP) + SILU,
        ("Sigmoid", "Eltwise")),
    Row("silu with another's gate", TANH + layer("s", "Sigmoid", "t") + SILU,
        ("TanH", "Sigmoid", "Eltwise")),
    Row("hard-swish with another's gate", TANH + GATE + eltwise("p", "x c", "PROD")
        + power("y", "p", scale=1 / 6), ("TanH", "Power", "Clip", "Eltwise", "Power")),
    Row("hard-swish plus 1", TANH + GATE + eltwise("p", "t c", "PROD")
        + power("y", "p", scale=1 / 6, shift=1), ("TanH", "Power", "Clip", "Eltwise", "Power")),
    Row("gelu, as it is rewritten", gelu(1e-12), ("TorchGELU",)),
    Row("gelu that ends far out", gelu(-1e-11), GELU),
    Row("gelu of another scale", gelu(1e-12, scale=2), GELU),
    Row("layer norm, as it is rewritten", norm("x", "c"), ("TorchLayerNorm",)),
    Row("layer norm by the mean of squares", norm("x", "x"), NORM),
    Row("layer norm by another's mean", TANH + norm("t", "c"), ("TanH", *NORM)),
    Row("layer norm by the mean of two axes", norm("x", "c", rest=1), NORM),
    Row("matmul, as it is rewritten", matmul(), ("TanH", "Reshape", "Reshape", "TorchMatmul")),
    Row("matmul with a bias", matmul(bias="true"), MATMUL),
    Row("matmul by other weights", matmul(weight=0.5), MATMUL),
    Row("matmul of strided sums", matmul(more="stride: 2"), MATMUL),
    Row("repeated along the columns", layer("b", "Pooling", "x",
        "pooling_param { global_pooling: true }") + layer("a", "Flatten", "b",
        "flatten_param { axis: 2 }") + pairs_and_sums(3),
        ("Pooling", "Flatten", "Tile", "Scale", "Convolution")),
    Row("pooling, as it is rewritten", crop(), ("Pooling",)),
    Row("crop of the last rows", crop("offset: 1"), ("Pooling", "DummyData", "Crop")),
    Row("crop of the batch", crop("axis: 0"), ("Pooling", "DummyData", "Crop")),
    Row("crop of more rows", crop(height=3), ("Pooling", "DummyData", "Crop")),
    Row("crop to a blob", layer("up", "Pooling", "x", "pooling_param { kernel_size: 2 stride: 2 }")
        + layer("n", "Pooling", "x", "pooling_param { kernel_size: 3 stride: 2 }")
        + layer("y", "Crop", "up n"), ("Pooling", "Pooling", "Crop")),
    Row("tile that repeats", TANH + layer("y", "Tile", "t", "tile_param { tiles: 2 }")
        + layer("z", "TanH", "y"), ("TanH", "Tile", "TanH")),
    Row("unread, but counts in the loss", TANH + layer("d", "Sigmoid", "x", LOSS)
        + 'layer { name: "hush" type: "Silence" bottom: "d" }', ("TanH", "Sigmoid", WEIGHTED)),
    Row("loss without a top", TANH + SIGMOID
        + 'layer { name: "l" type: "EuclideanLoss" bottom: "s" bottom: "t" }'
        + layer("y", "TanH", "x"), ("TanH", "Sigmoid", "EuclideanLoss", "TanH")),
    Row("convolution that counts in the loss", affine("c", "Convolution", "x", LOSS)
        + affine("y", "Scale", "c"), ("Convolution", WEIGHTED, "Scale")),
    Row("scale that counts in the loss", affine("c", "Convolution", "x")
        + affine("y", "Scale", "c", LOSS), ("Convolution", "Scale")),
    Row("rates of statistics", TANH + affine("c", "Scale", "t")
        + layer("y", "BatchNorm", "c", RATES), ("TanH", "Scale")),
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_near_misses_compute_the_same(row: Row, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + row.text)
    nets = []
    for optimize in (False, True):
        torch.manual_seed(0)
        nets.append(caffe2fx.load(path, optimize=optimize).double())
    plain, fast = nets
    assert types(fast.caffe.net) == row.layers
    x = 3 * torch.randn(2, 4, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(fast(x), plain(x), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(fast.caffe.loss(x), plain.caffe.loss(x), rtol=1e-6, atol=1e-6)
