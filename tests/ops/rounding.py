"""Functions that round to integers."""

import torch

from tests.ops.chains import chain
from tests.rows import Row, function

ROWS = [
    Row("round", function(lambda x: torch.round(x * 3)), layers=chain("P P P E P P E")),
    Row("floor", function(lambda x: torch.floor(x * 3)), layers=chain("P P P E P P E T E")),
    Row("ceil", function(lambda x: torch.ceil(x * 3)), layers=chain("P P P E P P E T E")),
    Row("trunc", function(lambda x: torch.trunc(x * 3)),
        layers=chain("P P P E P P E E T E T P T E")),
    Row("frac", function(lambda x: torch.frac(x * 3)),
        layers=chain("P P P E P P E E T E T P T E E")),
    Row("fix", function(lambda x: (x * 3).fix()), ((4, 5),), chain("P P P E P P E E T E T P T E")),
    Row("floor_in_place", function(lambda x: (x * 3).floor_()), layers=chain("P P P E P P E T E")),
    Row("round_decimals", function(lambda x: torch.round(x, decimals=1)),
        layers=chain("P P P E P P E P")),
    Row("round_tens", function(lambda x: torch.round(x * 50, decimals=-1)),
        layers=chain("P P P P E P P E P")),
    Row("round_thousands", function(lambda x: torch.round(x, decimals=-3)),
        refused="needs decimals of -2 or more"),
    Row("floor_of_whole", function(lambda x: (x * 3).long().floor().float()),
        layers=chain("P P P E P P E E T E T P T E P")),
    Row("round_of_whole", function(lambda x: (x * 3).long().round().float()),
        layers=chain("P P P E P P E E T E T P T E P")),
    Row("ceil_of_whole", function(lambda x: (x * 3).long().ceil().float()),
        layers=chain("P P P E P P E E T E T P T E P")),
    Row("trunc_of_whole", function(lambda x: (x * 3).long().trunc().float()),
        layers=chain("P P P E P P E E T E T P T E P")),
]  # fmt: skip
