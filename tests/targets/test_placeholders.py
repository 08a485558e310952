"""Placeholders for layers that a target does not have: on request only, marked everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx.errors import CaffeError
from caffe2fx.files import prototxt
from caffe2fx.verdict.reference.calibrate import calibrate
from fx2caffe.cli import main
from fx2caffe.exporter.result import Export
from tests.rows import types

X = torch.randn(1, 3, 8, 8)


class Model(nn.Module):
    """One function without any layer, a bound too large for some, and layers around them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.lgamma(self.first(x).abs() + 1)
        z = torch.clamp(F.relu(y - 0.1), max=2.0**21)
        return self.last(z), z.softmax(1)


def exported(target: str) -> Export:
    model = calibrate(Model(), [torch.randn(4, 3, 8, 8)])
    return fx2caffe.export(model, X, target=target, on_unsupported="custom")


def test_never_by_default() -> None:
    with pytest.raises(fx2caffe.UnsupportedError, match="lgamma"):
        fx2caffe.export(Model().eval(), X)
    with pytest.raises(CaffeError, match="needs to be refuse or custom, got 'ignore'"):
        fx2caffe.export(Model().eval(), X, on_unsupported="ignore")


@pytest.mark.parametrize(
    ("target", "placeholder", "operations"),
    [
        ("bvlc", "Python", ["torch.lgamma"]),
        ("portable", "Python", ["torch.lgamma", "Clip"]),
        ("nnie", "Custom", ["torch.lgamma", "Clip"]),
    ],
)
def test_marked_in_net_report_and_result(
    target: str, placeholder: str, operations: list[str]
) -> None:
    net = exported(target)
    assert [one.op for one in net.unverified] == operations
    assert "test_placeholders.py" in str(net.unverified[0])
    assert types(net.net).count(placeholder) == len(operations)
    header = [line for line in net.prototxt.splitlines() if line.startswith("# NOT VERIFIED")]
    assert len(header) == len(operations) and "torch.lgamma needs" in header[0]
    report = net.verify("torch")
    assert report.ok, str(report)
    assert f"{len(operations)} NOT VERIFIED" in report.summary()
    rows = [row for row in report.rows if row.type == placeholder]
    assert [row.verdict.split(" needs")[0] for row in rows] == [
        f"not verified: {operation}" for operation in operations
    ]
    assert len(report.rows) == len(net.net.steps) - 1


def test_shapes_of_nnies_custom_layer() -> None:
    text = exported("nnie").prototxt
    flat = " ".join(text.replace(" :", ":").split())
    assert "custom_param { shape { dim: 1 dim: 4 dim: 6 dim: 6 } }" in flat
    parsed = prototxt.parse(text)
    assert [s.layer for s in parsed.steps] == [s.layer for s in exported("nnie").net.steps]
    assert parsed.shapes() == exported("nnie").net.shapes()


@pytest.mark.pycaffe
def test_all_else_is_judged_in_real_caffe() -> None:
    report = exported("nnie").verify("pycaffe")
    assert report.ok, str(report)


def test_a_fault_before_or_behind_a_placeholder_is_seen() -> None:
    net = exported("portable")
    steps = tuple(
        replace(step, blobs=(step.blobs[0] + 0.5, step.blobs[1])) if step.name == "last" else step
        for step in net.net.steps
    )
    report = replace(net, net=replace(net.net, steps=steps)).verify("torch")
    assert not report.ok and report.first_divergence is not None
    assert report.first_divergence.layer == "last"


def test_a_placeholder_with_several_results() -> None:
    class Several(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            values, vectors = torch.linalg.eigh(x @ x.mT)
            return values.relu() + vectors.sum(3)

    model, x = Several().eval(), torch.randn(1, 2, 5, 5)
    net = fx2caffe.export(model, x, on_unsupported="custom")
    assert [one.op for one in net.unverified] == ["torch.linalg.eigh"]
    report = net.verify("torch")
    assert report.ok, str(report)


def test_nothing_changes_where_nothing_is_refused() -> None:
    model = nn.Conv2d(3, 4, 3).eval()
    free, same = (fx2caffe.export(model, X, on_unsupported=word) for word in ("custom", "refuse"))
    assert free.net == same.net and not free.unverified and not free.batch_is_fixed


def test_the_command_reports_placeholders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    options = ["--input", "1x3x8x8", "-o", str(tmp_path), "--on-unsupported", "custom"]
    where = f"{__name__}:Model"
    assert main(["export", where, *options, "--target", "nnie", "--verify", "torch"]) == 0
    out = capsys.readouterr().out
    assert "NOT VERIFIED, a placeholder: lgamma" in out and "2 NOT VERIFIED" in out


INPUT = """layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 8 dim: 16 dim: 16 } } }
"""
POOLED = """layer { name: "boxes" type: "Input" top: "boxes"
  input_param { shape { dim: 2 dim: 5 } } }
layer { name: "r" type: "ROIPooling" bottom: "x" bottom: "boxes" top: "r"
  roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 1 } }
"""
BOXES = torch.tensor([[0.0, 1, 1, 9, 9], [0, 2, 3, 7, 8]])
FORKED = {
    "Permute": "permute_param { order: 0 order: 2 order: 3 order: 1 }",
    "BN": "bn_param { bn_mode: INFERENCE }",
    "Normalize": "norm_param { across_spatial: false channel_shared: false }",
    "Interp": "interp_param { height: 32 width: 32 }",
    "ReLU6": "",
}


def forked(folder: Path, type_: str, behind: str = "") -> nn.Module:
    layer = f'layer {{ name: "x" type: "{type_}" bottom: "data" top: "x" {FORKED[type_]} }}\n'
    path = folder / "net.prototxt"
    path.write_text(INPUT + layer + behind)
    return caffe2fx.load(path)


@pytest.mark.parametrize("type_", FORKED)
def test_layers_that_decompose_are_no_placeholder(tmp_path: Path, type_: str) -> None:
    x = torch.rand(1, 8, 16, 16)
    model = forked(tmp_path, type_)
    net = fx2caffe.export(model, x, on_unsupported="custom")
    assert not net.unverified and types(net.net) == types(fx2caffe.export(model, x).net)


@pytest.mark.parametrize("type_", FORKED)
def test_only_operations_without_layers_are_refused_or_placeholders(
    tmp_path: Path, type_: str
) -> None:
    model, x = forked(tmp_path, type_, POOLED), (torch.rand(1, 8, 16, 16), BOXES)
    with pytest.raises(fx2caffe.UnsupportedError) as error:
        fx2caffe.export(model, x)
    assert [refusal.op for refusal in error.value.refusals] == ["ROIPooling"]
    assert [refusal.op for refusal in fx2caffe.check(model, x)] == ["ROIPooling"]
    net = fx2caffe.export(model, x, on_unsupported="custom")
    assert [one.op for one in net.unverified] == ["ROIPooling"]
    assert types(net.net).count("Python") == 1
