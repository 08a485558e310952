"""HDF5 weights against h5py itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch

from caffe2fx.errors import CaffeFormatError
from caffe2fx.weights import hdf5
from caffe2fx.weights.caffemodel import LayerWeights

VALUES = torch.arange(6.0).reshape(2, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.caffemodel.h5"


def blobs(path: Path) -> dict[str, list[torch.Tensor]]:
    return {layer.name: list(layer.blobs) for layer in hdf5.read(path)}


def test_layout_of_our_files(path: Path) -> None:
    scalar = LayerWeights("prelu", "PReLU", (torch.tensor(0.25),))
    many = LayerWeights("bn", "BatchNorm", tuple(torch.tensor([float(i)]) for i in range(12)))
    hdf5.write(path, [LayerWeights("data", "Input", ()), scalar, many])
    with h5py.File(path) as file:
        assert set(file) == {"data"}
        assert set(file["data"]) == {"data", "prelu", "bn"}
        assert len(file["data/data"]) == 0
        assert file["data/prelu/0"].shape == ()
        assert file["data/prelu/0"].dtype == np.float32
        assert set(file["data/bn"]) == {str(i) for i in range(12)}
    assert [float(blob) for blob in blobs(path)["bn"]] == list(range(12))
    assert blobs(path)["data"] == []


@pytest.mark.parametrize(
    "blob",
    [
        VALUES,
        VALUES.double(),
        VALUES.half(),
        VALUES.t(),
        torch.nn.Parameter(VALUES),
        torch.tensor(1.5),
        torch.empty(0, 3),
    ],
)
def test_any_tensor_comes_back_as_float32(path: Path, blob: torch.Tensor) -> None:
    hdf5.write(path, [LayerWeights("ip", "InnerProduct", (blob, VALUES))])
    found, second = blobs(path)["ip"]
    assert found.dtype == torch.float32
    assert found.shape == blob.shape
    assert torch.equal(found, blob.detach().float())
    assert torch.equal(second, VALUES)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "<i4"])
def test_datasets_of_other_types(path: Path, dtype: str) -> None:
    with h5py.File(path, "w") as file:
        file["data/ip/0"] = VALUES.numpy().astype(dtype)
    assert torch.equal(blobs(path)["ip"][0], VALUES)


def test_nested_groups_are_names_with_slashes(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["data/inception/1x1/0"] = VALUES.numpy()
        file["data/inception/1x1/reduce/0"] = -VALUES.numpy()
        file.create_group("data/inception/relu")
    found = blobs(path)
    assert set(found) == {"inception/1x1", "inception/1x1/reduce", "inception/relu"}
    assert torch.equal(found["inception/1x1/reduce"][0], -VALUES)


@pytest.mark.parametrize("name", ["inception/1x1", "", ".", "a\0b"])
def test_names_that_hdf5_cannot_hold_are_refused(path: Path, name: str) -> None:
    with pytest.raises(CaffeFormatError, match=r"write a \.caffemodel instead"):
        hdf5.write(path, [LayerWeights("ip", "InnerProduct", ()), LayerWeights(name, "ReLU", ())])
    assert not path.exists()


def test_one_name_twice_is_refused(path: Path) -> None:
    with pytest.raises(CaffeFormatError, match="two 'ip'"):
        hdf5.write(path, [LayerWeights("ip", "InnerProduct", ())] * 2)
    assert not path.exists()


def test_complex_blobs_are_refused(path: Path) -> None:
    layer = LayerWeights("ip", "InnerProduct", (torch.zeros(1, dtype=torch.complex64),))
    with pytest.raises(CaffeFormatError, match="layer 'ip', blob 0 needs real values"):
        hdf5.write(path, [layer])
    assert not path.exists()


def build(file: h5py.File, case: str) -> None:
    data = file.create_group("data" if case != "no data" else "other")
    layer = data.create_group("ip")
    if case == "dataset for a layer":
        data["0"] = VALUES.numpy()
    elif case == "gap":
        layer["0"] = layer["2"] = VALUES.numpy()
    elif case == "other name":
        layer["weight"] = VALUES.numpy()
    elif case == "text":
        layer["0"] = "text"
    elif case == "no space":
        layer.create_dataset("0", data=h5py.Empty("f4"))
    elif case == "absurd":
        layer.create_dataset("0", (2**20, 2**20), "f4", chunks=(1, 2**10))
    elif case == "nothing stored":
        layer.create_dataset("0", (2**20, 2**10), "f4", chunks=(1, 2**10))
    elif case == "circle":
        layer["up"] = data
    elif case == "broken link":
        layer["0"] = h5py.SoftLink("/nowhere")
    elif case in HOSTILE:
        HOSTILE[case][1](file, layer)


def other_file(file: h5py.File) -> Path:
    """Return a file that is not the weights', with values and a group in it."""
    path = Path(file.filename).with_name("other.h5")
    with h5py.File(path, "w") as other:
        other["data/ip/0"] = VALUES.numpy()
    return path


def external_values(file: h5py.File, layer: h5py.Group) -> None:
    layer.create_dataset("0", (8,), "f4", external=[(str(other_file(file)), 0, 32)])


def virtual_values(file: h5py.File, layer: h5py.Group) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(other_file(file)), "data/ip/0", (4,))
    layer.create_virtual_dataset("0", layout)


def external_layer(file: h5py.File, layer: h5py.Group) -> None:
    file["data"]["fc"] = h5py.ExternalLink(str(other_file(file)), "/data/ip")


def external_data(file: h5py.File, layer: h5py.Group) -> None:
    del file["data"]
    file["data"] = h5py.ExternalLink(str(other_file(file)), "/data")


def soft_circle(file: h5py.File, layer: h5py.Group) -> None:
    layer["up"] = h5py.SoftLink("/data/ip")


def diamond(file: h5py.File, layer: h5py.Group) -> None:
    for level in range(30):  # 2**30 ways to the last
        above = file.create_group(f"level{level}")
        above["a"] = above["b"] = layer
        layer = above
    file["data"]["top"] = layer


def nested(file: h5py.File, layer: h5py.Group) -> None:
    for _ in range(1000):
        layer = layer.create_group("a")


def zeros(file: h5py.File, layer: h5py.Group) -> None:
    for index in range(8):
        layer.create_dataset(str(index), (2**21,), "f8", compression="gzip", fillvalue=1.0)[0] = 2


def one_large(file: h5py.File, layer: h5py.Group) -> None:
    layer.create_dataset("0", (2**31 - 1,), "f4", chunks=(2**20,), compression="gzip")[0] = 2


def large_chunk(file: h5py.File, layer: h5py.Group) -> None:
    chunks = {"chunks": (2**29,), "maxshape": (None,), "compression": "gzip"}
    layer.create_dataset("0", (8,), "f4", **chunks).id.write_direct_chunk((0,), b"anything")


def one_often(file: h5py.File, layer: h5py.Group) -> None:
    layer["0"] = np.zeros(2**18, "f4")
    for index in range(1, 200):
        layer[str(index)] = layer["0"]


HOSTILE: dict[str, tuple[str, Callable[[h5py.File, h5py.Group], None]]] = {
    "values of another file": ("/data/ip/0, found those of another file", external_values),
    "virtual values": ("/data/ip/0, found those of another file", virtual_values),
    "a layer of another file": ("found a link /data/fc", external_layer),
    "all of another file": ("expected the group /data, found none", external_data),
    "soft circle": ("found a link /data/ip/up", soft_circle),
    "diamond": ("each layer once, found /data/top/a", diamond),
    "nested": ("at most 64 nested groups, found /data/ip/a/a/a", nested),
    "compressed": ("/data/ip/.* needs .* larger max_bytes=", zeros),
    "one compressed": ("/data/ip/0 of shape .* needs 8594128892 bytes .* max_bytes", one_large),
    "a large chunk": ("/data/ip/0 of shape .* needs 2147483680 bytes", large_chunk),
    "one array often": ("/data/ip/.* needs 1048576 bytes .* max_bytes=", one_often),
}


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no data", "expected the group /data, found none"),
        ("dataset for a layer", "groups of layers in /data, found datasets"),
        ("gap", "named 0, 1, ... in /data/ip, found 0, 2"),
        ("other name", "in /data/ip, found weight"),
        ("text", "expected numbers in /data/ip/0"),
        ("no space", "expected numbers in /data/ip/0"),
        ("absurd", "at most 2147483647 values in /data/ip/0"),
        ("nothing stored", "stored values in /data/ip/0, found none"),
        ("circle", "each layer once, found /data/ip/up a second time"),
        ("broken link", "found a link /data/ip/0"),
        *((name, message) for name, (message, _) in HOSTILE.items()),
    ],
)
def test_files_that_hold_no_weights(path: Path, case: str, message: str) -> None:
    with h5py.File(path, "w") as file:
        build(file, case)
    with pytest.raises(CaffeFormatError, match=message) as caught:
        hdf5.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\x0a\x01n", bytes(1000)])
def test_files_that_are_not_hdf5(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(CaffeFormatError, match="expected HDF5 weights"):
        hdf5.read(path)


def test_the_caller_allows_more_memory_or_less(path: Path) -> None:
    with h5py.File(path, "w") as file:
        zeros(file, file.create_group("data/ip"))
    (layer,) = hdf5.read(path, max_bytes=2**28)
    assert [blob.shape for blob in layer.blobs] == [(2**21,)] * 8
    hdf5.write(path, [LayerWeights("ip", "InnerProduct", (VALUES,))])
    needed = 4 * VALUES.numel()
    assert len(hdf5.read(path, max_bytes=needed)) == 1
    with pytest.raises(CaffeFormatError, match=f"gets {needed - 1} in all"):
        hdf5.read(path, max_bytes=needed - 1)


def test_truncated_files_are_refused(path: Path) -> None:
    hdf5.write(path, [LayerWeights("ip", "InnerProduct", (VALUES,))])
    data = path.read_bytes()
    for length in range(0, len(data), 37):
        path.write_bytes(data[:length])
        with pytest.raises(CaffeFormatError):
            hdf5.read(path)


def test_a_missing_file_is_the_systems_own_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        hdf5.read(path)


def test_the_identifier_has_a_length(path: Path) -> None:
    """One without lies in a heap, in which HDF5 searches for ever once the file is damaged."""
    hdf5.write(path, [LayerWeights("ip", "", (VALUES,))], "0123456789abcdef")
    assert hdf5.identifier(path) == "0123456789abcdef"
    with h5py.File(path, "r+") as file:
        ((name, value),) = file.attrs.items()
        assert value.dtype.kind == "S"
        file.attrs[name] = value.decode()  # without a length
    assert hdf5.identifier(path) == ""


def test_two_members_of_one_name_are_refused(path: Path) -> None:
    hdf5.write(path, [LayerWeights(name, "", (VALUES,)) for name in ("layer_a", "layer_b")])
    path.write_bytes(path.read_bytes().replace(b"layer_b", b"layer_a"))
    with pytest.raises(CaffeFormatError, match="expected each name once in /data, found layer_a"):
        hdf5.read(path)
