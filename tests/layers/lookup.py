"""Rows of BatchReindex, Embed and Filter."""

from __future__ import annotations

from math import nan

from caffe2fx.layers import BatchReindex, Embed, Filter
from caffe2fx.messages.common import Filler
from tests.layers.row import Refusal, Row

ROWS_CHOSEN = (2.0, 0.0, 0.0, 1.0, 2.9)
SELECTED = (1.0, 0.0, -0.5, -0.0, nan)

ROWS = (
    Row("reindex", BatchReindex(), ((3, 4), (5,)), values=((), ROWS_CHOSEN)),
    Row("reindex an image", BatchReindex(), ((3, 2, 4, 5), (5,)), values=((), ROWS_CHOSEN)),
    Row("reindex numbers", BatchReindex(), ((3,), (5,)), values=((), ROWS_CHOSEN)),
    Row("embed", Embed(input_dim=3, num_output=4), ((5,),), values=(ROWS_CHOSEN,)),
    Row("embed of rank 2", Embed(input_dim=3, num_output=4, bias_term=False), ((5, 1),),
        values=(ROWS_CHOSEN,)),
    Row("embed fillers", Embed(input_dim=3, num_output=2, weight_filler=Filler(type="xavier"),
                               bias_filler=Filler(value=1)), ((1, 5),), values=(ROWS_CHOSEN,)),
    Row("filter", Filter(), ((5, 3, 2), (5,)), values=((), SELECTED)),
    Row("filter two", Filter(), ((5, 3), (5,), (5, 1, 1)), 2, ((), (), SELECTED)),
    Row("filter, all rows", Filter(), ((5, 3), (5, 1)), values=((), (1.0,) * 5)),
)  # fmt: skip
REFUSALS = (
    Refusal("filter one top", "Filter", r"needs 2 top\(s\), one a bottom, got 1", "",
            ((4, 3), (4,), (4,))),
    Refusal("filter selector", "Filter", r"needs a selector \(N, 1, ...\), got \(4, 2\)", "",
            ((4, 3), (4, 2))),
    Refusal("filter rows", "Filter", "needs bottoms of 3 rows each", "", ((4, 3), (3,))),
    Refusal("reindex rank", "BatchReindex", "needs row indices of rank 1", "", ((3, 4), (2, 2))),
    Refusal("embed of nothing", "Embed", "needs input_dim and num_output, got 0 and 4",
            "embed_param { num_output: 4 }"),
)  # fmt: skip
