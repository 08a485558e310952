"""gelu and erf."""

import torch
from torch import nn

from tests.rows import Row, function

E, P = "Eltwise", "Power"
HORNER = (P, E, P, E, P, E, P, E)
ROWS = [
    Row("gelu", nn.GELU, layers=("AbsVal", P, P, "Exp", *HORNER, E, "ReLU", E)),
    Row("gelu_rank_2", nn.GELU, ((4, 50),), ("AbsVal", P, P, "Exp", *HORNER, E, "ReLU", E)),
    Row("gelu_of_large", function(lambda x: nn.functional.gelu(x * 20)),
        layers=(P, "AbsVal", P, P, "Exp", *HORNER, E, "ReLU", E)),
    Row("gelu_of_small", function(lambda x: nn.functional.gelu(x * 1e-4)),
        layers=(P, "AbsVal", P, P, "Exp", *HORNER, E, "ReLU", E)),
    Row("gelu_tanh", lambda: nn.GELU("tanh"), layers=(P, P, E, "Sigmoid", E)),
    Row("gelu_tanh_rank_2", lambda: nn.GELU("tanh"), ((4, 50),), (P, P, E, "Sigmoid", E)),
    Row("erf", function(torch.erf),
        layers=("AbsVal", P, P, "Exp", *HORNER, E, "Threshold", P, "Threshold", E, P, E)),
]  # fmt: skip
