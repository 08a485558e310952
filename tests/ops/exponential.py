"""Exponentials, logarithms and hyperbolic functions."""

import torch
from torch import Tensor

from tests.ops.chains import chain
from tests.rows import Row, function

IMAGE = (2, 3, 4, 5)
ZEROS = torch.tensor([0.0, 1.0, 2.0, 0.0, 3.0])


def _positive(x: Tensor) -> Tensor:
    return x * x + 0.5


ROWS = [
    Row("exp", function(torch.exp), layers=chain("X")),
    Row("exp_in_place", function(lambda x: (x + 1).exp_()), ((6, 3),), chain("P X")),
    Row("exp2", function(torch.exp2), layers=chain("X")),
    Row("expm1", function(torch.expm1), layers=chain("R X P H A P E")),
    Row("expm1_of_small", function(lambda x: torch.expm1(x * 1e-5)),
        layers=chain("P R X P H A P E")),
    Row("log", function(lambda x: _positive(x).log()), layers=chain("E P L")),
    Row("log2", function(lambda x: _positive(x).log2()), ((3, 4),), chain("E P L")),
    Row("log10", function(lambda x: _positive(x).log10()), layers=chain("E P L")),
    Row("log1p", function(lambda x: torch.log1p(_positive(x))),
        layers=chain("E P P P A T P L E E P E")),
    Row("log1p_of_small", function(lambda x: torch.log1p(x * 1e-5)),
        layers=chain("P P P A T P L E E P E")),
    Row("logit", function(lambda x: torch.logit(x.sigmoid())), layers=chain("Sigmoid L L E")),
    Row("logit_eps", function(lambda x: torch.logit(x.sigmoid(), eps=0.2)),
        layers=chain("Sigmoid P E P P E P L L E")),
    Row("logit_eps_beyond", function(lambda x: torch.logit(x, eps=0.6)), refused="eps up to 0.5"),
    Row("special_expit", function(torch.special.expit), layers=chain("Sigmoid")),
    Row("xlogy", function(lambda x, y: torch.xlogy(x.round(), y.exp())),
        (IMAGE, IMAGE), chain("P P E P P E X A T E P E L E")),
    Row("xlogy_number", function(lambda x: torch.xlogy(x, 3)), layers=chain("P")),
    Row("xlogy_of_number", function(lambda x: torch.xlogy(2, x.exp())), layers=chain("X P P L P")),
    Row("xlogy_of_zeros", function(lambda x: torch.xlogy(ZEROS, x.relu()) + x),
        (IMAGE,), chain("R S B L S E")),
    Row("xlogy_zero", function(lambda x: torch.xlogy(x, 0)), refused="needs a constant above 0"),
    Row("xlog1py", function(lambda x, y: torch.special.xlog1py(x.round(), y.exp())),
        (IMAGE, IMAGE), chain("P P E P P E X A T E P P A T P L E E P E E")),
    Row("xlog1py_number", function(lambda x: torch.special.xlog1py(x, 3)), layers=chain("P")),
    Row("entr", function(lambda x: torch.special.entr(x + 1)),
        layers=chain("P R A T E P E L E T L E")),
    Row("logaddexp", function(torch.logaddexp), (IMAGE, IMAGE), chain("E E A P BNLL E")),
    Row("logaddexp_number", function(lambda x: torch.logaddexp(x, torch.tensor(0.5))),
        layers=chain("P E P A P BNLL E")),
    Row("logaddexp2", function(torch.logaddexp2), (IMAGE, IMAGE), chain("E E A P BNLL E")),
    Row("logaddexp_per_map", function(torch.logaddexp),
        (IMAGE, (2, 3, 1, 1)), chain("Tile Tile E Flatten P B A P BNLL E")),
    Row("sinh", function(torch.sinh), layers=chain("A X P H A P P E")),
    Row("cosh", function(torch.cosh), layers=chain("X X E")),
    Row("asinh", function(torch.asinh), layers=chain("A P P P E E P P A T P L E E P E T P T E E")),
    Row("xlogy_zero_number", function(lambda x: torch.special.xlogy(2, x.exp())),
        layers=chain("X P P L P")),
    Row("sinh_of_small", function(lambda x: torch.sinh(x * 1e-5)),
        layers=chain("P A X P H A P P E")),
    Row("asinh_of_small", function(lambda x: torch.arcsinh(x * 1e-5)),
        layers=chain("P A P P P E E P P A T P L E E P E T P T E E")),
    Row("acosh", function(lambda x: torch.acosh(_positive(x) + 1)),
        layers=chain("E P P P P E P E P P A T P L E E P E")),
    Row("atanh", function(lambda x: torch.atanh(x.tanh() * 0.9)),
        layers=chain("H P P P A T P L E E P E P P P A T P L E E P E E")),
]  # fmt: skip
