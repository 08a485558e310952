"""The net whose files the faults are put into: a little of everything, every map alive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from caffe2fx.engines import Session, engine
from caffe2fx.files.prototxt import parse
from caffe2fx.layers import Eltwise, Input, Power
from caffe2fx.module import save
from caffe2fx.module.builder import graph_module
from caffe2fx.module.save import current_net
from caffe2fx.net.evaluate import Reference
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.verdict.comparison import reference_of
from caffe2fx.verdict.judge import judge
from caffe2fx.verdict.reference.calibrate import calibrate
from caffe2fx.verdict.result.report import Report

TEXT = """
layer { name: "data" type: "Input" top: "data" input_param {
  shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "branch" type: "Convolution" bottom: "conv" top: "branch"
  convolution_param { num_output: 6 kernel_size: 1 bias_term: false group: 2 } }
layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "branch" top: "sum"
  eltwise_param { coeff: 1 coeff: 0.5 } }
layer { name: "strided" type: "Convolution" bottom: "sum" top: "strided"
  convolution_param { num_output: 4 kernel_size: 2 stride: 3 } }
layer { name: "pool" type: "Pooling" bottom: "sum" top: "pool"
  pooling_param { kernel_size: 3 stride: 3 pool: AVE } }
layer { name: "concat" type: "Concat" bottom: "strided" bottom: "pool" top: "concat" }
layer { name: "fc" type: "InnerProduct" bottom: "concat" top: "fc"
  inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
X = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])


def chain(*layers: Step) -> Net:
    """Return a net of these layers over an input of (2, 4)."""
    data = Step("data", Input(shape=((2, 4),)), (), (Value("x"),))
    return Net((data, *layers), layers[-1].tops)


def power(name: str, bottom: Value, **parameters: float) -> Step:
    """Return a Power whose top has the name of the layer."""
    return Step(name, Power(**parameters), (bottom,), (Value(name),))


def canceling(off: float = 0.0) -> Net:
    """Return a net whose result is a hundredth of its terms, so that errors count more."""
    almost = power("almost", Value("x"), scale=-0.99)
    both = Value("one"), Value("almost")
    left = Step("left", Eltwise(), both, (Value("left"),))
    return chain(power("one", Value("x"), scale=1 + off), almost, left)


def right_net() -> Net:
    """Return the net with weights that keep its signal alive."""
    torch.manual_seed(0)
    net = parse(TEXT, source="right.prototxt")
    shapes = net.shapes()
    steps = tuple(
        replace(step, blobs=tuple(map(torch.rand, step.layer.blob_shapes(_bottoms(step, shapes)))))
        for step in net.steps
    )
    module = graph_module(replace(net, steps=steps))
    calibrate(module, [torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))])
    return current_net(module)


def _bottoms(step: Step, shapes: Mapping[Value, tuple[int, ...]]) -> list[tuple[int, ...]]:
    return [shapes[bottom] for bottom in step.bottoms]


def reference(net: Net) -> Reference:
    """Return all values of the net, in the precision of the inputs."""
    return reference_of(graph_module(net))


def opened(net: Net, folder: Path, name: str) -> Session:
    """Return a net's files, in an engine."""
    files = folder / "net.prototxt", folder / "net.caffemodel"
    save.save(net, *files)
    return engine(name).open(*files)


def verdict(net: Net, judged: Net, folder: Path, name: str, inputs: Tensor = IMAGES) -> Report:
    """Return the files of `judged` in an engine, held against `net`."""
    with opened(judged, folder, name) as session:
        return judge(net, session, reference(net), [inputs], engine=name)


def at(net: Net, name: str) -> Step:
    """Return the step of that name."""
    return next(step for step in net.steps if step.name == name)


def with_step(net: Net, step: Step) -> Net:
    """Return the net with another step for the one of that name."""
    steps = tuple(step if old.name == step.name else old for old in net.steps)
    return replace(net, steps=steps)
