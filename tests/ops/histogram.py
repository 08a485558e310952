"""Counts of elements in bins."""

import torch

from tests.rows import Row, function

ROWS = [
    Row("histc", function(lambda x: torch.histc(x, 7, -1.5, 2.0)),
        layers=("Reshape", "Tile", "Bias", "Threshold", "Reduction", "Reshape", "Convolution",
            "Reshape")),
    Row("histc_of_whole_numbers", function(lambda x: torch.histc(x.float(), 10, 0, 10)),
        ((4, 25),), below=(13,),
        layers=("Reshape", "Tile", "Bias", "Threshold", "Reduction", "Reshape", "Convolution",
            "Reshape")),
    Row("histc_of_data", function(lambda x: torch.histc(x, 7)),
        refused="needs min and max, which otherwise depend on the data"),
]  # fmt: skip
