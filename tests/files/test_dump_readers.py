"""Feature maps as files: our own manifest, and the formats in which other programs dump."""

from __future__ import annotations

import json
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import caffe2fx
import fx2caffe
from caffe2fx.errors import CaffeError, CaffeFormatError
from caffe2fx.files.dump_readers import MapSpec
from caffe2fx.files.feature_dump import FeatureMap, file_name, write_dump
from caffe2fx.files.match_maps import match_maps
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.verdict.reference.calibrate import calibrate

PATHS = ["maps", "maps.npz", "maps.safetensors", "v1.2"]
X = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))


class Names(nn.Module):
    """Holds layers whose names no file may have, one in place and one with two tops."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.relu, self.A = nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> Any:
        first, second = self.A(self.relu(self.a(x))).chunk(2, 1)
        return {"b": second.tanh(), "a": first.sigmoid()}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CaffeGraphModule:
    monkeypatch.chdir(tmp_path)
    made = fx2caffe.export(calibrate(Names(), [X], seed=0), X)
    made.save("n.prototxt", "n.caffemodel")
    text = Path("n.prototxt").read_text().replace('"a"', '"inception/a:1"')
    Path("n.prototxt").write_text(text)
    module = caffe2fx.load("n.prototxt", "n.caffemodel", strict=False)
    return calibrate(module, [X], seed=0)


@pytest.mark.parametrize("place", PATHS)
def test_a_dump_comes_back(module: CaffeGraphModule, place: str) -> None:
    if place.endswith("safetensors"):
        pytest.importorskip("safetensors", reason="not run: safetensors is not installed")
    module.caffe.dump(place, X)
    read = caffe2fx.read_dump(place)
    values = module.caffe.blobs(X)
    assert "inception/a:1@inception/a:1" in values and "inception/a:1" in values
    names = {value: name for name, value in module.caffe.net.names().items()}
    assert [one.name for one in read.maps] == list(names.values())[1:]
    for one in read.maps:
        np.testing.assert_array_equal(one.value, values[one.name].detach().numpy())
        assert one.value.dtype == np.float32 and one.is_exact
    np.testing.assert_array_equal(read.inputs["data"], X.numpy())
    assert read.outputs == module.caffe.outputs
    report = caffe2fx.compare(module, place)
    assert report.ok and not report.only_dump and not report.only_net  # type: ignore[attr-defined]


def test_the_manifest(module: CaffeGraphModule) -> None:
    module.caffe.dump("maps", X)
    found = json.loads(Path("maps/manifest.json").read_text())
    assert (found["format"], found["version"]) == ("caffe2fx feature maps", 1)
    first = found["maps"][0]
    assert first == {
        "name": "inception/a:1@inception/a:1",
        "blob": "inception/a:1",
        "layer": "inception/a:1",
        "shape": [1, 4, 6, 6],
        "dtype": "float32",
        "file": "inception_a_1@inception_a_1.npy",
        "crc32": zlib.crc32(np.load("maps/inception_a_1@inception_a_1.npy").tobytes()),
    }
    assert [entry["file"] for entry in found["inputs"]] == ["data.npy"]
    files = {path.name for path in Path("maps").iterdir()}
    named = {entry["file"] for entry in (*found["maps"], *found["inputs"])}
    assert files == named | {"manifest.json"}
    module.caffe.dump("maps.npz", X)
    with np.load("maps.npz") as archive:  # by NumPy alone
        assert archive["data"].shape == (1, 3, 6, 6)


def test_a_second_dump_replaces_the_first(module: CaffeGraphModule) -> None:
    write_dump("maps", {}, [FeatureMap("old", np.ones(3))])
    module.caffe.dump("maps", X)
    assert "old" not in [one.name for one in caffe2fx.read_dump("maps").maps]


def test_file_names() -> None:
    taken: set[str] = set()
    blobs = ("a/b", "a_b", "A_B", "../x", "", "a" * 300, "con", "NUL.x", "consul", "conv@relu")
    names = [file_name(blob, taken) for blob in blobs]
    assert names[:5] == ["a_b", "a_b_1", "A_B_2", "_x", "_"] and len(names[5]) == 100
    assert names[6:] == ["_con", "_NUL.x", "consul", "conv@relu"]


def manifest(**change: Any) -> str:
    entry = {"name": "a", "blob": "a", "layer": "a", "shape": [2], "dtype": "float32"}
    whole = {"format": "caffe2fx feature maps", "version": 1, "outputs": [], "inputs": []}
    return json.dumps({**whole, "maps": [{**entry, "file": "a.npy"}], **change})


BROKEN = {
    "another format": (manifest(format="other"), "of version 1, got 'other'"),
    "a later version": (manifest(version=2), "got 'caffe2fx feature maps' of version 2"),
    "no JSON": ("{", "needs to be JSON"),
    "no maps": (manifest(maps=3), "needs the manifest and arrays"),
    "another shape": (manifest(maps=[{**json.loads(manifest())["maps"][0], "shape": [3]}]), "[3]"),
    "a file outside": (
        manifest(maps=[{**json.loads(manifest())["maps"][0], "file": "../b.npy"}]),
        "No such file",
    ),
    "one being written": (manifest(incomplete=True), "needs to be a whole dump"),
    "other elements": (
        manifest(maps=[{**json.loads(manifest())["maps"][0], "crc32": 1}]),
        "'a' has other elements than the dump that wrote the manifest",
    ),
    "more than is known": (manifest(added="later"), None),
}


@pytest.mark.parametrize("name", BROKEN)
def test_manifests_of_others(tmp_path: Path, name: str) -> None:
    text, message = BROKEN[name]
    folder = tmp_path / "maps"
    folder.mkdir()
    np.save(folder / "a.npy", np.ones(2, np.float32))
    np.save(tmp_path / "b.npy", np.ones(2, np.float32))
    (folder / "manifest.json").write_text(text)
    if message is None:
        assert caffe2fx.read_dump(folder).maps[0].name == "a"
        return
    with pytest.raises(CaffeError) as caught:
        caffe2fx.read_dump(folder)
    assert message in str(caught.value)


def test_safetensors_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(CaffeError, match="python -m pip install safetensors"):
        write_dump(tmp_path / "a.safetensors", {}, [])
    with pytest.raises(CaffeError, match="python -m pip install safetensors"):
        caffe2fx.read_dump(_written(tmp_path / "b.safetensors", b""))


def _written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def hexadecimal(value: np.ndarray[Any, Any]) -> str:
    """Write values as NNIE's simulator does: 32 bits, 12 of them behind the point."""
    integers = np.round(value.reshape(-1) * 4096).astype(np.int64) & 0xFFFFFFFF
    return "".join(f"{number:08x}\n" for number in integers)


def test_nnie(module: CaffeGraphModule) -> None:
    """The input by its name, the layers by a table from indices to names."""
    values = {name: v.detach().numpy() for name, v in module.caffe.blobs(X).items()}
    folder = Path("nnie")
    folder.mkdir()
    _written(folder / "seg0_layer0_input(data)_inst.linear.hex", hexadecimal(values["data"]))
    table = "# number\tlayer\n99\tnot dumped\n"
    for number, step in enumerate(module.caffe.net.steps[1:], 3):
        named = {value: name for name, value in module.caffe.net.names().items()}
        for index, top in enumerate(step.tops):
            file = folder / f"seg0_layer{number}_output{index}_inst.linear.hex"
            _written(file, hexadecimal(values[named[top]]))
        table += f"{number}\t{step.name}\n"
    _written(Path("table.tsv"), table)
    dump = caffe2fx.read_dump(folder, names="table.tsv")
    assert not match_maps(module.caffe.net, dump).only_dump
    for value, known in match_maps(module.caffe.net, dump).values.items():
        (wanted, *_) = (values[n] for n, own in module.caffe.net.names().items() if own == value)
        assert 0 < np.abs(known.numpy() - wanted).max() <= 0.5 / 4096 + 1e-6
    # The input lost its last bits too, so that the caller's own is not quite the dump's.
    for given in (None, X):
        assert caffe2fx.compare(module, dump, given, thresholds={"sqnr": 40}).ok
    with pytest.raises(CaffeError, match="needs the values that the dump was made from"):
        caffe2fx.compare(module, dump, X * 2)


def test_hexadecimal_integers(tmp_path: Path) -> None:
    text = "00001000\nFFFFF000\n0\n7fffffff\n80000000\n"
    path = _written(tmp_path / "seg1_layer12_output2_func.linear.hex", text)
    (one,) = caffe2fx.read_dump(path).maps
    np.testing.assert_allclose(one.value, [1, -1, 0, 524288, -524288])
    assert not one.is_exact and one.output == 2
    assert one.aliases == ("seg1_layer12_output2", "seg1_layer12", "12")
    for text in ("1ffffffff", "xyz", "-1", "+1", "0x1", "1_0"):
        with pytest.raises(CaffeFormatError, match=r"needs to be a \.hex of numbers"):
            caffe2fx.read_dump(_written(tmp_path / "a.hex", text))


def test_a_table_in_decimal(tmp_path: Path) -> None:
    _written(tmp_path / "conv1.txt", "1.5\n-2e-3\n7\n")
    _written(tmp_path / "error_analysis.txt", "layer  cosine\n")
    dump = caffe2fx.read_dump(tmp_path)
    np.testing.assert_allclose(dump.maps[0].value, [1.5, -0.002, 7])
    assert [one.name for one in dump.maps] == ["conv1"] and dump.skipped == ("error_analysis.txt",)
    with pytest.raises(CaffeFormatError, match=r"needs to be a \.txt of numbers"):
        caffe2fx.read_dump(_written(tmp_path / "conv1.txt", "1.5\nx\n"))
    with pytest.raises(CaffeFormatError, match=r"needs to be a \.txt of numbers"):
        caffe2fx.read_dump(_written(tmp_path / "conv1.txt", "1.5\n1_0\n"))


def test_names_as_file_names_leave_them(module: CaffeGraphModule) -> None:
    """RKNN's folders: one .npy a map, its name without characters that no file name has."""
    Path("golden").mkdir()
    for name, value in module.caffe.blobs(X).items():
        if "@" not in name:
            plain = name.replace("/", "_").replace(":", "_")
            np.save(f"golden/{plain}.npy", value.detach().numpy())
    report = caffe2fx.compare(module, "golden")
    assert report.ok and not report.only_dump, str(report)  # type: ignore[attr-defined]
    in_place = ("inception/a:1", "chunk", "chunk")  # overwritten, so that no file is theirs
    assert report.only_net == in_place  # type: ignore[attr-defined]


def test_names_given(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x1=np.array([3, 5], np.int8), x2=np.zeros((1, 2, 2, 3)))
    table = _written(
        tmp_path / "t.tsv",
        "name\tblob\tscale\tzero_point\tlayout\nx1\tconv1\t0.5\t1\nx2\tconv2\t\t\tNHWC\n",
    )
    first, second = caffe2fx.read_dump(tmp_path / "d.npz", names=table).maps
    np.testing.assert_allclose(first.value, [1, 2])
    assert (first.name, second.name, second.layout) == ("conv1", "conv2", "NHWC")
    names = {"x1": MapSpec("c", scale=2.0), "x2": "conv2"}
    first, second = caffe2fx.read_dump(tmp_path / "d.npz", names=names, layout="NHWC").maps
    np.testing.assert_allclose(first.value, [6, 10])
    assert (first.layout, second.layout) == ("NHWC", "NHWC")


def npz(path: Path) -> Path:
    np.savez(path / "d.npz", a=np.zeros(2, np.float32))
    return path / "d.npz"


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "nothing there": (lambda p: caffe2fx.read_dump(p / "none"), "No such file"),
    "an empty folder": (lambda p: caffe2fx.read_dump(p), "needs feature maps in files that end in"),
    "no archive": (
        lambda p: caffe2fx.read_dump(_written(p / "a.npz", "PK")),
        "needs to be an .npz of arrays",
    ),
    "a broken archive": (
        lambda p: caffe2fx.read_dump(_written(p / "a.npz", npz(p).read_bytes()[:90])),
        "needs to be an .npz of arrays",
    ),
    "no array": (
        lambda p: caffe2fx.read_dump(_written(p / "a.npy", "text")),
        "needs to be an .npy of numbers",
    ),
    "an unknown ending": (
        lambda p: caffe2fx.read_dump(_written(p / "a.bin", "text")),
        "needs feature maps in files that end in",
    ),
    "a layout": (lambda p: caffe2fx.read_dump(npz(p), layout="CHWN"), "one of NCHW, NHWC"),
    "a name that is not there": (
        lambda p: caffe2fx.read_dump(npz(p), names={"b": "conv1"}),
        "names needs names of the dump",
    ),
    "a field": (
        lambda p: caffe2fx.read_dump(npz(p), names={"a": {"scales": 1}}),
        "names needs for 'a' a blob, or some of",
    ),
    "a scale": (
        lambda p: caffe2fx.read_dump(npz(p), names={"a": {"scale": "x"}}),
        "names needs for 'a' a blob, or some of",
    ),
    "a layout of one": (
        lambda p: caffe2fx.read_dump(npz(p), names={"a": {"layout": "flat"}}),
        "'a' needs a layout of NCHW, NHWC, got 'flat'",
    ),
    "a table of one column": (
        lambda p: caffe2fx.read_dump(npz(p), names=_written(p / "t.tsv", "a\n")),
        "t.tsv:1 needs the columns",
    ),
    "names in broken JSON": (
        lambda p: caffe2fx.read_dump(npz(p), names=_written(p / "t.json", "{")),
        "needs to be JSON",
    ),
    "names in a list": (
        lambda p: caffe2fx.read_dump(npz(p), names=_written(p / "t.json", "[]")),
        "needs to be an object of names",
    ),
    "a reader twice": (lambda p: caffe2fx.register_reader(".npy"), "a new suffix like '.bin'"),
    "a reader of nothing": (
        lambda p: caffe2fx.unregister_reader(".bin"),
        "unregister_reader needs one of",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(tmp_path: Path, name: str) -> None:
    refused, message = REFUSED[name]
    with pytest.raises(CaffeError) as caught:
        refused(tmp_path)
    assert message in str(caught.value)


def test_a_reader_of_ones_own(tmp_path: Path) -> None:
    @caffe2fx.register_reader(".f32")
    def read(path: Path) -> dict[str, Any]:
        return {path.stem: np.fromfile(path, np.float32)}

    try:
        np.array([1, 2], np.float32).tofile(tmp_path / "conv1.f32")
        (one,) = caffe2fx.read_dump(tmp_path).maps
        assert one.name == "conv1" and one.value.tolist() == [1, 2] and one.is_exact
    finally:
        caffe2fx.unregister_reader(".f32")


def test_an_archive_of_anothers(tmp_path: Path) -> None:
    """tpu-mlir's .npz: keys are names, and a member that is no .npy is no map."""
    half = np.ones(2, np.float16)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as zipped, zipped.open("a/b.npy", "w") as file:
        np.lib.format.write_array(file, half)
    (one,) = caffe2fx.read_dump(tmp_path / "a.npz").maps
    assert one.name == "a/b" and not one.is_exact


def test_tpu_mlir_counts_the_values_of_a_blob_from_the_last(tmp_path: Path) -> None:
    """Its CaffeConverter calls them "c/2", "c/1" and "c", without Dropout's."""
    (tmp_path / "n.prototxt").write_text(
        """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
        layer { name: "c" type: "InnerProduct" bottom: "x" top: "c"
          inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
        layer { name: "power" type: "Power" bottom: "c" top: "c" power_param { scale: 3 } }
        layer { name: "drop" type: "Dropout" bottom: "c" top: "c" }
        layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }"""
    )
    module = caffe2fx.load(tmp_path / "n.prototxt")
    blobs = {name: v.detach().numpy() for name, v in module.caffe.blobs(torch.ones(1, 3)).items()}
    named = {"x": blobs["x"], "c/2": blobs["c@c"], "c/1": blobs["c@power"], "c": blobs["c"]}
    np.savez(tmp_path / "top_outputs.npz", **named)
    report = caffe2fx.compare(module, tmp_path / "top_outputs.npz")
    assert report.ok and report.only_net == ("drop",) and not report.only_dump
    named["c/1"], named["c/2"] = named["c/2"], named["c/1"]
    np.savez(tmp_path / "top_outputs.npz", **named)
    assert not caffe2fx.compare(module, tmp_path / "top_outputs.npz").ok


def test_the_files_that_nnie_mapper_leaves_name_their_layers(tmp_path: Path) -> None:
    name = "conv_output1_output0_4_1_1_quant"
    _written(tmp_path / f"{name}.linear.hex", "00001000\n" * 4)
    (one,) = caffe2fx.read_dump(tmp_path).maps
    assert (one.name, one.layer, one.output) == (name, "conv_output1", 0) and not one.is_exact
    (one,) = caffe2fx.read_dump(tmp_path, names={"conv_output1": "b"}).maps
    assert (one.name, one.layer) == ("b", "")


def test_the_layers_of_nnie_mappers_files_are_found(
    module: CaffeGraphModule, tmp_path: Path
) -> None:
    named = {value: name for name, value in module.caffe.net.names().items()}
    blobs = module.caffe.blobs(X)
    for step in module.caffe.net.steps[1:]:
        if "/" in step.name:  # its files go into no folder
            continue
        for index, top in enumerate(step.tops):
            sizes = "_".join(map(str, top_shape(module, top)))
            text = hexadecimal(blobs[named[top]].detach().numpy())
            _written(tmp_path / f"{step.name}_output{index}_{sizes}_quant.linear.hex", text)
    report = caffe2fx.compare(module, tmp_path, X, thresholds={"sqnr": 40})
    assert report.ok and not report.only_dump


def top_shape(module: CaffeGraphModule, top: Any) -> tuple[int, ...]:
    return module.caffe.net.shapes()[top][1:]
