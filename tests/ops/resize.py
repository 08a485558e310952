"""interpolate in all its modes, to a size or by a factor."""

from __future__ import annotations

from typing import Any

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
    )
]  # fmt: skip
ROWS = [
    resize("nearest_twice", "Deconvolution", scale_factor=2),
    resize("nearest_unequal", "Deconvolution", scale_factor=(3, 1)),
    resize("nearest_size", *PIECES * 2, "Silence", size=(5, 13)),
    resize("nearest_factors", *PIECES * 2, "Silence", scale_factor=(1.7, 0.6)),
    resize("nearest_factors_again", "Reshape", "Im2col", "Reshape", *PIECES,
           scale_factor=(1.7, 0.6), recompute_scale_factor=True),
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
    Row("upsample_module", lambda: nn.UpsamplingBilinear2d(scale_factor=2), X, MIDDLE + LAST),
]  # fmt: skip
