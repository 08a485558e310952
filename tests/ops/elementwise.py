"""Additions and subtractions, of tensors and of constants."""

import torch

from tests.rows import Row, function

TWO = ((2, 3, 4, 5), (2, 3, 4, 5))
CHANNELS = torch.tensor([1.0, -2.0, 3.0]).reshape(3, 1, 1)
PLANE = torch.linspace(-1, 1, 20).reshape(4, 5)
MIDDLE = torch.linspace(-1, 1, 12).reshape(1, 3, 4, 1)
ROWS = [
    Row("add", function(lambda a, b: a + b), TWO, ("Eltwise",)),
    Row("add_alpha", function(lambda a, b: torch.add(a, b, alpha=0.5)), TWO, ("Eltwise",)),
    Row("add_twice_the_same", function(lambda a: a + a), layers=("Eltwise",)),
    Row("add_in_place", function(lambda a, b: a.relu().add_(b)), TWO, ("ReLU", "Eltwise")),
    Row("sub", function(lambda a, b: a - b), TWO, ("Eltwise",)),
    Row("sub_alpha", function(lambda a, b: torch.sub(a, b, alpha=3)), TWO, ("Eltwise",)),
    Row("add_number", function(lambda a: a + 2.5), layers=("Power",)),
    Row("radd_number", function(lambda a: 2 + a), layers=("Power",)),
    Row("sub_number", function(lambda a: a - 2.5), layers=("Power",)),
    Row("rsub_number", function(lambda a: 2.5 - a), layers=("Power",)),
    Row("add_scalar_tensor", function(lambda a: a + torch.tensor(1.5)), layers=("Power",)),
    Row("add_channels", function(lambda a: a + CHANNELS), layers=("Bias",)),
    Row("add_plane", function(lambda a: PLANE + a), ((2, 3, 4, 5),), ("Bias",)),
    Row("add_middle", function(lambda a: a + MIDDLE), ((2, 3, 4, 5),), ("Bias",)),
    Row("rsub_channels", function(lambda a: CHANNELS - a), layers=("Power", "Bias")),
    Row("add_last_axis", function(lambda a: a + torch.arange(5)), ((2, 3, 4, 5),), ("Bias",)),
    Row("add_constant_batch", function(lambda a: a + torch.ones(2, 3, 4, 5).cumsum(0)),
        ((2, 3, 4, 5),), ("Bias",), fixed_batch=True),
    Row("add_broadcast", function(lambda a, b: a + b), ((2, 3, 4, 5), (2, 3, 1, 1)),
        refused="needs two tensors of one shape"),
    Row("add_growing", function(lambda a: a + torch.ones(2, 3, 4)), ((3, 1),),
        refused="needs a constant of rank <= 2"),
    Row("add_large_integers", function(lambda a: a + torch.tensor([1, 2, 2**24 + 1])), ((2, 3),),
        refused="needs integers up to 2^24"),
]  # fmt: skip
