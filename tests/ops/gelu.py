"""gelu and the error functions."""

import torch
from torch import nn

from tests.ops.chains import chain
from tests.rows import Row, function

GELU = chain("E P E P E P E P E P E P E Sigmoid E")
ERF = chain("A P E P E P E P E P E P E P E H P T P T E E")
ERFC = chain("A P E P E P E P E P E P E P E P E P E P E X E P T P E E")
ROWS = [
    Row("gelu", nn.GELU, layers=GELU),
    Row("gelu_rank_2", nn.GELU, ((4, 50),), GELU),
    Row("gelu_of_large", function(lambda x: nn.functional.gelu(x * 20)), layers=("Power", *GELU)),
    Row("gelu_of_small", function(lambda x: nn.functional.gelu(x * 1e-4)),
        layers=("Power", *GELU)),
    Row("gelu_tanh", lambda: nn.GELU("tanh"), layers=chain("E P E Sigmoid E")),
    Row("gelu_tanh_rank_2", lambda: nn.GELU("tanh"), ((4, 50),), chain("E P E Sigmoid E")),
    Row("erf", function(torch.erf), layers=ERF),
    Row("erf_of_small", function(lambda x: torch.erf(x * 1e-5)), layers=("Power", *ERF)),
    Row("erfc", function(torch.erfc), layers=ERFC),
    Row("special_erfc", function(torch.special.erfc), ((4, 5),), ERFC),
    Row("ndtr", function(torch.special.ndtr), layers=("Power", *ERFC, "Power")),
    Row("erfinv", function(lambda x: torch.erfinv(x.tanh())),
        layers=chain("H L L E R T P P P P E P E P E P E P E P E P E P E"
                     " P P E P E P E P E P E P E P E P E E E")),
]  # fmt: skip
