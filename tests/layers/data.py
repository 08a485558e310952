"""Rows of the layers without bottoms."""

from __future__ import annotations

from caffe2fx.layers import (
    Data,
    DummyData,
    HDF5Data,
    HDF5Output,
    ImageData,
    Input,
    MemoryData,
    Parameter,
    Source,
    TransformationParameter,
    WindowData,
)
from caffe2fx.layers.images import DB
from caffe2fx.messages.common import Filler
from tests.layers.row import Refusal, Row

BILINEAR = Filler(type="bilinear")
MEMORY = MemoryData(batch_size=2, channels=3, height=4, width=5)
# All the old fields of data layers, with which Caffe of today does nothing.
OLD = {"scale": 0.5, "mean_file": "old.binaryproto", "crop_size": 3, "mirror": True}
COLOURS = (104.0, 117.0, 123.0)
CROP = TransformationParameter(crop_size=5, mean_value=COLOURS)
ALL = TransformationParameter(
    scale=0.5, mirror=True, crop_size=7, mean_file="m.binaryproto", force_color=True,
    force_gray=True,
)  # fmt: skip


def source(id: str, layer: Source, tops: int = 2) -> Row:
    return Row(id, layer, tops=tops, needs_files=True)


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
        as_text="dummy_data_param { shape { dim: 2 } data_filler { } "
        'data_filler { type: "constant" value: 0 } }'),
    Row("dummy, bilinear 4", DummyData(shape=((2, 3, 4, 4),), data_filler=(BILINEAR,))),
    Row("dummy, bilinear 3", DummyData(shape=((1, 1, 3, 3),), data_filler=(BILINEAR,))),
    Row("dummy, bilinear 1", DummyData(shape=((1, 2, 1, 1),), data_filler=(BILINEAR,))),
    Row("dummy, num channels height width",
        DummyData(shape=((1, 2, 3, 4),), data_filler=(Filler(value=7),)),
        as_text="dummy_data_param { num: 1 channels: 2 height: 3 width: 4 "
        "data_filler { value: 7 } }"),
    Row("dummy, num channels height width of two",
        DummyData(shape=((1, 2, 3, 4), (5, 6, 7, 8))), tops=2,
        as_text="dummy_data_param { num: 1 channels: 2 height: 3 width: 4 "
        "num: 5 channels: 6 height: 7 width: 8 }"),
    Row("dummy, some of num channels height width said once",
        DummyData(shape=((1, 2, 3, 4), (5, 2, 3, 4))), tops=2,
        as_text="dummy_data_param { num: 1 num: 5 channels: 2 height: 3 width: 4 }"),
    Row("parameter", Parameter(shape=(2, 3))),
    Row("parameter, a scalar", Parameter(shape=())),
    Row("input, transformed", Input(shape=((2, 3),), transform_param=ALL)),
    Row("memory", MEMORY, tops=2),
    Row("memory, transformed", MEMORY.replace(transform_param=CROP), tops=2),
    source("data", Data(source="db", batch_size=2, backend=DB.LMDB, transform_param=CROP)),
    source("data, no label", Data(source="db", batch_size=2, rand_skip=1, prefetch=2,
                                  force_encoded_color=True, transform_param=CROP, **OLD), 1),
    source("images", ImageData(source="list", batch_size=2, new_height=4, new_width=5,
                               root_folder="here", shuffle=True, rand_skip=1, **OLD)),
    source("images, gray, cropped", ImageData(is_color=False, transform_param=ALL)),
    source("images, cropped after", ImageData(new_height=8, new_width=9, transform_param=CROP)),
    source("windows", WindowData(source="list", batch_size=2, transform_param=CROP,
                                 fg_threshold=0.25, bg_threshold=0.125, fg_fraction=0.5,
                                 context_pad=1, crop_mode="square", cache_images=True,
                                 root_folder="here", **OLD)),
    source("hdf5", HDF5Data(source="list", batch_size=2, shuffle=True), 3),
    Row("hdf5 out", HDF5Output(file_name="out.h5"), ((2, 3), (2, 1)), 0, needs_files=True),
)  # fmt: skip


def data(id: str, reason: str, type: str, parameters: str, tops: int = 2) -> Refusal:
    return Refusal(id, type, reason, parameters, (), tops)


def dummy(id: str, reason: str, parameters: str, tops: int = 1, here_only: str = "") -> Refusal:
    parameters = f"dummy_data_param {{ {parameters} }}"
    return Refusal(f"dummy {id}", "DummyData", reason, parameters, (), tops, here_only)


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
    data("memory no width", "needs channels, height and width >= 1", "MemoryData",
         "memory_data_param { batch_size: 1 channels: 1 height: 1 }"),
    data("memory no batch", "needs batch_size >= 1", "MemoryData",
         "memory_data_param { channels: 1 height: 1 width: 1 }"),
    data("memory one top", r"needs 2 top\(s\), got 1", "MemoryData",
         "memory_data_param { batch_size: 1 channels: 1 height: 1 width: 1 }", 1),
    data("memory two means", "needs mean_file or mean_value, got both", "MemoryData",
         "memory_data_param { batch_size: 1 channels: 1 height: 1 width: 1 } "
         'transform_param { mean_file: "m.binaryproto" mean_value: 1 }'),
    data("images new_height alone", "needs new_height and new_width or neither", "ImageData",
         "image_data_param { new_height: 1 }"),
    data("windows without a crop", "needs crop_size in transform_param", "WindowData",
         "window_data_param { batch_size: 1 }"),
    data("hdf5 transformed", "needs no transform_param", "HDF5Data",
         "hdf5_data_param { batch_size: 1 } transform_param { scale: 2 }", 1),
    Refusal("hdf5 out of one", "HDF5Output", r"needs 2 bottom\(s\), got 1",
            'hdf5_output_param { file_name: "/dev/null" }', tops=0),
    dummy("xavier", "needs a filler of constant, .*, got 'xavier'",
          'shape { dim: 2 } data_filler { type: "xavier" }',
          here_only="other numbers on every run: no two engines could agree"),
)  # fmt: skip
