"""Rows of functions that are made of products of matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.rows import Row, function

CONSTANT = torch.linspace(-1, 1, 20).reshape(4, 5)
COUNTS = torch.tensor([1, 0, 3, 2, 1, 2])
SHARES = torch.linspace(0.2, 1.5, 6)
SAMPLES = ((3, 6),)


def _powers(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.matrix_power(6), torch.linalg.matrix_power(x, 1)


ROWS = [
    Row("addbmm", function(lambda x, a, b: torch.addbmm(x, a, b, beta=2, alpha=0.5)),
        ((3, 5), (2, 3, 4), (2, 4, 5)),
        layers=("Reshape", "Im2col", "Flatten", "Flatten", "Flatten", "InnerProduct", "Power",
            "Eltwise"), fixed_batch=True),
    Row("addbmm_constant", function(lambda a: torch.addbmm(CONSTANT[:3], a, CONSTANT[None])),
        ((1, 3, 4),), layers=("Reshape", "Flatten", "InnerProduct", "Bias"), fixed_batch=True),
    Row("addr", function(lambda x, a, b: torch.addr(x, a[0], b[0])), ((3, 4), (2, 3), (2, 4)),
        layers=("Slice", "Flatten", "Slice", "Flatten", "Reshape", "Tile", "Scale", "Eltwise",
            "Silence"), fixed_batch=True),
    Row("addr_constants", function(lambda x: x.addr(SHARES[:3], SHARES[2:], beta=2, alpha=3)),
        ((3, 4),), layers=("Power", "Bias"), fixed_batch=True),
    Row("addr_without_input", function(lambda x, a: torch.addr(x, a[0], SHARES[2:], beta=0)),
        ((3, 4), (2, 3)),
        layers=("Slice", "Flatten", "Reshape", "Parameter", "Tile", "Scale", "Silence"),
            fixed_batch=True),
    Row("matrix_power", function(_powers), ((2, 4, 4),),
        layers={"Reshape": 6, "Im2col": 3, "Flatten": 6, "Tile": 3, "Scale": 3, "Convolution": 3,
         "Power": 1}),
    Row("matrix_power_0", function(lambda x: x @ torch.linalg.matrix_power(x, 0)), ((2, 4, 4),),
        layers=("Parameter", "Reshape", "Reshape", "Convolution", "Reshape"), fixed_batch=True),
    Row("matrix_power_of_inverse", function(lambda x: torch.linalg.matrix_power(x, -2)),
        ((2, 4, 4),), refused="needs a power of 0 or more"),
    Row("multi_dot", function(lambda a, b, c: torch.linalg.multi_dot([a[0], b, c[0]])),
        ((2, 3), (3, 4), (2, 4)),
        layers=("DummyData", "Crop", "Flatten", "DummyData", "Crop", "Flatten", "Reshape",
            "Reshape", "InnerProduct", "InnerProduct", "Reshape")),
    Row("multi_dot_constant",
        function(lambda a: torch.linalg.multi_dot([a, CONSTANT, CONSTANT.t(), CONSTANT])),
        ((3, 4),), layers=("InnerProduct",)),
    Row("chain_matmul", function(lambda a, b: torch.chain_matmul(a, b, CONSTANT)),
        ((2, 3), (3, 4)), layers=("InnerProduct", "InnerProduct")),
    Row("linalg_diagonal", function(lambda x: torch.linalg.diagonal(x, offset=1)), ((2, 3, 4, 5),),
        layers=("Flatten", "InnerProduct", "Reshape")),
    Row("vecdot", function(lambda a, b: torch.linalg.vecdot(a, b)), ((2, 3, 4), (2, 3, 4)),
        layers=("Eltwise", "Reduction")),
    Row("vecdot_channels", function(lambda a, b: torch.linalg.vecdot(a, b, dim=1)),
        ((2, 3, 4, 5), (2, 3, 4, 5)), layers=("Eltwise", "Convolution", "Flatten")),
    Row("vecdot_constant", function(lambda a: torch.linalg.vecdot(a, CONSTANT)), ((2, 4, 5),),
        layers=("Scale", "Reduction")),
    Row("cov", function(torch.cov), SAMPLES,
        layers=("InnerProduct", "Flatten", "Power", "Bias", "Power", "InnerProduct"),
            fixed_batch=True),
    Row("cov_of_a_line", function(lambda x: x[0].cov(correction=0)), SAMPLES,
        layers=("DummyData", "Crop", "Flatten", "Reshape", "InnerProduct", "Reshape", "Power",
            "Bias", "Power", "InnerProduct", "Reshape")),
    Row("cov_weighted", function(lambda x: torch.cov(x, fweights=COUNTS, aweights=SHARES)),
        SAMPLES,
        layers=("InnerProduct", "Flatten", "Power", "Bias", "Scale", "InnerProduct"),
            fixed_batch=True),
    Row("cov_uncorrected",
        function(lambda x: torch.cov(x, correction=0, fweights=COUNTS, aweights=SHARES)), SAMPLES,
        layers=("InnerProduct", "Flatten", "Power", "Bias", "Scale", "InnerProduct"),
            fixed_batch=True),
    Row("cov_traced_weights", function(lambda x: torch.cov(x, aweights=x[0].abs())), SAMPLES,
        refused="reads the data of a traced tensor"),
    Row("cov_of_one_sample", function(lambda x: torch.cov(x, correction=6)), SAMPLES,
        refused="needs more samples than the correction takes, got 0.0 left"),
    Row("corrcoef", function(torch.corrcoef), SAMPLES,
        layers=("InnerProduct", "Flatten", "Power", "Bias", "Reduction", "Power", "Power",
            "Scale", "InnerProduct", "Power", "Eltwise", "Power", "Power", "Eltwise", "Power"),
            fixed_batch=True),
]  # fmt: skip
