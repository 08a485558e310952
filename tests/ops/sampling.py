"""Interpolation between elements, at coordinates that the net computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from tests.rows import Row, Shape, function

IMAGE = ((2, 3, 5, 6), (2, 4, 3, 2))
VOLUME = ((1, 2, 3, 4, 5), (1, 2, 3, 2, 3))


def sampled(
    mode: str = "bilinear", padding: str = "zeros", align: bool = False
) -> Callable[..., Any]:
    return function(lambda x, grid: F.grid_sample(x, grid, mode, padding, align))


def sample(id: str, body: Callable[..., Any], shapes: tuple[Shape, ...], **more: Any) -> Row:
    return Row(id, function(body), shapes, **more)


FIXED = torch.linspace(-1.1, 1.2, 24).reshape(1, 4, 3, 2).sin() * 1.3
ROWS = [
    Row("grid_sample_bilinear", sampled(), IMAGE,
        layers={"Im2col": 3, "Reshape": 4, "Flatten": 5, "Slice": 1, "Power": 28, "Eltwise": 21,
            "Threshold": 2, "ReLU": 2, "Bias": 4, "BatchReindex": 4, "Scale": 4},
            fixed_batch=True),
    Row("grid_sample_bilinear_aligned", sampled(align=True), IMAGE,
        layers={"Im2col": 3, "Reshape": 4, "Flatten": 5, "Slice": 1, "Power": 28, "Eltwise": 21,
            "Threshold": 2, "ReLU": 2, "Bias": 4, "BatchReindex": 4, "Scale": 4},
            fixed_batch=True),
    Row("grid_sample_bilinear_border", sampled(padding="border"), IMAGE,
        layers={"Reshape": 4, "Im2col": 2, "Flatten": 5, "Slice": 1, "Power": 24, "ReLU": 4,
            "Eltwise": 19, "Threshold": 2, "Bias": 4, "BatchReindex": 4, "Scale": 4},
            fixed_batch=True),
    Row("grid_sample_bilinear_reflection", sampled(padding="reflection"), IMAGE,
        layers={"Reshape": 4, "Im2col": 2, "Flatten": 5, "Slice": 1, "Power": 34, "Eltwise": 25,
            "Threshold": 4, "AbsVal": 2, "ReLU": 4, "Bias": 4, "BatchReindex": 4, "Scale": 4},
        fixed_batch=True),
    Row("grid_sample_bilinear_reflection_aligned", sampled(padding="reflection", align=True),
        IMAGE,
        layers={"Reshape": 4, "Im2col": 2, "Flatten": 5, "Slice": 1, "Power": 34, "Eltwise": 25,
            "Threshold": 4, "AbsVal": 2, "ReLU": 4, "Bias": 4, "BatchReindex": 4, "Scale": 4},
        fixed_batch=True),
    Row("grid_sample_bilinear_one_sample", sampled(), ((1, 3, 5, 6), (1, 4, 3, 2)),
        layers={"Im2col": 3, "Reshape": 4, "Flatten": 5, "Slice": 1, "Power": 28, "Eltwise": 21,
            "Threshold": 2, "ReLU": 2, "BatchReindex": 4, "Scale": 4},
            fixed_batch=True),
    Row("grid_sample_nearest", sampled("nearest"), IMAGE,
        layers=("Im2col", "Reshape", "Im2col", "Reshape", "Flatten", "Flatten", "Slice",
            "Flatten", "Power", "Power", "Power", "Eltwise", "Power", "Power", "Eltwise",
            "Power", "Power", "Power", "Power", "Flatten", "Power", "Power", "Power", "Eltwise",
            "Power", "Power", "Eltwise", "Power", "Power", "Power", "Power", "Eltwise", "Bias",
            "BatchReindex", "Reshape", "Im2col", "Flatten", "Reshape"),
        fixed_batch=True),
    Row("grid_sample_nearest_border", sampled("nearest", "border", True), IMAGE,
        layers=("Reshape", "Im2col", "Reshape", "Flatten", "Flatten", "Slice", "Flatten",
            "Power", "Power", "ReLU", "Power", "Power", "Eltwise", "Power", "Power", "Power",
            "Flatten", "Power", "Power", "ReLU", "Power", "Power", "Eltwise", "Power", "Power",
            "Power", "Eltwise", "Bias", "BatchReindex", "Reshape", "Im2col", "Flatten", "Reshape"),
        fixed_batch=True),
    Row("grid_sample_nearest_reflection", sampled("nearest", "reflection"), IMAGE,
        layers={"Reshape": 4, "Im2col": 2, "Flatten": 5, "Slice": 1, "Power": 24, "Eltwise": 9,
            "Threshold": 2, "AbsVal": 2, "ReLU": 2, "Bias": 1, "BatchReindex": 1},
            fixed_batch=True),
    Row("grid_sample_bicubic", sampled("bicubic"), IMAGE,
        layers={"Im2col": 3, "Reshape": 4, "Flatten": 5, "Slice": 1, "Power": 78, "Eltwise": 67,
            "Threshold": 2, "ReLU": 8, "Bias": 16, "BatchReindex": 16, "Scale": 16},
        fixed_batch=True),
    Row("grid_sample_bicubic_aligned", sampled("bicubic", align=True), IMAGE,
        layers={"Im2col": 3, "Reshape": 4, "Flatten": 5, "Slice": 1, "Power": 78, "Eltwise": 67,
            "Threshold": 2, "ReLU": 8, "Bias": 16, "BatchReindex": 16, "Scale": 16},
        fixed_batch=True),
    Row("grid_sample_bicubic_border", sampled("bicubic", "border"), IMAGE,
        layers={"Reshape": 4, "Im2col": 2, "Flatten": 5, "Slice": 1, "Power": 78, "Eltwise": 67,
            "Threshold": 2, "ReLU": 8, "Bias": 16, "BatchReindex": 16, "Scale": 16},
        fixed_batch=True),
    Row("grid_sample_bicubic_reflection", sampled("bicubic", "reflection"), IMAGE,
        layers={"Reshape": 4, "Im2col": 2, "Flatten": 5, "Slice": 1, "Power": 110, "Eltwise": 87,
            "Threshold": 10, "AbsVal": 8, "ReLU": 8, "Bias": 16, "BatchReindex": 16, "Scale": 16},
        fixed_batch=True),
    Row("grid_sample_bicubic_reflection_aligned", sampled("bicubic", "reflection", True), IMAGE,
        layers={"Reshape": 4, "Im2col": 2, "Flatten": 5, "Slice": 1, "Power": 110, "Eltwise": 87,
            "Threshold": 10, "AbsVal": 8, "ReLU": 8, "Bias": 16, "BatchReindex": 16, "Scale": 16},
        fixed_batch=True),
    Row("grid_sample_volume", sampled(), VOLUME,
        layers={"Reshape": 9, "Im2col": 5, "Flatten": 6, "Slice": 1, "Power": 42, "Eltwise": 35,
            "Threshold": 3, "ReLU": 3, "BatchReindex": 8, "Scale": 8},
            fixed_batch=True),
    Row("grid_sample_volume_nearest", sampled("nearest", "border"), VOLUME,
        layers={"Reshape": 4, "Im2col": 2, "Flatten": 6, "Slice": 1, "Power": 21, "ReLU": 3,
            "Eltwise": 4, "BatchReindex": 1}, fixed_batch=True),
    Row("grid_sample_volume_reflection", sampled(padding="reflection", align=True),
        ((1, 2, 3, 4, 5), (1, 3, 4, 3, 3)),
        layers={"Reshape": 4, "Im2col": 2, "Flatten": 6, "Slice": 1, "Power": 51, "Eltwise": 41,
            "Threshold": 6, "AbsVal": 3, "ReLU": 6, "BatchReindex": 8, "Scale": 8},
        fixed_batch=True),
    sample("grid_sample_fixed", lambda x: F.grid_sample(
        x, FIXED.expand(len(x), -1, -1, -1), align_corners=False), ((2, 3, 5, 6),),
          layers=("Flatten", "InnerProduct", "Reshape"), fixed_batch=True),
    sample("grid_sample_of_constant", lambda grid: F.grid_sample(
        FIXED.expand(2, -1, -1, -1), grid, align_corners=True), ((2, 3, 3, 2),),
          layers={"Parameter": 1, "Im2col": 3, "Reshape": 4, "Flatten": 5, "Slice": 1,
            "Power": 28, "Eltwise": 21, "Threshold": 2, "ReLU": 2, "Bias": 4, "BatchReindex": 4,
            "Scale": 4}, fixed_batch=True),
    sample("grid_sampler", lambda x, grid: torch.grid_sampler(x, grid, 1, 1, False), IMAGE,
          layers=("Reshape", "Im2col", "Reshape", "Flatten", "Flatten", "Slice", "Flatten",
            "Power", "Power", "ReLU", "Power", "Power", "Eltwise", "Power", "Power", "Power",
            "Flatten", "Power", "Power", "ReLU", "Power", "Power", "Eltwise", "Power", "Power",
            "Power", "Eltwise", "Bias", "BatchReindex", "Reshape", "Im2col", "Flatten", "Reshape"),
        fixed_batch=True),
    sample("grid_sampler_2d", lambda x, grid: torch.grid_sampler_2d(x, grid, 0, 1, True), IMAGE,
          layers={"Reshape": 4, "Im2col": 2, "Flatten": 5, "Slice": 1, "Power": 24, "ReLU": 4,
            "Eltwise": 19, "Threshold": 2, "Bias": 4, "BatchReindex": 4, "Scale": 4},
        fixed_batch=True),
    sample("grid_sampler_3d", lambda x, grid: torch.grid_sampler_3d(x, grid, 1, 0, True), VOLUME,
          layers={"Reshape": 9, "Im2col": 5, "Flatten": 6, "Slice": 1, "Power": 27, "Eltwise": 7,
            "BatchReindex": 1}, fixed_batch=True),
    sample("affine_grid", lambda t: F.affine_grid(t, [2, 3, 4, 5], align_corners=False),
          ((2, 2, 3),),
          layers=("InnerProduct", "Reshape", "Im2col", "Flatten", "Reshape"), fixed_batch=True),
    sample("affine_grid_aligned", lambda t: F.affine_grid(t, [2, 3, 4, 5], align_corners=True),
          ((2, 2, 3),),
          layers=("InnerProduct", "Reshape", "Im2col", "Flatten", "Reshape"), fixed_batch=True),
    sample("affine_grid_volume", lambda t: F.affine_grid(t, [1, 3, 2, 4, 5], align_corners=False),
          ((1, 3, 4),),
          layers=("InnerProduct", "Reshape", "Im2col", "Flatten", "Reshape"), fixed_batch=True),
    sample("spatial_transformer", lambda x, t: F.grid_sample(
        x, F.affine_grid(t, [2, 3, 5, 6], align_corners=True), align_corners=True),
          ((2, 3, 5, 6), (2, 2, 3)),
              fixed_batch=True,
          layers={"InnerProduct": 1, "Reshape": 6, "Im2col": 4, "Flatten": 6, "Slice": 1,
            "Power": 28, "Eltwise": 21, "Threshold": 2, "ReLU": 2, "Bias": 4, "BatchReindex": 4,
            "Scale": 4}),
]  # fmt: skip
