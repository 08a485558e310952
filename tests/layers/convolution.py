"""Rows of Convolution, Deconvolution and Im2col."""

from __future__ import annotations

from caffe2fx.layers import Convolution, Deconvolution, Im2col
from caffe2fx.messages.common import Engine, Filler
from tests.layers.row import Refusal, Row

IMAGE = (2, 4, 9, 7)


def conv(id: str, layer: Convolution, *bottoms: tuple[int, ...], as_text: str = "") -> Row:
    shapes = bottoms or (IMAGE,)
    return Row(f"conv {id}", layer, shapes, tops=len(shapes), as_text=as_text)


def deconv(id: str, layer: Deconvolution, *bottoms: tuple[int, ...], as_text: str = "") -> Row:
    shapes = bottoms or (IMAGE,)
    return Row(f"deconv {id}", layer, shapes, tops=len(shapes), as_text=as_text)


def im2col(id: str, layer: Im2col, bottom: tuple[int, ...] = IMAGE) -> Row:
    return Row(f"im2col {id}", layer, (bottom,))


MOVING = (
    deconv("without space", Deconvolution(num_output=6, group=2), (3, 4)),
    deconv("2x2", Deconvolution(num_output=3, kernel_size=(2,), stride=(2,))),
    deconv("overlapping", Deconvolution(num_output=3, kernel_size=(4,), stride=(2,), pad=(1,))),
    deconv("no bias", Deconvolution(num_output=3, kernel_size=(3,), bias_term=False)),
    deconv("unequal sides", Deconvolution(
        num_output=3, kernel_size=(3, 2), pad=(0, 1), stride=(1, 2), dilation=(2, 1))),
    deconv("kernel < stride", Deconvolution(num_output=3, kernel_size=(2,), stride=(3,))),
    deconv("group", Deconvolution(num_output=6, kernel_size=(3,), group=2, stride=(2,))),
    deconv("depthwise", Deconvolution(num_output=4, kernel_size=(3,), group=4)),
    deconv("group and dilation", Deconvolution(
        num_output=2, kernel_size=(3,), group=2, dilation=(2,), stride=(2,), pad=(2,))),
    deconv("two bottoms", Deconvolution(num_output=3, kernel_size=(3,)), IMAGE, IMAGE),
    deconv("1-D", Deconvolution(num_output=3, kernel_size=(3,), stride=(2,)), (2, 4, 9)),
    deconv("3-D", Deconvolution(num_output=2, kernel_size=(2,), pad=(1,)), (2, 2, 4, 5, 3)),
    deconv("axis 2", Deconvolution(num_output=2, kernel_size=(2,), axis=2), (2, 3, 4, 5, 3)),
    deconv("spelled", Deconvolution(num_output=3, kernel_size=(3, 2), stride=(1, 2)),
           as_text="convolution_param { num_output: 3 kernel_h: 3 kernel_w: 2 "
           "stride: 1 stride: 2 }"),
    im2col("3x3", Im2col(kernel_size=(3,))),
    im2col("unequal sides", Im2col(
        kernel_size=(3, 2), pad=(2, 1), stride=(1, 2), dilation=(2, 1))),
    im2col("windows of one", Im2col(kernel_size=(1,), pad=(1, 2), stride=(2, 1))),
    im2col("rows", Im2col(kernel_size=(3, 1), stride=(3, 1)), (2, 1, 9, 7)),
    im2col("1-D", Im2col(kernel_size=(3,), pad=(1,), stride=(2,)), (2, 4, 9)),
    im2col("3-D", Im2col(kernel_size=(2,), stride=(2, 1, 1)), (2, 2, 4, 5, 3)),
    im2col("axis 2", Im2col(kernel_size=(2,), axis=2), (2, 3, 4, 5, 3)),
)  # fmt: skip
ROWS = (
    *MOVING,
    conv("1x1", Convolution(num_output=3, kernel_size=(1,))),
    conv("without space", Convolution(num_output=6, group=2), (3, 4)),
    conv("without space, a kernel", Convolution(num_output=3, kernel_size=(3,), stride=(2,)),
         (3, 4)),
    conv("without space, axis 2", Convolution(num_output=3, axis=2), (2, 3, 4)),
    conv("3x3", Convolution(num_output=3, kernel_size=(3,))),
    conv("pad 1 stride 2", Convolution(num_output=3, kernel_size=(3,), pad=(1,), stride=(2,))),
    conv("no bias", Convolution(num_output=3, kernel_size=(3,), bias_term=False)),
    conv(
        "unequal sides",
        Convolution(num_output=3, kernel_size=(3, 2), pad=(0, 1), stride=(1, 2), dilation=(2, 1)),
    ),
    conv(
        "unequal sides the other way",
        Convolution(num_output=3, kernel_size=(1, 4), pad=(2, 0), stride=(3, 1), dilation=(1, 2)),
    ),
    conv(
        "_h and _w spelled",
        Convolution(num_output=3, kernel_size=(3, 5), pad=(1, 2), stride=(2, 1)),
        as_text="convolution_param { num_output: 3 kernel_h: 3 kernel_w: 5 pad_h: 1 pad_w: 2 "
        "stride_h: 2 stride_w: 1 }",
    ),
    conv(
        "lists spelled",
        Convolution(num_output=3, kernel_h=3, kernel_w=5, pad_h=1, pad_w=2, dilation=(2,)),
        as_text="convolution_param { num_output: 3 kernel_size: 3 kernel_size: 5 pad: 1 pad: 2 "
        "stride: 1 stride: 1 dilation: 2 dilation: 2 }",
    ),
    conv(
        "unequal lists spelled",
        Convolution(num_output=3, kernel_h=3, kernel_w=2, pad_h=1, pad_w=0, stride_h=1, stride_w=2,
                    dilation=(1, 2)),
        as_text="convolution_param { num_output: 3 kernel_size: 3 kernel_size: 2 pad: 1 pad: 0 "
        "stride: 1 stride: 2 dilation: 1 dilation: 2 }",
    ),
    conv(
        "pad_h alone spelled",
        Convolution(num_output=3, kernel_size=(3,), pad=(1, 0)),
        as_text="convolution_param { num_output: 3 kernel_size: 3 pad_h: 1 }",
    ),
    conv("group 2", Convolution(num_output=6, kernel_size=(3,), group=2)),
    conv("depthwise", Convolution(num_output=4, kernel_size=(3,), group=4, pad=(1,))),
    conv("depthwise, two a channel", Convolution(num_output=8, kernel_size=(3,), group=4)),
    conv("dilation 3", Convolution(num_output=3, kernel_size=(2,), dilation=(3,), pad=(1,))),
    conv("group, dilation and stride", Convolution(
        num_output=2, kernel_size=(2,), group=2, dilation=(2,), stride=(2,))),
    conv("two bottoms", Convolution(num_output=3, kernel_size=(3,)), IMAGE, IMAGE),
    conv("1-D", Convolution(num_output=3, kernel_size=(3,), pad=(1,), stride=(2,)), (2, 4, 9)),
    conv("1-D group, dilation", Convolution(
        num_output=4, kernel_size=(2,), dilation=(3,), group=2), (2, 4, 9)),
    conv("3-D", Convolution(num_output=3, kernel_size=(2,), pad=(1,)), (2, 2, 4, 5, 3)),
    conv(
        "3-D, three of each",
        Convolution(num_output=3, kernel_size=(1, 2, 3), pad=(0, 1, 2), stride=(2, 1, 3),
                    dilation=(1, 2, 1)),
        (2, 2, 4, 5, 6),
    ),
    conv("axis 2 of rank 5", Convolution(
        num_output=3, kernel_size=(3,), axis=2), (2, 3, 4, 5, 6)),
    conv("axis -3", Convolution(num_output=3, kernel_size=(3, 1), axis=-3)),
    conv("axis -2 is 1-D", Convolution(num_output=3, kernel_size=(3,), axis=-2)),
    conv("force_nd_im2col", Convolution(
        num_output=3, kernel_size=(3,), force_nd_im2col=True, dilation=(2, 1))),
    conv("fillers and engine", Convolution(
        num_output=3, kernel_size=(3,), engine=Engine.CAFFE,
        weight_filler=Filler(type="msra", variance_norm=2), bias_filler=Filler(value=0.5))),
    conv("kernel is the input", Convolution(num_output=3, kernel_size=(9, 7))),
    conv("last column left over", Convolution(num_output=3, kernel_size=(2,), stride=(4,))),
    conv("long sums", Convolution(num_output=2, kernel_size=(3,)), (1, 300, 4, 4)),
)  # fmt: skip


def refuse(
    id: str, reason: str, parameters: str, *bottoms: tuple[int, ...], tops: int = 1
) -> Refusal:
    parameters = f"convolution_param {{ {parameters} }}"
    shapes = bottoms or ((2, 4, 5, 5),)
    return Refusal(f"conv {id}", "Convolution", reason, parameters, shapes, tops)


REFUSALS = (
    Refusal("no space, two kernels", "Convolution", "needs kernel_size once or 0 times",
            "convolution_param { num_output: 1 kernel_size: [1, 2] }", ((2, 4),)),
    Refusal("windows of no space", "Im2col", "needs axes after its axis, got none",
            "convolution_param { kernel_size: 1 }", ((2, 4),)),
    Refusal("deconv nothing left", "Deconvolution", "needs an output of 1 or more",
            "convolution_param { num_output: 2 kernel_size: 1 pad: 1 }", ((2, 4, 1, 5),)),
    Refusal("deconv groups", "Deconvolution", "divisible by group 3, got 4 and 3",
            "convolution_param { num_output: 3 kernel_size: 2 group: 3 }", ((2, 4, 5, 5),)),
    Refusal("im2col kernel > input", "Im2col", "needs an input of at least its kernel",
            "convolution_param { kernel_size: 6 }", ((2, 4, 5, 5),)),
    Refusal("im2col stride 0", "Im2col", "needs kernel, stride and dilation of 1 or more",
            "convolution_param { kernel_size: 2 stride: 0 }", ((2, 4, 5, 5),)),
    refuse("no num_output", "needs num_output of 1 or more, got 0", "kernel_size: 3"),
    refuse("no kernel", "needs kernel_size, got none", "num_output: 4"),
    refuse("kernel 0", "needs kernel, stride and dilation of 1 or more",
           "num_output: 4 kernel_size: 0"),
    refuse("stride 0", "needs kernel, stride and dilation of 1 or more",
           "num_output: 4 kernel_size: 3 stride: 0"),
    refuse("group 0", "needs group of 1 or more, got 0", "num_output: 4 kernel_size: 3 group: 0"),
    refuse("kernel > input", r"needs an input of at least its kernel, got \(5, 5\)",
           "num_output: 4 kernel_size: 6"),
    refuse("channels by group", "divisible by group 3, got 4 and 3",
           "num_output: 3 kernel_size: 3 group: 3"),
    refuse("num_output by group", "divisible by group 2, got 4 and 3",
           "num_output: 3 kernel_size: 3 group: 2"),
    refuse("kernel twice", "needs kernel given once", "num_output: 3 kernel_size: 3 kernel_h: 3"),
    refuse("kernel_h alone", "needs both kernel_h and kernel_w", "num_output: 3 kernel_h: 3"),
    refuse("stride_h alone", "needs both stride_h and stride_w",
           "num_output: 3 kernel_size: 3 stride_h: 2"),
    refuse("stride twice", "needs stride given once",
           "num_output: 3 kernel_size: 3 stride: 2 stride_h: 2 stride_w: 2"),
    refuse("pad twice", "needs pad given once", "num_output: 3 kernel_size: 3 pad: 2 pad_w: 2"),
    refuse("three kernels", "needs kernel_size once or 2 times",
           "num_output: 3 kernel_size: 3 kernel_size: 2 kernel_size: 3"),
    refuse("three dilations", "needs dilation once or 2 times",
           "num_output: 3 kernel_size: 3 dilation: 1 dilation: 2 dilation: 3"),
    refuse("unequal bottoms", "needs bottoms of one shape",
           "num_output: 3 kernel_size: 3", (2, 4, 5, 5), (2, 4, 5, 6), tops=2),
    refuse("one top for two bottoms", "needs one top a bottom, got 2 and 1",
           "num_output: 3 kernel_size: 3", (2, 4, 5, 5), (2, 4, 5, 5)),
    refuse("axis", r"needs an axis in \[-4, 4\), got 4", "num_output: 3 kernel_size: 3 axis: 4"),
)  # fmt: skip
