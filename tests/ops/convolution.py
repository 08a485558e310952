"""conv2d and linear."""

from torch import nn

from tests.rows import Row, function

CONV, IP = "Convolution", "InnerProduct"
ROWS = [
    Row("conv", lambda: nn.Conv2d(3, 6, 3), layers=(CONV,)),
    Row("conv_no_bias", lambda: nn.Conv2d(3, 6, 3, bias=False), layers=(CONV,)),
    Row("conv_stride_pad", lambda: nn.Conv2d(3, 6, 3, stride=2, padding=1), layers=(CONV,)),
    Row(
        "conv_all_unequal",
        lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(1, 2), groups=2),
        ((2, 4, 9, 7),),
        (CONV,),
    ),
    Row("conv_depthwise", lambda: nn.Conv2d(3, 6, 3, groups=3), layers=(CONV,)),
    Row("conv_same", lambda: nn.Conv2d(3, 4, (3, 5), padding="same"), layers=(CONV,)),
    Row("conv_valid", lambda: nn.Conv2d(3, 4, 3, padding="valid"), layers=(CONV,)),
    Row(
        "conv_same_uneven",
        lambda: nn.Conv2d(3, 4, 2, padding="same"),
        refused="needs padding='same' to be even on both sides, got [1, 1]",
    ),
    Row(
        "conv_dynamic_weight",
        function(lambda x, w: nn.functional.conv2d(x, w)),
        ((1, 3, 8, 8), (2, 3, 3, 3)),
        refused="needs a constant weight",
    ),
    Row("linear", lambda: nn.Linear(5, 4), ((2, 5),), (IP,)),
    Row("linear_no_bias", lambda: nn.Linear(5, 4, bias=False), ((2, 5),), (IP,)),
    Row("linear_rank_3", lambda: nn.Linear(5, 4), ((2, 3, 5),), (IP,)),
    Row("linear_rank_4", lambda: nn.Linear(5, 4), ((2, 3, 2, 5),), (IP,)),
]
