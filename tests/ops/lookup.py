"""embedding, embedding_bag and one_hot, by computed indices."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.ops.picks import IDS, TABLE, pick
from tests.rows import Row

# fmt: off
ROWS = [
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
    pick("embedding_bag_offsets_equal",
         lambda i: F.embedding_bag(i, TABLE, torch.tensor([0, 3]), mode="max"), ((6,),),
         below=(6,), layers=("Embed", "Reshape", "ArgMax", "Flatten"), fixed_batch=True),
    pick("embedding_bag_with_counts",
         lambda i: torch.embedding_bag(TABLE, i, torch.tensor([0, 3]), mode=1)[0],
         ((6,),), below=(6,), layers=("Embed", "Reshape", "Reshape", "Convolution", "Flatten"),
         fixed_batch=True),
    pick("embedding_bag_of_program",
         lambda i: torch._embedding_bag(TABLE, i, torch.tensor([0, 2, 2, 4]), False, 1)[0],
         ((7,),), below=(6,), layers=("Embed", "Reshape", "Convolution", "Reshape"),
         fixed_batch=True),
    pick("embedding_bag_of_program_forward", lambda i: torch._embedding_bag_forward_only(
             TABLE, i, torch.tensor([0, 3]), False, 2)[0],
         ((6,),), below=(6,), layers=("Embed", "Reshape", "ArgMax", "Flatten"), fixed_batch=True),
    pick("one_hot", lambda i: F.one_hot(i, 6), IDS, below=(6,), layers=("Embed",)),
    pick("one_hot_many", lambda i: F.one_hot(i, 2100), IDS, below=(2100,),
         layers=("Reshape", "Parameter", "Tile", "Bias", "AbsVal", "Threshold", "Power")),
]
