"""load(..., optimize=True) computes the same in fewer layers, and rewrites nothing else.

Each row is exported and loaded both ways; then once more with every blob of its pattern an output,
and once with a text that is nearly the pattern: both must stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.verdict.reference.calibrate import calibrate
from tests.rows import Function, types


@dataclass(frozen=True)
class Row:
    """Holds a model, the layers that its net becomes, and an edit that is not to be rewritten."""

    id: str
    module: Callable[..., Tensor]
    layers: tuple[str, ...]
    shape: tuple[int, ...] = (2, 4, 9, 9)
    edit: tuple[str, str] | None = None
    edited: tuple[str, ...] = ()


CLAMP = ("ReLU", "Power", "Power", "Eltwise", "Power")
HARD_SWISH = ("Power", "Clip", "Eltwise", "Power")
GELU = ("Eltwise", *("Power", "Eltwise") * 6, "Sigmoid", "Eltwise")
NORM = ("Reduction", "Bias", "Reduction", "Power", "Scale", "Scale")
ROWS = (
    Row("relu6", nn.ReLU6(), ("Clip",), edit=("scale: 0.0", "scale: 0.1"), edited=CLAMP),
    Row("hardtanh", nn.Hardtanh(-1, 2), ("Clip",), edit=("operation: MAX", "operation: SUM"),
        edited=("Power", "Eltwise", "Power", "Power", "Eltwise", "Power")),
    Row("bounds that cross", nn.ReLU6(), ("Clip",), edit=("shift: -6.0", "shift: 6.0"),
        edited=CLAMP),
    Row("hardswish", nn.Hardswish(), ("HardSwish",), edit=("shift: 3.0", "shift: 3.1"),
        edited=HARD_SWISH),
    Row("hardswish of another scale", nn.Hardswish(), ("HardSwish",),
        edit=("scale: 0.16666667", "scale: 0.1666"), edited=HARD_SWISH),
    Row("hardsigmoid", nn.Hardsigmoid(), ("TorchHardsigmoid",), edit=("shift: 0.5", "shift: 0.4"),
        edited=("Power", "Clip")),
    Row("x times hardsigmoid", lambda x: x * F.hardsigmoid(x), ("HardSwish",),
        edit=("shift: 0.5", "shift: 0.4"), edited=("Power", "Clip", "Eltwise")),
    Row("silu", nn.SiLU(), ("Swish",), edit=("operation: PROD", "operation: SUM"),
        edited=("Sigmoid", "Eltwise")),
    Row("gelu", nn.GELU(), ("TorchGELU",), edit=("0.07266", "0.07366"), edited=GELU),
    Row("gelu by tanh", nn.GELU("tanh"), ("TorchGELU",), edit=("0.07135", "0.07136"),
        edited=("Eltwise", "Power", "Eltwise", "Sigmoid", "Eltwise")),
    Row("layer norm", nn.LayerNorm(6), ("TorchLayerNorm",), (2, 5, 6),
        edit=("coeff: -1.0", "coeff: -0.5"), edited=NORM),
    Row("layer norm of two axes", nn.LayerNorm((5, 6)), ("TorchLayerNorm",), (2, 5, 6),
        edit=("power: -0.5", "power: -0.4"), edited=NORM),
    Row("layer norm of another count", nn.LayerNorm(6), ("TorchLayerNorm",), (2, 5, 6),
        edit=("coeff: 0.16666667", "coeff: 0.2"), edited=NORM),
    Row("pooling that rounds down", nn.MaxPool2d(2), ("Pooling",), edit=("dim: 4\n", "dim: 3\n"),
        edited=("Pooling", "DummyData", "Crop"), shape=(2, 3, 9, 9)),
    Row("average that rounds down", nn.AvgPool2d(2), ("Pooling",), edit=("dim: 4\n", "dim: 3\n"),
        edited=("Pooling", "DummyData", "Crop"), shape=(2, 3, 9, 9)),
)  # fmt: skip


@dataclass(frozen=True)
class Files:
    """Holds the files of a row, and an input that their net takes."""

    text: Path
    weights: Path
    x: Tensor

    def load(self, **options: object) -> CaffeGraphModule:
        return caffe2fx.load(self.text, self.weights, **options).double()


def files(folder: Path, module: Callable[..., Tensor], shape: Sequence[int]) -> Files:
    """Export a function or a module with weights that keep its signal alive."""
    x = 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    model = calibrate(module if isinstance(module, nn.Module) else Function(module), [x])
    made = Files(folder / "net.prototxt", folder / "net.caffemodel", x.double())
    fx2caffe.export(model, x, fold_batchnorm=False).save(made.text, made.weights)
    return made


def check_equal(made: Files, **options: object) -> CaffeGraphModule:
    """Load a net both ways, hold the outputs against each other, return the optimized one."""
    plain, fast = (made.load(optimize=optimize, **options) for optimize in (False, True))
    assert fast.caffe.outputs == plain.caffe.outputs
    for x in (made.x, torch.cat([made.x, made.x.flip(-1)])):
        wanted, got = plain(x), fast(x)
        for a, b in zip(*([y] if torch.is_tensor(y) else y for y in (wanted, got)), strict=True):
            assert a.shape == b.shape
            assert (a - b).abs().max() <= 1e-6 * a.abs().max()
    return fast


def nodes(module: CaffeGraphModule) -> int:
    return sum(node.op == "call_module" for node in module.graph.nodes)


def named(rows: Sequence[Row]) -> list[str]:
    return [row.id for row in rows]


@pytest.mark.parametrize("row", ROWS, ids=named(ROWS))
def test_a_pattern_is_one_layer(row: Row, tmp_path: Path) -> None:
    module = check_equal(files(tmp_path, row.module, row.shape))
    assert types(module.caffe.net) == row.layers
    assert nodes(module) == len(row.layers)


@pytest.mark.parametrize("row", ROWS, ids=named(ROWS))
def test_a_pattern_with_an_output_inside_stays(row: Row, tmp_path: Path) -> None:
    made = files(tmp_path, row.module, row.shape)
    plain = made.load().caffe.net
    names = {value: name for name, value in plain.names().items()}
    inner = [top for step in plain.steps[1:-1] for top in step.tops if step.bottoms]
    assert inner
    last = names[plain.outputs[0]]
    for value in inner:
        module = check_equal(made, outputs=[names[value], last])
        assert types(module.caffe.net) != row.layers


@pytest.mark.parametrize("row", ROWS, ids=named(ROWS))
def test_near_misses_stay(row: Row, tmp_path: Path) -> None:
    made = files(tmp_path, row.module, row.shape)
    assert row.edit is not None
    text = made.text.read_text()
    assert row.edit[0] in text
    made.text.write_text(text.replace(*row.edit))
    assert types(check_equal(made).caffe.net) == row.edited
