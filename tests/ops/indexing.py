"""index_select, take, subscripts and unravel_index, by computed indices."""

from __future__ import annotations

import torch

from tests.ops.picks import IDS, LINES, TABLE, pick

# fmt: off
ROWS = [
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
