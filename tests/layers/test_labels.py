"""Labels of losses are classes: Caffe would read other elements for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers import (
    Accuracy,
    HingeLoss,
    InfogainLoss,
    Layer,
    MultinomialLogisticLoss,
    SoftmaxWithLoss,
)
from caffe2fx.layers.loss import LossParameter
from tests.files.caffes_own import forward_twice

SCORES = torch.tensor([[0.5, 0.2, 0.3], [0.1, 0.7, 0.2]])
IGNORING = LossParameter(ignore_label=-1)
ALL = {
    "softmax": SoftmaxWithLoss(),
    "infogain": InfogainLoss(),
    "logistic": MultinomialLogisticLoss(),
    "hinge": HingeLoss(),
    "accuracy": Accuracy(),
}
IGNORE: dict[str, Layer] = {
    "softmax": SoftmaxWithLoss(loss_param=IGNORING),
    "infogain": InfogainLoss(loss_param=IGNORING),
    "accuracy": Accuracy(ignore_label=-1),
}


def result(layer: Layer, labels: list[int]) -> torch.Tensor:
    matrix = (torch.eye(3),) if isinstance(layer, InfogainLoss) else ()
    return layer.compute((SCORES, torch.tensor(labels).float(), *matrix), (), 1)[0]


@pytest.mark.parametrize("label", [-1, 3])
@pytest.mark.parametrize("layer", ALL.values(), ids=ALL)
def test_a_label_is_a_class(layer: Layer, label: int) -> None:
    assert result(layer, [2, 1]).isfinite()
    with pytest.raises(ShapeMismatchError, match=f"needs labels from 0 to 2, got {label}"):
        result(layer, [label, 1])


@pytest.mark.parametrize("layer", IGNORE.values(), ids=IGNORE)
def test_an_ignored_label_is_none(layer: Layer) -> None:
    assert result(layer, [-1, 1]).isfinite()


@pytest.mark.pycaffe
def test_real_caffe_reads_the_next_row(tmp_path: Path) -> None:
    def text(*labels: int) -> str:
        fillers = "".join(
            f'layer {{ name: "i{n}" type: "DummyData" top: "i{n}" dummy_data_param '
            f"{{ data_filler {{ value: {label} }} shape {{ dim: 1 }} }} }}\n"
            for n, label in enumerate(labels)
        )
        return f"""layer {{ name: "d" type: "Input" top: "x"
          input_param {{ shape {{ dim: 2 dim: 3 }} }} }}
        {fillers} layer {{ name: "i" type: "Concat" bottom: "i0" bottom: "i1" top: "i"
          concat_param {{ axis: 0 }} }}
        layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "i" top: "loss" }}"""

    given: dict[str, Any] = {"x": SCORES}
    (path := tmp_path / "net.prototxt").write_text(text(3, 1))
    (turn, _), _ = forward_twice(path, given)
    share = SCORES.softmax(1)
    torch.testing.assert_close(turn["loss"], -(share[1, 0] * share[1, 1]).log() / 2)
