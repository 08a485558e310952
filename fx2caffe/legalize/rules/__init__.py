"""RULES: for each record the decompositions, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from caffe2fx.layers import (
    BNLL,
    LRN,
    LSTM,
    AbsVal,
    Bias,
    Clip,
    Convolution,
    Deconvolution,
    Eltwise,
    Exp,
    Flatten,
    InnerProduct,
    Log,
    Pooling,
    PReLU,
    Reduction,
    Reshape,
    Scale,
    Slice,
    Swish,
    Threshold,
    UpsampleMask,
)
from caffe2fx.layers.layer import Layer
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.binary import Binary
from fx2caffe.ir.constants import Constant
from fx2caffe.ir.gather import Gather
from fx2caffe.ir.index_map import IndexMap
from fx2caffe.ir.matmul import MatMul
from fx2caffe.ir.ones import Ones
from fx2caffe.ir.permute import Permute
from fx2caffe.ir.reduce import Reduce
from fx2caffe.ir.standardize import Standardize
from fx2caffe.ir.tanh import FineTanH
from fx2caffe.legalize.rule import Cheapest, Rule, UserRule
from fx2caffe.legalize.rules import (
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

R = TypeVar("R", bound=Rule)

RULES: dict[type[Layer], tuple[Rule | Cheapest, ...]] = {
    AbsVal: (activation.abs_by_two_relus,),
    AxisMatrix: (
        products.last_axis,
        products.channels,
        products.any_axis,
        products.by_columns,
    ),
    BNLL: (activation.by_sigmoid,),
    Bias: (normalization.affine_on_channels,),
    Binary: (
        binary.binary,
        binary.by_copies,
    ),
    Clip: (
        activation.relu6,
        activation.clip_by_maximum,
    ),
    Constant: (
        constant.by_filler,
        constant.by_parameter,
        constant.of_an_input,
    ),
    Convolution: (
        convolution.one_axis_as_image_width,
        convolution.dilated_kernel_with_zeros,
        convolution.kernel_within_padding,
    ),
    Deconvolution: (
        convolution.one_axis_as_image_width,
        convolution.dilated_kernel_with_zeros,
        convolution.padding_by_zeros,
    ),
    Eltwise: (elementwise.coefficients_by_power,),
    Exp: (activation.by_softmax,),
    FineTanH: (
        near_zero.tanh_of_caffe,
        near_zero.tanh_by_series,
    ),
    Flatten: (
        shape.flatten_by_reshape,
        shape.from_reshape_source,
    ),
    Gather: (Cheapest((gather.gather_by_one_hot, gather.gather_by_batch_reindex)),),
    IndexMap: (
        index_map.filled,
        index_map.cut,
        index_map.windows,
        index_map.span_by_cut_stride_pad,
        index_map.upsample,
        index_map.upsample_by_stride,
        index_map.upsampled,
        index_map.by_one_filter,
        index_map.axis_by_axis,
        index_map.tiled,
        index_map.pieces,
        Cheapest((index_map.matrix, index_map.gathered, index_segments.by_segments)),
    ),
    InnerProduct: (
        products.product_of_rows,
        products.product_by_filters,
    ),
    LRN: (normalization.lrn_k_by_scaling,),
    LSTM: (recurrent.unrolled,),
    Log: (
        activation.by_newton,
        activation.log_by_base_change,
    ),
    MatMul: (
        matmul.second_as_weight,
        matmul.by_groups,
        matmul.by_products,
    ),
    Ones: (constant.ones_of_input,),
    Permute: (
        permute.shuffle_channel,
        permute.permute,
        permute.by_four_axes,
        permute.by_swaps,
        permute.by_filters,
        permute.in_halves,
    ),
    Pooling: (
        pooling.floor_by_crop,
        pooling.global_by_size,
        pooling.window_of_the_input,
        pooling.average_by_filter,
        pooling.floor_by_fitting,
        pooling.average_by_matrices,
        pooling.cut_before,
        pooling.cut_after,
    ),
    PReLU: (activation.slope_by_channel,),
    Reduce: (
        reduction.reduce,
        reduction.by_poolings,
    ),
    Reduction: (reduction.by_reduce,),
    Reshape: (shape.from_reshape_source,),
    Scale: (normalization.affine_on_channels,),
    Slice: (shape.equal_slice_points,),
    Standardize: (
        normalization.by_reductions,
        normalization.by_averages,
    ),
    Swish: (activation.swish_by_sigmoid,),
    Threshold: (activation.by_scaling,),
    UpsampleMask: (unpooling.by_windows,),
    # Rules for any layer, tried when none of its own applies.
    Layer: (
        any_layer.as_fewer_axes,
        any_layer.axis_counted_from_front,
        any_layer.as_one_sample,
    ),
}


_USERS: list[UserRule] = []


def rules_for(layer: Layer, target: str) -> tuple[Rule | Cheapest, ...]:
    """Return the rules for a record in a target: the user's, its own, then those for any layer."""
    users = [each.rule for each in _USERS if each.is_for(layer, target)]
    return (*users, *RULES.get(type(layer), ()), *RULES[Layer])


def register_rule(record: type[Layer], *, targets: Collection[str] = ()) -> Callable[[R], R]:
    """Register a rule that decomposes a layer where a target does not have it.

    The rule takes the emitter and the layer's call (`.layer`, `.bottoms`, `.bottom`, `.blobs`,
    `.tops`), emits layers and returns the tops; it returns None where it is not about this use of
    the layer, and raises Refused with the reason where it cannot be applied. It is tried before
    the rules of the package, for the targets that are named, or for all.

        @fx2caffe.register_rule(layers.TanH, targets=["mychip"])
        def tanh_by_sigmoid(net, call):
            inner = net.add(layers.Sigmoid(), net.add(layers.Power(scale=2), call.bottom))
            return (net.add(layers.Power(scale=2, shift=-1), inner),)
    """

    def decorate(rule: R) -> R:
        _USERS.append(UserRule(record, rule, frozenset(targets)))
        return rule

    return decorate


def unregister_rule(rule: Rule) -> None:
    """Remove a rule that `register_rule` registered."""
    _USERS[:] = [each for each in _USERS if each.rule is not rule]
