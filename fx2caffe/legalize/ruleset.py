"""RULES: for each record the decompositions, in the order in which they are tried."""

from __future__ import annotations

from caffe2fx.layer import Layer
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
    Reduction,
    Reshape,
    Scale,
    Slice,
    Swish,
    Threshold,
)
from fx2caffe.legalize import (
    activation,
    axis_matrix,
    binary,
    forks,
    gather,
    index_map,
    logarithm,
    matmul,
    permute,
    pooling,
    portable,
    ranks,
    recurrent,
    reduce,
    sides,
    standardize,
    threshold,
    values,
)
from fx2caffe.legalize.axis_matrix import AxisMatrix
from fx2caffe.legalize.binary import Binary
from fx2caffe.legalize.gather import Gather
from fx2caffe.legalize.index_map import IndexMap
from fx2caffe.legalize.matmul import MatMul
from fx2caffe.legalize.permute import Permute
from fx2caffe.legalize.reduce import Reduce
from fx2caffe.legalize.rules import Rule
from fx2caffe.legalize.standardize import Standardize

RULES: dict[type[Layer], tuple[Rule, ...]] = {
    AbsVal: (values.both_sides,),
    AxisMatrix: (
        axis_matrix.last_axis,
        axis_matrix.channels,
        axis_matrix.any_axis,
        portable.by_columns,
    ),
    BNLL: (logarithm.by_sigmoid,),
    Bias: (values.on_channels,),
    Binary: (
        binary.binary,
        portable.by_copies,
    ),
    Clip: (
        forks.relu6,
        activation.clip_by_maximum,
    ),
    Convolution: (
        values.on_an_image,
        values.spread_kernel,
    ),
    Deconvolution: (
        values.on_an_image,
        values.spread_kernel,
    ),
    Eltwise: (values.weighed_before,),
    Exp: (values.by_softmax,),
    Flatten: (
        portable.flatten_by_reshape,
        values.from_before,
    ),
    Gather: (
        gather.dense,
        gather.by_row,
    ),
    IndexMap: (
        index_map.filled,
        index_map.cut,
        index_map.windows,
        index_map.staged,
        forks.upsample,
        forks.upsample_by_stride,
        index_map.upsampled,
        portable.by_one_filter,
        index_map.axis_by_axis,
        index_map.tiled,
        index_map.pieces,
        index_map.matrix,
        index_map.gathered,
    ),
    InnerProduct: (
        values.product_of_rows,
        portable.product_by_filters,
    ),
    LRN: (values.unit_k,),
    LSTM: (recurrent.unrolled,),
    Log: (
        logarithm.by_newton,
        values.natural,
    ),
    MatMul: (
        matmul.second_as_weight,
        matmul.by_groups,
        matmul.by_products,
    ),
    Permute: (
        forks.shuffle_channel,
        forks.permute,
        permute.by_swaps,
        portable.by_filters,
        sides.in_halves,
    ),
    Pooling: (
        pooling.floor_by_crop,
        portable.global_by_size,
        portable.average_by_filter,
        portable.floor_by_fitting,
        portable.average_by_matrices,
        portable.cut_before,
        portable.cut_after,
    ),
    Reduce: (
        reduce.reduce,
        portable.by_poolings,
    ),
    Reduction: (reduce.by_reduce,),
    Reshape: (values.from_before,),
    Scale: (values.on_channels,),
    Slice: (values.said_points,),
    Standardize: (
        standardize.by_reductions,
        portable.by_averages,
    ),
    Swish: (activation.swish_by_sigmoid,),
    Threshold: (threshold.by_scaling,),
    # Any layer, when no rule of its own applies.
    Layer: (
        ranks.in_its_memory,
        values.axis_from_the_front,
    ),
}


def rules_for(layer: Layer) -> tuple[Rule, ...]:
    """The rules for a record: its own, then those for any layer."""
    return (*RULES.get(type(layer), ()), *RULES[Layer])
