"""where, masked_fill and writes through masks."""

import torch
from torch import Tensor

from tests.ops.chains import chain
from tests.rows import Row, function

IMAGE = (2, 3, 4, 5)
INF = float("inf")
CHANNELS = torch.tensor([1.0, -1.0, 0.5]).reshape(3, 1, 1)
INFINITE = torch.tensor([INF, -1.0, -INF]).reshape(3, 1, 1)
MASK = torch.tensor([True, False, True, True, False])
CAUSAL = torch.ones(5, 5).triu(1).bool()
EMPTY = torch.tensor([False, True, False, False, True]).reshape(5, 1).expand(5, 5)


def _assigned(a: Tensor) -> Tensor:
    y = a * 1
    y[y > 0] = 5.0
    return y


def _rows_assigned(a: Tensor) -> Tensor:
    y = a * 1
    y[y[:, 1] > 0] = 5.0
    return y


ROWS = [
    Row("where", function(lambda a, b: torch.where(a > b, a, b * 2)),
        (IMAGE, IMAGE), chain("E T P E E E")),
    Row("where_method", function(lambda a, b: a.where(a > b, b)),
        (IMAGE, IMAGE), chain("E T E E E")),
    Row("where_number", function(lambda a: torch.where(a > 0.5, a, 3.0)), layers=chain("T P E E")),
    Row("where_zero", function(lambda a: torch.where(a > 0.5, a, 0.0)), layers=chain("T E")),
    Row("where_numbers", function(lambda a: torch.where(a > 0.5, 1e4, 0.1)), layers=chain("T P E")),
    Row("where_broadcast", function(lambda a, b: torch.where(a > 0, b, a)),
        (IMAGE, (2, 3, 1, 1)), chain("T E Flatten S E")),
    Row("where_channels", function(lambda a: torch.where(a > 0, CHANNELS, a)),
        layers=chain("T E S E")),
    Row("where_constant_mask", function(lambda a, b: torch.where(MASK, a, b)),
        (IMAGE, IMAGE), chain("S S E")),
    Row("where_bytes", function(lambda a: torch.where((a > 0).byte().bool(), a, -a)),
        layers=chain("T A T P E E E")),
    Row("where_infinite_channels", function(lambda a: torch.where(a > 0, INFINITE, a).clamp(-3, 3)),
        layers=chain("T E S S L S L E P E P P E P")),
    Row("where_additive", function(lambda a: torch.softmax(a + torch.where(a > -1, 0.0, -INF), -1)),
        layers=chain("T P L E Softmax")),
    Row("masked_fill", function(lambda a: a.masked_fill(a > 0, -1e4)), layers=chain("T E E")),
    Row("masked_fill_infinite", function(lambda a: torch.softmax(a.masked_fill(a > 1, -INF), -1)),
        layers=chain("T L E Softmax")),
    Row("masked_fill_plus_infinite", function(lambda a: a.masked_fill(a > 0.5, INF).clamp(-3, 3)),
        layers=chain("T L E P E P P E P")),
    Row("masked_fill_in_place", function(lambda a: (a * 2).masked_fill_(a > 0, 3)),
        layers=chain("P T E E")),
    Row("masked_fill_tensor", function(lambda a: a.masked_fill(a > 0, torch.tensor(2.0))),
        layers=chain("T E E")),
    Row("masked_fill_computed", function(lambda a: a.masked_fill(a > 0, a.sum())),
        (IMAGE,), chain("T Reduction E S E")),
    Row("masked_fill_causal", function(lambda a: torch.softmax(a.masked_fill(CAUSAL, -INF), -1)),
        ((2, 3, 5, 5),), chain("B Softmax")),
    Row("masked_fill_causal_finite",
        function(lambda a: torch.softmax(a.masked_fill(CAUSAL, -1e4), -1)),
        ((2, 3, 5, 5),), chain("S B Softmax")),
    Row("mask_assignment", function(_assigned), ((2, 3, 4),), chain("P T E E")),
    Row("mask_row_assignment", function(_rows_assigned),
        ((6, 3),), chain("P Slice Flatten T S E P B Silence")),
    Row("fill", function(lambda a: torch.fill(a, 2.0) + a), layers=chain("P E")),
    Row("fill_in_place", function(lambda a: (a * 2).fill_(2.0) + a), layers=("Power",)),
    Row("zero_in_place", function(lambda a: (a * 2).zero_() + a), layers=("Power",)),
]  # fmt: skip
