"""Products of matrices and vectors, at least one of them traced, and attention."""

from __future__ import annotations

from math import inf, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx import compat
from caffe2fx.layers import InnerProduct, Power, Softmax
from caffe2fx.messages.message import Shape
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.constants import as_float32, as_symbol
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.matmul import MatMul
from fx2caffe.ir.permute import Permute
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import inside
from fx2caffe.ops.elementwise import add, mul
from fx2caffe.ops.index_map import expanded
from fx2caffe.ops.softmax import log_sum_exp, safe_softmax

# Added to masked scores: e to the power of it minus any score is 0 in float32.
MASKED = -1e30


@handles(torch.matmul, torch.mm, torch.bmm, torch.mv)
def matmul(net: Emitter, input: Operand, other: Operand, *, out: Expected) -> Symbol:
    first = with_row(net, input)
    second = with_column(net, other)
    return reshaped(net, product(net, first, second), out.shape, out.other_shape)


def with_row(net: Emitter, value: Operand) -> Operand:
    """Return a vector as a matrix of one row, a matrix unchanged."""
    if len(value.shape) != 1:
        return value
    return viewed(net, value, lambda s: (1, *s)) if isinstance(value, Symbol) else value[None]


def with_column(net: Emitter, value: Operand) -> Operand:
    """Return a vector as a matrix of one column, a matrix unchanged."""
    if len(value.shape) != 1:
        return value
    return viewed(net, value, lambda s: (*s, 1)) if isinstance(value, Symbol) else value[:, None]


def product(net: Emitter, first: Operand, second: Operand, suffix: str = "") -> Symbol:
    """Multiply two (batches of) matrices, broadcast as by torch.matmul."""
    first, second = _single(first, len(second.shape)), _single(second, len(first.shape))
    if isinstance(first, Symbol) and isinstance(second, Tensor) and second.dim() == 2:
        return net.add(
            InnerProduct(
                num_output=second.shape[1], bias_term=False, axis=1 if first.rank == 2 else -1
            ),
            first,
            blobs=[as_float32(second).t().contiguous()],
            suffix=suffix,
        )
    if isinstance(second, Symbol) and isinstance(first, Tensor) and first.dim() == 2:
        matrix = AxisMatrix(axis=second.rank - 2, rows=first.shape[0])
        return net.add(matrix, second, blobs=[as_float32(first)], suffix=suffix)
    one, two = as_symbol(net, first, "first"), as_symbol(net, second, "second")
    if one.rank > 2 and two.rank > 2:
        one, two = _broadcast(net, one, two)
    return net.add(MatMul(), one, two, suffix=suffix)


def _single(value: Operand, rank: int) -> Operand:
    """Return a constant batch of one matrix as a matrix, where the other operand has its axes."""
    is_one = isinstance(value, Tensor) and value.dim() <= rank and set(value.shape[:-2]) == {1}
    return value.reshape(value.shape[-2:]) if is_one and isinstance(value, Tensor) else value


def _broadcast(net: Emitter, one: Symbol, two: Symbol) -> tuple[Symbol, Symbol]:
    """Broadcast the axes in front of the matrices."""
    lead = broadcast_shape(one.shape[:-2], two.shape[:-2])
    other = broadcast_shape(one.other_shape[:-2], two.other_shape[:-2])
    return _led(net, one, lead, other), _led(net, two, lead, other)


def broadcast_shape(*shapes: Shape) -> Shape:
    """Return the shape to which torch broadcasts tensors of these."""
    return tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


def _led(net: Emitter, symbol: Symbol, lead: Shape, other: Shape) -> Symbol:
    return expanded(net, symbol, (*lead, *symbol.shape[-2:]), (*other, *symbol.other_shape[-2:]))


@handles(torch.addmm, torch.baddbmm, torch.addmv)
def addmm(
    net: Emitter,
    input: Operand,
    first: Operand,
    second: Operand,
    beta: float = 1,
    alpha: float = 1,
    *,
    out: Expected,
) -> Symbol:
    """Compute beta * input + alpha * (first @ second)."""
    term = matmul(net, first, second, out=out)
    term = term if alpha == 1 else net.add(Power(scale=alpha), term, suffix="scaled")
    if beta == 0:
        return term
    return add(net, term, input, alpha=beta)


@handles(torch.dot, torch.vdot)
def dot(net: Emitter, input: Operand, other: Operand, *, out: Expected) -> Symbol:
    return matmul(net, input, other, out=out)


@handles(torch.outer)
def outer(net: Emitter, input: Operand, vec2: Operand) -> Symbol:
    return mul(net, with_column(net, input), vec2)


@handles(F.linear)
def linear(net: Emitter, input: Operand, weight: Operand, bias: Operand | None = None) -> Symbol:
    first = as_symbol(net, input, "input")
    count = weight.shape[0] if len(weight.shape) == 2 else 1
    layer = InnerProduct(num_output=count, axis=1 if first.rank == 2 else -1)
    if isinstance(weight, Symbol) or isinstance(bias, Symbol) or len(weight.shape) == 1:
        return _linear_of_traced(net, first, weight, bias)
    if bias is None:
        return net.add(layer.replace(bias_term=False), first, blobs=[weight])
    return net.add(layer, first, blobs=[weight, bias])


def _linear_of_traced(net: Emitter, input: Symbol, weight: Operand, bias: Operand | None) -> Symbol:
    """Compute linear with traced weights; an input or weight that is a vector loses its axis."""
    matrix, rows = as_symbol(net, weight, "weight"), input
    if matrix.rank == 1:
        matrix = viewed(net, matrix, lambda s: (1, *s), "row_of_weights")
    if input.rank == 1:
        rows = viewed(net, input, lambda s: (1, *s), "row")
    top = net.add(MatMul(transposed=True), rows, matrix)
    if input.rank == 1:
        top = viewed(net, top, lambda s: s[1:])
    if len(weight.shape) == 1:
        top = viewed(net, top, lambda s: s[:-1])
    return top if bias is None else add(net, top, bias)


@handles(F.scaled_dot_product_attention)
def attention(
    net: Emitter,
    query: Operand,
    key: Operand,
    value: Operand,
    attn_mask: Operand | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Symbol:
    """Compute softmax(scale * query @ key^T + mask) @ value."""
    if dropout_p:
        raise Refused(f"needs dropout_p=0, got {dropout_p}")
    q, k, v = (as_symbol(net, x, r) for x, r in ((query, "query"), (key, "key"), (value, "value")))
    if enable_gqa:
        k, v = (_for_each_query(net, x, q) for x in (k, v))
    mask = _causal(q, k) if is_causal else attn_mask
    weights = _weights(net, _scores(net, q, k, mask, scale), mask)
    return product(net, weights, v)


def _scores(
    net: Emitter, q: Symbol, k: Symbol, mask: Operand | None, scale: float | None
) -> Symbol:
    factor = 1 / sqrt(q.shape[-1]) if scale is None else scale
    q = q if factor == 1 else net.add(Power(scale=factor), q, suffix="scaled")
    scores = product(net, q, _transposed(net, k), suffix="scores")
    return scores if mask is None else _masked(net, scores, mask)


def _weights(net: Emitter, scores: Symbol, mask: Operand | None) -> Symbol:
    """Compute softmax over the last axis; a fully masked row has weights of 0, as in torch."""
    if isinstance(mask, Symbol) and mask.dtype is not torch.bool:
        return inside(net, "weights", safe_softmax, scores, -1)
    weights = net.add(Softmax(axis=scores.rank - 1), scores, suffix="weights")
    if isinstance(mask, Symbol) or (mask is not None and not _is_attended(mask).any(-1).all()):
        counts = mask if isinstance(mask, Symbol) else _is_attended(mask).float()
        return inside(net, "counted", mul, weights, counts)
    return weights


@handles(compat.FLASH_ATTENTION)
def flash_attention(
    net: Emitter,
    query: Operand,
    key: Operand,
    value: Operand,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Operand | None = None,
    scale: float | None = None,
    out: Expected,
) -> tuple[Symbol, Symbol | None]:
    """Return attention, and the logsumexp of its scores if that result is read."""
    if dropout_p:
        raise Refused(f"needs dropout_p=0, got {dropout_p}")
    q, k, v = (as_symbol(net, x, r) for x, r in ((query, "query"), (key, "key"), (value, "value")))
    if len({x.other_shape[:-2] for x in (q, k, v)}) > 1:  # torch itself reads out of bounds
        net.fix_batch(f"{net.scope[0]} has queries and keys of different batches")
    mask = _causal(q, k) if is_causal else attn_mask
    scores = _scores(net, q, k, mask, scale)
    top = product(net, _weights(net, scores, mask), v)
    if 1 not in out.read:
        return top, None
    if isinstance(mask, Tensor) and not _is_attended(mask).any(-1).all():
        raise Refused("needs a mask that leaves something in every row where logsumexp is read")
    total = inside(net, "logsumexp", log_sum_exp, scores, -1)
    return top, viewed(net, total, lambda s: s[:-1])


def _transposed(net: Emitter, matrix: Symbol) -> Symbol:
    order = (*range(matrix.rank - 2), matrix.rank - 1, matrix.rank - 2)
    return net.add(Permute(order=order), matrix, suffix="transposed")


def _for_each_query(net: Emitter, shared: Symbol, query: Symbol) -> Symbol:
    """Repeat keys or values once for each query head of the group that shares them."""
    times = query.static_size(query.rank - 3) // shared.static_size(shared.rank - 3)
    indices = [head // times for head in range(query.static_size(query.rank - 3))]
    return index_map(net, shared, {shared.rank - 3: indices}, suffix="groups")


def _causal(query: Symbol, key: Symbol) -> Tensor:
    return (
        torch.ones(query.static_size(query.rank - 2), key.static_size(key.rank - 2)).tril().bool()
    )


def _is_attended(mask: Tensor) -> Tensor:
    """Return where a constant mask keeps a score."""
    return mask if mask.dtype is torch.bool else mask > -inf


def _masked(net: Emitter, scores: Symbol, mask: Operand) -> Symbol:
    if isinstance(mask, Symbol):
        if mask.dtype is torch.bool:
            # 0 where a score is kept, MASKED where it is not.
            mask = net.add(Power(shift=MASKED, scale=-MASKED), mask, suffix="mask")
        return add(net, scores, mask)
    kept = _is_attended(mask)
    mask = torch.zeros(mask.shape) if mask.dtype is torch.bool else mask.float()
    mask = mask.masked_fill(~kept, MASKED).clamp(min=MASKED)
    if bool((kept.any(-1) & (mask <= MASKED).all(-1)).any()):
        raise Refused(f"needs a mask that leaves something above {MASKED:g} in a row, or only -inf")
    return add(net, scores, mask)
