"""Layers that `portable` does not have are decomposed: equal in real Caffe and OpenCV."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fx2caffe
from caffe2fx.engines import engine as engine_of
from caffe2fx.engines.opencv import OpenCVEngine
from caffe2fx.engines.pycaffe import PycaffeEngine
from caffe2fx.layers import Power
from fx2caffe.targets import PORTABLE, TARGETS
from tests.rows import types

Shape = tuple[int, ...]
Row = tuple[Callable[..., object], tuple[Shape, ...]]
NO_OPENCV = OpenCVEngine().why_missing()


class Calls(nn.Module):
    """Calls one function."""

    def __init__(self, function: Callable[..., object], **parts: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleDict(parts)

    def forward(self, *inputs: Tensor) -> object:
        return self.function(*inputs, **self.parts)


def cells(x: Tensor) -> Tensor:
    """Reshape (1, 12, 4, 5) to two anchors of six values, which come last."""
    return x.view(1, 2, 6, 4, 5).permute(0, 1, 3, 4, 2)


def flat(x: Tensor) -> Tensor:
    return x.reshape(1, -1, x.shape[-1])


MAPS: tuple[Shape, ...] = ((1, 12, 4, 5),)
FIVE_AXES: dict[str, Row] = {
    "pointwise": (lambda x: flat(cells(x).sigmoid() * 2 - 0.5), MAPS),
    "exp": (lambda x: flat(cells(x).exp()), MAPS),
    "square": (lambda x: flat(cells(x) ** 2), MAPS),
    "sum": (lambda x: flat(cells(x) + cells(x.tanh())), MAPS),
    "spread": (lambda x: flat(cells(x) * cells(x)[:, :1, :, :, 2:3]), MAPS),
    "constant": (lambda x: flat(cells(x) + torch.arange(10.0).view(1, 2, 1, 5, 1)), MAPS),
    "maximum": (lambda x: flat(torch.maximum(cells(x), cells(-x))), MAPS),
    "slice": (lambda x: flat(cells(x)[..., 1:3]), MAPS),
    "split": (lambda x: tuple(flat(part) for part in cells(x).split((1, 3), 2)), MAPS),
    "mean": (lambda x: flat(cells(x).mean(-1)), MAPS),
    "clip": (lambda x: flat(cells(x).clamp(-0.5, 0.5)), MAPS),
    "three_d_norm": (
        lambda x, norm: flat(norm(cells(x))), MAPS,
    ),
    **{
        f"softmax{axis}": (lambda x, axis=axis: flat(cells(x).softmax(axis)), MAPS)
        for axis in range(1, 5)
    },
    **{
        f"cat{axis}": (lambda x, axis=axis: flat(torch.cat((cells(x), cells(-x)), axis)), MAPS)
        for axis in range(1, 5)
    },
}  # fmt: skip
ROWS: tuple[Shape, ...] = ((1, 4, 6),)
OTHER_RANKS: dict[str, Row] = {
    "vector": (lambda x: x.sum((0, 1)).tanh(), ROWS),
    "joined_vectors": (lambda x: torch.maximum(x.sum((0, 1)), x.tanh().sum((0, 1))), ROWS),
    "largest_of_an_axis": (lambda x: x.max(1)[0], ROWS),
    "smallest_of_an_axis": (lambda x: x.min(2, keepdim=True)[0], ROWS),
    "first_of_topk": (lambda x: x.topk(1, 1)[0], ROWS),
    "scalar_inside": (lambda x: x / x.square().mean(), ROWS),
}
MASKS: dict[str, Row] = {
    "above": (lambda x: (x > 0.25).float(), ROWS),
    "equal": (lambda x: x * (x == x.amax(2, keepdim=True)).float(), ROWS),
    "sign": (lambda x: x.sign(), ROWS),
}
PRODUCTS: dict[str, Row] = {
    "matrices": (lambda a, b: a @ b, ((1, 4, 5), (1, 5, 3))),
    "heads": (lambda a, b: a @ b, ((1, 2, 4, 5), (1, 2, 5, 3))),
    "transposed": (lambda a, b: a @ b.mT, ((1, 2, 4, 5), (1, 2, 3, 5))),
    "one_first": (lambda a, b: a[0] @ b, ((1, 4, 5), (1, 2, 5, 3))),
    "one_second": (lambda a, b: a @ b[0], ((1, 2, 4, 5), (1, 5, 3))),
    "scores": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
        ((1, 2, 4, 6), (1, 2, 5, 6), (1, 2, 5, 3)),
    ),
}
STEPS: tuple[Shape, ...] = ((1, 4, 5),)
RECURRENT: dict[str, tuple[dict[str, object], Row]] = {
    "forward": ({}, (lambda x, lstm: lstm(x)[0], STEPS)),
    "both": ({"bidirectional": True}, (lambda x, lstm: lstm(x)[0], STEPS)),
    "deep": ({"num_layers": 2}, (lambda x, lstm: lstm(x)[0], STEPS)),
    "no_bias": ({"bias": False}, (lambda x, lstm: lstm(x)[0], STEPS)),
    "states": ({}, (lambda x, lstm: (lstm(x)[0], *lstm(x)[1]), STEPS)),
    "one_step": ({}, (lambda x, lstm: lstm(x)[0], ((1, 1, 5),))),
    "given": (
        {}, (lambda x, h, c, lstm: lstm(x, (h, c))[0], (*STEPS, (1, 1, 3), (1, 1, 3))),
    ),
}  # fmt: skip


def checked(row: Row, **parts: nn.Module) -> None:
    function, shapes = row
    torch.manual_seed(0)
    inputs = tuple(torch.randn(shape) for shape in shapes)
    exported = fx2caffe.export(Calls(function, **parts).eval(), inputs, target="portable")
    assert set(types(exported.net)) <= PORTABLE.types
    for engine in PORTABLE.judges:
        report = exported.verify(engine)
        assert report.ok, str(report)


in_engines = [
    pytest.mark.pycaffe,
    pytest.mark.skipif(NO_OPENCV is not None, reason=str(NO_OPENCV)),
]


def marked(names: object) -> list[object]:
    return [pytest.param(name, marks=in_engines) for name in names]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", marked(FIVE_AXES))
def test_values_of_five_axes(name: str) -> None:
    norm = {"norm": nn.BatchNorm3d(2)} if name == "three_d_norm" else {}
    checked(FIVE_AXES[name], **norm)


@pytest.mark.parametrize("name", marked(OTHER_RANKS))
def test_values_of_one_axis_or_none(name: str) -> None:
    checked(OTHER_RANKS[name])


@pytest.mark.parametrize("name", marked(MASKS))
def test_comparisons(name: str) -> None:
    checked(MASKS[name])


@pytest.mark.pycaffe
@pytest.mark.parametrize("number", [0.0, 0.25])
def test_a_threshold_tells_neighbours_apart(number: float, tmp_path: Path) -> None:
    """From the least float32 on, and to the largest."""
    bound = torch.tensor(0.25)
    near = [torch.nextafter(bound, bound + step) for step in (-1, 1)]
    x = torch.tensor([[*near, bound, 2.0**-149, 0.0, -(2.0**-149), 3e38, -3e38]])
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    fx2caffe.export(Calls(lambda x: (x > number).float()), x, target="portable").save(*files)
    with PycaffeEngine().open(*files) as session:
        *_, (_, (found,)) = session.run([x])
    assert torch.equal(found, (x > number).float())


@pytest.mark.parametrize("name", marked(PRODUCTS))
def test_products_of_activations(name: str) -> None:
    checked(PRODUCTS[name])


@pytest.mark.parametrize("name", marked(RECURRENT))
def test_recurrence(name: str) -> None:
    torch.manual_seed(0)
    options, row = RECURRENT[name]
    checked(row, lstm=nn.LSTM(5, 3, batch_first=True, **options))  # type: ignore[arg-type]


def test_an_output_without_axes_is_refused() -> None:
    with pytest.raises(fx2caffe.UnsupportedError, match=r"needs at least 1 axis, got \(\)"):
        fx2caffe.export(Calls(lambda x: x.sum()), (torch.randn(1, 4),), target="portable")


def test_an_output_of_five_axes_is_refused() -> None:
    x = torch.randn(1, 12, 4, 5)
    with pytest.raises(fx2caffe.UnsupportedError, match="needs at most 4 axes, got"):
        fx2caffe.export(Calls(lambda x: cells(x).sigmoid()), (x,), target="portable")


LOGARITHMS = [1.0, 0.5, 1.0625, 37.0, 1e-30, 3e38]
LEAST = {"pycaffe": 2.0**-149, "opencv": 2.0**-126}  # less is 0 in OpenCV


@pytest.mark.parametrize("name", marked(PORTABLE.judges))
def test_logarithms_of_all_that_float32_has(name: str, tmp_path: Path) -> None:
    """Near 1 and far from it, of 0 and of negative values."""
    x = torch.tensor([[*LOGARITHMS, LEAST[name], 0.0, -1.0]])
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    fx2caffe.export(Calls(torch.log), x, target="portable").save(*files)
    with engine_of(name).open(*files) as session:
        *_, (_, (found,)) = session.run([x])
    wanted = x.double().log()
    assert torch.equal(found[:, -2:].double().nan_to_num(7), wanted[:, -2:].nan_to_num(7))
    error = (found - wanted)[:, :-2].abs()
    assert bool((error <= 4e-7 * wanted[:, :-2].abs().clamp(min=1)).all()), error


@pytest.mark.parametrize("name", ["portable", "opencv", "ssd", "nnie"])
def test_large_shifts_are_refused(name: str) -> None:
    """OpenCV folds a shift from 2^23 on that is added and subtracted again, and so the rounding."""
    reason = r"needs \|shift\| below"
    for shift in (2.0**20, 2.0**23, -(2.0**24)):
        assert re.search(reason, str(TARGETS[name].why_unsupported(Power(shift=shift), [(1, 4)])))
    assert TARGETS[name].why_unsupported(Power(shift=2.0**20 - 1), [(1, 4)]) is None
    for function in (torch.round, torch.floor, lambda x: x + 2.0**23):
        refusals = fx2caffe.check(Calls(function), torch.randn(1, 4), target=name)
        assert any(re.search(reason, refusal.reason) for refusal in refusals)


def test_refusals_of_recurrence_name_all_who_can_unroll_it() -> None:
    """Whether a step goes on is read from the layer before."""
    model = Calls(lambda x, lstm: lstm(x)[0], lstm=nn.LSTM(5, 3, batch_first=True))
    target = PORTABLE.derived("few", remove=["TanH"])
    (refusal,) = fx2caffe.check(model, torch.randn(1, 4, 5), target=target)
    assert refusal.op == "LSTM" and {"bvlc", "portable", "opencv", "rknn"} <= set(refusal.targets)


def test_a_refused_input_is_no_reason_to_refuse_its_readers() -> None:
    model = Calls(lambda x, lstm: lstm(x)[0], lstm=nn.LSTM(5, 3, batch_first=True))
    refusals = fx2caffe.check(model, torch.randn(2, 4, 5), target="portable")
    assert [refusal.op for refusal in refusals] == ["Input"]


@pytest.mark.pycaffe
def test_sides_that_are_too_long_are_cut_in_halves() -> None:
    """(1, 3, 60, 40) with the channels last is 7200 high in the Im2col that moves them."""
    model, x = Calls(lambda x: x.permute(0, 2, 3, 1)), torch.randn(1, 3, 60, 40)
    exported = fx2caffe.export(model, x, target="ascend")
    assert [kind for kind in types(exported.net) if kind != "Reshape"] == [
        "Slice", "Im2col", "Im2col", "Concat",
    ]  # fmt: skip
    shapes = [shape for shape in exported.net.shapes().values() if len(shape) == 4]
    assert max(max(shape[2:]) for shape in shapes) <= 4096
    assert exported.verify("pycaffe").ok
