"""Rows of Deconvolution and Im2col, which share Convolution's message."""

from __future__ import annotations

from caffe2fx.layers import Deconvolution, Im2col
from caffe2fx.messages.common import Engine, Filler
from caffe2fx.messages.message import Shape
from tests.layers.row import Refusal, Row

IMAGE = (2, 4, 5, 3)


def deconv(id: str, layer: Deconvolution, *bottoms: Shape, as_text: str = "") -> Row:
    shapes = bottoms or (IMAGE,)
    return Row(f"deconvolution {id}", layer, shapes, tops=len(shapes), as_text=as_text)


def im2col(id: str, layer: Im2col, bottom: Shape = (2, 3, 6, 5), as_text: str = "") -> Row:
    return Row(f"windows {id}", layer, (bottom,), as_text=as_text)


ROWS = (
    deconv("3x3", Deconvolution(num_output=3, kernel_size=(3,))),
    deconv("1x1", Deconvolution(num_output=3, kernel_size=(1,))),
    deconv("no bias", Deconvolution(num_output=3, kernel_size=(2,), bias_term=False)),
    deconv("twice as large", Deconvolution(num_output=3, kernel_size=(4,), stride=(2,), pad=(1,))),
    deconv("stride > kernel", Deconvolution(num_output=3, kernel_size=(2,), stride=(3,))),
    deconv("unequal sides", Deconvolution(
        num_output=3, kernel_h=3, kernel_w=2, pad_h=0, pad_w=1, stride_h=1, stride_w=3)),
    deconv(
        "unequal lists spelled",
        Deconvolution(num_output=3, kernel_h=2, kernel_w=4, pad_h=1, pad_w=0, stride_h=2,
                      stride_w=1, dilation=(2, 1)),
        as_text="convolution_param { num_output: 3 kernel_size: 2 kernel_size: 4 pad: 1 pad: 0 "
        "stride: 2 stride: 1 dilation: 2 dilation: 1 }",
    ),
    deconv("dilation", Deconvolution(num_output=3, kernel_size=(3,), dilation=(2,), pad=(2,))),
    deconv("stride and dilation", Deconvolution(
        num_output=3, kernel_size=(3,), stride=(2,), dilation=(2, 3))),
    deconv("group 2", Deconvolution(num_output=6, kernel_size=(3,), group=2)),
    deconv("depthwise", Deconvolution(
        num_output=4, kernel_size=(4,), stride=(2,), pad=(1,), group=4, bias_term=False)),
    deconv("two bottoms", Deconvolution(num_output=3, kernel_size=(2,)), IMAGE, IMAGE),
    deconv("1-D", Deconvolution(num_output=3, kernel_size=(3,), stride=(2,)), (2, 4, 5)),
    deconv("3-D", Deconvolution(num_output=2, kernel_size=(1, 2, 3), stride=(2, 1, 1),
                                pad=(0, 0, 1)), (2, 2, 3, 2, 3)),
    deconv("axis 2 of rank 5", Deconvolution(
        num_output=3, kernel_size=(2,), axis=2), (2, 3, 4, 3, 2)),
    deconv("force_nd_im2col", Deconvolution(num_output=3, kernel_size=(2,), force_nd_im2col=True)),
    deconv("fillers and engine", Deconvolution(
        num_output=4, kernel_size=(4,), group=4, engine=Engine.CAFFE,
        weight_filler=Filler(type="bilinear"), bias_filler=Filler(value=1))),
    deconv("long sums", Deconvolution(num_output=2, kernel_size=(3,)), (1, 300, 3, 3)),
    im2col("3x3", Im2col(kernel_size=(3,))),
    im2col("1x1", Im2col(kernel_size=(1,))),
    im2col("pad and stride", Im2col(kernel_size=(3,), pad=(1,), stride=(2,))),
    im2col("unequal sides", Im2col(
        kernel_h=2, kernel_w=3, pad_h=0, pad_w=2, stride_h=3, stride_w=1)),
    im2col(
        "unequal lists spelled",
        Im2col(kernel_h=2, kernel_w=3, pad_h=1, pad_w=0, stride_h=1, stride_w=2, dilation=(2, 1)),
        as_text="convolution_param { kernel_size: 2 kernel_size: 3 pad: 1 pad: 0 "
        "stride: 1 stride: 2 dilation: 2 dilation: 1 }",
    ),
    im2col("dilation", Im2col(kernel_size=(2,), dilation=(3, 2))),
    im2col("1-D", Im2col(kernel_size=(3,), pad=(1,)), (2, 3, 5)),
    im2col("3-D", Im2col(kernel_size=(1, 2, 2), stride=(2, 1, 1)), (2, 2, 4, 3, 3)),
    im2col("axis 2 of rank 5", Im2col(kernel_size=(2,), axis=2), (2, 3, 2, 4, 3)),
    im2col("force_nd_im2col", Im2col(kernel_size=(2,), force_nd_im2col=True)),
    im2col("what a convolution would say", Im2col(
        kernel_size=(2,), num_output=5, bias_term=False, group=2, engine=Engine.CAFFE,
        weight_filler=Filler(value=1), bias_filler=Filler(value=2))),
)  # fmt: skip


def refuse(id: str, reason: str, parameters: str, *bottoms: Shape, tops: int = 1) -> Refusal:
    type_, parameters = id.split()[0], f"convolution_param {{ {parameters} }}"
    return Refusal(id, type_, reason, parameters, bottoms or (IMAGE,), tops)


REFUSALS = (
    refuse("Deconvolution no num_output", "needs num_output of 1 or more", "kernel_size: 3"),
    refuse("Deconvolution no kernel", "needs kernel_size, got none", "num_output: 4"),
    refuse("Deconvolution stride 0", "needs kernel, stride and dilation of 1 or more",
           "num_output: 4 kernel_size: 3 stride: 0"),
    refuse("Deconvolution nothing left", "needs an output of 1 or more, got",
           "num_output: 4 kernel_size: 3 pad: 9"),
    refuse("Deconvolution group", "divisible by group 3", "num_output: 3 kernel_size: 3 group: 3"),
    refuse("Deconvolution unequal bottoms", "needs bottoms of one shape",
           "num_output: 3 kernel_size: 3", IMAGE, (2, 4, 5, 5), tops=2),
    refuse("Im2col no kernel", "needs kernel_size, got none", ""),
    refuse("Im2col kernel 0", "needs kernel, stride and dilation of 1 or more", "kernel_size: 0"),
    refuse("Im2col kernel > input", "needs an input of at least its kernel", "kernel_size: 4"),
    refuse("Im2col two bottoms", r"needs 1 bottom\(s\), got 2", "kernel_size: 2", IMAGE, IMAGE),
)  # fmt: skip
