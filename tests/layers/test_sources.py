"""Layers that read files, and Caffe's transformation of images: against real Caffe.

data/transform.npz holds real Caffe's results (99bd997, with LMDB) for four raw images in a Data
layer, under the parameters of CASES; where it draws by chance, some of its draws.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

import caffe2fx
from caffe2fx.engines.pycaffe import PycaffeEngine, Worker
from caffe2fx.errors import CaffeError, CaffeFileError, CaffeFormatError, ShapeMismatchError
from caffe2fx.files.prototxt import parse, text_of
from caffe2fx.layers import TransformationParameter
from caffe2fx.module.image_transform import Transform, transforms
from caffe2fx.weights import caffemodel
from caffe2fx.weights.wire_format import encode_delimited, encode_tag, encode_varint

REAL = np.load(Path(__file__).parents[1] / "data" / "transform.npz")
IMAGES = torch.from_numpy(REAL["images"])
MEAN = torch.from_numpy(REAL["mean"])
SIGNED = (1.0, 20.0, 30.5)
CASES = {
    "plain": TransformationParameter(),
    "one": TransformationParameter(mean_value=(7.0,)),
    "scale": TransformationParameter(scale=0.25, mean_value=SIGNED),
    "meanfile": TransformationParameter(mean_file="mean", scale=0.0078125, crop_size=5),
    "crop_test": TransformationParameter(crop_size=5),
    "crop8": TransformationParameter(crop_size=8),
    "gray": TransformationParameter(force_gray=True),  # the images were raw, not encoded
}


def transform(parameters: TransformationParameter) -> Transform:
    return Transform(parameters, MEAN if parameters.mean_file else None).eval()


@pytest.mark.parametrize("name", CASES)
def test_transform_is_that_of_caffe(name: str) -> None:
    made = transform(CASES[name])(IMAGES)
    assert torch.equal(made, torch.from_numpy(REAL[name]))
    assert torch.equal(transform(CASES[name])(IMAGES[0]), made[0])


def test_the_old_fields_of_data_param_do_nothing() -> None:
    assert np.array_equal(REAL["dp"], REAL["images"])


def corners(parameters: TransformationParameter, image: Tensor, mode: bool) -> list[Tensor]:
    """Return all crops and mirrors that chance makes of an image."""
    torch.manual_seed(0)
    module = transform(parameters).train(mode)
    drawn = [module(image) for _ in range(300)]
    return list({tuple(one.flatten().tolist()): one for one in drawn}.values())


@pytest.mark.parametrize(
    ("name", "parameters", "train", "count"),
    [
        ("crop_train", TransformationParameter(crop_size=5), True, 4 * 5),
        ("mirror_test", TransformationParameter(mirror=True), False, 2),
        ("mirror_train", TransformationParameter(mirror=True, mean_file="mean"), True, 2),
    ],
)
def test_chance_draws_as_caffe_draws(
    name: str, parameters: TransformationParameter, train: bool, count: int
) -> None:
    for index, image in enumerate(IMAGES):
        possible = corners(parameters, image, train)
        assert len(possible) == count
        for theirs in torch.from_numpy(REAL[name][:, index]):
            assert any(torch.equal(mine, theirs) for mine in possible)


def test_each_image_has_its_own_chance() -> None:
    torch.manual_seed(0)
    same = IMAGES[:1].expand(40, -1, -1, -1)
    made = transform(TransformationParameter(mirror=True))(same)
    assert 5 < sum(torch.equal(one, same[0].float()) for one in made) < 35


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        (TransformationParameter(crop_size=9), "needs images of 9 x 9 or more, got .8, 9."),
        (TransformationParameter(mean_value=(1.0, 2.0)), "one mean_value or one for each of 3"),
        (TransformationParameter(mean_file="m", mean_value=(1.0,)), "mean_file or mean_value"),
    ],
)
def test_nets_on_which_caffe_aborts(parameters: TransformationParameter, reason: str) -> None:
    with pytest.raises(ShapeMismatchError, match=reason):
        transform(parameters)(IMAGES)


def test_images_of_another_size_than_the_mean() -> None:
    with pytest.raises(ShapeMismatchError, match=r"needs images \(3, 8, 9\) like the mean"):
        transform(TransformationParameter(mean_file="m"))(IMAGES[..., :8])


def test_a_mean_file_without_its_mean() -> None:
    with pytest.raises(CaffeFileError, match="needs the mean image of 'm', got none"):
        Transform(TransformationParameter(mean_file="m"))


def binaryproto(array: Tensor) -> bytes:
    """Write a mean as Caffe's compute_image_mean does: four sizes, and the data."""
    sizes = (1, *array.shape)
    head = (encode_tag(n + 1, 0) + encode_varint(size) for n, size in enumerate(sizes))
    return b"".join(head) + encode_delimited(5, array.numpy().tobytes())


NET = """
layer {{ name: "read" type: "{type}" top: "data" top: "label" {parameters} }}
layer {{ name: "pool" type: "Pooling" bottom: "data" top: "pool"
        pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "hush" type: "Silence" bottom: "label" }}
"""


def net(folder: Path, type: str, parameters: str) -> Path:
    path = folder / "net.prototxt"
    path.write_text(NET.format(type=type, parameters=parameters))
    return path


def test_preprocessing_of_a_loaded_net(tmp_path: Path) -> None:
    (tmp_path / "mean.binaryproto").write_bytes(binaryproto(MEAN))
    assert torch.equal(caffe2fx.read_mean(tmp_path / "mean.binaryproto"), MEAN)
    path = net(tmp_path, "Data", 'data_param { batch_size: 4 } transform_param { crop_size: 5 '
               'scale: 0.0078125 mean_file: "mean.binaryproto" }')  # fmt: skip
    loaded = caffe2fx.load(path, shapes={"data": (4, 3, 5, 5)})
    ready = loaded.caffe.preprocessing["data"]
    assert torch.equal(ready(IMAGES), torch.from_numpy(REAL["meanfile"]))
    assert loaded(ready(IMAGES), torch.zeros(4)).shape == (4, 3, 1, 1)
    assert loaded.train().caffe.preprocessing["data"].training


def test_images_are_resized_before(tmp_path: Path) -> None:
    path = net(tmp_path, "ImageData", "image_data_param { new_height: 6 new_width: 7 }")
    ready = caffe2fx.load(path).caffe.preprocessing["data"]
    with pytest.raises(ShapeMismatchError, match=r"needs images resized to \(6, 7\), got \(8, 9\)"):
        ready(IMAGES)
    assert ready(IMAGES[..., :6, :7]).shape == (4, 3, 6, 7)


def test_a_mean_file_that_is_not_there_names_its_layer(tmp_path: Path) -> None:
    path = net(tmp_path, "ImageData", 'image_data_param { new_height: 6 new_width: 7 } '
               'transform_param { mean_file: "gone.binaryproto" }')  # fmt: skip
    with pytest.raises(CaffeFileError, match=r"layer 'read' \(ImageData\).*gone"):
        caffe2fx.load(path).caffe.preprocessing  # noqa: B018


def test_a_mean_file_is_looked_for_first_where_caffe_would_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = net(tmp_path, "Data", 'data_param { batch_size: 4 } transform_param { crop_size: 5 '
               'mean_file: "mean.binaryproto" }')  # fmt: skip
    for place, factor in ((tmp_path, 1), (tmp_path / "here", 2)):
        (place / "mean.binaryproto").write_bytes(binaryproto(MEAN * factor))
        ready = caffe2fx.load(path, shapes={"data": (4, 3, 5, 5)}).caffe.preprocessing["data"]
        assert ready.mean is not None and torch.equal(ready.mean, MEAN * factor)


def test_a_binaryproto_that_is_no_mean(tmp_path: Path) -> None:
    path = tmp_path / "two.binaryproto"
    head = b"".join(encode_tag(n, 0) + encode_varint(2) for n in (1, 2, 3, 4))
    path.write_bytes(head + encode_delimited(5, bytes(64)))
    with pytest.raises(CaffeFormatError, match=r"one mean image \(1, C, H, W\), got \(2, 2, 2, 2"):
        caffe2fx.read_mean(path)


UNKNOWN = {
    "Data": "data_param { batch_size: 4 } transform_param { crop_size: 5 }",
    "WindowData": "window_data_param { batch_size: 4 } transform_param { crop_size: 5 }",
    "HDF5Data": "hdf5_data_param { batch_size: 4 }",
    "ImageData": "",
}


@pytest.mark.parametrize("type", UNKNOWN)
def test_a_shape_that_the_text_does_not_state_is_asked_for(type: str, tmp_path: Path) -> None:
    path = net(tmp_path, type, UNKNOWN[type])
    reason = rf"layer 'read' \({type}\) needs the shape of its top 0.*shapes="
    with pytest.raises(ShapeMismatchError, match=reason):
        caffe2fx.load(path)
    shapes = {"data": (2, 3, 5, 5)} | ({"label": (2,)} if type == "HDF5Data" else {})
    loaded = caffe2fx.load(path, shapes=shapes)
    assert loaded(torch.zeros(2, 3, 5, 5), torch.zeros(2)).shape == (2, 3, 1, 1)


def test_the_label_follows_the_batch_of_the_images(tmp_path: Path) -> None:
    path = net(tmp_path, "Data", UNKNOWN["Data"])
    loaded = caffe2fx.load(path, shapes={"data": (7, 3, 5, 5)})
    assert [loaded.caffe.net.shapes()[value] for value in loaded.caffe.net.inputs] == [
        (7, 3, 5, 5),
        (7,),
    ]


@pytest.mark.pycaffe
def test_real_caffe_has_the_shapes_of_memory_data(tmp_path: Path) -> None:
    path = net(tmp_path, "MemoryData",
               "memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 }")  # fmt: skip
    loaded = caffe2fx.load(path)
    inputs = [torch.randn(2, 3, 4, 5), torch.arange(2.0)]
    caffemodel.write(tmp_path / "net.caffemodel", "", ())
    with PycaffeEngine().open(path, tmp_path / "net.caffemodel") as session:
        theirs = {step.name: tops for step, tops in session.run(inputs)}
    assert torch.equal(theirs["read"][0], inputs[0])
    assert torch.equal(theirs["read"][1], inputs[1])
    torch.testing.assert_close(theirs["pool"][0], loaded(*inputs))


@pytest.mark.pycaffe
def test_real_caffe_reads_and_writes_hdf5_as_the_records_do(tmp_path: Path) -> None:
    rows = torch.randn(4, 3, 2, 2)
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["data"], file["label"] = rows.numpy(), np.arange(4, dtype=np.float32)
    (tmp_path / "list.txt").write_text(f"{tmp_path}/rows.h5\n")
    text = (
        'layer { name: "in" type: "HDF5Data" top: "data" top: "label" hdf5_data_param '
        f'{{ source: "{tmp_path}/list.txt" batch_size: 4 }} }}\n'
        'layer { name: "out" type: "HDF5Output" bottom: "data" bottom: "label" '
        f'hdf5_output_param {{ file_name: "{tmp_path}/out.h5" }} }}\n'
    )
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    with Worker() as worker:
        layers = worker.ask("load", prototxt=str(path), weights="", phase="TEST")[0]["layers"]
        _, blobs = worker.ask("run", blobs=[], start=0, end=len(layers) - 1,
                              wanted=["data", "label"])  # fmt: skip
    assert [blob.shape for blob in blobs] == [(4, 3, 2, 2), (4,)]
    assert [(step.layer.type, len(step.tops)) for step in parse(text).steps] == [
        ("HDF5Data", 2),
        ("HDF5Output", 0),
    ]
    assert (tmp_path / "out.h5").exists()
    loaded = caffe2fx.load(path, shapes={"data": (4, 3, 2, 2), "label": (4,)})
    assert loaded(rows, torch.zeros(4)) == ()


RESIZED = """
layer {{ name: "data" type: "{type}" top: "data" top: "label" data_param {{ batch_size: 2 }}
  transform_param {{ mean_value: 1 mean_value: 2 mean_value: 3 {stated}
    resize_param {{ resize_mode: {mode} height: 30 width: 40
      interp_mode: LINEAR interp_mode: AREA }}
    emit_constraint {{ emit_type: CENTER }} }} }}
"""


@pytest.mark.parametrize(
    ("type_", "mode", "stated", "image", "label"),
    [
        ("AnnotatedData", "WARP", "", (2, 3, 30, 40), (1, 1, 1, 8)),
        ("AnnotatedData", "FIT_LARGE_SIZE_AND_PAD", "", (2, 3, 30, 40), (1, 1, 1, 8)),
        ("AnnotatedData", "WARP", "crop_h: 8 crop_w: 9", (2, 3, 8, 9), (1, 1, 1, 8)),
        ("AnnotatedData", "FIT_SMALL_SIZE", "crop_size: 9", (2, 3, 9, 9), (1, 1, 1, 8)),
        ("Data", "WARP", "", (2, 3, 30, 40), (2,)),
    ],
)
def test_sizes_of_images_in_forks(
    type_: str, mode: str, stated: str, image: tuple[int, ...], label: tuple[int, ...]
) -> None:
    net = parse(RESIZED.format(type=type_, mode=mode, stated=stated))
    assert list(net.shapes().values()) == [image, label]
    assert parse(text_of(net)) == net
    with pytest.raises(CaffeError, match=r"BVLC's Caffe, got resize_param, .*emit_constraint"):
        transforms(net)


def test_a_size_that_an_image_decides_is_not_known() -> None:
    net = parse(RESIZED.format(type="AnnotatedData", mode="FIT_SMALL_SIZE", stated=""))
    with pytest.raises(ShapeMismatchError, match="needs the shape of its top 0"):
        net.shapes()


def test_the_old_name_of_is_color() -> None:
    text = """layers { name: "d" type: IMAGE_DATA top: "d" top: "l"
      image_data_param { images_in_color: false new_height: 4 new_width: 5 } }"""
    assert list(parse(text).shapes().values()) == [(1, 1, 4, 5), (1,)]
    assert parse(text) == parse(text.replace("images_in_color", "is_color"))


def test_statistics_of_a_part_of_the_batch_are_refused_for_training() -> None:
    text = "bn_stats_batch_size: 32 default_forward_type: FLOAT16\n"
    text += RESIZED.format(type="Data", mode="WARP", stated="")
    assert parse(text).inputs
    with pytest.raises(CaffeFormatError, match=r"whole batch .*got bn_stats_batch_size 32"):
        parse(text, phase="TRAIN")
