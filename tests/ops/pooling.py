"""Poolings; stock Caffe rounds up, torch rounds down unless told otherwise."""

import torch.nn.functional as F
from torch import nn

from tests.rows import Row, function

POOL = "Pooling"
FLOOR = (POOL, "DummyData", "Crop")
NINE = ((2, 3, 9, 9),)
ROWS = [
    Row("max_exact", lambda: nn.MaxPool2d(2), layers=(POOL,)),
    Row("max_floor", lambda: nn.MaxPool2d(2), NINE, FLOOR),
    Row("max_floor_padded", lambda: nn.MaxPool2d(3, 2, 1), layers=FLOOR),
    Row("max_floor_one_axis", lambda: nn.MaxPool2d((2, 3), (2, 1)), NINE, FLOOR),
    Row("max_ceil", lambda: nn.MaxPool2d(2, ceil_mode=True), NINE, (POOL,)),
    Row("max_ceil_padded", lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), layers=(POOL,)),
    Row(
        "max_ceil_unequal",
        lambda: nn.MaxPool2d((3, 2), (2, 2), (1, 0), ceil_mode=True),
        ((2, 3, 8, 9),),
        (POOL,),
    ),
    Row("max_stride_over_kernel", lambda: nn.MaxPool2d(1, 3), NINE, FLOOR),
    Row(
        "max_ceil_window_outside",
        lambda: nn.MaxPool2d(1, 3, ceil_mode=True),
        NINE,
        refused="needs stride <= kernel in ceil mode",
    ),
    Row("max_dilated", lambda: nn.MaxPool2d(2, dilation=2), refused="needs dilation 1, got 2"),
    Row("max_indices", lambda: nn.MaxPool2d(2, return_indices=True), layers=(POOL,)),
    Row("max_indices_floor", lambda: nn.MaxPool2d(2, return_indices=True), NINE,
        (POOL, "DummyData", "Crop", "Crop")),
    Row("adaptive_max_indices", lambda: nn.AdaptiveMaxPool2d(2, return_indices=True),
        refused="needs return_indices=False"),
    Row("avg_exact", lambda: nn.AvgPool2d(2), layers=(POOL,)),
    Row("avg_floor", lambda: nn.AvgPool2d(2), NINE, FLOOR),
    Row("avg_padded", lambda: nn.AvgPool2d(3, 1, 1), layers=(POOL,)),
    Row("avg_floor_padded", lambda: nn.AvgPool2d(3, 2, 1), layers=FLOOR),
    Row("avg_ceil", lambda: nn.AvgPool2d(3, 2, ceil_mode=True), layers=(POOL,)),
    Row("avg_ceil_padded", lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True), layers=(POOL,)),
    Row(
        "avg_without_pad",
        lambda: nn.AvgPool2d(3, 1, 1, count_include_pad=False),
        layers=(POOL, "Scale"),
    ),
    Row(
        "avg_without_pad_floor",
        lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        layers=(*FLOOR, "Scale"),
    ),
    Row(
        "avg_divisor",
        lambda: nn.AvgPool2d(2, divisor_override=3),
        refused="needs no divisor_override, got 3",
    ),
    Row("global_avg", lambda: nn.AdaptiveAvgPool2d(1), layers=(POOL,)),
    Row("global_max", lambda: nn.AdaptiveMaxPool2d(1), layers=(POOL,)),
    Row("adaptive_avg_divides", lambda: nn.AdaptiveAvgPool2d((2, 4)), layers=(POOL,)),
    Row("adaptive_max_divides", lambda: nn.AdaptiveMaxPool2d((2, 4)), layers=(POOL,)),
    Row("adaptive_avg_none", lambda: nn.AdaptiveAvgPool2d((None, 1)), layers=(POOL,)),
    Row(
        "adaptive_avg_any",
        lambda: nn.AdaptiveAvgPool2d((3, 5)),
        layers=("Reshape", "Convolution", "Reshape", "InnerProduct"),
    ),
    Row(
        "adaptive_avg_upwards",
        lambda: nn.AdaptiveAvgPool2d((8, 11)),
        layers=("InnerProduct",),
    ),
    Row(
        "adaptive_max_uneven",
        lambda: nn.AdaptiveMaxPool2d(3),
        refused="needs an input size divisible by (3, 3), got (8, 8)",
    ),
    Row("functional_max", function(lambda x: F.max_pool2d(x, 2)), layers=(POOL,)),
]  # fmt: skip
