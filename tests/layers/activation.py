"""Rows of the neuron layers and Softmax."""

from __future__ import annotations

from math import inf, nan

from caffe2fx.layers import Dropout, Power, ReLU, Softmax
from caffe2fx.messages.common import Engine
from tests.layers.row import Refusal, Row

IMAGE = (2, 3, 4, 5)
ODD = ((nan, inf, 0.0, -0.0, 1e-40, -1e30),)
WITH_MINUS_INFINITY = ((-inf, nan, inf, 0.0),)


def power(id: str, layer: Power, values: tuple[tuple[float, ...], ...] = ()) -> Row:
    return Row(f"power {id}", layer, (IMAGE,), values=values)


ROWS = (
    Row("relu", ReLU(), (IMAGE,), values=ODD),
    Row("relu of -inf", ReLU(), (IMAGE,), values=WITH_MINUS_INFINITY,
        twin_differs="Caffe's slope 0 times -inf is NaN, torch's ReLU gives 0"),
    Row("relu slope", ReLU(negative_slope=0.1), (IMAGE,), values=WITH_MINUS_INFINITY),
    Row("relu slope > 1", ReLU(negative_slope=1.5), (IMAGE,)),
    Row("relu slope < 0", ReLU(negative_slope=-0.5), (IMAGE,)),
    Row("relu engine", ReLU(engine=Engine.CAFFE), ((2, 3),)),
    Row("relu of one number", ReLU(), ((),), values=((-1.0,),)),
    power("identity", Power(), WITH_MINUS_INFINITY),
    power("scale and shift", Power(scale=0.5, shift=-2)),
    power("square", Power(power=2), WITH_MINUS_INFINITY),
    power("cube", Power(power=3, scale=0.3, shift=1)),
    power("scale 0", Power(scale=0, shift=3, power=2), WITH_MINUS_INFINITY),
    power("scale 0, root of a negative", Power(scale=0, shift=-3, power=0.5)),
    power("scale 0, 1 / 0", Power(scale=0, power=-1)),
    power("scale 0, too large", Power(scale=0, power=80, shift=1e30)),
    power("power 0", Power(power=0), WITH_MINUS_INFINITY),
    power("power 0, scale 0", Power(power=0, scale=0, shift=5)),
    power("root", Power(power=0.5)),  # half of the elements are negative: NaN
    power("root of squares", Power(power=0.5, scale=0.25, shift=8)),
    power("inverse", Power(power=-1), ((0.0, -0.0, inf, -inf),)),
    power("inverse root", Power(power=-0.5, shift=6)),
    power("fractional", Power(power=1.7, shift=5)),
    Row("softmax", Softmax(), ((3, 5),)),
    Row("softmax of an image", Softmax(), (IMAGE,)),
    Row("softmax axis 0", Softmax(axis=0), ((7,),)),
    Row("softmax axis 2", Softmax(axis=2), (IMAGE,)),
    Row("softmax axis -1", Softmax(axis=-1), (IMAGE,)),
    Row("softmax of large numbers", Softmax(engine=Engine.CAFFE), ((2, 5),), values=(
        (1e4, 1e4 - 1, 0, -1e30, 1e4),)),
    Row("dropout", Dropout(), (IMAGE,)),
    Row("dropout ratio", Dropout(dropout_ratio=0.9), ((2, 3),), values=((nan, inf, -inf),)),
)  # fmt: skip
REFUSALS = (
    Refusal("softmax axis", "Softmax", r"needs an axis in \[-1, 1\), got 1", "", ((5,),)),
    Refusal("softmax axis -5", "Softmax", r"needs an axis in \[-4, 4\), got -5",
            "softmax_param { axis: -5 }"),
    *(Refusal(f"dropout ratio {ratio}", "Dropout", f"needs dropout_ratio from 0 to 1, got {ratio}",
              f"dropout_param {{ dropout_ratio: {ratio} }}",
              here_only="TEST does not read it; TRAIN stops at its first pass")
      for ratio in ("-0.5", "2.0", "nan")),
    Refusal("relu two tops", "ReLU", r"needs 1 top\(s\), got 2", tops=2),
    Refusal("relu no bottom", "ReLU", r"needs 1 bottom\(s\), got 0", bottoms=()),
)  # fmt: skip
