"""Distances, similarities and products of two vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tests.rows import Row, Shape, function

TWO = ((2, 5, 7),) * 2
ROWS_OF_EACH = ((2, 4, 6), (2, 3, 6))


def pair(id: str, body: Callable[..., Any], shapes: tuple[Shape, ...] = TWO, **more: Any) -> Row:
    return Row(id, function(body), shapes, **more)


WEIGHTS = torch.linspace(-1, 2, 35).reshape(5, 7)
SIZE = ("Power", "Reshape", "Convolution", "Flatten", "Power", "Power", "Eltwise")
# fmt: off
ROWS = [
    pair("dist", lambda x, y: torch.dist(x * WEIGHTS, y),
         layers=("Scale", "Eltwise", "Reduction", "Power")),
    pair("dist_1", lambda x, y: torch.dist(x * WEIGHTS, y, 1),
         layers=("Scale", "Eltwise", "Reduction")),
    Row("pairwise_distance", lambda: nn.PairwiseDistance(), TWO,
        layers=("Eltwise", "Power", "Reduction", "Power")),
    Row("pairwise_distance_infinity", lambda: nn.PairwiseDistance(float("inf"), keepdim=True), TWO,
        layers=("Eltwise", "Power", "AbsVal", "ArgMax")),
    pair("cdist", lambda x, y: torch.cdist(x, y), ROWS_OF_EACH,
         layers=("Reshape", "Reshape", "Tile", "Tile", "Eltwise", "Reduction", "Power")),
    pair("cdist_1", lambda x, y: torch.cdist(x, y, 1), ROWS_OF_EACH,
         layers=("Reshape", "Reshape", "Tile", "Tile", "Eltwise", "Reduction")),
    pair("cdist_constant", lambda x: torch.cdist(x, WEIGHTS), ((2, 4, 7),),
         layers=("Parameter", "Reshape", "Tile", "Power", "Bias", "Reduction", "Power")),
    pair("pdist", lambda x: F.pdist(x[0]), ((2, 4, 6),),
         layers=("DummyData", "Crop", "Flatten", "Slice", "Concat", "Slice", "Concat",
             "Eltwise", "Reduction", "Power", "Silence")),
    Row("cosine_similarity", lambda: nn.CosineSimilarity(), TWO,
        layers=("Eltwise", "Reshape", "Convolution", "Flatten", "Power", "Reshape",
            "Convolution", "Flatten", "Power", "Power", "Eltwise", "Power", "Reshape",
            "Convolution", "Flatten", "Power", "Power", "Eltwise", "Eltwise", "Power", "Eltwise")),
    pair("cosine_similarity_last", lambda x: F.cosine_similarity(x, WEIGHTS, -1), TWO[:1],
         layers=("Parameter", "Scale", "Reduction", "Reduction", "Power", "Power", "Eltwise",
             "Reduction", "Power", "Power", "Eltwise", "Scale", "Power", "Eltwise")),
    pair("cosine_similarity_broadcast", lambda x, y: F.cosine_similarity(x, y, -2),
         ((2, 3, 5), (2, 1, 5)),
         layers=("Tile", "Eltwise", "Reshape", "Convolution", "Flatten", *SIZE, *SIZE,
             "Eltwise", "Power", "Eltwise")),
    pair("cosine_similarity_of_fewer_axes", lambda x: F.cosine_similarity(x, WEIGHTS[0], 1),
         TWO[:1], layers=("Parameter", "Reshape", "Tile", "Scale", "Reshape", "Convolution",
             "Flatten", *SIZE, *SIZE, "Scale", "Power", "Eltwise")),
    Row("bilinear", lambda: nn.Bilinear(6, 4, 3), ((2, 5, 6), (2, 5, 4)),
        layers=("Reshape", "Tile", "Scale", "Flatten", "InnerProduct")),
    Row("bilinear_bare", lambda: nn.Bilinear(6, 4, 3, bias=False), ((2, 6), (2, 4)),
        layers=("Reshape", "Tile", "Scale", "Flatten", "InnerProduct")),
    Row("bilinear_dynamic", function(F.bilinear), ((2, 6), (2, 4), (3, 6, 4)),
        layers=("Reshape", "Tile", "Scale", "Flatten", "Flatten", "InnerProduct")),
    Row("bilinear_dynamic_bias", function(lambda x, y, w, b: F.bilinear(x, y, w, b[0])),
        ((2, 5, 6), (2, 5, 4), (3, 6, 4), (1, 3)),
        layers=("Flatten", "Reshape", "Tile", "Scale", "Flatten", "Flatten", "InnerProduct",
            "Bias")),
    pair("sum_to_size", lambda x: x.sum_to_size(5, 1), TWO[:1],
         layers=("Reduction", "Reshape", "Convolution", "Reshape", "Flatten"), fixed_batch=True),
]
