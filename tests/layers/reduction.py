"""Rows of Reduction and ArgMax."""

from __future__ import annotations

from caffe2fx.layers import ArgMax, Reduction, ReductionOp
from tests.layers.row import Refusal, Row

IMAGE = (2, 3, 4, 5)
TIES = ((1.0, 3.0, 3.0, 2.0, 3.0),)

ROWS = (
    *(
        Row(f"reduction {op.name} from {axis}", Reduction(operation=op, axis=axis), (IMAGE,))
        for op in ReductionOp
        for axis in (0, 1, 2, 3, -1, -2)
    ),
    Row("reduction of a row", Reduction(), ((7,),)),
    Row("reduction coeff", Reduction(coeff=-0.5, axis=1), (IMAGE,)),
    Row("reduction coeff of squares", Reduction(operation=ReductionOp.SUMSQ, coeff=3), (IMAGE,)),
    Row("reduction coeff of a mean", Reduction(operation=ReductionOp.MEAN, coeff=2), (IMAGE,)),
    Row("argmax", ArgMax(), (IMAGE,)),
    Row("argmax of a row", ArgMax(), ((7,),)),
    Row("argmax rank 2", ArgMax(), ((2, 5),), values=TIES),
    Row("argmax rank 5", ArgMax(top_k=2), ((2, 3, 2, 2, 2),)),
    Row("argmax top_k", ArgMax(top_k=3), ((2, 5),), values=TIES),
    Row("argmax values", ArgMax(out_max_val=True), (IMAGE,)),
    Row("argmax top_k values", ArgMax(out_max_val=True, top_k=4), ((2, 3, 2),), values=TIES),
    Row("argmax axis 0", ArgMax(axis=0), (IMAGE,)),
    Row("argmax axis 1", ArgMax(axis=1), (IMAGE,)),
    Row("argmax axis 2, top_k", ArgMax(axis=2, top_k=3), (IMAGE,)),
    Row("argmax axis -1", ArgMax(axis=-1), (IMAGE,), values=TIES),
    Row("argmax axis, values", ArgMax(axis=1, out_max_val=True), (IMAGE,)),
    Row("argmax axis, all sorted", ArgMax(axis=-1, out_max_val=True, top_k=5), (IMAGE,),
        values=TIES),
)  # fmt: skip
REFUSALS = (
    Refusal("reduction axis", "Reduction", r"needs an axis in \[-4, 4\), got 4",
            "reduction_param { axis: 4 }"),
    Refusal("argmax axis", "ArgMax", r"needs an axis in \[-4, 4\), got -5",
            "argmax_param { axis: -5 }"),
    Refusal("argmax top_k", "ArgMax", "needs top_k from 1 to 4, got 5",
            "argmax_param { top_k: 5 axis: 1 }"),
    Refusal("argmax top_k 0", "ArgMax", "needs top_k from 1 to 100, got 0",
            "argmax_param { top_k: 0 }"),
)  # fmt: skip
