"""Numbers picked by places that the net computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tests.rows import Row, Shape, function

LINES = ((2, 5, 7),)
TABLE = torch.linspace(-1, 1, 24).reshape(6, 4).sin()
EDGES = torch.tensor([-1.0, -0.5, 0.1, 0.9])
IDS = ((2, 5),)


def pick(id: str, body: Callable[..., Any], shapes: tuple[Shape, ...] = LINES, **more: Any) -> Row:
    return Row(id, function(body), shapes, **more)


# fmt: off
BY_PLACE = [
    pick("gather", lambda x, i: x.gather(1, i), (*LINES, (2, 3, 7)), below=(0, 5),
         layers=("Reshape", "Im2col", "Flatten", "Reshape", "Im2col", "Flatten", "Embed",
             "Reshape", "Tile", "Eltwise", "Reduction", "Reshape", "Im2col", "Flatten")),
    pick("gather_last", lambda x, i: x.gather(-1, i), (*LINES, (2, 4, 3)), below=(0, 7),
         layers=("Slice", "Embed", "Reshape", "Tile", "Eltwise", "Reduction", "Silence")),
    pick("gather_of_constant", lambda i: TABLE.gather(0, i), ((3, 4),), below=(6,),
         layers=("Parameter", "Power", "Bias", "Flatten", "Flatten", "BatchReindex",
             "Reshape"), fixed_batch=True),
    pick("gather_constant", lambda x: x.gather(2, torch.zeros(2, 5, 1, dtype=torch.long) + 3),
         layers=("DummyData", "Crop")),
    pick("gather_much", lambda x, i: x.gather(1, i), ((2, 2100, 3), (2, 2000, 3)),
         below=(0, 2100),
         layers=("Power", "Bias", "Flatten", "Flatten", "BatchReindex", "Reshape"),
             fixed_batch=True),
    pick("gather_best", lambda x: x.gather(1, x.argmax(1, keepdim=True)),
         layers=("Slice", "Concat", "ArgMax", "Power", "Reshape", "Im2col", "Flatten",
             "Reshape", "Embed", "Reshape", "Eltwise", "Reduction", "Reshape")),
    pick("take_along_dim", lambda x, i: x.take_along_dim(i, 1), (*LINES, (2, 3, 1)), below=(0, 5),
         layers=("Power", "Tile", "Tile", "Reshape", "Im2col", "Flatten", "Reshape", "Im2col",
             "Flatten", "Embed", "Reshape", "Tile", "Eltwise", "Reduction", "Reshape", "Im2col",
             "Flatten")),
    pick("take_along_dim_of_all", lambda x, i: x.take_along_dim(i), ((2, 6), (4,)),
         below=(0, 12), layers=("Flatten", "Power", "Tile", "Bias", "BatchReindex"),
         fixed_batch=True),
    pick("take_along_dim_constant", lambda x: x.take_along_dim(torch.tensor([[[4], [0]]]), 1),
         layers=("Slice", "Concat", "Silence")),
    pick("index_select_traced", lambda x, i: x.index_select(2, i), (*LINES, (3,)), below=(0, 7),
         layers=("Reshape", "Im2col", "Reshape", "BatchReindex", "Reshape", "Deconvolution",
             "Reshape")),
    pick("index_select_channels", lambda x, i: x.index_select(1, i), (*LINES, (3,)), below=(0, 5),
         layers=("Reshape", "Im2col", "Flatten", "BatchReindex", "Reshape", "Deconvolution",
             "Reshape")),
    pick("index_select_of_constant", lambda i: TABLE.index_select(0, i), ((3,),), below=(6,),
         layers=("Embed",)),
    pick("take_traced", lambda x, i: x.take(i - 6), ((2, 6), (2, 3)), below=(0, 12),
         layers=("Power", "Flatten", "Power", "Tile", "Flatten", "BatchReindex", "Reshape"),
             fixed_batch=True),
    pick("take_of_constant", lambda i: TABLE.take(i), IDS, below=(24,),
         layers=("Power", "Embed", "Flatten")),
    pick("unravel_index", lambda i: torch.unravel_index(i, (2, 3, 4)), IDS, below=(24,),
         layers=("Power", "Power", "Power", "Eltwise", "Power", "Power", "Eltwise", "Eltwise",
             "Threshold", "Eltwise", "Eltwise", "Power", "Power", "Power", "Eltwise", "Power",
             "Power", "Eltwise", "Eltwise", "Threshold", "Eltwise", "Eltwise", "Power", "Power")),
    pick("index_traced", lambda x, i: x[:, i], (*LINES, (3,)), below=(0, 5),
         layers=("Power", "Tile", "Reshape", "Im2col", "Flatten", "BatchReindex", "Reshape",
             "Deconvolution", "Reshape")),
    pick("index_traced_negative", lambda x, i: x[..., i - 7], (*LINES, (3, 2)), below=(0, 7),
         layers=("Power", "Power", "Tile", "Reshape", "Im2col", "Reshape", "Flatten",
             "BatchReindex", "Reshape", "Deconvolution", "Reshape")),
    pick("index_traced_pair", lambda x, i, j: x[:, i, j], (*LINES, (3,), (3,)),
         below=(0, 5, 7),
         layers=("Power", "Power", "Tile", "Tile", "Power", "Eltwise", "Reshape", "Im2col",
             "Reshape", "Flatten", "BatchReindex", "Reshape", "Deconvolution", "Reshape")),
    pick("index_traced_and_constant", lambda x, i: x[:, i, torch.tensor([[1], [-1]])],
         (*LINES, (3,)), below=(0, 5),
         layers=("Power", "Tile", "Power", "Parameter", "Reshape", "Tile", "Flatten", "Bias",
             "Reshape", "Im2col", "Reshape", "Flatten", "Flatten", "BatchReindex", "Reshape",
             "Deconvolution", "Reshape")),
    pick("index_traced_apart", lambda x, i, j: x[:, i, None, 1:, j], ((2, 4, 3, 5), (6,), (6,)),
         below=(0, 4, 5),
         layers=("Slice", "Reshape", "Power", "Power", "Tile", "Tile", "Power", "Eltwise",
             "Reshape", "Im2col", "Reshape", "Im2col", "Reshape", "Reshape", "Flatten",
             "BatchReindex", "Silence")),
    pick("index_traced_one", lambda x: x[:, x.argmax(1)[0, 0]],
         refused="reads the data of a traced tensor"),
    pick("index_traced_best", lambda x, y: x[:, y.argmax(1)[0]], LINES * 2,
         layers=("Slice", "Concat", "ArgMax", "Power", "Flatten", "DummyData", "Crop",
             "Flatten", "Power", "Tile", "Reshape", "Im2col", "Flatten", "BatchReindex", "Reshape",
             "Deconvolution", "Reshape")),
    pick("index_of_constant", lambda i: TABLE[i], IDS, below=(6,), layers=("Power", "Embed")),
    pick("index_of_constant_pair", lambda i: TABLE[i, torch.arange(4)[:, None, None]], IDS,
         below=(6,),
         layers=("Power", "Power", "Parameter", "Reshape", "Tile", "Flatten", "Bias", "Embed",
             "Flatten")),
]
TABLES = [
    Row("embedding", lambda: nn.Embedding(6, 4), IDS, below=(6,), layers=("Embed",)),
    pick("embedding_traced", lambda i, w: F.embedding(i, w), (*IDS, (6, 4)), below=(6,),
         layers=("Flatten", "BatchReindex", "Reshape")),
    pick("embedding_traced_table", lambda w: F.embedding(torch.tensor([[1, 0]]), w), ((6, 4),),
         layers=("Slice", "Concat", "Reshape", "Silence"), fixed_batch=True),
    pick("embedding_normed", lambda i: F.embedding(i, TABLE, max_norm=1.0), IDS, below=(6,),
         refused="embedding_renorm_ writes a tensor of the model"),
    Row("embedding_bag", lambda: nn.EmbeddingBag(6, 4), IDS, below=(6,),
        layers=("Embed", "Reshape", "Convolution", "Flatten")),
    Row("embedding_bag_sum", lambda: nn.EmbeddingBag(6, 4, mode="sum"), IDS, below=(6,),
        layers=("Embed", "Reshape", "Convolution", "Flatten")),
    Row("embedding_bag_max", lambda: nn.EmbeddingBag(30, 4, mode="max"), IDS, below=(30,),
        layers=("Embed", "ArgMax", "Flatten")),
    pick("embedding_bag_weights",
         lambda i, w: F.embedding_bag(i, TABLE, per_sample_weights=w, mode="sum"), IDS * 2,
         below=(6,), layers=("Embed", "Scale", "Reshape", "Convolution", "Flatten")),
    pick("embedding_bag_offsets",
         lambda i: F.embedding_bag(i, TABLE, torch.tensor([0, 2, 2, 4])), ((7,),), below=(6,),
         layers=("Embed", "Reshape", "Convolution", "Reshape"), fixed_batch=True),
    pick("embedding_bag_offsets_sum",
         lambda i: F.embedding_bag(i, TABLE, torch.tensor([0, 3, 7]), mode="sum",
                                   include_last_offset=True), ((7,),), below=(6,),
         layers=("Embed", "Reshape", "Convolution", "Reshape"), fixed_batch=True),
    pick("embedding_bag_offsets_max",
         lambda i: F.embedding_bag(i, TABLE, torch.tensor([0, 3]), mode="max"), ((7,),),
         below=(6,), refused="needs bags of equal length"),
    pick("one_hot", lambda i: F.one_hot(i, 6), IDS, below=(6,), layers=("Embed",)),
    pick("one_hot_many", lambda i: F.one_hot(i, 2100), IDS, below=(2100,),
         layers=("Reshape", "Parameter", "Tile", "Bias", "AbsVal", "Threshold", "Power")),
]
ORDERED = [
    pick("searchsorted", lambda x: torch.searchsorted(EDGES, x),
         layers=("Parameter", "Reshape", "Tile", "Power", "Bias", "Threshold", "Reduction")),
    pick("searchsorted_right", lambda x: torch.searchsorted(EDGES, x.clamp(-0.5, 0.1), right=True),
         layers=("Power", "Eltwise", "Power", "Power", "Eltwise", "Power", "Parameter",
             "Reshape", "Tile", "Power", "Bias", "Threshold", "Power", "Reduction")),
    pick("searchsorted_traced", lambda s, x: torch.searchsorted(s.abs().cumsum(1) - 2, x),
         ((2, 6), (2, 9)),
         layers=("AbsVal", "InnerProduct", "Power", "Reshape", "Tile", "Power", "Bias",
             "Threshold", "Reduction")),
    pick("bucketize", lambda x: torch.bucketize(x.clamp(-0.5, 0.1), EDGES),
         layers=("Power", "Eltwise", "Power", "Power", "Eltwise", "Power", "Parameter",
             "Reshape", "Tile", "Power", "Bias", "Threshold", "Reduction")),
    pick("bucketize_right", lambda x: torch.bucketize(x, EDGES, right=True),
         layers=("Parameter", "Reshape", "Tile", "Power", "Bias", "Threshold", "Power",
             "Reduction")),
    pick("isin", lambda i: torch.isin(i, torch.tensor([1, 4])), IDS, below=(6,),
         layers=("Reshape", "Parameter", "Tile", "Bias", "AbsVal", "Power", "ArgMax",
             "Flatten", "Power", "Threshold", "Power")),
    pick("isin_inverted", lambda i: torch.isin(i, torch.tensor([1, 4]), invert=True), IDS,
         below=(6,),
         layers=("Reshape", "Parameter", "Tile", "Bias", "AbsVal", "Power", "ArgMax",
             "Flatten", "Power", "Threshold")),
]
ROWS = [*BY_PLACE, *TABLES, *ORDERED]
