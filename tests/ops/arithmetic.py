"""Functions of one number."""

import torch
from torch import Tensor

from tests.rows import Row, function


def _positive(x: Tensor) -> Tensor:
    return x * x + 0.5


P = ("Eltwise", "Power")  # what makes the inputs of these positive
ROWS = [
    Row("neg", function(lambda x: -x), layers=("Power",)),
    Row("abs", function(lambda x: x.abs()), layers=("AbsVal",)),
    Row("abs_rank_2", function(abs), ((2, 5),), ("AbsVal",)),
    Row("square", function(torch.square), layers=("Power",)),
    Row("sqrt", function(lambda x: _positive(x).sqrt()), layers=(*P, "Power")),
    Row("rsqrt", function(lambda x: torch.rsqrt(_positive(x))), layers=(*P, "Power")),
    Row("reciprocal", function(lambda x: _positive(x).reciprocal()), layers=(*P, "Power")),
    Row("pow", function(lambda x: x**2), layers=("Power",)),
    Row("pow_cube", function(lambda x: x.pow(3)), ((2, 5),), ("Power",)),
    Row("pow_fractional", function(lambda x: _positive(x) ** 1.7), layers=(*P, "Power")),
    Row("pow_scalar_tensor", function(lambda x: x.pow(torch.tensor(2.0))), layers=("Power",)),
    Row("pow_of_number", function(lambda x: 3**x), layers=("Exp",)),
    Row("pow_negative_base", function(lambda x: (-2.0) ** x), refused="needs a base above 0"),
    Row("pow_of_tensors", function(lambda x: _positive(x) ** x),
        refused="needs a constant number as exponent, got a tensor of (2, 3, 8, 8)"),
    Row("exp", function(torch.exp), layers=("Exp",)),
    Row("exp_in_place", function(lambda x: (x + 1).exp_()), ((4, 3),), ("Power", "Exp")),
    Row("exp2", function(torch.exp2), layers=("Exp",)),
    Row("expm1", function(torch.expm1), layers=("Exp", "Power")),
    Row("log", function(lambda x: _positive(x).log()), layers=(*P, "Log")),
    Row("log1p", function(lambda x: torch.log1p(_positive(x))), layers=(*P, "Log")),
    Row("log2", function(lambda x: _positive(x).log2()), ((3, 4),), layers=(*P, "Log")),
    Row("log10", function(lambda x: _positive(x).log10()), layers=(*P, "Log")),
]  # fmt: skip
