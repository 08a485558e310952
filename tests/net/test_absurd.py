"""Sizes that no Caffe can hold are refused before anything is allocated."""

from __future__ import annotations

from pathlib import Path

import pytest

import caffe2fx

TEXT = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: %d dim: 9 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: %d kernel_size: 3 } }
"""


@pytest.mark.parametrize(
    ("height", "outputs", "layer"), [(2**30, 2, "data"), (9, 2_000_000_000, "conv")]
)
def test_more_values_than_an_int_counts(
    height: int, outputs: int, layer: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(TEXT % (height, outputs))
    with pytest.raises(caffe2fx.ShapeMismatchError, match=f"'{layer}'.*at most 2147483647 values"):
        caffe2fx.load(path)
