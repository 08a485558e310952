"""Rows of BatchReindex and Embed."""

from __future__ import annotations

from caffe2fx.layers import BatchReindex, Embed
from caffe2fx.message import Filler
from tests.layers.row import Refusal, Row

ROWS_CHOSEN = (2.0, 0.0, 0.0, 1.0, 2.9)

ROWS = (
    Row("reindex", BatchReindex(), ((3, 4), (5,)), values=((), ROWS_CHOSEN)),
    Row("reindex an image", BatchReindex(), ((3, 2, 4, 5), (5,)), values=((), ROWS_CHOSEN)),
    Row("reindex numbers", BatchReindex(), ((3,), (5,)), values=((), ROWS_CHOSEN)),
    Row("embed", Embed(input_dim=3, num_output=4), ((5,),), values=(ROWS_CHOSEN,)),
    Row("embed of rank 2", Embed(input_dim=3, num_output=4, bias_term=False), ((5, 1),),
        values=(ROWS_CHOSEN,)),
    Row("embed fillers", Embed(input_dim=3, num_output=2, weight_filler=Filler(type="xavier"),
                               bias_filler=Filler(value=1)), ((1, 5),), values=(ROWS_CHOSEN,)),
)  # fmt: skip
REFUSALS = (
    Refusal("reindex rank", "BatchReindex", "needs row numbers of rank 1", "", ((3, 4), (2, 2))),
    Refusal("embed of nothing", "Embed", "needs input_dim and num_output, got 0 and 4",
            "embed_param { num_output: 4 }"),
)  # fmt: skip
