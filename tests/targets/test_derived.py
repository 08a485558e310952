"""Targets of a user's own: derived, from a caffe.proto, from a layer list; and how they print."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import fx2caffe
from caffe2fx.errors import CaffeError
from caffe2fx.files import prototxt
from caffe2fx.layers import Convolution, Pooling, RoundMode
from fx2caffe import targets
from fx2caffe.cli import main
from fx2caffe.targets import BVLC, BVLC_MASTER, EVERY, Target, limits
from tests.rows import function, types

X = torch.randn(1, 4, 9, 9)


def test_a_chip_with_small_kernels() -> None:
    chip = BVLC.derived(
        "mychip",
        add=["ReLU6"],
        remove=["Scale", "Bias"],
        limits={"Convolution": limits.kernel(1, 5), EVERY: [limits.rank(4), limits.side(64)]},
        dialects=frozenset({"bvlc", "ssd"}),
        judges=("torch",),
    )
    net = fx2caffe.export(nn.Sequential(nn.Conv2d(4, 4, 5), nn.ReLU6()).eval(), X, target=chip)
    assert types(net.net) == ("Convolution", "ReLU6") and net.verify("torch").ok
    (refusal,) = fx2caffe.check(nn.Conv2d(4, 4, 7).eval(), X, target=chip)
    assert refusal.reason == "as Convolution needs kernel 1 to 5, got 7x7 in target 'mychip'"
    assert refusal.targets == tuple(targets.TARGETS)
    (refusal,) = fx2caffe.check(nn.ReLU(), torch.randn(1, 1, 65, 9), target=chip)[:1]
    assert "needs height and width at most 64, got (1, 1, 65, 9)" in refusal.reason
    assert "Scale" in BVLC.types  # the one derived from is as it was


@pytest.mark.parametrize(
    ("limit", "layer", "fault"),
    [
        (limits.dilation(1, 2), Convolution(num_output=1, kernel_size=(3,), dilation=(3,)),
         "needs dilation 1 or 2, got 3x3"),
        (limits.window("stride", {2, 4}, "2 or 4"), Pooling(kernel_size=2, stride=3),
         "needs stride 2 or 4, got 3x3"),
        (limits.only("group", 1), Convolution(num_output=4, kernel_size=(1,), group=4),
         "needs group 1, got 4"),
        (limits.only("round_mode", RoundMode.FLOOR), Pooling(kernel_size=2),
         "needs round_mode FLOOR, got CEIL"),
        (limits.batch(1), Pooling(kernel_size=2), "needs batch 1, got (2, 4, 9, 9)"),
        (limits.unpadded_points(), Convolution(num_output=1, kernel_size=(1,), pad=(2,)),
         "needs no pad around windows of 1, got (2, 2)"),
        (limits.unpadded_points(), Convolution(num_output=1, kernel_size=(1,)), None),
        *((limits.unpadded_points(),
           Convolution(num_output=1, kernel_size=(kernel,), stride=(stride,), pad=(1,)), None)
          for kernel, stride in ((2, 2), (1, 2), (2, 1))),
    ],
)  # fmt: skip
def test_limits_name_their_constraint(
    limit: targets.Limit, layer: object, fault: str | None
) -> None:
    shape = (2, 4, 9, 9)
    assert limit.fault(layer, [shape], [shape]) == fault  # type: ignore[arg-type]


PROTO = """
// A Caffe of 2015 with a layer of its own.
syntax = "proto2";
message NetParameter { repeated string input = 3; repeated BlobShape input_shape = 8; }
message LayerParameter {
  optional string name = 1;
  optional string type = 2; /* the type */
  optional ConvolutionParameter convolution_param = 106;
  optional PoolingParameter pooling_param = 121;
  optional caffe.PermuteParameter permute_param = 202;
}
message ConvolutionParameter {
  optional uint32 num_output = 1; repeated uint32 kernel_size = 4; repeated uint32 stride = 6;
  optional bool bias_term = 2 [default = true]; optional uint32 group = 5 [default = 1];
  enum Engine { DEFAULT = 0; CAFFE = 1; }
  optional Engine engine = 15 [default = DEFAULT];
}
message PoolingParameter { optional uint32 kernel_size = 2; optional uint32 stride = 3; }
message PermuteParameter { repeated uint32 order = 1; }
"""


def test_from_a_proto(tmp_path: Path) -> None:
    path = tmp_path / "caffe.proto"
    path.write_text(PROTO)
    mine = Target.from_proto(path, "mine")
    assert {"Convolution", "Deconvolution", "Im2col", "Pooling", "Permute", "AbsVal"} <= mine.types
    assert mine.types.isdisjoint({"InnerProduct", "ReLU6", "DepthwiseConvolution"})
    net = fx2caffe.export(nn.Conv2d(4, 4, 3, 2).eval(), X, target=mine)
    assert types(net.net) == ("Convolution",)
    assert 'input: "data"\ninput_shape {\n      dim: 1\n' in net.prototxt  # no Input layers then
    assert prototxt.parse(net.prototxt).inputs == net.net.inputs
    permuted = fx2caffe.export(function(lambda x: x.permute(0, 2, 3, 1))(), X, target=mine)
    assert types(permuted.net) == ("Permute",) and permuted.verify("torch").ok
    dilated = fx2caffe.export(nn.Conv2d(4, 4, 3, dilation=2).eval(), X, target=mine)
    assert "kernel_size: 5" in dilated.prototxt and "dilation" not in dilated.prototxt
    (refusal,) = fx2caffe.check(nn.Conv2d(4, 4, 3, padding=1).eval(), X, target=mine)
    assert "needs pad: (1,) of Convolution, which target 'mine' does not" in refusal.reason


def test_files_that_are_no_proto(tmp_path: Path) -> None:
    path = tmp_path / "other.proto"
    path.write_text("message Other { optional string type = 1; }")
    with pytest.raises(CaffeError, match="needs to describe LayerParameter"):
        Target.from_proto(path)


def test_from_a_layer_list() -> None:
    old = Target.from_layer_list(sorted(BVLC.types), "old")
    new = Target.from_layer_list(BVLC_MASTER.types, "new")
    pool = function(lambda x: F.max_pool2d(F.relu6(x), 2))()
    exported = {t.name: fx2caffe.export(pool, X, target=t) for t in (old, new)}
    assert types(exported["new"].net) == ("Clip", "Pooling")
    assert types(exported["old"].net) == types(fx2caffe.export(pool, X).net)
    with pytest.raises(CaffeError, match="needs the layer types of a Caffe"):
        Target.from_layer_list(["conv", "relu"])


def test_floor_pooling_is_written_as_the_target_reads_it(tmp_path: Path) -> None:
    exported = fx2caffe.export(nn.MaxPool2d(2), X, target="opencv")
    assert "ceil_mode: false" in exported.prototxt and "round_mode" not in exported.prototxt
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    exported.save(*files)
    assert files[0].read_text() == exported.prototxt
    exported.save_weights(files[0], tmp_path / "again.caffemodel")  # read back as the same net
    assert exported.verify("torch", files=files).ok


def test_the_upsampling_of_ascend() -> None:
    up = function(lambda x: F.interpolate(x, scale_factor=3))()
    text = fx2caffe.export(up, X, target="ascend").prototxt
    assert "scale: 1\n    stride: 3" in text and "stride_h" not in text


def test_the_batch_of_portable_is_one() -> None:
    exported = fx2caffe.export(nn.ReLU(), X, target="portable")
    assert exported.batch_is_fixed
    with pytest.raises(CaffeError, match="runs batch 1 only"):
        exported.verify(batch=2)
    refusals = fx2caffe.check(nn.ReLU(), torch.randn(2, 4, 9, 9), target="portable")
    assert "as Input needs batch 1, got (2, 4, 9, 9)" in refusals[0].reason


def test_the_outputs_of_nnie_are_counted() -> None:
    many = function(lambda x: [x * k for k in range(2, 19)])()
    with pytest.raises(fx2caffe.UnsupportedError, match=r"at most 16 outputs .* got 17"):
        fx2caffe.export(many, X, target="nnie")


def test_the_command_lists_and_shows_targets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(targets.TARGETS)
    assert main(["targets", "nnie"]) == 0
    page = capsys.readouterr().out
    assert "placeholder for what it lacks, on request: Custom" in page
    assert "Permute: order (0, 2, 3, 1)" in page and "outputs: at most 16" in page
    assert main(["targets", "nothing"]) == 1
    assert "target needs to be one of bvlc" in capsys.readouterr().err


def test_the_command_takes_a_proto(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.proto").write_text(PROTO)
    options = ["--input", "1x3x64x64", "--target", str(tmp_path / "old.proto")]
    assert main(["check", "torchvision:alexnet", *options]) == 1
    assert "needs layer InnerProduct, which target 'old'" in capsys.readouterr().out
