"""A text without a weights file may ask for a limited amount of memory."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

import caffe2fx
from caffe2fx.errors import ShapeMismatchError
from caffe2fx.net import initial_weights

INPUT = 'layer { name: "in" type: "Input" top: "x0" input_param { shape { dim: 1 dim: 30000 } } }\n'
LAYER = """layer { name: "fc%d" type: "InnerProduct" bottom: "x%d" top: "x%d"
  inner_product_param { num_output: %d bias_term: false } }
"""


def written(folder: Path, *sizes: int) -> Path:
    path = folder / "net.prototxt"
    layers = (LAYER % (index, index, index + 1, size) for index, size in enumerate(sizes))
    path.write_text(INPUT + "".join(layers))
    return path


def test_a_text_that_asks_for_more_than_the_machine_has(tmp_path: Path) -> None:
    """Each layer alone is one that Caffe takes; a thousand of them are some terabytes."""
    path = written(tmp_path, *[30000] * 1000)
    with pytest.raises(ShapeMismatchError, match=r"layer 'fc\d+' .* needs weights of at most \d+"):
        caffe2fx.load(path)


def test_the_caller_allows_less(tmp_path: Path) -> None:
    path, needed = written(tmp_path, 10, 20), 4 * (30000 * 10 + 10 * 20)
    caffe2fx.load(path, max_bytes=needed)
    with pytest.raises(ShapeMismatchError, match=rf"'fc1' .* \(max_bytes\), got {needed} \(.*:4\)"):
        caffe2fx.load(path, max_bytes=needed - 1)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't allocate memory: 8 bytes")])
def test_memory_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fill(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(initial_weights, "fill", fill)
    with pytest.raises(ShapeMismatchError, match=r"'fc0' .* needs memory for weights of shapes"):
        caffe2fx.load(written(tmp_path, 10))
