"""Activation functions and dropout."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from tests.rows import Row, function


def _dropouts(x: torch.Tensor) -> torch.Tensor:
    for drop in (F.dropout, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout):
        x = drop(x, 0.3, training=False)
    return x.relu()


class Training(torch.nn.Module):
    """Dropout that runs whatever the mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, 0.3, training=True)


MASTER = {"target": "bvlc-master"}
E, P, R = "Eltwise", "Power", "ReLU"
TO_ONE = (R, P, P, E, P)  # a Clip from 0 to some bound


def _parametric(slope: torch.Tensor) -> Callable[[], nn.Module]:
    return function(lambda x: F.prelu(x, slope))


def master(id: str, module: Callable[[], nn.Module], *layers: str) -> Row:
    return Row(f"{id}_master", module, layers=layers, options=MASTER)


ROWS = [
    Row("relu", nn.ReLU, layers=(R,)),
    Row("relu_in_place", lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(True)),
        layers=("Convolution", R)),
    Row("relu_method", function(lambda x: x.relu()), layers=(R,)),
    Row("relu_method_in_place", function(lambda x: (x + 1).relu_()), layers=(P, R)),
    Row("relu6", nn.ReLU6, layers=TO_ONE),
    Row("relu6_in_place", lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU6(True)), ((3, 5),),
        ("InnerProduct", *TO_ONE)),
    Row("relu6_of_large", function(lambda x: F.relu6(x * 1e8)), layers=(P, *TO_ONE)),
    master("relu6", nn.ReLU6, "Clip"),
    Row("hardtanh", nn.Hardtanh, layers=(P, E, P, P, E, P)),
    Row("hardtanh_bounds", lambda: nn.Hardtanh(-0.5, 2), ((4, 5),), (P, E, P, P, E, P)),
    master("hardtanh", lambda: nn.Hardtanh(-0.3, 0.2), "Clip"),
    Row("leaky_relu", lambda: nn.LeakyReLU(0.2), layers=(R,)),
    Row("leaky_relu_zero", lambda: nn.LeakyReLU(0.0), layers=(R,)),
    Row("rrelu", lambda: nn.RReLU(0.1, 0.5), layers=(R,)),
    Row("rrelu_of_program", function(
        lambda x: torch.ops.aten.rrelu_with_noise_functional(x, x, 0.1, 0.5)[0]), layers=(R,),
        since="2.6"),
    Row("rrelu_training", function(lambda x: F.rrelu(x, training=True)),
        refused="needs eval mode"),
    Row("prelu", lambda: nn.PReLU(3), layers=("PReLU",)),
    Row("prelu_shared", nn.PReLU, layers=("PReLU",)),
    Row("prelu_one_channel", nn.PReLU, ((2, 1, 4, 4),), ("PReLU",)),
    Row("prelu_scalar", _parametric(torch.tensor(0.3)), ((2, 1, 4),), ("PReLU",)),
    Row("prelu_rank_2", lambda: nn.PReLU(5), ((4, 5),), ("PReLU",)),
    Row("prelu_rank_3", lambda: nn.PReLU(5), ((4, 5, 3),), ("PReLU",)),
    Row("prelu_rank_5", lambda: nn.PReLU(3), ((2, 3, 2, 2, 2),),
        ("Flatten", "PReLU", "Reshape")),
    Row("prelu_rank_1", nn.PReLU, ((7,),), (R,)),
    Row("prelu_dynamic", function(F.prelu), ((2, 3, 4), (3,)),
        ("ReLU", "Power", "ReLU", "Scale", E)),
    Row("prelu_dynamic_shared", function(F.prelu), ((2, 3, 4, 5), (1,)),
        ("ReLU", "Power", "ReLU", "Reshape", "Scale", E)),
    Row("elu", nn.ELU, layers=("ELU",)),
    Row("elu_alpha", lambda: nn.ELU(0.5), ((2, 5),), ("ELU",)),
    Row("elu_of_three_factors", function(lambda x: torch._C._nn.elu(x, 0.5, 1.25, 0.75)),
        layers=(P, "ELU", P)),
    Row("celu", nn.CELU, layers=("ELU",)),
    Row("celu_alpha", lambda: nn.CELU(0.5), layers=(P, "ELU", P)),
    Row("selu", nn.SELU, layers=("ELU", P)),
    Row("selu_rank_2", nn.SELU, ((3, 4),), ("ELU", P)),
    Row("sigmoid", nn.Sigmoid, layers=("Sigmoid",)),
    Row("sigmoid_functional", function(F.sigmoid), ((2, 5),), ("Sigmoid",)),
    Row("sigmoid_in_place", function(lambda x: (x + 1).sigmoid_()), ((2, 5),), (P, "Sigmoid")),
    Row("tanh", nn.Tanh, layers=("TanH",)),
    Row("tanh_functional", function(F.tanh), ((2, 3, 4),), ("TanH",)),
    Row("silu", nn.SiLU, layers=("Sigmoid", E)),
    Row("silu_rank_2", nn.SiLU, ((2, 5),), ("Sigmoid", E)),
    master("silu", nn.SiLU, "Swish"),
    Row("hardswish", nn.Hardswish, layers=(P, *TO_ONE, E, P)),
    Row("hardswish_rank_2", nn.Hardswish, ((2, 5),), (P, *TO_ONE, E, P)),
    master("hardswish", nn.Hardswish, P, "Clip", E, P),
    Row("hardsigmoid", nn.Hardsigmoid, layers=(P, *TO_ONE)),
    Row("hardsigmoid_rank_2", nn.Hardsigmoid, ((2, 5),), (P, *TO_ONE)),
    master("hardsigmoid", nn.Hardsigmoid, P, "Clip"),
    Row("elu_of_torch_export", function(lambda x: torch.ops.aten.elu(x, 0.7, 1.3, 0.5)),
        layers=(P, "ELU", P)),
    Row("softplus", nn.Softplus, layers=("BNLL",)),
    Row("softplus_beta", lambda: nn.Softplus(3.0), ((2, 5),), (P, "BNLL", P)),
    Row("softplus_threshold", lambda: nn.Softplus(1.0, 15), ((2, 5),), ("BNLL",)),
    Row("softplus_of_large", function(lambda x: F.softplus(x * 30)), layers=(P, "BNLL")),
    Row("softplus_low_threshold", lambda: nn.Softplus(1.0, 2),
        layers=("Threshold", "BNLL", "Eltwise", "Eltwise", "Eltwise")),
    Row("logsigmoid", nn.LogSigmoid, layers=(P, "BNLL", P)),
    Row("mish", nn.Mish, layers=("BNLL", "TanH", E)),
    Row("mish_rank_2", nn.Mish, ((2, 5),), ("BNLL", "TanH", E)),
    Row("softsign", nn.Softsign, layers=("AbsVal", P, P, E)),
    Row("tanhshrink", nn.Tanhshrink, layers=("TanH", E)),
    Row("hardshrink", nn.Hardshrink, layers=("AbsVal", "Threshold", E)),
    Row("hardshrink_lambda", lambda: nn.Hardshrink(1.0), ((2, 7),), ("AbsVal", "Threshold", E)),
    Row("hardshrink_negative", lambda: nn.Hardshrink(-1.0), ((2, 7),), (P,)),
    Row("softshrink", nn.Softshrink, layers=(P, R, P, R, E)),
    Row("softshrink_lambda", lambda: nn.Softshrink(0.1), ((2, 7),), (P, R, P, R, E)),
    Row("threshold", lambda: nn.Threshold(0.3, -2.0), layers=("Threshold", E, P, E)),
    Row("threshold_to_zero", lambda: nn.Threshold(0.3, 0), layers=("Threshold", E)),
    Row("threshold_relu", lambda: nn.Threshold(0, 0), layers=(R,)),
    Row("glu", lambda: nn.GLU(2), layers=("Slice", "Sigmoid", E)),
    Row("glu_last_axis", nn.GLU, ((3, 6),), ("Slice", "Sigmoid", E)),
    Row("glu_of_the_batch", lambda: nn.GLU(0), ((4, 6),), ("Slice", "Sigmoid", E),
        fixed_batch=True),
    Row("dropouts", function(_dropouts), layers=(R,)),
    Row("dropout_1d", function(lambda x: F.dropout1d(x, 0.5, False).relu()), ((3, 4),), (R,)),
    Row("dropout_3d", function(lambda x: F.dropout3d(x, 0.5, False).relu()), layers=(R,)),
    *(
        Row(f"{drop.__name__}_in_place",
            function(lambda x, drop=drop: drop((x + 1), 0.5, False, inplace=True)),
            layers=(P,))
        for drop in (F.dropout, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout)
    ),
    Row("dropout_training", lambda: Training(), refused="needs eval mode"),
    Row("dropout_alone", nn.Dropout, layers=(P,)),
    Row("softmin", lambda: nn.Softmin(1), layers=(P, "Softmax")),
    Row("softmax_2d", nn.Softmax2d, layers=("Softmax",)),
    Row("identity", lambda: nn.Sequential(nn.Identity(), nn.ReLU()), layers=(R,)),
]  # fmt: skip
