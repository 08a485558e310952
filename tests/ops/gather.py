"""gather and take_along_dim, by computed and by constant indices."""

from __future__ import annotations

import torch

from tests.ops.picks import LINES, TABLE, pick

# fmt: off
ROWS = [
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
]
