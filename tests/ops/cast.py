"""Casts."""

import torch

from tests.ops.chains import chain
from tests.rows import Row, function

ROWS = [
    Row("to_integers", function(lambda x: (x * 3).int()),
        layers=chain("P P P E P P E E T E T P T E")),
    Row("to_long_and_back", function(lambda x: (x * 3).long().float() * 0.5),
        layers=chain("P P P E P P E E T E T P T E P")),
    Row("to_bool", function(lambda x: (x * 2).round().bool()), layers=chain("P P P E P P E A T")),
    Row("mask_to_float", function(lambda x: (x > 0).float()), layers=chain("T")),
    Row("mask_to_bytes", function(lambda x: (x > 0).byte()), layers=chain("T")),
    Row("mask_type", function(lambda x: (x > 0).type(torch.float32) + x), layers=chain("T E")),
    Row("mask_type_named", function(lambda x: (x > 0).type(dtype=torch.float32) + x),
        layers=chain("T E")),
    Row("mask_type_as", function(lambda x: (x > 0).type_as(x) * x), layers=chain("T E")),
    Row("to_double", function(lambda x: x.double() * 2), layers=chain("P")),
    Row("to_half", function(lambda x: x.half()),
        refused="needs the precision of float32, got torch.float16"),
    Row("to_bytes", function(lambda x: x.byte()), refused="needs results that do not wrap around"),
    Row("long_to_int", function(lambda x: (x * 3).long().int()),
        layers=chain("P P P E P P E E T E T P T E")),
    Row("sum_of_masks", function(lambda x: (x > 0) + (x < -1)), layers=chain("T P T E")),
    Row("sum_of_mask_and_number", function(lambda x: (x > 0) + 1), layers=chain("T P")),
]  # fmt: skip
