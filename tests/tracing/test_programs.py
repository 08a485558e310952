"""Programs of torch.export, whole and decomposed, give nets as good as the model's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fx2caffe
from caffe2fx.compat import OLDEST
from caffe2fx.verdict.reference.calibrate import calibrate

ATEN = torch.ops.aten


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(self.attention(x, x, x, need_weights=False)[0])
        return result


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.table((x > 0).long() + torch.arange(x.shape[1]))
        return result


class Written(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        y[:, 1] = x[:, 0] * 2
        y[:, :, ::2] = 0
        return y


@dataclass(frozen=True)
class Program:
    id: str
    module: Callable[[], nn.Module]
    shape: tuple[int, ...]
    grows: tuple[str, ...] = ()  # forms in which torch.export has no operator for a part of it
    grew: Mapping[str, str] = field(default_factory=dict)  # forms that grow before a version
    refused: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # the same, with a reason
    since: Mapping[str, str] = field(default_factory=dict)  # forms that torch itself refused before


PROGRAMS = [
    Program("cnn", lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(16, 2), nn.Softmax(1),
    ), (1, 3, 8, 8)),
    Program("upsampling", lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(), nn.Upsample(scale_factor=2),
        nn.ConvTranspose2d(4, 2, 2, 2), nn.Upsample(size=(9, 7), mode="bilinear"),
    ), (1, 3, 8, 8), grew={"whole": "2.4", "decomposed": "2.7"}),
    Program("pads", lambda: nn.Sequential(
        nn.ReflectionPad2d(1), nn.Conv2d(3, 4, 3), nn.ReplicationPad2d(1), nn.ZeroPad2d(1),
        nn.PReLU(4),
    ), (1, 3, 8, 8), grows=("decomposed",), since={"decomposed": "2.3"},
            refused={"whole": ("2.4", "_prelu_kernel needs a handler")}),
    Program("activations", lambda: nn.Sequential(
        nn.ELU(0.5), nn.SELU(), nn.CELU(0.7), nn.GELU(), nn.Hardswish(), nn.LogSoftmax(1),
    ), (2, 3, 4), grows=("decomposed",)),
    Program("lines", lambda: nn.Sequential(
        nn.Conv1d(3, 4, 3, dilation=2), nn.InstanceNorm1d(4, affine=True), nn.MaxPool1d(2),
        nn.Unflatten(1, (2, 2)), nn.Flatten(1, 2), nn.AdaptiveMaxPool1d(4),
    ), (1, 3, 20)),
    Program("attention", Attention, (1, 5, 8), grows=("decomposed",),
            refused={"whole": ("2.3", "_scaled_dot_product_flash_attention needs a handler")}),
    Program("tokens", Tokens, (2, 5)),
    Program("written", Written, (2, 3, 6), grows=("whole", "decomposed")),
    Program("grid", lambda: _Function(lambda x: F.grid_sample(
        x, torch.linspace(-1, 1, 24).reshape(1, 3, 4, 2), align_corners=False)), (1, 3, 6, 6)),
    Program("unfold", lambda: nn.Unfold(2), (2, 3, 4, 4), grows=("decomposed",)),
    Program("cast", lambda: _Function(lambda x: (x > 0).to(torch.float32) + x), (2, 30)),
    Program("pooled", lambda: nn.Sequential(nn.MaxPool3d(2, 1), nn.AdaptiveAvgPool3d(1)),
            (1, 2, 4, 4, 4)),
]  # fmt: skip


class _Function(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


CASES = [
    pytest.param(row, form, id=f"{row.id}-{form}")
    for row in PROGRAMS
    for form in ("whole", "decomposed")
    if torch.__version__ >= row.since.get(form, OLDEST)
]


@pytest.mark.parametrize(("row", "form"), CASES)
def test_program(row: Program, form: str) -> None:
    x = torch.randn(row.shape)
    model = calibrate(row.module().eval(), [x])
    torch.compiler.reset()  # else torch counts the programs of all rows, and stops
    program = torch.export.export(model, (x,))
    program = program.run_decompositions() if form == "decomposed" else program
    version, reason = row.refused.get(form, (OLDEST, ""))
    if torch.__version__ < version:
        with pytest.raises(fx2caffe.UnsupportedError, match=reason):
            fx2caffe.export(program.module(), x)
        return
    own, exported = fx2caffe.export(model, x), fx2caffe.export(program.module(), x)
    assert exported.verify().ok
    if form not in row.grows and torch.__version__ >= row.grew.get(form, OLDEST):
        assert len(exported.net.steps) <= 1.05 * len(own.net.steps)


OPERATORS: dict[str, Callable[[Tensor], Any]] = {
    "elu_of_three_factors": lambda x: ATEN.elu(x, 0.7, 1.3, 0.5),
    "native_batch_norm": lambda x: ATEN.native_batch_norm(
        x, None, torch.ones(3), torch.zeros(3), torch.ones(3) * 2, False, 0.1, 1e-5)[0],
    "convolution_transposed": lambda x: ATEN.convolution(
        x, torch.ones(3, 2, 2, 2), None, [2, 2], [0, 0], [1, 1], True, [1, 1], 1),
    "index_of_an_inner_axis": lambda x: ATEN.index(x, [None, None, torch.tensor([2, 0])]),
    "index_put_of_an_inner_axis": lambda x: ATEN.index_put(
        x, [None, torch.tensor([2, 0])], torch.zeros(())),
    "embedding": lambda x: torch.embedding(torch.ones(4, 2).cumsum(0), x.argmax(1)),
    "dropout": lambda x: torch.dropout(x, 0.5, False) + 1,
    "tensordot": lambda x: ATEN.tensordot(x, torch.ones(4, 2), [3], [0]),
    "copy": lambda x: ATEN.copy(x, x[:, :1] * 2),
    "max_pool_without_stride": lambda x: torch.max_pool2d(x, 2),
    "softmax_half": lambda x: ATEN._softmax(x, 1, False),
    "trilinear": lambda x: ATEN._trilinear(
        x[:, 0, 0], torch.linspace(-1, 1, 80).reshape(5, 4, 4), x[:, 1, 1],
        [1, 3], [0], [1, 2], [2, 3]),
    "as_strided_scatter": lambda x: ATEN.as_strided_scatter(
        x, x[:, 0, :3, 0] * 2, [2, 3], [48, 5], 1),
    "rrelu_with_noise": lambda x: ATEN.rrelu_with_noise(x, torch.zeros(x.shape), 0.1, 0.3),
    "embedding_bag": lambda x: ATEN._embedding_bag(
        torch.ones(4, 2).cumsum(0), x.argmax(1).flatten(), torch.tensor([0, 4, 20]), False, 1)[0],
    "embedding_bag_max": lambda x: ATEN._embedding_bag(
        torch.ones(4, 2).cumsum(0), x.argmax(1).flatten(), torch.arange(0, 32, 8), False, 2)[0],
    "fake_quantize_switched_off": lambda x: (
        ATEN._fake_quantize_per_tensor_affine_cachemask_tensor_qparams)(
        x, torch.tensor(0.1), torch.tensor(3), torch.tensor(0), 0, 255)[0] + 1,
    "fractional_max_pool2d": lambda x: ATEN.fractional_max_pool2d(
        x, [2, 2], [2, 2], torch.full((2, 3, 2), 0.25))[0],
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_operator(name: str) -> None:
    exported = fx2caffe.export(_Function(OPERATORS[name]), torch.randn(2, 3, 4, 4))
    assert exported.verify().ok


@pytest.mark.minutes
@pytest.mark.sweep
def test_every_row_as_a_program() -> None:
    """Every function's rows, decomposed: a net, or a refusal for fewer than one of thirty."""
    from tests.ops.test_ops import EXPORTED

    refused, tried = [], 0
    for row in EXPORTED:
        model, inputs = row.model(), tuple(row.inputs())
        try:
            program = torch.export.export(model, inputs).run_decompositions()
            program.module()(*inputs)
        except Exception:  # torch.export's own limits; a decomposition indexes beyond the end
            continue
        tried += 1
        try:
            fx2caffe.export(program.module(), inputs, **row.options)
        except fx2caffe.UnsupportedError as error:
            refused.append(f"{row.id}: {error}")
    assert len(refused) * 30 < tried, "\n".join(refused)
