"""Rows of the layers without bottoms."""

from __future__ import annotations

from caffe2fx.layers import DummyData, Input, Parameter
from caffe2fx.message import Filler
from tests.layers.row import Refusal, Row

BILINEAR = Filler(type="bilinear")
ROWS = (
    Row("input", Input(shape=((2, 3),))),
    Row("input, one shape for two", Input(shape=((2, 3),)), tops=2),
    Row("input, two shapes", Input(shape=((2, 3), (4,))), tops=2),
    Row("input, a scalar", Input(shape=((),))),
    Row("dummy", DummyData(shape=((2, 3),))),
    Row("dummy, constant", DummyData(shape=((2, 3),), data_filler=(Filler(value=1.5),))),
    Row("dummy, one filler for two",
        DummyData(shape=((2,), (3, 1)), data_filler=(Filler(value=2),)), tops=2),
    Row("dummy, one shape for two",
        DummyData(shape=((2,),), data_filler=(Filler(value=2), Filler(value=-1))), tops=2),
    Row("dummy, default filler said twice", DummyData(shape=((2,),)), tops=2,
        spelled="dummy_data_param { shape { dim: 2 } data_filler { } "
        'data_filler { type: "constant" value: 0 } }'),
    Row("dummy, bilinear 4", DummyData(shape=((2, 3, 4, 4),), data_filler=(BILINEAR,))),
    Row("dummy, bilinear 3", DummyData(shape=((1, 1, 3, 3),), data_filler=(BILINEAR,))),
    Row("dummy, bilinear 1", DummyData(shape=((1, 2, 1, 1),), data_filler=(BILINEAR,))),
    Row("dummy, num channels height width",
        DummyData(shape=((1, 2, 3, 4),), data_filler=(Filler(value=7),)),
        spelled="dummy_data_param { num: 1 channels: 2 height: 3 width: 4 "
        "data_filler { value: 7 } }"),
    Row("dummy, num channels height width of two",
        DummyData(shape=((1, 2, 3, 4), (5, 6, 7, 8))), tops=2,
        spelled="dummy_data_param { num: 1 channels: 2 height: 3 width: 4 "
        "num: 5 channels: 6 height: 7 width: 8 }"),
    Row("dummy, some of num channels height width said once",
        DummyData(shape=((1, 2, 3, 4), (5, 2, 3, 4))), tops=2,
        spelled="dummy_data_param { num: 1 num: 5 channels: 2 height: 3 width: 4 }"),
    Row("parameter", Parameter(shape=(2, 3))),
    Row("parameter, a scalar", Parameter(shape=())),
)  # fmt: skip


def dummy(id: str, says: str, parameters: str, tops: int = 1, here_only: str = "") -> Refusal:
    parameters = f"dummy_data_param {{ {parameters} }}"
    return Refusal(f"dummy {id}", "DummyData", says, parameters, (), tops, here_only)


REFUSALS = (
    Refusal("input shapes", "Input", r"needs one shape or 3, got 2",
            "input_param { shape { dim: 1 } shape { dim: 2 } }", (), 3),
    Refusal("input bottom", "Input", r"needs 0 bottom\(s\), got 1",
            "input_param { shape { dim: 1 } }"),
    Refusal("input no top", "Input", r"needs at least 1 top\(s\), got 0",
            "input_param { shape { dim: 1 } }", (), 0),
    Refusal("parameter two tops", "Parameter", r"needs 1 top\(s\), got 2",
            "parameter_param { shape { dim: 1 } }", (), 2),
    dummy("shapes", "needs one shape and filler or 3 of each, got 2 and 0",
          "shape { dim: 1 } shape { dim: 2 }", 3),
    dummy("fillers", "needs one shape and filler or 3 of each, got 1 and 2",
          "shape { dim: 1 } data_filler { value: 1 } data_filler { value: 2 }", 3),
    dummy("both ways", "needs shape or num/channels/height/width, got both",
          "shape { dim: 1 } num: 1 channels: 1 height: 1 width: 1"),
    dummy("no height", "needs num, channels, height and width", "num: 1 channels: 1 width: 1"),
    dummy("unknown filler", "needs a filler of constant, .*, got 'pretty'",
          'shape { dim: 1 } data_filler { type: "pretty" }'),
    dummy("bilinear of rank 2", "needs a 4-D shape with square images for a bilinear filler",
          'shape { dim: 2 dim: 2 } data_filler { type: "bilinear" }'),
    dummy("bilinear, not square", "needs a 4-D shape with square images for a bilinear filler",
          'shape { dim: 1 dim: 1 dim: 2 dim: 3 } data_filler { type: "bilinear" }'),
    dummy("xavier", "needs a filler of constant, .*, got 'xavier'",
          'shape { dim: 2 } data_filler { type: "xavier" }',
          here_only="other numbers on every run: no two engines could agree"),
)  # fmt: skip
