"""Products of matrices, einsum and attention."""

from math import inf

import torch
import torch.nn.functional as F
from torch import nn

from tests.rows import Row, function

IP, C, S = "InnerProduct", "Convolution", "Softmax"
MASK = torch.tensor([[1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]]).bool()
ROWS_OUT = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 1]]).bool()
LOW = torch.tensor([[0.0, 1.0, 2.0], [-2e30, -1e38, -3e38], [0.5, 0.0, 0.0]])
STACKS = ((2, 3, 4), (2, 4, 5))
HEADS = ((1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 4))
CONSTANT = torch.linspace(-1, 1, 20).reshape(4, 5)
STACK = torch.linspace(-1, 1, 40).reshape(2, 4, 5)
FIXED = {"fixed_batch": True}


EXPERTS = torch.linspace(-1, 1, 96).reshape(3, 8, 4)


def _grouped(x, matrices=EXPERTS):
    """Multiply groups of rows whose ends are computed."""
    first = (x[:, 0] > 0).sum()
    return F.grouped_mm(x, matrices, offs=torch.stack([first, first, first * 0 + 6]).int())


def _flash(*args, **kwargs):
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*args, **kwargs)


def _dot(equation: str):
    return function(lambda *x: torch.einsum(equation, *x))


# fmt: off
ROWS = [
    Row("matmul", function(lambda a, b: a @ b), STACKS,
        layers=("Reshape", "Im2col", "Flatten", "Reshape", "Tile", "Scale", "Convolution",
         "Flatten")),
    Row("matmul_4d", function(lambda a, b: a @ b), ((2, 3, 4, 5), (2, 3, 5, 2)),
        layers=("Reshape", "Im2col", "Reshape", "Tile", "Reshape", "Scale", "Convolution")),
    Row("matmul_broadcast", function(lambda a, b: a @ b), ((2, 1, 4, 5), (3, 5, 2)),
        ("Tile", "Reshape", "Tile", "Reshape", "Reshape", "Convolution", "Reshape"), **FIXED),
    Row("matmul_of_a_matrix", function(lambda a, b: a @ b[0]), ((2, 3, 4), (2, 4, 5)),
        ("DummyData", "Crop", "Flatten", "InnerProduct")),
    Row("matmul_by_a_matrix", function(lambda a, b: a[0] @ b), ((2, 3, 4), (2, 4, 5)),
        ("DummyData", "Crop", "Reshape", "Reshape", "Convolution", "Flatten")),
    Row("mm", function(lambda a, b: torch.mm(a, b)), ((3, 4), (4, 5)), ("InnerProduct",)),
    Row("bmm", function(lambda a, b: torch.bmm(a, b)), STACKS,
        layers=("Reshape", "Im2col", "Flatten", "Reshape", "Tile", "Scale", "Convolution",
         "Flatten")),
    Row("bmm_of_transposed", function(lambda a, b: torch.bmm(a, b.mT)), ((2, 3, 4), (2, 5, 4)),
        layers=("Reshape", "Im2col", "Flatten", "Reshape", "Im2col", "Flatten", "Reshape", "Tile",
         "Scale", "Convolution", "Flatten")),
    Row("grouped_mm", function(lambda x: F.grouped_mm(
            x, EXPERTS, offs=torch.tensor([2, 2, 6], dtype=torch.int32))), ((6, 8),),
        layers=("InnerProduct", "Reshape", "Scale", "Reshape", "Convolution", "Flatten"),
        since="2.10", **FIXED),
    Row("grouped_mm_computed", function(_grouped), ((6, 8),), since="2.10", **FIXED,
        layers={"Slice": 1, "Flatten": 3, "Threshold": 2, "Reduction": 1, "Power": 2,
            "Reshape": 6, "Concat": 1, "InnerProduct": 2, "Parameter": 1, "Tile": 1, "Bias": 1,
            "Scale": 1, "Convolution": 1, "Silence": 1}),
    Row("grouped_mm_of_computed_matrices", function(_grouped), ((6, 8), (3, 8, 4)),
        since="2.10", **FIXED,
        layers={"Slice": 1, "Flatten": 5, "Threshold": 2, "Reduction": 1, "Power": 2,
            "Reshape": 7, "Concat": 1, "Im2col": 1, "InnerProduct": 2, "Parameter": 1, "Tile": 1,
            "Bias": 1, "Scale": 1, "Convolution": 1, "Silence": 1}),
    Row("grouped_mm_of_all_rows", function(lambda x: F.grouped_mm(x, EXPERTS)), ((3, 6, 8),),
        layers=("Parameter", "Reshape", "Reshape", "Convolution", "Reshape"), since="2.10",
        **FIXED),
    Row("mv", function(lambda a, b: torch.mv(a, b[0])), ((3, 4), (2, 4)),
        ("Slice", "Flatten", "Reshape", "InnerProduct", "Flatten", "Silence")),
    Row("vector_first", function(lambda a, b: a[0] @ b), ((2, 4), (2, 4, 5)),
        ("DummyData", "Crop", "Reshape", "Reshape", "Convolution", "Flatten", "Flatten")),
    Row("vector_last", function(lambda a, b: a @ b[0]), ((2, 3, 4), (2, 4)),
        ("DummyData", "Crop", "Flatten", "Reshape", "InnerProduct", "Flatten")),
    Row("dot", function(lambda a, b: torch.dot(a[0], b[1])), ((2, 4), (2, 4)),
        ("DummyData", "Crop", "Flatten", "DummyData", "Crop", "Flatten", "Reshape", "Reshape",
        "InnerProduct", "Reshape")),
    Row("vdot", function(lambda a, b: torch.vdot(a[0], b[1])), ((2, 4), (2, 4)),
        ("DummyData", "Crop", "Flatten", "DummyData", "Crop", "Flatten", "Reshape", "Reshape",
        "InnerProduct", "Reshape")),
    Row("matmul_constant", function(lambda a: a @ CONSTANT), ((2, 3, 4),), ("InnerProduct",)),
    Row("matmul_constant_2d", function(lambda a: a @ CONSTANT), ((3, 4),), ("InnerProduct",)),
    Row("matmul_constant_vector", function(lambda a: a @ CONSTANT[:, 0]), ((2, 3, 4),),
        ("InnerProduct", "Flatten")),
    Row("rmatmul_constant", function(lambda a: CONSTANT @ a), ((2, 5, 3),),
        ("Reshape", "Convolution", "Reshape")),
    Row("rmatmul_constant_vector", function(lambda a: CONSTANT[0] @ a), ((2, 5, 3),),
        ("Reshape", "Convolution", "Reshape", "Flatten")),
    Row("matmul_constants", function(lambda a: a @ STACK), ((2, 3, 4),),
        ("Parameter", "Reshape", "Reshape", "Convolution", "Reshape"), **FIXED),
    Row("rmatmul_constants", function(lambda a: STACK @ a), ((2, 5, 3),),
        ("Parameter", "Reshape", "Reshape", "Convolution", "Reshape"), **FIXED),
    Row("addmm", function(lambda a, b, c: torch.addmm(a, b, c, beta=2, alpha=0.5)),
        ((3, 5), (3, 4), (4, 5)), ("InnerProduct", "Power", "Eltwise")),
    Row("addmm_without_input", function(lambda a, b, c: torch.addmm(a, b, c, beta=0)),
        ((3, 5), (3, 4), (4, 5)), ("InnerProduct", "Silence")),
    Row("baddbmm", function(lambda a, b, c: torch.baddbmm(a, b, c)),
        ((2, 3, 5), (2, 3, 4), (2, 4, 5)),
        layers=("Reshape", "Im2col", "Flatten", "Reshape", "Tile", "Scale", "Convolution",
         "Flatten", "Eltwise")),
    Row("addmv", function(lambda a, b, c: torch.addmv(a[0], b, c[0])), ((2, 3), (3, 4), (2, 4)),
        ("DummyData", "Crop", "Flatten", "DummyData", "Crop", "Flatten", "Reshape",
        "InnerProduct", "Flatten", "Eltwise")),
    Row("outer", function(lambda a, b: torch.outer(a[0], b[0])), ((2, 3), (2, 4)),
        ("DummyData", "Crop", "Flatten", "DummyData", "Crop", "Flatten", "Reshape", "Tile",
        "Scale")),
    Row("inner", function(lambda a, b: torch.inner(a, b[0])), ((2, 3, 4), (2, 4)),
        ("DummyData", "Crop", "Flatten", "Flatten", "Reshape", "InnerProduct", "Reshape")),
    Row("inner_of_matrices", function(lambda a, b: torch.inner(a, b)), ((3, 4), (2, 4)),
        ("Reshape", "Im2col", "Reshape", "InnerProduct")),
    Row("linear_of_two_vectors", function(F.linear), ((3,), (3,)),
        ("Reshape", "Reshape", "InnerProduct", "Flatten", "Reshape"), fixed_batch=True),
    Row("tensordot", function(lambda a, b: torch.tensordot(a, b[0], dims=([3], [0]))),
        ((2, 3, 4, 5), (2, 5, 4)),
        ("DummyData", "Crop", "Flatten", "Flatten", "InnerProduct", "Reshape")),
    Row("tensordot_of_two", function(lambda a, b: torch.tensordot(a, b[0], 2)),
        ((2, 3, 4, 5), (2, 4, 5, 2)),
        ("DummyData", "Crop", "Flatten", "Reshape", "Flatten", "InnerProduct", "Reshape")),
    Row("linear_of_traced", function(lambda a, b: F.linear(a, b[0])), ((2, 3, 4), (2, 5, 4)),
        ("DummyData", "Crop", "Flatten", "InnerProduct")),
    Row("linear_of_traced_row", function(lambda a, b, c: F.linear(a, b, c)), ((4,), (5, 4), (5,)),
        layers=("Reshape", "InnerProduct", "Flatten", "Eltwise"), fixed_batch=True),
    Row("linear_of_traced_bias", function(lambda a, b, c: F.linear(a, b[0], c[0])),
        ((2, 3, 4), (2, 5, 4), (2, 5)),
        ("DummyData", "Crop", "Flatten", "DummyData", "Crop", "Flatten", "InnerProduct", "Bias")),
    Row("einsum_bmm", _dot("bij,bjk->bik"), STACKS,
        layers=("Reshape", "Im2col", "Flatten", "Reshape", "Tile", "Scale", "Convolution",
         "Flatten")),
    Row("einsum_transposed", _dot("bij,bkj->bki"), ((2, 3, 4), (2, 5, 4)),
        layers={"Reshape": 4, "Im2col": 3, "Flatten": 3, "Tile": 1, "Scale": 1, "Convolution": 1}),
    Row("einsum_heads", _dot("bhid,bhjd->bhij"), ((2, 2, 3, 4), (2, 2, 5, 4)),
        layers=("Reshape", "Im2col", "Reshape", "Reshape", "Im2col", "Reshape", "Tile", "Reshape",
         "Scale", "Convolution")),
    Row("einsum_scale", _dot("bchw,bc->bchw"), ((2, 3, 4, 5), (2, 3)), ("Scale",)),
    Row("einsum_sum", _dot("bchw->bc"), ((2, 3, 4, 5),), ("Reduction",)),
    Row("einsum_permute", _dot("bchw->bhwc"), ((2, 3, 4, 5),), ("Reshape", "Im2col", "Reshape")),
    Row("einsum_diagonal", _dot("bii->bi"), ((2, 3, 3),), ("Flatten", "InnerProduct")),
    Row("einsum_three", _dot("bi,bj,bk->bijk"), ((2, 3), (2, 4), (2, 2)),
        ("Reshape", "Tile", "Scale", "Reshape", "Tile", "Tile", "Scale")),
    Row("einsum_implicit", _dot("bij,bi"), ((2, 3, 4), (2, 3)),
        ("Reshape", "Im2col", "Reshape", "Flatten", "Reshape", "InnerProduct", "Flatten"), **FIXED),
    Row("einsum_ellipsis", _dot("...ij,...jk->...ik"), ((2, 3, 4, 5), (2, 3, 5, 2)),
        layers=("Reshape", "Im2col", "Reshape", "Tile", "Reshape", "Scale", "Convolution")),
    Row("einsum_constant", function(lambda x: torch.einsum("bchw,cd->bdhw", x, CONSTANT[:3])),
        ((2, 3, 4, 5),), ("Convolution",)),
    Row("einsum_constant_first",
        function(lambda x: torch.einsum("dc,...chw->...dhw", CONSTANT[:, :3], x)),
        ((2, 3, 4, 5),), ("Convolution",)),
    Row("einsum_constant_of_two_sums",
        function(lambda x: torch.einsum("ocw,bchw->boh", STACK[:, :3], x)), ((2, 3, 4, 5),),
        ("Reshape", "Im2col", "Reshape", "InnerProduct", "Reshape", "Im2col", "Flatten")),
    Row("einsum_constant_vector", function(lambda x: torch.einsum("c,bchw->bhw", CONSTANT[0], x)),
        ((2, 5, 4, 3),),
        ("Reshape", "Im2col", "Reshape", "Flatten", "InnerProduct", "Reshape")),
    Row("tensordot_constant_first",
        function(lambda x: torch.tensordot(CONSTANT, x, ([1], [1]))), ((2, 5, 4, 3),),
        ("Convolution", "Reshape", "Im2col", "Reshape")),
    Row("einsum_of_size_one", _dot("bij,bjk->bik"), ((2, 3, 1), (2, 4, 5)),
        ("Flatten", "Reshape", "Convolution", "Flatten", "Reshape", "Tile", "Scale")),
    Row("attention", function(F.scaled_dot_product_attention), HEADS,
        layers={"Power": 1, "Reshape": 8, "Im2col": 3, "Tile": 2, "Scale": 2, "Convolution": 2,
         "Softmax": 1}),
    Row("attention_causal",
        function(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True)),
        ((2, 2, 3, 4),),
        layers={"Power": 1, "Reshape": 8, "Im2col": 3, "Tile": 2, "Scale": 2, "Convolution": 2,
         "Bias": 1, "Softmax": 1}),
    Row("attention_mask",
        function(lambda q, k: F.scaled_dot_product_attention(q, k, k, attn_mask=MASK, scale=2.0)),
        ((2, 3, 5), (2, 4, 5)),
        layers={"Power": 1, "Reshape": 5, "Im2col": 3, "Flatten": 5, "Tile": 2, "Scale": 2,
         "Convolution": 2, "Bias": 1, "Softmax": 1}),
    Row("attention_traced_mask",
        function(lambda q, k, m: F.scaled_dot_product_attention(q, k, k, attn_mask=m)),
        ((2, 3, 5), (2, 4, 5), (2, 3, 4)),
        layers={"Power": 2, "Reshape": 5, "Im2col": 3, "Flatten": 6, "Tile": 3, "Scale": 3,
         "Convolution": 2, "Eltwise": 2, "Threshold": 1, "ArgMax": 1, "Log": 1, "Softmax": 1}),
    Row("attention_grouped",
        function(lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True)),
        ((1, 4, 3, 5), (1, 2, 6, 5)),
        layers={"Reshape": 10, "Tile": 4, "Flatten": 1, "Power": 1, "Im2col": 3, "Scale": 2,
         "Convolution": 2, "Softmax": 1}, since="2.5"),
    Row("attention_flash",
        function(lambda q, k: _flash(q, k, k, attn_mask=MASK.float(), scale=0.5)),
        ((2, 1, 3, 5), (2, 1, 4, 5)),
        layers={"Power": 2, "Reshape": 7, "Im2col": 3, "Tile": 2, "Flatten": 4, "Scale": 2,
         "Convolution": 2, "Bias": 2, "Softmax": 1, "ArgMax": 1, "Exp": 1, "Reduction": 1,
         "Log": 1, "Eltwise": 1}, since="2.3"),
    Row("attention_flash_causal", function(lambda q: _flash(q, q, q, is_causal=True)[0]),
        ((2, 2, 3, 4),),
        layers={"Power": 1, "Reshape": 8, "Im2col": 3, "Tile": 2, "Scale": 2, "Convolution": 2,
         "Bias": 1, "Softmax": 1}, since="2.3"),
    Row("attention_dropout",
        function(lambda q: F.scaled_dot_product_attention(q, q, q, dropout_p=0.5)),
        ((1, 2, 3, 4),), refused="needs eval mode"),
    Row("attention_masked_row",
        function(lambda q: F.scaled_dot_product_attention(q, q, q, ROWS_OUT)), ((1, 2, 3, 4),),
        layers={"Power": 1, "Reshape": 8, "Im2col": 3, "Tile": 2, "Scale": 3, "Convolution": 2,
         "Bias": 1, "Softmax": 1}, since="2.5"),
    Row("attention_masked_row_float",
        function(lambda q: F.scaled_dot_product_attention(q, q, q, LOW.masked_fill(~ROWS_OUT,
        -inf))), ((1, 2, 3, 4),),
        layers={"Power": 1, "Reshape": 8, "Im2col": 3, "Tile": 2, "Scale": 3, "Convolution": 2,
         "Bias": 1, "Softmax": 1}, since="2.5"),
    Row("attention_traced_bool",
        function(lambda q, m: F.scaled_dot_product_attention(q, q, q, m > 0.5)),
        ((2, 2, 3, 4), (2, 1, 3, 3)),
        layers={"Threshold": 1, "Power": 2, "Reshape": 8, "Im2col": 3, "Tile": 4, "Scale": 2,
         "Convolution": 2, "Eltwise": 2, "Softmax": 1}, since="2.5"),
    Row("attention_traced_infinite",
        function(lambda q, m: F.scaled_dot_product_attention(q, q, q, m.masked_fill(m < 0.5,
        -inf))), ((2, 2, 3, 4), (2, 1, 3, 3)),
        layers={"Power": 3, "Threshold": 2, "Log": 2, "Eltwise": 3, "Reshape": 8, "Im2col": 3,
         "Tile": 4, "Scale": 3, "Convolution": 2, "ArgMax": 1, "Softmax": 1, "Flatten": 1},
        since="2.5"),
    Row("attention_low_row", function(lambda q: F.scaled_dot_product_attention(q, q, q, LOW)),
        ((1, 2, 3, 4),), refused="needs a mask that leaves something above"),
    Row("attention_flash_masked_row",
        function(lambda q: _flash(q, q, q, attn_mask=LOW.masked_fill(~ROWS_OUT, -inf))[1]),
        ((2, 2, 3, 4),), refused="where logsumexp is read", since="2.5"),
    Row("multihead", lambda: _SelfAttention(batch_first=True), ((2, 3, 8),),
        layers={"Reshape": 24, "Im2col": 6, "Flatten": 2, "InnerProduct": 2, "Slice": 1,
            "Deconvolution": 4, "Power": 1, "Tile": 2, "Scale": 2, "Convolution": 2, "Softmax": 1}),
    Row("multihead_time_first", lambda: _SelfAttention(), ((3, 2, 8),),
        ("InnerProduct", "Reshape", "Im2col", "Reshape", "Reshape", "Flatten", "Slice",
            "Reshape", "Im2col", "Flatten", "Reshape", "Im2col", "Reshape", "Im2col", "Reshape",
            "Power", "Reshape", "Im2col", "Reshape", "Reshape", "Convolution", "Reshape",
            "Softmax", "Reshape", "Reshape", "Convolution", "Reshape", "Im2col", "Reshape",
            "Reshape", "InnerProduct", "Reshape"), **FIXED),
    Row("multihead_weights", lambda: _SelfAttention(weights=True, batch_first=True), ((2, 3, 8),),
        layers={"Reshape": 19, "Im2col": 6, "Flatten": 8, "InnerProduct": 2, "Slice": 1,
            "Deconvolution": 4, "Power": 1, "Tile": 2, "Scale": 2, "Convolution": 3, "Softmax": 1}),
    Row("multihead_bias_kv",
        lambda: _SelfAttention(batch_first=True, add_bias_kv=True, add_zero_attn=True),
        ((2, 3, 8),),
        layers={"Reshape": 30, "Im2col": 6, "Flatten": 5, "InnerProduct": 4, "Slice": 1,
            "Pooling": 1, "Power": 4, "Concat": 4, "Deconvolution": 4, "Tile": 4, "Scale": 2,
            "Convolution": 2, "Softmax": 1}),
    Row("multihead_other_sizes", lambda: _CrossAttention(), ((2, 3, 8), (2, 5, 6)),
        layers={"Reshape": 22, "Im2col": 6, "Flatten": 2, "InnerProduct": 4, "Deconvolution": 4,
         "Power": 1, "Tile": 2, "Scale": 2, "Convolution": 2, "Softmax": 1}),
    Row("encoder_layer", lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        ((2, 3, 8),),
        layers={"Reshape": 24, "Im2col": 6, "Flatten": 2, "InnerProduct": 4, "Slice": 1,
            "Deconvolution": 4, "Power": 3, "Tile": 2, "Scale": 6, "Convolution": 2,
            "Softmax": 1, "Eltwise": 2, "Reduction": 4, "Bias": 2, "ReLU": 1}),
    Row("decoder_layer", lambda: nn.TransformerDecoderLayer(8, 2, 16, batch_first=True),
        ((2, 3, 8), (2, 5, 8)),
        layers={"Reshape": 49, "Im2col": 13, "Flatten": 5, "InnerProduct": 7, "Slice": 2,
            "Deconvolution": 8, "Power": 5, "Tile": 4, "Scale": 10, "Convolution": 4,
            "Softmax": 2, "Eltwise": 3, "Reduction": 6, "Bias": 3, "ReLU": 1}),
]


class _SelfAttention(nn.Module):
    def __init__(self, weights: bool = False, **options: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, **options)
        self.weights = weights

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result, weights = self.attention(x, x, x, need_weights=self.weights)
        return (result, weights) if self.weights else result


class _CrossAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, kdim=6, vdim=6, batch_first=True)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        return self.attention(x, memory, memory, need_weights=False)[0]
