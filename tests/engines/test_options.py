"""The options of load for a net's files reach compare and the engines too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import caffe2fx
from caffe2fx.engines import NAMES
from caffe2fx.errors import CaffeFormatError

INPUT = """layer { name: "x" type: "Input" top: "x"
  input_param { shape { dim: 1 dim: 4 dim: 6 dim: 6 } } }\n"""
CONVOLUTION = (
    INPUT
    + """layer { name: "y" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }\n"""
)
# Two forks have this layer, and nothing here states whose it is.
REORG = INPUT + 'layer { name: "y" type: "Reorg" bottom: "x" top: "y" reorg_param { stride: 2 } }\n'


def files(text: str, folder: Path, **options: str) -> tuple[Path, Path]:
    found = folder / "net.prototxt", folder / "net.caffemodel"
    found[0].write_text(text)
    caffe2fx.save_weights(caffe2fx.load(found[0], **options), found[1])
    return found


def test_a_dialect(tmp_path: Path) -> None:
    pair = files(REORG, tmp_path, dialect="yolo")
    x = torch.randn(1, 4, 6, 6)
    with pytest.raises(CaffeFormatError, match="needs dialect='yolo'"):
        caffe2fx.compare(caffe2fx.load(pair[0], dialect="yolo"), pair, x)
    report = caffe2fx.compare(caffe2fx.load(*pair, dialect="yolo"), pair, x, dialect="yolo")
    assert report.ok, str(report)
    assert caffe2fx.compare(pair, pair, x, dialect="yolo").ok
    other = caffe2fx.load(*pair, dialect="tpu_mlir")
    assert not caffe2fx.compare(other, pair, x, dialect="yolo").ok


@pytest.mark.pycaffe
@pytest.mark.parametrize("engine", NAMES)
@pytest.mark.parametrize("sizes", [{"shapes": {"x": (2, 4, 7, 8)}}, {"batch": 3}], ids=str)
def test_sizes(engine: str, sizes: dict[str, object], tmp_path: Path) -> None:
    pair = files(CONVOLUTION, tmp_path)
    loaded = caffe2fx.load(*pair, **sizes)  # type: ignore[arg-type]
    x = torch.randn(loaded.caffe.net.shapes()[loaded.caffe.net.inputs[0]])
    report = caffe2fx.compare(loaded, pair, x, engine=engine, **sizes)  # type: ignore[arg-type]
    # A type is listed there where each layer was judged alone too.
    assert report.ok and [row.type for row in report.rows] == ["Convolution"], str(report)
