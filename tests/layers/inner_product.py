"""Rows of InnerProduct."""

from __future__ import annotations

from caffe2fx.layers import InnerProduct
from caffe2fx.messages.common import Filler
from tests.layers.row import Refusal, Row

IMAGE = (2, 4, 9, 7)

ROWS = (
    Row("ip", InnerProduct(num_output=3), (IMAGE,)),
    Row("ip of rank 2", InnerProduct(num_output=3), ((2, 5),)),
    Row("ip no bias", InnerProduct(num_output=3, bias_term=False), (IMAGE,)),
    Row("ip transpose", InnerProduct(num_output=3, transpose=True), ((2, 5),)),
    Row("ip transpose, axis 2", InnerProduct(num_output=3, transpose=True, axis=2), (IMAGE,)),
    Row("ip axis 0", InnerProduct(num_output=3, axis=0), ((4, 5),)),
    Row("ip axis 2", InnerProduct(num_output=3, axis=2), (IMAGE,)),
    Row("ip axis -1", InnerProduct(num_output=3, axis=-1), (IMAGE,)),
    Row("ip axis -2", InnerProduct(num_output=3, axis=-2, bias_term=False), (IMAGE,)),
    Row("ip fillers", InnerProduct(
        num_output=3, weight_filler=Filler(type="xavier"), bias_filler=Filler(value=1)), ((2, 5),)),
    Row("ip long sums", InnerProduct(num_output=3), ((2, 5000),)),
)  # fmt: skip


REFUSALS = (
    Refusal("ip no num_output", "InnerProduct", "needs num_output of 1 or more, got 0"),
    Refusal("ip axis", "InnerProduct", r"needs an axis in \[-4, 4\), got 5",
            "inner_product_param { num_output: 2 axis: 5 }"),
    Refusal("ip two bottoms", "InnerProduct", r"needs 1 bottom\(s\), got 2",
            "inner_product_param { num_output: 2 }", ((2, 3), (2, 3))),
)  # fmt: skip
