"""Pooling windows at starts that given random samples decide."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.rows import Row, function

PLANES = torch.rand(2, 3, 2, generator=torch.Generator().manual_seed(0))
VOLUMES = torch.rand(1, 2, 3, generator=torch.Generator().manual_seed(0))
ROWS = [
    Row("fractional_max_pool2d",
        lambda: nn.FractionalMaxPool2d(2, output_ratio=0.6, _random_samples=PLANES),
        ((2, 3, 8, 9),),
        layers=("Parameter", "Reshape", "BatchReindex", "Reshape", "ArgMax", "Flatten"),
            fixed_batch=True),
    Row("fractional_max_pool2d_with_indices", function(lambda x: F.fractional_max_pool2d(
        x, (3, 2), (3, 4), return_indices=True, _random_samples=PLANES)[0]), ((2, 3, 8, 9),),
        layers=("Parameter", "Reshape", "BatchReindex", "Reshape", "ArgMax", "Flatten"),
            fixed_batch=True),
    Row("fractional_max_pool2d_of_more_samples", function(lambda x: F.fractional_max_pool2d(
        x, 2, (3, 4), _random_samples=PLANES.repeat(2, 1, 1))), ((2, 3, 8, 9),),
        layers=("Parameter", "Reshape", "BatchReindex", "Reshape", "ArgMax", "Flatten"),
            fixed_batch=True),
    Row("fractional_max_pool2d_of_program", function(
        lambda x: torch.ops.aten.fractional_max_pool2d(x, [3, 2], [3, 4], PLANES)[0]),
        ((2, 3, 8, 9),),
        layers=("Parameter", "Reshape", "BatchReindex", "Reshape", "ArgMax", "Flatten"),
            fixed_batch=True),
    Row("fractional_max_pool3d_of_program", function(
        lambda x: torch.ops.aten.fractional_max_pool3d(x, [1, 2, 3], [2, 2, 2], VOLUMES)[0]),
        ((1, 2, 4, 5, 6),),
        layers=("Flatten", "Reshape", "Convolution", "Reshape", "Reshape", "ArgMax", "Flatten"),
            fixed_batch=True),
    Row("fractional_max_pool2d_indices", function(lambda x: F.fractional_max_pool2d(
        x, 2, 3, return_indices=True, _random_samples=PLANES)), ((2, 3, 8, 9),),
        refused="needs the maxima alone to be read"),
    Row("fractional_max_pool3d", function(lambda x: F.fractional_max_pool3d(
        x, 2, (2, 3, 2), _random_samples=VOLUMES)), ((1, 2, 4, 5, 6),),
        layers=("Flatten", "Reshape", "Convolution", "Reshape", "Reshape", "ArgMax", "Flatten"),
            fixed_batch=True),
    Row("fractional_max_pool3d_with_indices", function(lambda x: F.fractional_max_pool3d(
        x, (1, 2, 3), 2, return_indices=True, _random_samples=VOLUMES)[0]), ((1, 2, 4, 5, 6),),
        layers=("Flatten", "Reshape", "Convolution", "Reshape", "Reshape", "ArgMax", "Flatten"),
            fixed_batch=True),
    Row("fractional_max_pool3d_indices", function(lambda x: F.fractional_max_pool3d(
        x, 2, 2, return_indices=True, _random_samples=VOLUMES)[1]), ((1, 2, 4, 5, 6),),
        refused="needs the maxima alone to be read"),
]  # fmt: skip
