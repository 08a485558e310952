"""Each rule alone: its layers compute the record's meaning, without any Caffe.

The layers that a rule emits are not legalized further: wide records among them are computed by
their own meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from caffe2fx.layers import (
    BNLL,
    LRN,
    LSTM,
    AbsVal,
    BatchNorm,
    Bias,
    Clip,
    Concat,
    Convolution,
    Deconvolution,
    Eltwise,
    EltwiseOp,
    Exp,
    Flatten,
    InnerProduct,
    Input,
    Log,
    Pooling,
    PoolMethod,
    Power,
    PReLU,
    Reduction,
    Reshape,
    RoundMode,
    Scale,
    Slice,
    Softmax,
    Swish,
    Threshold,
    UpsampleMask,
)
from caffe2fx.layers.layer import Layer
from caffe2fx.messages.message import Shape
from caffe2fx.net.evaluate import complete
from caffe2fx.net.net import Net
from caffe2fx.origin import Origin
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.binary import Binary, BinaryOp
from fx2caffe.ir.constants import Constant
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import Gather
from fx2caffe.ir.index_map import IndexMap
from fx2caffe.ir.matmul import MatMul
from fx2caffe.ir.ones import Ones
from fx2caffe.ir.permute import Permute
from fx2caffe.ir.reduce import Reduce, ReduceOp
from fx2caffe.ir.standardize import Standardize
from fx2caffe.ir.symbol import FixBatch, Refused
from fx2caffe.ir.tanh import FineTanH
from fx2caffe.ir.unpooling import note_indices
from fx2caffe.legalize.rule import Cheapest, LayerCall, Rule, Tops, name_of
from fx2caffe.legalize.rules import (
    RULES,
    activation,
    any_layer,
    binary,
    constant,
    convolution,
    elementwise,
    gather,
    index_map,
    index_segments,
    matmul,
    near_zero,
    normalization,
    permute,
    pooling,
    products,
    recurrent,
    reduction,
    shape,
    unpooling,
)

Before = Callable[[Emitter, Tops], Tops]


def as_they_are(net: Emitter, inputs: Tops) -> Tops:
    return inputs


@dataclass(frozen=True)
class Row:
    """Holds a rule, and a layer that it decomposes, with the shapes of the net's inputs.

    `before` adds the layers that make the bottoms from the inputs, for rules that look back.
    `blobs` are tensors, or shapes of random ones. `positive` inputs are 0.5 and more.
    """

    rule: Rule
    layer: Layer
    inputs: tuple[Shape, ...]
    blobs: tuple[Tensor | Shape, ...] = ()
    tops: int = 1
    before: Before = as_they_are
    positive: bool = False

    def tensors(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the inputs in float64 and the blobs in float32, as files hold them."""
        generator = torch.Generator().manual_seed(3)
        blobs = [
            blob if isinstance(blob, Tensor) else torch.rand(blob, generator=generator) + 0.25
            for blob in self.blobs
        ]
        inputs = [torch.randn(shape, generator=generator).double() for shape in self.inputs]
        return [x.abs() + 0.5 if self.positive else x for x in inputs], blobs


def indices(*axes: list[int]) -> tuple[Tensor, ...]:
    return tuple(torch.tensor(axis, dtype=torch.float32) for axis in axes)


def flattened(net: Emitter, inputs: Tops) -> Tops:
    return (net.add(Flatten(axis=0), inputs[0]),)


def five_axes(net: Emitter, inputs: Tops) -> Tops:
    """Return values of four axes as values of five."""
    return tuple(net.add(Reshape(shape=(1, 2, 4, 5, 3)), bottom) for bottom in inputs)


def going_on(net: Emitter, inputs: Tops) -> Tops:
    """Return the steps of an LSTM, of which the first and the third begin anew, by a constant."""
    ones = net.add(Power(scale=0.0, shift=1.0), inputs[1])
    return inputs[0], net.add(Scale(axis=0), ones, blobs=[torch.tensor([0.0, 1.0, 0.0, 1.0])])


def pooled(layer: Pooling) -> Before:
    """Return a map that has changed since a max pooling, and the mask of this pooling."""

    def before(net: Emitter, inputs: Tops) -> Tops:
        top, mask = net.add_many(layer, inputs[0], tops=2)
        note_indices(net, layer, inputs[0], (top, mask))
        return net.add(Power(power=2, shift=-0.5), top), mask

    return before


def adds_inputs(net: Emitter, inputs: Tops) -> Tops:
    """Return no bottoms, of a layer in a net that has inputs."""
    net.inputs += inputs
    return ()


IMAGE, LARGE, FOUR = ((2, 4, 6, 6),), ((2, 4, 7, 5),), ((1, 8, 5, 3),)
FLOOR, AVE = RoundMode.FLOOR, PoolMethod.AVE
TWICE = indices([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
BORDER = indices([-1, 0, 1, 2, 3, 4, 5, -1], [-1, 0, 1, 2, 3, 4, 5, -1])
ROWS = [
    Row(activation.abs_by_two_relus, AbsVal(), IMAGE),
    Row(activation.by_newton, Log(), IMAGE, positive=True),
    Row(activation.log_by_base_change, Log(base=2.0), IMAGE, positive=True),
    Row(activation.by_scaling, Threshold(threshold=0.25), IMAGE),
    Row(activation.by_sigmoid, BNLL(), IMAGE),
    Row(activation.by_softmax, Exp(), IMAGE),
    Row(activation.by_softmax, Exp(), ((),)),
    Row(activation.clip_by_maximum, Clip(min=-0.5, max=0.75), IMAGE),
    Row(activation.relu6, Clip(min=0.0, max=6.0), IMAGE),
    Row(activation.swish_by_sigmoid, Swish(beta=1.5), IMAGE),
    Row(any_layer.axis_counted_from_front, Softmax(axis=-1), IMAGE),
    Row(any_layer.as_fewer_axes, Power(scale=2.0, shift=0.5), FOUR, before=five_axes),
    Row(any_layer.as_fewer_axes, Softmax(axis=2), FOUR, before=five_axes),
    Row(any_layer.as_fewer_axes, Concat(axis=3), FOUR * 2, before=five_axes),
    Row(any_layer.as_fewer_axes, Slice(axis=2, slice_point=(1,)), FOUR, tops=2, before=five_axes),
    Row(any_layer.as_fewer_axes, Eltwise(operation=EltwiseOp.MAX), ((6,), (6,))),
    Row(any_layer.as_fewer_axes, Scale(), FOUR, ((2,),), before=five_axes),
    Row(any_layer.as_fewer_axes, BatchNorm(), FOUR, ((2,), (2,), torch.ones(1)), before=five_axes),
    Row(any_layer.as_one_sample, Softmax(axis=3), IMAGE),
    Row(any_layer.as_one_sample, Concat(axis=0), IMAGE * 2),
    Row(any_layer.as_one_sample, Eltwise(operation=EltwiseOp.MAX), IMAGE * 2),
    Row(any_layer.as_one_sample, Power(power=2, shift=0.5), IMAGE),
    Row(any_layer.as_one_sample, Scale(bias_term=True), IMAGE, ((4,), (4,))),
    Row(any_layer.as_one_sample, PReLU(), IMAGE, ((4,),)),
    Row(any_layer.as_one_sample, BatchNorm(), IMAGE, ((4,), (4,), torch.ones(1))),
    Row(binary.binary, Binary(op=BinaryOp.ADD), ((3,), (2, 1))),
    Row(binary.by_copies, Binary(op=BinaryOp.MUL), ((1, 4, 6), (1, 4, 1))),
    Row(convolution.one_axis_as_image_width,
        Convolution(num_output=6, pad=(1,), kernel_size=(3,), stride=(2,), dilation=(2,)),
        ((2, 4, 12),), ((6, 4, 3), (6,))),
    Row(convolution.dilated_kernel_with_zeros,
        Convolution(num_output=6, pad=(2,), kernel_size=(3,), dilation=(1, 2)),
        IMAGE, ((6, 4, 3, 3), (6,))),
    Row(convolution.dilated_kernel_with_zeros,
        Deconvolution(num_output=6, pad=(1,), kernel_size=(3,), stride=(2,), dilation=(2,)),
        IMAGE, ((4, 6, 3, 3), (6,))),
    Row(convolution.kernel_within_padding,
        Convolution(num_output=4, pad=(2,), kernel_size=(5,), stride=(2,), group=4),
        ((2, 4, 1, 2),), ((4, 1, 5, 5), (4,))),
    Row(convolution.padding_by_zeros,
        Deconvolution(num_output=6, pad=(1,), kernel_size=(1,), stride=(2,)),
        IMAGE, ((4, 6, 1, 1), (6,))),
    Row(activation.slope_by_channel, PReLU(channel_shared=True), IMAGE, ((1,),)),
    Row(elementwise.coefficients_by_power, Eltwise(coeff=(1.0, -2.0, 0.5)), IMAGE * 3),
    Row(gather.gather_by_one_hot, Gather(first=0, last=1, sizes=(3,)), ((4, 4),),
        indices([0, 5, 10])),
    Row(gather.gather_by_batch_reindex, Gather(first=0, last=1, sizes=(3,)), ((4, 4),),
        indices([0, 5, 10])),
    Row(index_map.filled, IndexMap(first=2, sizes=(8, 8), outside=1.5), IMAGE, BORDER),
    Row(index_map.cut, IndexMap(first=1, sizes=(2,)), IMAGE, indices([1, 2])),
    Row(index_map.windows, IndexMap(first=1, sizes=(9,)), ((2, 5),),
        indices([-1, -1, 0, 1, 2, 3, 4, -1, -1])),
    Row(index_map.span_by_cut_stride_pad, IndexMap(first=1, sizes=(7,)), ((2, 5),),
        indices([-1, -1, 0, 1, 2, 3, 4])),
    Row(index_map.upsample, IndexMap(first=2, sizes=(12, 12)), IMAGE, TWICE),
    Row(index_map.upsample_by_stride, IndexMap(first=2, sizes=(12, 12)), IMAGE, TWICE),
    Row(index_map.upsampled, IndexMap(first=2, sizes=(12, 12)), IMAGE, TWICE),
    Row(index_map.by_one_filter, IndexMap(first=2, sizes=(3, 3)), IMAGE,
        indices([0, 2, 4], [1, 3, 5])),
    Row(index_map.axis_by_axis, IndexMap(first=1, sizes=(2, 3)), IMAGE,
        indices([3, 1], [5, 0, 2])),
    Row(index_map.tiled, IndexMap(first=1, sizes=(8,)), IMAGE,
        indices([0, 1, 2, 3, 0, 1, 2, 3])),
    Row(index_map.pieces, IndexMap(first=1, sizes=(4,)), IMAGE, indices([2, 3, 0, 1])),
    Row(index_map.matrix, IndexMap(first=2, sizes=(9,)), ((2, 1, 12),),
        indices([5, 5, 0, 11, -1, 2, 3, 7, 1])),
    Row(index_map.gathered, IndexMap(first=2, sizes=(9,)), ((2, 1, 12),),
        indices([5, 5, 0, 11, 4, 2, 3, 7, 1])),
    Row(index_segments.by_segments, IndexMap(first=1, sizes=(590,)), ((2, 550, 1),),
        indices([*range(20, 0, -1), *range(550), *range(548, 528, -1)])),
    Row(constant.by_filler, Constant(shape=(2, 3)), IMAGE, (torch.full((2, 3), 1.5),),
        before=adds_inputs),
    Row(constant.by_parameter, Constant(shape=(2, 3)), IMAGE, ((2, 3),), before=adds_inputs),
    Row(constant.of_an_input, Constant(shape=(2, 3)), IMAGE, ((2, 3),), before=adds_inputs),
    Row(constant.of_an_input, Constant(shape=(1, 4)), ((5,),), (torch.full((1, 4), 0.5),),
        before=adds_inputs),
    Row(constant.ones_of_input, Ones(), IMAGE),
    Row(constant.ones_of_input, Ones(), ((4,),)),
    Row(matmul.second_as_weight, MatMul(), ((3, 4), (4, 2))),
    Row(matmul.by_groups, MatMul(), ((1, 2, 3, 5), (1, 2, 5, 4))),
    Row(matmul.by_products, MatMul(), ((1, 4, 5), (1, 5, 3))),
    Row(near_zero.tanh_of_caffe, FineTanH(), IMAGE),
    Row(near_zero.tanh_by_series, FineTanH(), IMAGE),
    Row(normalization.by_averages, Standardize(axis=3, eps=1e-5), IMAGE),
    Row(normalization.by_reductions, Standardize(axis=1, eps=1e-5), ((4, 5),)),
    Row(normalization.affine_on_channels, Bias(axis=2), ((2, 3, 4),), ((4,),)),
    Row(normalization.affine_on_channels, Scale(axis=2, bias_term=True), ((2, 3, 4),),
        ((4,), (4,))),
    Row(normalization.lrn_k_by_scaling, LRN(local_size=3, alpha=0.5, k=2.0), IMAGE),
    Row(permute.shuffle_channel, Permute(order=(0, 2, 1, 3, 4)), ((2, 2, 3, 4, 5),)),
    Row(permute.permute, Permute(order=(0, 2, 3, 1)), IMAGE),
    Row(permute.by_four_axes, Permute(order=(2, 0, 3, 1, 4)), ((2, 5, 3, 2, 4),)),
    Row(permute.by_swaps, Permute(order=(1, 0, 2)), ((3, 2, 4),)),
    Row(permute.by_filters, Permute(order=(0, 2, 1)), ((1, 4, 5),)),
    Row(permute.in_halves, Permute(order=(0, 2, 3, 1)), ((1, 3, 60, 40),)),
    Row(pooling.floor_by_crop, Pooling(kernel_size=2, stride=2, round_mode=FLOOR), LARGE),
    Row(pooling.floor_by_fitting, Pooling(kernel_size=2, stride=2, round_mode=FLOOR), LARGE),
    Row(pooling.cut_before, Pooling(kernel_size=2, stride=2, round_mode=FLOOR), LARGE),
    Row(pooling.cut_after, Pooling(pad=1, kernel_size=3, stride=2, round_mode=FLOOR), IMAGE),
    Row(pooling.window_of_the_input, Pooling(pool=AVE, kernel_size=5, stride=3, pad=1),
        ((2, 4, 1, 5),)),
    Row(pooling.global_by_size, Pooling(pool=AVE, global_pooling=True), IMAGE),
    Row(pooling.average_by_filter,
        Pooling(pool=AVE, kernel_size=2, stride=2, round_mode=FLOOR), LARGE),
    Row(pooling.average_by_matrices, Pooling(pool=AVE, kernel_size=2, stride=2), LARGE),
    Row(products.last_axis, AxisMatrix(axis=1, rows=4), ((6, 2),), ((4, 2),)),
    Row(products.channels, AxisMatrix(axis=1, rows=3), IMAGE, ((3, 4),)),
    Row(products.any_axis, AxisMatrix(axis=0, rows=3), ((2, 5),), ((3, 2),)),
    Row(products.by_columns, AxisMatrix(axis=2, rows=3), IMAGE, ((3, 6),)),
    Row(products.product_of_rows, InnerProduct(num_output=3, axis=-1), ((2, 4, 5),),
        ((3, 5), (3,))),
    Row(products.product_by_filters, InnerProduct(num_output=3), ((4, 5),), ((3, 5), (3,))),
    Row(recurrent.unrolled, LSTM(num_output=3), ((4, 1, 5), (4, 1)), ((12, 5), (12,), (12, 3)),
        before=going_on),
    Row(reduction.reduce, Reduce(op=ReduceOp.MAX, axes=(0,), keepdim=True), ((4, 5),)),
    Row(reduction.by_poolings, Reduce(op=ReduceOp.SUM, axes=(2,)), ((4, 3, 5),)),
    Row(reduction.by_reduce, Reduction(axis=2), ((4, 3, 5),)),
    Row(shape.flatten_by_reshape, Flatten(axis=0, end_axis=1), ((2, 3, 4),)),
    Row(shape.from_reshape_source, Reshape(shape=(6, -1)), ((2, 3, 4),), before=flattened),
    Row(shape.equal_slice_points, Slice(axis=1), IMAGE, tops=2),
    Row(unpooling.by_windows, UpsampleMask(scale=2), IMAGE,
        before=pooled(Pooling(kernel_size=2, stride=2))),
    Row(unpooling.by_windows, UpsampleMask(upsample_h=7, upsample_w=5), LARGE,
        before=pooled(Pooling(kernel_size=3, stride=2, pad=1))),
]  # fmt: skip
# In float64 Newton's steps and sums of exponentials leave errors below float32's.
RELATIVE = 1e-6


def rules_of(record: type[Layer]) -> list[Rule]:
    """Return the record's rules, those among which the cheapest is taken too."""
    return [
        rule
        for entry in RULES.get(record, ())
        for rule in (entry.rules if isinstance(entry, Cheapest) else (entry,))
    ]


def rules() -> set[Rule]:
    return {rule for record in RULES for rule in rules_of(record)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{name_of(row.rule)}-{row.layer.type}")
def test_a_rules_layers_compute_the_records_meaning(row: Row) -> None:
    assert computes(row, row.rule)


@pytest.mark.parametrize(
    "row",
    [*ROWS, Row(index_map.filled, IndexMap(first=1, sizes=(6,), outside=1.5), ((2, 4),),
                indices([-1, 0, 3, 2, 2, -1]))],
    ids=lambda row: f"{name_of(row.rule)}-{row.layer.type}",
)  # fmt: skip
def test_the_records_other_rules_refuse_it_or_compute_it_too(row: Row) -> None:
    """A rule may be reached where those before it failed, which it must not build on."""
    for rule in rules_of(type(row.layer)):
        try:
            computes(row, rule)
        except (Refused, FixBatch):
            continue


def computes(row: Row, rule: Rule) -> bool:
    """Hold the rule's layers against the record's meaning; False if it is not about them."""
    inputs, blobs = row.tensors()
    net = Emitter()
    with net.at("rewritten", Origin()):
        symbols = tuple(net.add(Input(shape=(shape,)), suffix="input") for shape in row.inputs)
        bottoms = row.before(net, symbols)
        made = rule(net, LayerCall(row.layer, bottoms, blobs, row.tops))
    if made is None:
        return False
    again = row.layer, tuple(bottom.value for bottom in bottoms)
    assert rule is not row.rule or again not in [(step.layer, step.bottoms) for step in net.steps]
    known = {symbol.value: x for symbol, x in zip(symbols, inputs, strict=True)}
    values = complete(Net(tuple(net.steps), ()), known)
    read = [values[bottom.value] for bottom in bottoms]
    wanted = row.layer.compute(read, [blob.double() for blob in blobs], row.tops)
    assert len(made) == len(wanted)
    for symbol, top in zip(made, wanted, strict=True):
        got = values[symbol.value]
        assert symbol.shape == tuple(got.shape) == tuple(top.shape), name_of(rule)
        error = float((got - top).abs().max())
        assert error <= RELATIVE * float(top.abs().max()), name_of(rule)
    return True


def test_a_bias_beside_a_matrix_that_would_be_too_large_is_a_layer_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(products, "DENSE", 20)  # fewer than the 36 of an identity over the top
    row = Row(products.product_by_filters, InnerProduct(num_output=6), ((4, 2),), ((6, 2), (6,)))
    test_a_rules_layers_compute_the_records_meaning(row)


def test_every_rule_has_a_row() -> None:
    assert {name_of(rule) for rule in rules()} == {name_of(row.rule) for row in ROWS}
