"""interpolate in all its modes, to a size or by a factor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tests.rows import Row, Shape, function

X = ((2, 3, 9, 8),)
LAST, MIDDLE = ("InnerProduct",), ("Reshape", "Convolution", "Reshape")
PIECES = ("Slice", "Concat")


def resize(
    id: str, *layers: str, shapes: tuple[Shape, ...] = X, refused: str = "", **options: Any
) -> Row:
    return Row(
        f"resize_{id}",
        function(lambda x: F.interpolate(x, **options)),
        shapes,
        layers,
        refused=refused,
    )


SMOOTH = [
    resize(f"{mode}_{id}", *layers, mode=mode, **options)
    for mode in ("bilinear", "bicubic")
    for id, layers, options in (
        ("twice", MIDDLE + LAST, {"scale_factor": 2}),
        ("size", MIDDLE + LAST, {"size": (5, 13)}),
        ("factors", LAST + MIDDLE, {"scale_factor": (1.7, 0.6)}),
        ("factors_again", LAST + MIDDLE,
         {"scale_factor": (1.7, 0.6), "recompute_scale_factor": True}),
        ("corners", LAST + MIDDLE, {"size": (17, 5), "align_corners": True}),
        ("antialias", LAST + MIDDLE, {"size": (17, 5), "antialias": True}),
        ("antialias_factor", MIDDLE + LAST, {"scale_factor": 0.4, "antialias": True}),
        ("one_axis", LAST, {"size": (9, 4)}),
        ("to_one", MIDDLE + LAST, {"size": 1, "align_corners": True}),
        ("antialias_to_one", MIDDLE + LAST, {"size": 1, "antialias": True}),
    )
]  # fmt: skip
ATEN = torch.ops.aten


def operator(id: str, body: Callable[..., Any], shapes: tuple[Shape, ...] = X, **more: Any) -> Row:
    return Row(f"resize_{id}", function(body), shapes, **more)


OPERATORS = [
    operator("operator_linear", lambda x: ATEN.upsample_linear1d(x, [11], False, 1.7),
             ((2, 3, 7),), layers=LAST),
    operator("operator_bilinear", lambda x: ATEN.upsample_bilinear2d(x, None, True, [2.0, 0.5]),
             layers=LAST + MIDDLE),
    operator("operator_bilinear_size", lambda x: ATEN.upsample_bilinear2d(x, [5, 13], False),
             layers=MIDDLE + LAST),
    operator("operator_bilinear_both",
             lambda x: ATEN.upsample_bilinear2d(x, [15, 4], False, 1.7, 0.6),
             layers=LAST + MIDDLE),
    operator("operator_bilinear_other_factors",
             lambda x: ATEN.upsample_bilinear2d(x, [15, 4], False, 1.5, 0.6),
             layers=LAST + MIDDLE),
    operator("operator_nearest_doubles_whatever_the_factors",
             lambda x: ATEN.upsample_nearest2d(x, [18, 16], 1.5, 2.5), layers=("Deconvolution",)),
    operator("operator_nearest_other_factors",
             lambda x: ATEN.upsample_nearest2d(x, [17, 15], 1.5, 2.5),
             layers=(*PIECES, *PIECES, "Silence")),
    operator("operator_bicubic",
             lambda x: ATEN.upsample_bicubic2d(x, (5, 13), align_corners=True, scales_w=None),
             layers=MIDDLE + LAST),
    operator("operator_trilinear", lambda x: ATEN.upsample_trilinear3d(x, [3, 4, 5], True),
             ((2, 3, 5, 4, 3),), layers=MIDDLE + LAST),
    operator("operator_bilinear_antialias",
             lambda x: ATEN._upsample_bilinear2d_aa(x, [3, 3], False), layers=MIDDLE + LAST),
    operator("operator_bicubic_antialias",
             lambda x: ATEN._upsample_bicubic2d_aa(x, None, False, [0.4, 0.5]),
             layers=MIDDLE + LAST),
    operator("operator_nearest_1d", lambda x: ATEN.upsample_nearest1d(x, None, [2.0]),
             ((2, 3, 7),), layers=("Reshape", "Tile", "Flatten")),
    operator("operator_nearest_2d", lambda x: ATEN.upsample_nearest2d(x, [18, 16], 2.0, 2.0),
             layers=("Deconvolution",)),
    operator("operator_nearest_3d", lambda x: ATEN.upsample_nearest3d(x, [3, 4, 5]),
             ((2, 3, 3, 4, 3),), layers=PIECES),
    operator("operator_exact_1d", lambda x: ATEN._upsample_nearest_exact1d(x, [5]),
             ((2, 3, 7),), layers=(*PIECES, "Silence")),
    operator("operator_exact_2d", lambda x: ATEN._upsample_nearest_exact2d(x, None, [0.5, 1.5]),
             layers=("Slice", "Im2col", *PIECES, "Silence")),
    operator("operator_exact_3d", lambda x: ATEN._upsample_nearest_exact3d(x, [3, 4, 5]),
             ((2, 3, 3, 4, 3),), layers=PIECES),
]  # fmt: skip
ROWS = [
    resize("nearest_twice", "Deconvolution", scale_factor=2),
    resize("nearest_unequal", "Deconvolution", scale_factor=(3, 1)),
    resize("nearest_size", *PIECES * 2, "Silence", size=(5, 13)),
    resize("nearest_factors", *PIECES * 2, "Silence", scale_factor=(1.7, 0.6)),
    resize("nearest_factors_again", "Reshape", "Im2col", "Reshape", *PIECES,
           scale_factor=(1.7, 0.6), recompute_scale_factor=True),
    resize("antialias_to_a_width_of_one", mode="bilinear", size=(4, 1), antialias=True,
           refused="needs a width above 1"),
    resize("nearest_half", "Im2col", scale_factor=0.5, shapes=((2, 3, 8, 8),)),
    resize("nearest_exact", "Im2col", *PIECES, mode="nearest-exact", size=(5, 13)),
    resize("nearest_1d", "Reshape", "Tile", "Flatten", scale_factor=2, shapes=((2, 3, 7),)),
    resize("nearest_3d", *("Reshape", "Tile", "Flatten") * 3, scale_factor=2,
           shapes=((2, 3, 3, 4, 5),)),
    resize("linear", *LAST, mode="linear", scale_factor=2, shapes=((2, 3, 7),)),
    resize("trilinear", *MIDDLE * 2, *LAST, mode="trilinear", scale_factor=2, align_corners=True,
           shapes=((2, 3, 3, 4, 5),)),
    resize("area", *LAST, *MIDDLE, mode="area", size=(5, 3)),
    *SMOOTH,
    *OPERATORS,
    Row("upsample_module", lambda: nn.UpsamplingBilinear2d(scale_factor=2), X, MIDDLE + LAST),
]  # fmt: skip
