"""Signs and powers."""

import torch
from torch import Tensor

from tests.ops.chains import chain
from tests.rows import Row, function

POWERS = torch.linspace(0.5, 2, 8)


def _positive(x: Tensor) -> Tensor:
    return x * x + 0.5


P = ("Eltwise", "Power")  # makes the inputs of these positive
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
        layers=(*P, "Log", "Eltwise", "Exp")),
    Row("pow_of_constants", function(lambda x: _positive(x) ** POWERS),
        layers=(*P, "Log", "Scale", "Exp")),
    Row("pow_constants_of", function(lambda x: POWERS**x), layers=("Scale", "Exp")),
    Row("pow_constants_below_0", function(lambda x: (POWERS - 1) ** x),
        refused="needs a base above 0"),
    Row("pow_of_integers", function(lambda x: (x * 9).long() ** 2),
        layers=chain("P P P E P P E E T E T P T E P")),
    Row("float_power", function(lambda x: torch.float_power(x, 3)), layers=("Power",)),
    Row("pow_in_place", function(lambda x: (x * 2).pow_(2)), layers=("Power", "Power")),
]  # fmt: skip
