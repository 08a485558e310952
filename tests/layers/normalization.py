"""Rows of BatchNorm."""

from __future__ import annotations

from caffe2fx.layers import BatchNorm
from caffe2fx.messages.message import Shape
from tests.layers.row import Refusal, Row

IMAGE = (2, 3, 4, 5)
RANKS: tuple[Shape, ...] = ((6, 3), (4, 3, 5), IMAGE, (2, 3, 2, 4, 3), (2, 3, 2, 2, 2, 2))


ROWS = (
    *(Row(f"bn of rank {len(shape)}", BatchNorm(), (shape,)) for shape in RANKS),
    *(
        Row(f"bn of its batch, rank {len(shape)}", BatchNorm(use_global_stats=False), (shape,))
        for shape in RANKS
    ),
    Row("bn factor", BatchNorm(), (IMAGE,), factor=999.5),
    Row("bn factor below 1", BatchNorm(), (IMAGE,), factor=0.25),
    Row("bn factor 0", BatchNorm(), (IMAGE,), factor=0.0),
    Row("bn global", BatchNorm(use_global_stats=True), (IMAGE,)),
    Row("bn eps", BatchNorm(eps=0.1), (IMAGE,)),
    Row("bn of its batch, eps", BatchNorm(eps=0.1, use_global_stats=False), (IMAGE,)),
    Row("bn momentum", BatchNorm(moving_average_fraction=0.9), (IMAGE,), factor=2.0),
)  # fmt: skip


REFUSALS = (
    Refusal("bn rank 1", "BatchNorm", "needs a bottom of rank 2 or more", "", ((3,),)),
    Refusal("bn eps", "BatchNorm", "needs eps of 0 or more, got -1.0",
            "batch_norm_param { eps: -1 }", here_only="it takes the root of what may be negative"),
)  # fmt: skip
