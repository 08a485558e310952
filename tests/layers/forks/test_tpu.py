"""The extended Caffe of the tpu_mlir wheel as a judge of layers, in an environment of its own.

It grew out of Intel's and SSD's Caffe, and has BVLC's layers too. Where it is known to compute
other values than the fork that a record is of, the rows are listed with the difference.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from caffe2fx.engines.install.stubs import MODULES
from caffe2fx.engines.pycaffe import Worker
from caffe2fx.errors import EngineError
from caffe2fx.layers.layer import BVLC
from caffe2fx.module.save import weights_of
from caffe2fx.net.net import Net
from caffe2fx.weights import caffemodel
from tests.layers import data, user
from tests.layers.forks.forks import ROWS
from tests.layers.forks.shape_only import SHAPE_ONLY
from tests.layers.forks.sources import SOURCES
from tests.layers.forks.test_forkcases import CONFIRMED, TEXTS, case, near
from tests.layers.real import results, runs_in_place
from tests.layers.row import Row
from tests.layers.test_rows import FAMILIES, slug
from tests.programs import environment

pytestmark = pytest.mark.long

WHEEL = "tpu_mlir==1.7"
NEEDED = ("numpy<2", "protobuf==3.20.3", "six")

# The types of the forks' records that it has.
HAS = {
    "Axpy", "BN", "BatchNorm", "Convolution", "ConvolutionDepthwise", "DetectionEvaluate",
    "DetectionOutput", "Dropout", "Interp", "Lstm", "MatMul", "Mish", "Normalize", "Padding",
    "Permute", "Pooling", "PriorBox", "Proposal", "ROIPooling", "ReLU", "ReLU6", "RegionLoss",
    "Reorg", "Reshape", "Reverse", "ShuffleChannel", "Upsample",
}  # fmt: skip

# Its own reading of these rows.
OTHERWISE = {
    "its schema lacks a field of the fork's": (
        "upsample stride", "upsample stride h w", "relu6 threshold", "interp bottom",
        "batch norm scale bias", "batch norm of rank 2", "batch norm of batch",
        "batch norm without", "dropout unscaled", "dropout scaled", "matmul transposed",
        "proposal", "proposal of any size", "proposal scores", "prior box offsets",
        "prior box sizes", "convolution sides", "pooling sides", "pooling sides, average",
        "pooling same", "pooling, average without padding", "batch norm eps", "batch norm icnet",
        "bn icnet", "bn not icnet", "heads", "heads by ratio", "heads by ratio of their own",
        "convolution same", "convolution same, dilated", "dropout without chance",
        "convolution depthwise of rknn", "relu6 of a relu", "relu bounded", "reshape shuffled",
    ),
    "its ReLU has one bottom": ("relu under another blob",),
    "its Lstm is of another fork, whose clips have one axis": (
        "lstm of ctpn", "lstm of ctpn that goes on",
    ),
    "its Reverse has one axis, which is not negative": ("reverse",),
    "its Reorg is ReorgSpace": ("reorg", "reorg reverse"),
    "its scale is 1 where none is said, and has to be 2 or more": ("upsample mask",),
    "its BN is BNOfBoth, with four blobs to learn": ("bn learn",),
    "its MatMul has dim_1, dim_2 and dim_3, and takes the first numbers": ("matmul batched",),
    "its loss knows PRE_FIXED by name alone": ("softmax loss by 2.5", "softmax loss by 0.5"),
    "its regions are (1, 1, R, 5)": ("roi pooling",),
    "its DetectionOutput adds the first box where others miss the threshold": ("detection said",),
    "its DetectionOutput needs boxes with corners in order": ("detection all",),
}  # fmt: skip
ROWS_OTHERWISE = {name: why for why, names in OTHERWISE.items() for name in names}

# Of BVLC's layers: it divides by the whole window even where that hangs over.
OVERHANGING = {
    "pool AVE 2 by 2, overhanging", "pool AVE 3 by 2, overhanging", "pool AVE pad 1 stride 2",
    "pool AVE rectangular", "pool AVE pad of one side", "pool AVE pad of the other side",
    "pool AVE stride > kernel, empty windows", "pool AVE kernel > input",
    "pool AVE kernel > input, padded",
}  # fmt: skip

ASKED = [row for row in ROWS if row.layer.type in HAS or BVLC in row.layer.dialects]
# Of the others it wants files.
SHAPES = ("evaluation of any size", "region loss of one map")
# Layers that read files, of which it has few; its DummyData leaves its tops as they are.
OF_BVLC = [family for family in FAMILIES if family not in (data, user)]


@pytest.fixture(scope="module", autouse=True)
def _wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Makes this Caffe the engine `pycaffe`."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64") or libc() < (2, 35):
        pytest.skip("not run: the wheel is for Linux on x86-64 with glibc 2.35 or newer")
    python = environment(tmp_path_factory.mktemp("tpu_mlir"), "3.10", ["--no-deps", WHEEL], NEEDED)
    (packages,) = python.parents[1].glob("lib/python3.10/site-packages")
    (packages / "caffe.pth").write_text("tpu_mlir/python\n")
    for name, text in MODULES.items():
        (packages / name).parent.mkdir(exist_ok=True)
        (packages / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAFFE2FX_PYCAFFE", str(python))
        yield


def libc() -> tuple[int, ...]:
    """Return the version of the machine's glibc; nothing of another C library."""
    kind, version = platform.libc_ver()
    return tuple(map(int, version.split("."))) if kind == "glibc" else ()


def computed(text: str, net: Net, given: Sequence[Tensor]) -> list[Tensor]:
    """Return the program's tops of the last layer."""
    wanted = [value.blob for value in net.steps[-1].tops]
    with tempfile.TemporaryDirectory() as folder, Worker() as worker:
        file, weights = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        file.write_text(text)
        caffemodel.write(weights, "", weights_of(net))
        loaded, _ = worker.ask("load", prototxt=str(file), weights=str(weights), phase="TEST")
        _, found = worker.ask(
            "run", [value.numpy() for value in given],
            blobs=[value.blob for value in net.inputs],
            start=0, end=len(loaded["layers"]) - 1, wanted=wanted,
        )  # fmt: skip
    return [torch.from_numpy(top) for top in found]


def of_row(row: Row, *, in_place: bool = False) -> list[Tensor]:
    net = Net(tuple(row.steps("row", in_place=in_place)), ())
    return computed(row.text("row", in_place=in_place), net, row.inputs())


def equal(row: Row, theirs: Sequence[Tensor] | EngineError) -> bool:
    """Return whether the verdict's limits hold."""
    if isinstance(theirs, EngineError):
        return False
    try:
        row.agrees(row.meaning(row.inputs()), theirs)
    except AssertionError:
        return False
    return True


def test_which_layers_it_has() -> None:
    rows = (*ROWS, *SHAPE_ONLY, *SOURCES)
    with Worker() as worker:
        types = set(worker.hello["types"])
    assert types & {row.layer.type for row in rows if BVLC not in row.layer.dialects} == HAS


@pytest.mark.parametrize("row", ASKED, ids=lambda row: slug(row.id))
def test_rows_of_forks(row: Row) -> None:
    if row.id not in ROWS_OTHERWISE:
        row.agrees(row.meaning(row.inputs()), of_row(row))
        return
    try:
        theirs = of_row(row)
    except EngineError:
        return
    assert not equal(row, theirs), f"said to differ: {ROWS_OTHERWISE[row.id]}"


@pytest.mark.parametrize(
    "row",
    [row for row in ASKED if runs_in_place(row) and row.id not in ROWS_OTHERWISE],
    ids=lambda row: slug(row.id),
)
def test_in_place(row: Row) -> None:
    for one, other in zip(of_row(row), of_row(row, in_place=True), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str) -> None:
    (row,) = (row for row in SHAPE_ONLY if row.id == name)
    formula = row.layer.top_shapes(row.bottoms, row.tops)
    assert formula == tuple(tuple(top.shape) for top in of_row(row))


@pytest.mark.parametrize("name", TEXTS)
def test_cases(name: str) -> None:
    net, inputs, wanted = case(name)
    try:
        (found,) = computed(TEXTS[name], net, list(inputs.values()))
        same = near(found, wanted)
    except EngineError:
        same = False
    assert same == ("tpu_mlir's Caffe" in CONFIRMED[name])


@pytest.mark.parametrize("family", OF_BVLC, ids=lambda family: family.__name__.split(".")[-1])
def test_rows_of_bvlc(family: ModuleType) -> None:
    found = results(family.ROWS)
    differing = {row.id for row in family.ROWS if not equal(row, found[row.id])}
    assert differing == OVERHANGING & {row.id for row in family.ROWS}
