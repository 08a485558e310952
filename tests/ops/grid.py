"""Grids, outer, cross and Kronecker products, powers; diagonals and triangles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.rows import Row, Shape, function

IMAGE = ((2, 3, 4, 5),)
PAIR = ((3, 4), (2, 5))
VECTORS = ((2, 4), (2, 3))
A = torch.linspace(-1, 2, 6).reshape(2, 3)


def each(id: str, body: Callable[..., Any], shapes: tuple[Shape, ...] = IMAGE, **more: Any) -> Row:
    return Row(id, function(body), shapes, **more)


def _with_filled_part(x: Tensor) -> Tensor:
    y = x * 2
    y[0, 1:4].fill_diagonal_(5.0)
    return y


# fmt: off
GRIDS = [
    each("broadcast_tensors", lambda x, y: torch.broadcast_tensors(x, y), ((2, 3, 1), (2, 1, 4)),
         layers=("Tile", "Tile")),
    each("broadcast_tensors_constant", lambda x: torch.broadcast_tensors(x, A[0])[0] * 2,
         ((2, 4, 1),), layers=("Tile", "Power")),
    each("meshgrid", lambda x, y: torch.meshgrid(x[0], y[0], indexing="ij"), VECTORS,
         layers=("DummyData", "Crop", "Flatten", "DummyData", "Crop", "Flatten", "Reshape",
             "Tile", "Reshape", "Tile")),
    each("meshgrid_xy", lambda x, y: torch.meshgrid(x[0], y[0], A[0], indexing="xy")[:2], VECTORS,
         layers=("DummyData", "Crop", "Flatten", "DummyData", "Crop", "Flatten", "Reshape",
             "Tile", "Tile", "Reshape", "Tile", "Tile")),
    each("cartesian_prod", lambda x, y: torch.cartesian_prod(x[0], y[0]), VECTORS,
         layers=("DummyData", "Crop", "Flatten", "DummyData", "Crop", "Flatten", "Reshape",
             "Tile", "Reshape", "Tile", "Reshape", "Reshape", "Concat")),
    each("cartesian_prod_of_one", lambda x: torch.cartesian_prod(x[0]) * 2, ((2, 4),),
         layers=("DummyData", "Crop", "Flatten", "Power")),
    each("combinations", lambda x: torch.combinations(x[0], 2), ((2, 4),),
         layers=("DummyData", "Crop", "Flatten", "Reshape", "Convolution", "Reshape",
             "Reshape"), since="2.13"),
    each("kron", lambda x, y: torch.kron(x[0], y[0]), ((2, 3, 4), (2, 2, 5)),
         layers=("DummyData", "Crop", "Flatten", "DummyData", "Crop", "Flatten", "Reshape",
             "Reshape", "Tile", "Tile", "Tile", "Flatten", "Scale", "Reshape")),
    each("kron_constant", lambda x: torch.kron(A, x),
         layers=("Parameter", "Reshape", "Reshape", "Tile", "Tile", "Tile", "Reshape", "Scale",
             "Reshape")),
    each("cross", lambda x, y: torch.cross(x, y, 1), IMAGE * 2,
         layers=("Slice", "Concat", "Slice", "Concat", "Slice", "Concat", "Slice", "Concat",
             "Eltwise", "Eltwise", "Eltwise")),
    each("cross_constant", lambda x: torch.cross(x, A[None], dim=2), ((2, 2, 3),),
         layers=("Parameter", "Slice", "Concat", "Slice", "Concat", "Slice", "Concat", "Slice",
             "Concat", "Flatten", "Scale", "Flatten", "Scale", "Eltwise")),
    each("linalg_cross", lambda x, y: torch.linalg.cross(x, y), ((2, 4, 3), (2, 1, 3)),
         layers=("Slice", "Concat", "Slice", "Concat", "Slice", "Concat", "Slice", "Concat",
             "Tile", "Eltwise", "Tile", "Eltwise", "Eltwise")),
    each("vander", lambda x: torch.vander(x[0]), ((2, 4),),
         layers=("DummyData", "Crop", "Flatten", "Reshape", "Power", "Power", "Power", "Power",
             "Concat")),
    each("vander_increasing", lambda x: torch.vander(x[0], 3, True), ((2, 4),),
         layers=("DummyData", "Crop", "Flatten", "Reshape", "Power", "Power", "Power",
             "Concat")),
    each("linalg_vander", lambda x: torch.linalg.vander(x, N=3), ((2, 4),),
         layers=("Reshape", "Power", "Power", "Power", "Concat")),
]
DIAGONALS = [
    each("tril", lambda x: x.tril(), layers=("Scale",)),
    each("tril_below", lambda x: x.tril(-1), layers=("Scale",)),
    each("triu", lambda x: x.triu(1), layers=("Scale",)),
    each("fill_diagonal", lambda x: (x[0] * 2).fill_diagonal_(3.0), ((2, 4, 3),),
         layers=("DummyData", "Crop", "Flatten", "Power", "Scale", "Bias")),
    each("fill_diagonal_wrapped", lambda x: (x[0] * 2).fill_diagonal_(fill_value=3, wrap=True),
         ((2, 7, 3),), layers=("DummyData", "Crop", "Flatten", "Power", "Scale", "Bias")),
    each("fill_diagonal_of_cube", lambda x: torch.ops.aten.fill_diagonal_(x[0] * 2, -1e3).exp(),
         ((2, 3, 3, 3),),
         layers=("DummyData", "Crop", "Flatten", "Power", "Scale", "Bias", "Exp")),
    each("fill_diagonal_of_batch", lambda x: (x * 2).fill_diagonal_(3.0), ((2, 3),),
         layers=("Power", "Scale", "Bias"), fixed_batch=True),
    each("fill_diagonal_of_part", _with_filled_part, ((2, 5, 3),), fixed_batch=True,
         layers=("Power", "DummyData", "Crop", "Flatten", "Scale", "Bias", "Reshape", "Scale",
             "Reshape", "Im2col", "Flatten", "Reshape", "Im2col", "Reshape", "DummyData", "Crop",
             "Eltwise")),
    each("diag_embed", lambda x: x.diag_embed(), layers=("Reshape", "Tile", "Scale")),
    each("diag_embed_above", lambda x: x.diag_embed(2, 1, 3), ((2, 3, 4),),
         layers=("Reshape", "Tile", "Scale", "Im2col", "DummyData", "Crop", "Reshape",
             "Im2col")),
    each("diag_embed_below", lambda x: x.diag_embed(-1), ((2, 3, 4),),
         layers=("Reshape", "Tile", "Scale", "Im2col", "DummyData", "Crop")),
    each("diag", lambda x: x[0].diag(), ((2, 4),),
         layers=("DummyData", "Crop", "Flatten", "Reshape", "Tile", "Scale")),
    each("diag_above", lambda x: x[0].diag(1), ((2, 4),),
         layers=("DummyData", "Crop", "Flatten", "Reshape", "Tile", "Scale", "Reshape",
             "Im2col", "Flatten", "DummyData", "Crop")),
    each("diag_of_matrix", lambda x: x[0].diag(1), ((2, 4, 4),),
         layers=("DummyData", "Crop", "Flatten", "Flatten", "Reshape", "Convolution",
             "Reshape")),
    each("diagflat", lambda x: x[0].diagflat(), ((2, 2, 3),),
         layers=("DummyData", "Crop", "Flatten", "Flatten", "Reshape", "Tile", "Scale")),
    each("block_diag", lambda x, y: torch.block_diag(x[0], A, y[0]), ((2, 3, 4), (2, 2, 5)),
         layers=("DummyData", "Crop", "Flatten", "DummyData", "Crop", "Flatten", "Parameter",
             "Reshape", "Im2col", "Flatten", "DummyData", "Crop", "Reshape", "Im2col", "Flatten",
             "DummyData", "Crop", "Reshape", "Im2col", "Flatten", "DummyData", "Crop", "Concat")),
]
ROWS = [*GRIDS, *DIAGONALS]
