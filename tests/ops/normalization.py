"""batch_norm, folded into what stands before it or not."""

import torch
from torch import nn

from tests.rows import Row

CONV, IP = "Convolution", "InnerProduct"


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


UNFOLDED = {"fold_batchnorm": False}
ROWS = [
    Row("batch_norm", lambda: nn.BatchNorm2d(3), layers=("Scale",)),
    Row("batch_norm_eps", lambda: nn.BatchNorm2d(3, eps=0.3), layers=("Scale",)),
    Row("batch_norm_unfolded", lambda: nn.BatchNorm2d(3, eps=0.3),
        layers=("BatchNorm", "Scale"), options=UNFOLDED),
    Row("batch_norm_plain_unfolded", lambda: nn.BatchNorm2d(3, affine=False),
        layers=("BatchNorm",), options=UNFOLDED),
    Row("batch_norm_plain", lambda: nn.BatchNorm2d(3, affine=False), layers=("BatchNorm",)),
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
    Row("batch_norm_without_statistics", lambda: nn.BatchNorm2d(3, track_running_stats=False),
        refused="needs running statistics"),
]  # fmt: skip
