"""Rows of forks' layers that pad each side by itself."""

from __future__ import annotations

from caffe2fx.layers.forks.sides import ConvolutionSides, PoolingSides
from caffe2fx.layers.pooling import PoolMethod
from tests.layers.forks.row import IMAGE
from tests.layers.row import Row

ROWS = (
    Row("convolution sides", ConvolutionSides(
        num_output=3, kernel_size=(3,), stride=(2,), pad_l=1, pad_r=2, pad_t=3, pad_b=4), (IMAGE,)),
    Row("convolution same", ConvolutionSides(
        num_output=3, kernel_size=(3,), stride=(2,), pad_type=1), (IMAGE,)),
    Row("convolution same, dilated", ConvolutionSides(
        num_output=2, kernel_h=2, kernel_w=3, dilation=(2,), pad_type=1), (IMAGE,)),
    Row("pooling sides", PoolingSides(
        kernel_h=4, kernel_w=3, stride=2, pad_l=2, pad_r=1, pad_t=1, pad_b=3), (IMAGE,)),
    Row("pooling sides, average", PoolingSides(
        kernel_size=3, stride=2, pad_l=2, pad_r=1, pool=PoolMethod.AVE), (IMAGE,)),
    Row("pooling same", PoolingSides(kernel_size=3, stride=2, pad_type=1), (IMAGE,)),
)  # fmt: skip
