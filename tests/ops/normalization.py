"""batch_norm, folded into the layer before it or not, and the other normalizations."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.rows import Row, function

CONV, IP = "Convolution", "InnerProduct"
STANDARD = ("Reduction", "Bias", "Reduction", "Power", "Scale", "Scale")
TURNED = ("Reshape", "Im2col", "Reshape")
BY_CHANNEL = (*TURNED, *STANDARD[:-1], *TURNED)


class Shared(nn.Module):
    """One convolution used twice, with a BatchNorm of its own each time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.one, self.two = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.conv(self.one(self.conv(x)).relu()))


class SecondReader(nn.Module):
    """A convolution whose result is read by a BatchNorm and by an addition."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.bn(y) + y


def _conv_bn(**options: bool) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, **options))


def _by_operator(x: torch.Tensor) -> torch.Tensor:
    """Call the operator that torch.export writes for a BatchNorm in eval mode."""
    weight, mean = torch.linspace(0.5, 1.5, 3), torch.linspace(-0.2, 0.3, 3)
    operator = torch._native_batch_norm_legit_no_training
    result: torch.Tensor = operator(x, weight, mean * 2, mean, weight * 2, 0.1, 1e-5)[0]
    return result


def _by_operator_of_one(x: torch.Tensor) -> torch.Tensor:
    """Call the operator that torch.export writes for an InstanceNorm: the samples are channels."""
    one = x.reshape(1, -1, 8, 8)
    result: torch.Tensor = torch._native_batch_norm_legit(one, None, None, True, 0.1, 1e-5)[0]
    return result.reshape(x.shape)


UNFOLDED = {"fold_batchnorm": False}
ROWS = [
    Row("batch_norm", lambda: nn.BatchNorm2d(3), layers=("Scale",)),
    Row("batch_norm_eps", lambda: nn.BatchNorm2d(3, eps=0.3), layers=("Scale",)),
    Row("batch_norm_unfolded", lambda: nn.BatchNorm2d(3, eps=0.3),
        layers=("BatchNorm", "Scale"), options=UNFOLDED),
    Row("batch_norm_plain_unfolded", lambda: nn.BatchNorm2d(3, affine=False),
        layers=("BatchNorm",), options=UNFOLDED),
    Row("batch_norm_plain", lambda: nn.BatchNorm2d(3, affine=False), layers=("BatchNorm",)),
    Row("batch_norm_by_operator", function(_by_operator), layers=("Scale",)),
    Row("batch_norm_of_one_by_operator", function(_by_operator_of_one),
        layers=("Reshape", *STANDARD[:-1], "Reshape")),
    Row("batch_norm_1d", lambda: nn.BatchNorm1d(5), ((4, 5),), ("Scale",)),
    Row("batch_norm_1d_length", lambda: nn.BatchNorm1d(5), ((2, 5, 3),), ("Scale",)),
    Row("conv_bn", _conv_bn, layers=(CONV,)),
    Row("conv_bn_plain", lambda: _conv_bn(affine=False), layers=(CONV,)),
    Row("conv_bn_unfolded", _conv_bn, layers=(CONV, "BatchNorm", "Scale"), options=UNFOLDED),
    Row("linear_bn", lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), ((4, 5),), (IP,)),
    Row("conv_bn_bn", lambda: nn.Sequential(_conv_bn(), nn.BatchNorm2d(4)), layers=(CONV,)),
    Row("bn_bn", lambda: nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3)), layers=("Scale",)),
    Row("conv_relu_bn", lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)),
        layers=(CONV, "ReLU", "Scale")),
    Row("conv_used_twice", Shared, layers=(CONV, "ReLU", CONV)),
    Row("conv_with_second_reader", SecondReader, layers=(CONV, "Scale", "Eltwise")),
    Row("batch_norm_of_the_batch", lambda: nn.BatchNorm2d(3, track_running_stats=False),
        layers=(*BY_CHANNEL, "Scale"), fixed_batch=True),
    Row("batch_norm_of_the_batch_rank_2",
        function(lambda x: F.batch_norm(x, None, None, training=True)), ((4, 5),), BY_CHANNEL,
        fixed_batch=True),
    Row("batch_norm_with_statistics_in_training",
        function(lambda x: F.batch_norm(x, torch.zeros(3), torch.ones(3), training=True)),
        refused="updates its running statistics: needs eval mode"),
    Row("layer_norm", lambda: nn.LayerNorm(5), ((4, 5),), STANDARD),
    Row("layer_norm_rank_3", lambda: nn.LayerNorm(5, eps=0.1), ((2, 3, 5),), STANDARD),
    Row("layer_norm_axes", lambda: nn.LayerNorm((8, 8)), layers=STANDARD),
    Row("layer_norm_sample", lambda: nn.LayerNorm((3, 8, 8), bias=False), layers=STANDARD),
    Row("layer_norm_plain", lambda: nn.LayerNorm(5, elementwise_affine=False), ((4, 5),),
        STANDARD[:-1]),
    Row("layer_norm_offset", function(lambda x: F.layer_norm(x + 1000, (5,))), ((4, 5),),
        ("Power", *STANDARD[:-1])),
    Row("layer_norm_bias", function(lambda x: F.layer_norm(x, (5,), None, torch.arange(5.0))),
        ((4, 5),), (*STANDARD[:-1], "Bias")),
    Row("rms_norm", lambda: nn.RMSNorm(5), ((4, 5),), ("Reduction", "Power", "Scale", "Scale"),
        since="2.4"),
    Row("rms_norm_eps", lambda: nn.RMSNorm(5, 0.1, False), ((2, 3, 5),),
        ("Reduction", "Power", "Scale"), since="2.4"),
    Row("batch_norm_dynamic",
        function(lambda x, w: F.batch_norm(x, torch.zeros(4), torch.ones(4), w, w * 2)),
        ((2, 4, 6, 5), (4,)), ("Power", "BatchNorm", "Scale", "Bias")),
    Row("layer_norm_dynamic", function(lambda x, w: F.layer_norm(x, (5,), w)), ((2, 4, 5), (5,)),
        ("Reduction", "Bias", "Reduction", "Power", "Scale", "Scale")),
    Row("rms_norm_dynamic", function(lambda x, w: F.rms_norm(x, (5,), w)), ((2, 4, 5), (5,)),
        ("Reduction", "Power", "Scale", "Scale"), since="2.4"),
    Row("group_norm_dynamic", function(lambda x, w: F.group_norm(x, 2, bias=w)),
        ((2, 4, 6, 5), (4,)),
        ("Reshape", "Reduction", "Bias", "Reduction", "Power", "Scale", "Reshape", "Bias")),
    Row("instance_norm_dynamic",
        function(lambda x, w: F.instance_norm(x, weight=w, bias=torch.arange(4.0))),
        ((2, 4, 6, 5), (4,)),
        ("Reduction", "Bias", "Reduction", "Power", "Scale", "Scale", "Bias")),
    Row("group_norm", lambda: nn.GroupNorm(2, 6), ((2, 6, 4, 4),),
        ("Reshape", *STANDARD[:-1], "Reshape", "Scale")),
    Row("group_norm_one", lambda: nn.GroupNorm(1, 6, 0.1, False), ((2, 6, 5),),
        ("Reshape", *STANDARD[:-1], "Reshape")),
    Row("group_norm_rank_2", lambda: nn.GroupNorm(2, 6), ((3, 6),),
        ("Reshape", *STANDARD[:-1], "Flatten", "Scale")),
    Row("native_layer_norm", function(
        lambda x: torch.native_layer_norm(x, (5,), torch.arange(5.0) + 1, None, 0.1)), ((2, 3, 5),),
        layers=("Reduction", "Bias", "Reduction", "Power", "Scale", "Scale", "Reduction",
            "Reshape", "Reduction", "Power", "Bias", "Reduction", "Reshape", "Power", "Power")),
    Row("native_layer_norm_first", function(
        lambda x: torch.native_layer_norm(x, (3, 5), None, None, 0.1)[0]), ((2, 3, 5),),
        layers=("Reduction", "Bias", "Reduction", "Power", "Scale")),
    Row("native_group_norm", function(
        lambda x: torch.native_group_norm(x, torch.ones(6), None, len(x), 6, 16, 2, 0.1)),
        ((2, 6, 4, 4),),
        layers=("Reshape", "Reduction", "Bias", "Reduction", "Power", "Scale", "Reshape",
            "Scale", "Reshape", "Reduction", "Reduction", "Power", "Bias", "Reduction", "Power",
            "Power"), fixed_batch=True),
    Row("native_group_norm_first", function(
        lambda x: torch.native_group_norm(x, None, None, len(x), 6, 16, 3, 0.1)[0]),
        ((2, 6, 4, 4),),
        layers=("Reshape", "Reduction", "Bias", "Reduction", "Power", "Scale", "Reshape"),
            fixed_batch=True),
    Row("instance_norm", lambda: nn.InstanceNorm2d(3), layers=STANDARD[:-1]),
    Row("instance_norm_affine", lambda: nn.InstanceNorm2d(3, 0.1, affine=True), layers=STANDARD),
    Row("instance_norm_1d", lambda: nn.InstanceNorm1d(3), ((2, 3, 7),), STANDARD[:-1]),
    Row("instance_norm_tracked", lambda: nn.InstanceNorm2d(3, track_running_stats=True),
        layers=("BatchNorm",), since="2.13"),
    Row("batch_norm_operator",
        function(lambda x: torch.native_batch_norm(
            x, None, torch.ones(3), torch.zeros(3), torch.ones(3) * 2, False, 0.1, 1e-5)[0]),
        layers=("Scale",)),
    Row("batch_norm_operator_of_one_sample",
        function(lambda x: torch.ops.aten._native_batch_norm_legit.no_stats(
            x, None, None, True, 0.1, 1e-5)[0]),
        ((1, 3, 8, 8),), ("Reduction", "Bias", "Reduction", "Power", "Scale"), fixed_batch=True),
    Row("local_response_norm", lambda: nn.LocalResponseNorm(5), ((2, 7, 4, 4),), ("LRN",)),
    Row("local_response_norm_all", lambda: nn.LocalResponseNorm(3, 0.5, 0.6, 2),
        ((2, 7, 4, 4),), ("LRN",)),
    Row("local_response_norm_1d", lambda: nn.LocalResponseNorm(3, 0.5), ((2, 7, 4),),
        ("Reshape", "LRN", "Flatten")),
    Row("local_response_norm_3d", lambda: nn.LocalResponseNorm(3, 0.5), ((2, 7, 4, 2, 2),),
        ("Reshape", "LRN", "Reshape")),
    Row("local_response_norm_even", lambda: nn.LocalResponseNorm(4, 0.5), ((2, 7, 4, 4),),
        ("Power", "Convolution", "Power", "Eltwise")),
    Row("local_response_norm_even_wide", lambda: nn.LocalResponseNorm(16, 0.5, 0.6, 2),
        ((2, 7, 5),), ("Power", "Reshape", "Convolution", "Reshape", "Power", "Eltwise")),
    Row("normalize", function(F.normalize), ((4, 5),),
        ("Reduction", "Power", "Power", "Eltwise", "Power", "Scale")),
    Row("normalize_channels", function(F.normalize),
        layers=("Power", CONV, "Power", "Power", "Eltwise", "Power", "Tile", "Eltwise")),
    Row("normalize_last", function(lambda x: F.normalize(x, dim=-1)),
        layers=("Reduction", "Power", "Power", "Eltwise", "Power", "Scale")),
    Row("normalize_1", function(lambda x: F.normalize(x, 1, 1, 1e-3)), ((4, 5),),
        ("Reduction", "Power", "Eltwise", "Power", "Scale")),
]  # fmt: skip
