"""Nets for `portable` and `opencv`, as who has OpenCV runs them: its defaults, results by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fx2caffe
from caffe2fx.engines.opencv import OpenCVEngine
from caffe2fx.errors import CaffeError
from caffe2fx.layers import Input, Power, PReLU, Reshape, Sigmoid, Silence, Slice
from caffe2fx.module.save import save
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from fx2caffe.targets.merges import factor_into_power
from tests.opencv import check_as_users_run_it, cv2_net
from tests.ops.test_ops import EXPORTED
from tests.rows import Function, Row, types

NO_OPENCV = OpenCVEngine().why_missing()
pytestmark = pytest.mark.skipif(NO_OPENCV is not None, reason=str(NO_OPENCV))
TARGETS = ("portable", "opencv")
INF = float("inf")

# OpenCV takes a (s x)^p + b for (s^p a x + b)^p, and refuses bottoms of different ranks.
FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "log": torch.log,
    "log1p": torch.log1p,
    "log_softmax": lambda x: x.log_softmax(1),
    "logsumexp": lambda x: x.logsumexp(1),
    "softplus": F.softplus,
    "mish": F.mish,
    "asin": torch.asin,
    "gelu": F.gelu,
    "normalize": lambda x: F.normalize(x, dim=1),
    "norm": lambda x: x.norm(dim=1),
    "root_then_affine": lambda x: (x.abs() + 0.5) ** 0.5 * 2 - 1,
    "square_then_affine": lambda x: x.square() * 3 + 1,
    "scaled_square_kept": lambda x: (x * 3).square() * 1.0,
    "reciprocal_then_affine": lambda x: 1 - 2 / x,
    "cube_in_between": lambda x: ((x**3) * 2).tanh(),
    "one_axis": lambda x: x.reshape(-1).exp().abs(),
    "one_axis_inside": lambda x: x / x.sum(tuple(range(x.dim() - 1))).norm(),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]),
    "cumsum": lambda x: x.cumsum(1),
    "power_of_one_channel": lambda x: F.batch_norm(
        x.square().mean(1, keepdim=True), torch.ones(1), torch.full((1,), 2.0)
    ),
}


def exported(function: Callable[..., object], x: Tensor, target: str) -> fx2caffe.Export:
    return fx2caffe.export(Function(function), x, target=target)


@pytest.mark.parametrize("shape", [(1, 6), (1, 4, 3, 5)], ids=str)
@pytest.mark.parametrize("name", FORMS)
def test_functions(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.rand(shape) * 0.8 + 0.1
    for target in TARGETS:
        made = exported(FORMS[name], x, target)
        check_as_users_run_it(made, tmp_path)


def overwritten(x: Tensor) -> object:
    return x.abs() + 0.5, torch.cat([x, -x], 1).relu()


def both(x: Tensor) -> object:
    y = x.tanh()
    return y, y.relu() * 2


OUTPUTS: dict[str, Callable[[Tensor], object]] = {
    "overwritten": overwritten,
    "channels": lambda x: x[:, 0:2],
    "one_channel": lambda x: x[:, 0],
    "last_columns": lambda x: x[..., 4:],
    "split": lambda x: torch.split(x, [3, 5], 1),
    "one_of_a_split": lambda x: torch.split(x, [3, 2, 3], 1)[1].relu(),
    "read_inside": both,
    "twice": lambda x: (x.relu(), x.relu(), x),
    "same_twice": lambda x: (y := x.relu() + 1, y),
    "thrice_inside": lambda x: ((y := x.tanh()), y.relu() * 2, y, y),
    "equal_layers": lambda x: (x.relu(), x.relu(), x.relu() + 1),
    "given": lambda x: (x, x * 2),
    "first_made_last": lambda x: (x.relu(), x.tanh(), x.sigmoid()),
    "one_axis": lambda x: (x.mean((0, 2, 3)), x.relu()),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_by_name(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    for target in (*TARGETS, "ssd"):
        made = exported(OUTPUTS[name], torch.randn(1, 8, 6, 6), target)
        check_as_users_run_it(made, tmp_path)
        check_structure(made.net)
        report = made.verify("opencv")
        assert report.ok, str(report)


def check_structure(net: Net) -> None:
    """Check that every output is the only top of a layer like no other, and nothing unread."""
    makers = net.producers()
    for value in net.outputs:
        assert makers[value].tops == (value,) and makers[value].name == value.blob
        assert value.version == 0
        # MNN runs equal layers once, under the name of one of them.
        alike = [(step.layer, step.bottoms) for step in net.steps if not step.blobs]
        assert alike.count((makers[value].layer, makers[value].bottoms)) <= 1
    assert net.outputs[0] in net.steps[-1].tops
    read = {value for step in net.steps for value in step.reads}
    assert {top for step in net.steps for top in step.tops} - read == set(net.outputs)
    assert Silence.type not in types(net)


@pytest.mark.parametrize("target", TARGETS)
def test_names_of_modules(target: str, tmp_path: Path) -> None:
    """OpenCV takes names with dots and slashes as they are."""
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Conv2d(4, 2, 1)).eval()
    x = torch.randn(1, 3, 8, 8)
    made = fx2caffe.export(model, x, target=target, outputs=["0.1", "0.0", "1"])
    check_as_users_run_it(made, tmp_path)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("shape", [(1, 5), (1, 3, 4, 4)], ids=str)
def test_one_slope(target: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    """The blob of a PReLU for all channels has no axes, which OpenCV cannot read."""
    made = fx2caffe.export(nn.PReLU(init=0.3), torch.randn(shape), target=target)
    (step,) = (step for step in made.net.steps if isinstance(step.layer, PReLU))
    assert step.layer == PReLU() and step.blobs[0].shape == (shape[1],)
    check_as_users_run_it(made, tmp_path)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("pad", [1, (0, 2)], ids=str)
def test_a_point_that_is_spread_with_a_pad(target: str, pad: object, tmp_path: Path) -> None:
    """OpenCV reads a deconvolution of kernel 1 over the end of its memory where that pads."""
    model = nn.ConvTranspose2d(4, 3, 1, padding=pad)  # type: ignore[arg-type]
    made = fx2caffe.export(model.eval(), torch.randn(1, 4, 7, 7), target=target)
    check_as_users_run_it(made, tmp_path)


def test_an_input_that_nobody_reads_is_refused() -> None:
    """OpenCV does not run such a net, and a Silence that reads it would be an output there."""
    inputs = torch.randn(1, 3), torch.randn(1, 3)
    for target in TARGETS:
        with pytest.raises(fx2caffe.UnsupportedError, match="needs a layer that reads it in targ"):
            fx2caffe.export(Function(lambda a, b: a * 2), inputs, target=target)


WRONGLY_MERGED: dict[str, tuple[Callable[[Tensor], Tensor], tuple[str, ...]]] = {
    "root": (lambda x: x.sqrt() * 2, ("Power", "Reshape", "Power")),
    "root_of_two_readers": (lambda x: (y := x.sqrt()) * 2 + y, ("Power", "Power", "Eltwise")),
    "root_then_other": (lambda x: x.sqrt().relu(), ("Power", "ReLU")),
    "affine": (lambda x: (x * 2 + 1) * 3, ("Power", "Power", "Power")),
}


@pytest.mark.parametrize("name", WRONGLY_MERGED)
def test_only_layers_that_would_be_merged_wrongly_are_separated(name: str) -> None:
    function, layers = WRONGLY_MERGED[name]
    x = torch.rand(1, 3, 4, 4) + 0.1
    for target in (*TARGETS, "ssd"):
        assert types(exported(function, x, target).net) == layers
    assert Reshape.type not in types(exported(function, x, "bvlc").net)


@pytest.mark.parametrize("power", [Power(power=2.0), Power(power=2.0, scale=3.0)])
@pytest.mark.parametrize("separated", [True, False])
def test_opencv_takes_a_factor_into_a_power(power: Power, separated: bool, tmp_path: Path) -> None:
    """The Reshape prevents this: without it the result is another."""
    names = ["x", "power", *(["identity"] if separated else []), "factor"]
    layers = [Input(shape=((1, 2, 3, 3),)), power, Reshape(shape=(0, 0, 0, 0)), Power(scale=5.0)]
    if not separated:
        del layers[2]
    values = [Value(name) for name in names]
    steps = tuple(
        Step(value.blob, layer, () if before is None else (before,), (value,))
        for value, layer, before in zip(values, layers, [None, *values], strict=False)
    )
    save(Net(steps, (values[-1],)), tmp_path / "n.prototxt", tmp_path / "n.caffemodel")
    net = cv2_net(tmp_path / "n.prototxt", tmp_path / "n.caffemodel")
    net.setInput(torch.full((1, 2, 3, 3), 2.0).numpy())
    meant = 5 * (power.scale * 2) ** power.power
    assert (float(net.forward().max()) == pytest.approx(meant)) is separated
    assert factor_into_power(steps[1], steps[-1])
    assert not factor_into_power(steps[-1], steps[1])
    shifted = replace(steps[1], layer=power.replace(shift=1.0))
    assert not factor_into_power(shifted, steps[-1])


def test_a_slice_is_cut_to_the_tops_that_are_read() -> None:
    for target in TARGETS:
        made = exported(OUTPUTS["one_of_a_split"], torch.randn(1, 8, 6, 6), target)
        assert Slice.type not in types(made.net)


NEAR_ZERO: dict[str, Callable[[Tensor], Tensor]] = {
    "log1p": torch.log1p,
    "atanh": torch.atanh,
    "asinh": torch.asinh,
    "expm1": torch.expm1,
    "sinh": torch.sinh,
    "erf": torch.erf,
}
OF_ITSELF = 3e-6  # in the middle 1 + x has lost a digit of x


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NEAR_ZERO)
def test_errors_near_zero_are_relative(name: str, target: str, tmp_path: Path) -> None:
    """OpenCV's TanH errs by 2e-7 at 0, and a logarithm made of roots by as much at 1."""
    sizes = torch.logspace(-6, -0.1, 24)
    x = torch.stack([sizes, -sizes]).reshape(1, 2, 4, 6)
    made = exported(NEAR_ZERO[name], x, target)
    made.save(tmp_path / "n.prototxt", tmp_path / "n.caffemodel")
    net = cv2_net(tmp_path / "n.prototxt", tmp_path / "n.caffemodel")
    net.setInput(x.numpy())
    wanted = NEAR_ZERO[name](x.double())
    found = torch.from_numpy(net.forward().copy()).double().reshape(wanted.shape)
    assert float(((found - wanted) / wanted).abs().max()) < OF_ITSELF


@pytest.mark.parametrize("target", TARGETS)
def test_constants_of_infinite_maps_are_constant(target: str, tmp_path: Path) -> None:
    """0 times infinity, which is how OpenCV makes a constant of a map, is NaN."""
    x = torch.tensor([[-INF, -2.0, 0.5, INF]])
    for function in (lambda x: x.clamp(-1, 1), lambda x: (3 * x).clamp(max=2.0)):
        check_as_users_run_it(exported(function, x, target), tmp_path)


@pytest.mark.parametrize("bounded", [True, False])
def test_a_constant_of_an_infinite_map_is_nan_in_opencv(bounded: bool, tmp_path: Path) -> None:
    """A Sigmoid before the Power keeps it constant."""
    layers = [Input(shape=((1, 2),)), *([Sigmoid()] if bounded else []), Power(scale=0, shift=2)]
    values = [Value(f"v{index}") for index in range(len(layers))]
    steps = tuple(
        Step(value.blob, layer, tuple(values[index - 1 : index]) if index else (), (value,))
        for index, (value, layer) in enumerate(zip(values, layers, strict=True))
    )
    save(Net(steps, (values[-1],)), tmp_path / "n.prototxt", tmp_path / "n.caffemodel")
    net = cv2_net(tmp_path / "n.prototxt", tmp_path / "n.caffemodel")
    net.setInput(torch.tensor([[1.0, INF]]).numpy())
    assert (float(net.forward()[0, 1]) == 2) is bounded


def cut(x: Tensor) -> Tensor:
    """Return one sample of two."""
    return x[:1] if x.dim() and x.shape[0] == 2 else x


@pytest.mark.sweep
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("row", EXPORTED, ids=lambda row: row.id)
def test_every_function(row: Row, target: str, tmp_path: Path) -> None:
    inputs = tuple(row.inputs() if target == "opencv" else map(cut, row.inputs()))
    try:
        made = fx2caffe.export(row.model(), inputs, **{**row.options, "target": target})
    except fx2caffe.UnsupportedError:
        return
    except CaffeError:
        pytest.skip("not run: the function needs two samples")
    check_as_users_run_it(made, tmp_path)
